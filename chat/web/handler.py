"""Let requests wait for their turn: those of one user, and those that check or set a password.

Views need a thread and a database connection, and there are few. Only some requests of each user are answered at once,
so that others always find a thread. A password hash occupies a core for a good part of a second: a limited number per
address, and a few at a time. The requests wait in the event loop, once their body has arrived, without a thread or a
database connection.
"""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext

from django.conf import settings
from django.core.handlers.asgi import ASGIHandler
from django.http import HttpRequest
from django.http.response import HttpResponseBase

from chat.accounts.hashing import POOL_SIZE, RETRY_AFTER
from chat.exceptions import RateLimited, ServerBusy
from chat.infra.client_address import client_address, limit_key
from chat.infra.limits import requests_by_person
from chat.infra.throttle import Throttle
from chat.web.requesters import Requesters

# POST requests to these paths; the links in mails are below the last one of the first.
ANONYMOUS = ("/accounts/login/", "/accounts/signup/", "/api/auth/login", "/api/auth/register", "/accounts/reset/")
SIGNED_IN = ("/accounts/password/", "/settings/", "/settings/data/delete/")
WAITING, WAITING_PER_ADDRESS = 128, 64  # requests, in this process


class QueueingHandler(ASGIHandler):
    """Django's handler, with a queue per user, and one before views that hash passwords."""

    def __init__(self) -> None:
        super().__init__()
        self._throttle = Throttle(lambda: settings.SIGN_INS_PER_MINUTE, name="sign-ins")
        self._slots = asyncio.Semaphore(POOL_SIZE)
        self._waiting: Counter[str] = Counter()
        self._requesters = Requesters()

    async def get_response_async(self, request: HttpRequest) -> HttpResponseBase:
        try:
            async with await self._turn_of_user(request), await self._turn_to_hash(request):
                return await super().get_response_async(request)
        except (RateLimited, ServerBusy) as error:
            request.refused = error  # type: ignore[attr-defined]  # for the middleware that answers it
            return await super().get_response_async(request)

    async def _turn_of_user(self, request: HttpRequest) -> AbstractAsyncContextManager[None]:
        """Return the turn of the request's user; static files need none, and a page loads many at once."""
        if request.path.startswith(settings.STATIC_URL):
            return nullcontext()
        person = await self._requesters.find(request)
        return nullcontext() if person is None else requests_by_person.turn(str(person))

    async def _turn_to_hash(self, request: HttpRequest) -> AbstractAsyncContextManager[None]:
        """Return the turn of a request that hashes a password. Raise RateLimited."""
        is_anonymous = request.path_info.startswith(ANONYMOUS)
        if request.method != "POST" or not (is_anonymous or request.path_info in SIGNED_IN):
            return nullcontext()
        address = limit_key(client_address(request))
        if is_anonymous:
            await self._throttle.count_async(address)
        return self._turn(address)

    @asynccontextmanager
    async def _turn(self, address: str) -> AsyncIterator[None]:
        """Wait until few enough others run. Raise ServerBusy if too many wait already."""
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
