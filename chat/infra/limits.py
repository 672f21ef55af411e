"""Limits of concurrent use per client, counted in this process, and where to count for all processes."""

import asyncio
import threading
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from types import ModuleType

from django.conf import settings

from chat.exceptions import TooManyAtOnce


def redis_limits() -> ModuleType | None:
    """Return the limits that all server processes count together (chat.infra.redis_limits), or None without Redis."""
    if not settings.REDIS_URL:
        return None
    from chat.infra import redis_limits  # the client of Redis takes a third of a second to import

    return redis_limits


MAX_WAITING = 100  # requests, in addition to those being answered: a user may load many tabs at once
TOO_MANY = "Too many of your requests wait for an answer; please make them one after another."


class ConcurrencyLimit:
    """Allows each key a number of concurrent uses."""

    def __init__(self, most: int, detail: str) -> None:
        self._most = most
        self._detail = detail
        self._lock = threading.Lock()
        self._held: Counter[str] = Counter()

    @contextmanager
    def hold(self, key: str) -> Iterator[None]:
        """Count a use of a key during a block. Raise TooManyAtOnce if there are too many."""
        with self._lock:
            if self._held[key] >= self._most:
                raise TooManyAtOnce(self._detail, retry_after=1)
            self._held[key] += 1
        try:
            yield
        finally:
            with self._lock:
                self._held[key] -= 1
                if not self._held[key]:
                    del self._held[key]


class FairQueue:
    """Allows each key a number of concurrent uses; a number of further ones wait in the event loop."""

    def __init__(self, at_once: Callable[[], int], waiting: int, detail: str) -> None:
        self._at_once = at_once
        self._waiting = waiting
        self._detail = detail
        self._places: dict[str, asyncio.Semaphore] = {}
        self._counts: Counter[str] = Counter()

    @asynccontextmanager
    async def turn(self, key: str) -> AsyncIterator[None]:
        """Wait for the key's turn, and count it as in use during a block. Raise TooManyAtOnce if too many wait."""
        at_once = self._at_once()
        if self._counts[key] >= at_once + self._waiting:
            raise TooManyAtOnce(self._detail, retry_after=1)
        self._counts[key] += 1
        try:
            async with self._places.setdefault(key, asyncio.Semaphore(at_once)):
                yield
        finally:
            self._counts[key] -= 1
            if not self._counts[key]:
                del self._counts[key], self._places[key]


# Pages, API and MCP together.
requests_by_person = FairQueue(lambda: settings.REQUESTS_PER_USER, MAX_WAITING, TOO_MANY)
