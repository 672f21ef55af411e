"""Ask a child process again and again whether it works."""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

# After a suspension of the machine the question that was under way fails, though nothing is wrong. So the number of
# failures in a row counts as well as the time.
FAILURES = 4


@dataclass(frozen=True)
class Pace:
    """How often it is asked, and how long it may fail to answer: once it has worked, and before; in seconds."""

    every: float
    patience: float
    to_start: float


class Probe(threading.Thread):
    """Asks in a thread of its own. The question returns None if it cannot be answered at the moment."""

    def __init__(self, name: str, ask: Callable[[], bool | None], pace: Pace) -> None:
        super().__init__(name=f"probe of the {name}", daemon=True)
        self._ask = ask
        self._pace = pace
        self._stopped = threading.Event()  # `_stop` is a method of Thread
        self.restarted()

    def restarted(self) -> None:
        """Begin anew: the process has just been started."""
        self._has_worked = False
        self._failures = 0
        self._since = time.monotonic()

    @property
    def has_failed(self) -> bool:
        """Whether the process has not answered for too long."""
        seconds = self._pace.patience if self._has_worked else self._pace.to_start
        return self._failures >= FAILURES and time.monotonic() - self._since >= seconds

    def run(self) -> None:
        """Ask until `stop`."""
        while not self._stopped.wait(self._pace.every):
            works = self._ask()
            if works:
                self._has_worked, self._failures, self._since = True, 0, time.monotonic()
            elif works is not None:
                self._failures += 1

    def stop(self) -> None:
        """Ask no more."""
        self._stopped.set()
