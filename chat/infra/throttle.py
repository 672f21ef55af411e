"""Rate limits of requests, counted in this process."""

import math
import threading
import time
from collections import OrderedDict
from collections.abc import Callable

from django.conf import settings

from chat.exceptions import RateLimited

MINUTE = 60.0
MAX_CLIENTS = 10_000  # clients: above this number, those with the oldest request are dropped


class Throttle:
    """A number of requests a minute per client: a token bucket."""

    def __init__(self, per_minute: Callable[[], int], clock: Callable[[], float] = time.monotonic) -> None:
        self._per_minute = per_minute
        self._clock = clock
        self._lock = threading.Lock()
        self._asked: OrderedDict[str, tuple[float, float]] = OrderedDict()  # the requests left, and since when

    def count(self, asker: str) -> None:
        """Count a request. Raise RateLimited."""
        most = self._per_minute()
        with self._lock:
            now = self._clock()
            left, then = self._asked.get(asker, (float(most), now))
            left = min(float(most), left + (now - then) * most / MINUTE)
            if left < 1:
                wait = math.ceil((1 - left) * MINUTE / most)
                raise RateLimited("There were too many requests in a short time.", retry_after=max(wait, 1))
            self._asked[asker] = left - 1, now
            self._asked.move_to_end(asker)
            if len(self._asked) > MAX_CLIENTS:
                self._asked.popitem(last=False)

    def reset(self) -> None:
        """Reset the counts of all clients."""
        with self._lock:
            self._asked.clear()


# API and MCP requests: per user, and per address without authentication.
by_person = Throttle(lambda: settings.API_REQUESTS_PER_MINUTE)
by_address = Throttle(lambda: settings.API_ANONYMOUS_PER_MINUTE)
