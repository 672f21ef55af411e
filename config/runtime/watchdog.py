"""End the process when it can serve no more, so that `up`, or whatever runs it, starts it again.

It counts its own ticks instead of comparing times: after a suspension of the machine or of the process, one tick has
passed, and everything may go on.
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
PATIENCE = 15  # ticks
# So long something must be waiting at the end of that time, as well as at its start.
WAITING_NOW = 3  # ticks
SECONDS_TO_END = 10.0


class Gauge(Protocol):
    """Something that is lent out: threads, or connections."""

    @property
    def name(self) -> str:
        """What is waited for."""

    @property
    def waiting(self) -> int:
        """How many wait now."""

    @property
    def finished(self) -> int:
        """How often something was returned so far."""


@dataclass
class _Progress:
    """Whether anything was returned since the first one had to wait."""

    gauge: Gauge
    finished: int = 0
    ticks: int = 0
    waiting_ticks: int = 0

    def is_stuck(self) -> bool:
        """Look once a tick; return whether there was none for too long."""
        waiting, finished = self.gauge.waiting, self.gauge.finished
        self.waiting_ticks = self.waiting_ticks + 1 if waiting else 0
        if finished != self.finished or (self.ticks == 0 and not waiting):
            self.finished, self.ticks = finished, 0
        else:
            self.ticks += 1
        return self.ticks >= PATIENCE and self.waiting_ticks >= WAITING_NOW


class Watchdog(threading.Thread):
    """Watches the event loop, and whether what is lent out is returned.

    `end` is called in the event loop to stop in good order; the process ends within seconds in any case.
    `database_answers` may take a few seconds: where the database is away, another start would not help.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        gauges: Sequence[Gauge],
        *,
        end: Callable[[], None],
        database_answers: Callable[[], bool],
    ) -> None:
        super().__init__(name="watchdog", daemon=True)
        self._loop = loop
        self._main = threading.get_ident()
        self._progress = [_Progress(gauge) for gauge in gauges]
        self._end = end
        self._database_answers = database_answers
        self._answered = True
        self._silent = 0

    def run(self) -> None:
        """Look every second, for ever."""
        clock = threading.Event()
        while not clock.wait(TICK):
            if self._loop_is_stuck():
                logger.critical("The server ends: the event loop has been in %s for %d s.", self._place(), PATIENCE)
                os._exit(EXIT_CODE)
            # All of them, for each counts its own ticks.
            stuck = [progress for progress in self._progress if progress.is_stuck()]
            if stuck and self._can_be_helped(stuck[0]):
                self._loop.call_soon_threadsafe(self._end)
                clock.wait(SECONDS_TO_END)
                os._exit(EXIT_CODE)

    def _loop_is_stuck(self) -> bool:
        if self._answered:
            self._answered, self._silent = False, 0
            self._loop.call_soon_threadsafe(self._answer)
        else:
            self._silent += 1
        return self._silent >= PATIENCE

    def _answer(self) -> None:
        self._answered = True

    def _place(self) -> str:
        """Return where the event loop's thread is."""
        frame = sys._current_frames().get(self._main)
        if frame is None:
            return "an unknown place"
        innermost = traceback.extract_stack(frame)[-1]
        return f"{innermost.name} ({innermost.filename}:{innermost.lineno})"

    def _can_be_helped(self, stuck: _Progress) -> bool:
        name, waiting = stuck.gauge.name, stuck.gauge.waiting
        if not self._database_answers():
            logger.error("The database does not answer: %d wait for %s.", waiting, name)
            stuck.ticks = 0
            return False
        logger.critical("The server ends: %d wait for %s, and none was returned for %d s.", waiting, name, PATIENCE)
        return True
