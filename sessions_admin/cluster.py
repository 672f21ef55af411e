"""django-q2's worker, with a schedule that does not stand still and a report of what it does.

Its main loop waits with a deadline of the wall clock (sem_timedwait): after a step back by a week it waits for a week.
Here the loop sleeps by a monotonic clock.
"""

import logging
import time
from collections.abc import Callable
from multiprocessing.synchronize import Event
from typing import Any

from django.db import Error, connections
from django.utils import timezone
from django_q import cluster
from django_q.models import Schedule
from django_q.scheduler import scheduler

from sessions_admin import clock, heartbeat, schedules

logger = logging.getLogger(__name__)

STEP = 0.1  # seconds


class SteadyEvent:
    """An event that is waited for by the monotonic clock; `tick` is called before each wait."""

    def __init__(self, event: Event, tick: Callable[[], None]) -> None:
        self._event = event
        self._tick = tick

    def is_set(self) -> bool:
        """Return whether the event is set."""
        return self._event.is_set()

    def wait(self, seconds: float) -> bool:
        """Wait for it for a while; return whether it has come."""
        self._tick()
        deadline = time.monotonic() + seconds
        while not self._event.is_set():
            left = deadline - time.monotonic()
            if left <= 0:
                return False
            time.sleep(min(left, STEP))
        return True


class Sentinel(cluster.Sentinel):  # type: ignore[misc]  # untyped
    """The process that supervises the worker's others; it reports heartbeats, and keeps the schedule."""

    def __init__(self, stop_event: Event, *args: Any, **kwargs: Any) -> None:
        self._next_beat = self._next_pass = 0.0
        self._has_begun = False
        super().__init__(SteadyEvent(stop_event, self.tick), *args, **kwargs)

    def tick(self) -> None:
        """Report, and put into the queue what is due, each when it is time."""
        now = time.monotonic()
        if now < self._next_beat:
            return
        self._next_beat = now + heartbeat.EVERY
        try:
            self._begin()
            passed = now >= self._next_pass and self._keep_schedule()
            heartbeat.beat(self.cluster_id, pid=self.parent_pid, passed=passed)
        except Error as error:
            logger.warning("The worker cannot report (%s).", type(error).__name__)
            connections.close_all()

    def stop(self) -> None:
        """End the worker's other processes, and report no more."""
        super().stop()
        try:
            heartbeat.forget(self.cluster_id)
        except Error:
            logger.warning("The database is away; the worker is taken for one that was killed.")

    def _begin(self) -> None:
        if not self._has_begun:
            heartbeat.forget_silent()
            self._has_begun = True

    def _keep_schedule(self) -> bool:
        """Put what is due into the queue; return whether nothing of it is left."""
        self._next_pass = time.monotonic() + heartbeat.PASS_EVERY
        clock.measure()
        schedules.put_right()
        began = timezone.now()
        scheduler(broker=self.broker)  # it logs its errors, and continues
        return not Schedule.objects.exclude(repeats=0).filter(next_run__lt=began).exists()


def install() -> None:
    """Let a cluster of this process have the sentinel above."""
    # There is no setting for it: `Cluster.start` names the class of its own module.
    cluster.Sentinel = Sentinel
