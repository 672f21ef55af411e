"""Let requests that check or set a password wait for their turn: a limited number per address, and a few at a time.

A password hash takes a core for a good part of a second, and a view keeps its thread meanwhile. The requests wait in
the event loop, once their body has arrived, and hold neither a thread nor a database connection.
"""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from django.conf import settings
from django.core.handlers.asgi import ASGIHandler
from django.http import HttpRequest
from django.http.response import HttpResponseBase

from chat.accounts.hashing import AT_ONCE, RETRY_AFTER
from chat.api.throttle import Throttle
from chat.exceptions import RateLimited, ServerBusy
from chat.infra.client_address import client_address, limit_key

# POST requests to these paths; the links in mails are below the last one of the first.
ANONYMOUS = ("/accounts/login/", "/accounts/signup/", "/api/auth/login", "/api/auth/register", "/accounts/reset/")
SIGNED_IN = ("/accounts/password/", "/settings/", "/settings/data/delete/")
WAITING, WAITING_PER_ADDRESS = 128, 64  # requests, in this process


class QueueingHandler(ASGIHandler):
    """Django's handler, with a queue before views that hash passwords."""

    def __init__(self) -> None:
        super().__init__()
        self._throttle = Throttle(lambda: settings.SIGN_INS_PER_MINUTE)
        self._slots = asyncio.Semaphore(AT_ONCE)
        self._waiting: Counter[str] = Counter()

    async def get_response_async(self, request: HttpRequest) -> HttpResponseBase:
        is_anonymous = request.path.startswith(ANONYMOUS)
        if request.method != "POST" or not (is_anonymous or request.path in SIGNED_IN):
            return await super().get_response_async(request)
        address = limit_key(client_address(request))
        try:
            if is_anonymous:
                self._throttle.count(address)
            async with self._turn(address):
                return await super().get_response_async(request)
        except (RateLimited, ServerBusy) as error:
            request.refused = error  # type: ignore[attr-defined]  # for the middleware that answers it
            return await super().get_response_async(request)

    @asynccontextmanager
    async def _turn(self, address: str) -> AsyncIterator[None]:
        """Wait until few enough others are at work. Raise ServerBusy if too many wait already."""
        if self._waiting.total() >= WAITING or self._waiting[address] >= WAITING_PER_ADDRESS:
            raise ServerBusy(retry_after=RETRY_AFTER)
        self._waiting[address] += 1
        try:
            await self._slots.acquire()
        finally:
            self._waiting -= Counter({address: 1})
        try:
            yield
        finally:
            self._slots.release()
