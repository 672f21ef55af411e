"""Rate limits of requests, counted in this process, or with REDIS_URL in all server processes together."""

import asyncio
import math
import threading
import time
from collections import OrderedDict
from collections.abc import Callable

from django.conf import settings

from chat.exceptions import RateLimited
from chat.infra.limits import redis_limits

MINUTE = 60.0
MAX_CLIENTS = 10_000  # clients: above this number, those with the oldest request are dropped


class Throttle:
    """A number of requests a minute per client: a token bucket. One with a name is shared by all processes."""

    def __init__(
        self, per_minute: Callable[[], int], clock: Callable[[], float] = time.monotonic, *, name: str = ""
    ) -> None:
        self._per_minute = per_minute
        self._name = name
        self._clock = clock
        self._lock = threading.Lock()
        self._asked: OrderedDict[str, tuple[float, float]] = OrderedDict()  # the requests left, and since when

    def count(self, asker: str) -> None:
        """Count a request. Raise RateLimited."""
        most = self._per_minute()
        if self._name and (shared := redis_limits()) is not None:
            wait = shared.take(self._name, asker, most)
            if wait:
                raise _limited(wait)
            if wait is not None:
                return
        with self._lock:
            now = self._clock()
            left, then = self._asked.get(asker, (float(most), now))
            left = min(float(most), left + (now - then) * most / MINUTE)
            if left < 1:
                raise _limited((1 - left) * MINUTE / most)
            self._asked[asker] = left - 1, now
            self._asked.move_to_end(asker)
            if len(self._asked) > MAX_CLIENTS:
                self._asked.popitem(last=False)

    async def count_async(self, asker: str) -> None:
        """Count a request, from the event loop. Raise RateLimited."""
        if self._name and settings.REDIS_URL:
            await asyncio.to_thread(self.count, asker)
        else:
            self.count(asker)

    def reset(self) -> None:
        """Reset the counts of all clients."""
        with self._lock:
            self._asked.clear()


def _limited(wait: float) -> RateLimited:
    return RateLimited("There were too many requests in a short time.", retry_after=max(math.ceil(wait), 1))


# API and MCP requests: per user, and per address without authentication.
by_person = Throttle(lambda: settings.API_REQUESTS_PER_MINUTE, name="person")
by_address = Throttle(lambda: settings.API_ANONYMOUS_PER_MINUTE, name="address")
