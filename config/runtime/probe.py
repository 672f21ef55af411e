"""Check a child process periodically."""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

# After a suspension of the machine the check that was running fails, though nothing is wrong. So the number of failures
# in a row counts as well as the time.
MIN_FAILURES = 4


@dataclass(frozen=True)
class ProbeTimings:
    """The seconds between checks, and for how long they may fail: after the first success, and before it."""

    interval: float
    timeout: float
    start_timeout: float


class Probe(threading.Thread):
    """Runs checks in its own thread. A check returns None if it has no result at the moment."""

    def __init__(self, name: str, check: Callable[[], bool | None], timings: ProbeTimings) -> None:
        super().__init__(name=f"probe of the {name}", daemon=True)
        self.check = check
        self._timings = timings
        self._stopped = threading.Event()  # `_stop` is a method of Thread
        self.reset()

    def reset(self) -> None:
        """Start over: the process has just been started."""
        self._has_worked = False
        self._failures = 0
        self._since = time.monotonic()

    @property
    def has_failed(self) -> bool:
        """Whether the checks have failed for too long."""
        seconds = self._timings.timeout if self._has_worked else self._timings.start_timeout
        return self._failures >= MIN_FAILURES and time.monotonic() - self._since >= seconds

    def run(self) -> None:
        """Check until `stop`."""
        while not self._stopped.wait(self._timings.interval):
            works = self.check()
            if works:
                self._has_worked, self._failures, self._since = True, 0, time.monotonic()
            elif works is not None:
                self._failures += 1

    def stop(self) -> None:
        """Stop checking."""
        self._stopped.set()
