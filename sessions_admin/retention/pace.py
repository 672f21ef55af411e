"""How fast a clean-up goes: without pauses while no turn runs, and otherwise in small steps with pauses.

A step competes with turns for the processors, the disk, and the write lock of the session file.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager

from chat.memory.sync_store import SyncStore
from chat.models import Turn
from chat.models.turn import Status

PAUSE = 9.0  # times as long as the step took
LONGEST_PAUSE = 30.0  # seconds; a run that is silent for two minutes is taken for stale
BUSY_FOR = 5.0  # seconds after a running turn was seen: the next one may begin at any moment
# The worker kills a task after 15 minutes: a long run stops pausing in time.
PACED_FOR = 480.0  # seconds


class Pace:
    """The pace of a run's steps in a store."""

    def __init__(self) -> None:
        self._began = time.monotonic()
        self._busy_until = 0.0

    @contextmanager
    def step(self, store: SyncStore) -> Iterator[None]:
        """Let the store take large steps if no turn runs; otherwise pause after the block."""
        began = time.monotonic()
        store.is_quiet = not self._is_busy(began)
        yield
        if not store.is_quiet:
            time.sleep(min(PAUSE * (time.monotonic() - began), LONGEST_PAUSE))

    def _is_busy(self, now: float) -> bool:
        if now - self._began > PACED_FOR:
            return False
        if Turn.objects.filter(status=Status.RUNNING).exists():
            self._busy_until = now + BUSY_FOR
        return now < self._busy_until
