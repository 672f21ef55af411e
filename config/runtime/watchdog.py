"""End the process when it can no longer serve, so that `up`, or another supervisor, restarts it.

It counts its own ticks instead of comparing times: after a suspension of the machine or the process, only one tick has
passed.
"""

import asyncio
import logging
import os
import sys
import threading
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

logger = logging.getLogger(__name__)

EXIT_CODE = 70
TICK = 1.0  # seconds
MAX_STUCK_TICKS = 15  # ticks
# How long something must have been waiting, at the end of that time as well as at its start.
MIN_WAITING_TICKS = 3  # ticks
END_TIMEOUT = 10.0


class Gauge(Protocol):
    """A resource that is lent out: threads or connections."""

    @property
    def name(self) -> str:
        """What is waited for."""

    @property
    def waiting(self) -> int:
        """The number of waiters now."""

    @property
    def finished(self) -> int:
        """How often the resource was returned so far."""


@dataclass
class _Progress:
    """Whether the resource was returned since the first waiter had to wait."""

    gauge: Gauge
    finished: int = 0
    ticks: int = 0
    waiting_ticks: int = 0

    def is_stuck(self) -> bool:
        """Called once per tick; return whether it was not returned for too long."""
        waiting, finished = self.gauge.waiting, self.gauge.finished
        self.waiting_ticks = self.waiting_ticks + 1 if waiting else 0
        if finished != self.finished or (self.ticks == 0 and not waiting):
            self.finished, self.ticks = finished, 0
        else:
            self.ticks += 1
        return self.ticks >= MAX_STUCK_TICKS and self.waiting_ticks >= MIN_WAITING_TICKS


class Watchdog(threading.Thread):
    """Watches the event loop, and whether lent resources are returned.

    `end` is called in the event loop to stop in an orderly way; the process exits within seconds in any case.
    `database_responds` may take a few seconds: if the database is unreachable, a restart does not help.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        gauges: Sequence[Gauge],
        *,
        end: Callable[[], None],
        database_responds: Callable[[], bool],
    ) -> None:
        super().__init__(name="watchdog", daemon=True)
        self._loop = loop
        self._main = threading.get_ident()
        self._progress = [_Progress(gauge) for gauge in gauges]
        self._end = end
        self._database_responds = database_responds
        self._has_responded = True
        self._stuck_ticks = 0

    def run(self) -> None:
        """Check once per tick, forever."""
        clock = threading.Event()
        while not clock.wait(TICK):
            if self._loop_is_stuck():
                logger.critical(
                    "The server ends: the event loop has been in %s for %d s.", self._loop_position(), MAX_STUCK_TICKS
                )
                os._exit(EXIT_CODE)
            # All of them, since each counts its own ticks.
            stuck = [progress for progress in self._progress if progress.is_stuck()]
            if stuck and self._restart_helps(stuck[0]):
                self._loop.call_soon_threadsafe(self._end)
                clock.wait(END_TIMEOUT)
                os._exit(EXIT_CODE)

    def _loop_is_stuck(self) -> bool:
        if self._has_responded:
            self._has_responded, self._stuck_ticks = False, 0
            self._loop.call_soon_threadsafe(self._respond)
        else:
            self._stuck_ticks += 1
        return self._stuck_ticks >= MAX_STUCK_TICKS

    def _respond(self) -> None:
        self._has_responded = True

    def _loop_position(self) -> str:
        """Return the position of the event loop's thread in the code."""
        frame = sys._current_frames().get(self._main)
        if frame is None:
            return "unknown code"
        innermost = traceback.extract_stack(frame)[-1]
        return f"{innermost.name} ({innermost.filename}:{innermost.lineno})"

    def _restart_helps(self, stuck: _Progress) -> bool:
        name, waiting = stuck.gauge.name, stuck.gauge.waiting
        if not self._database_responds():
            logger.error("The database does not answer: %d wait for %s.", waiting, name)
            stuck.ticks = 0
            return False
        logger.critical(
            "The server ends: %d wait for %s, and none was returned for %d s.", waiting, name, MAX_STUCK_TICKS
        )
        return True
