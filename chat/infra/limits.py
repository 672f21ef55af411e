"""How much of something one client may have at once, counted in this process."""

import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from chat.exceptions import RateLimited


class ConcurrencyLimit:
    """Lets each key in at most so many times at once."""

    def __init__(self, most: int, detail: str) -> None:
        self._most = most
        self._detail = detail
        self._lock = threading.Lock()
        self._held: Counter[str] = Counter()

    @contextmanager
    def hold(self, key: str) -> Iterator[None]:
        """Count a key as in use while the block runs. Raise RateLimited at once if it is in use too often."""
        with self._lock:
            if self._held[key] >= self._most:
                raise RateLimited(self._detail, retry_after=1)
            self._held[key] += 1
        try:
            yield
        finally:
            with self._lock:
                self._held[key] -= 1
                if not self._held[key]:
                    del self._held[key]
