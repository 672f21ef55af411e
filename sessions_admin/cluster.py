"""A django-q2 cluster whose schedule survives clock changes, and which reports heartbeats.

The original main loop waits until a wall-clock deadline (sem_timedwait): if the clock is set back by a week, it waits
for a week. This one sleeps by a monotonic clock.
"""

import logging
import time
from collections.abc import Callable, Mapping
from multiprocessing.synchronize import Event
from typing import Any

from django.db import Error, connections
from django.utils import timezone
from django_q import cluster
from django_q.models import Schedule
from django_q.scheduler import scheduler
from django_q.signals import post_execute_in_worker, pre_execute

from chat.infra.metrics import WORKER_TASKS
from sessions_admin import clock, heartbeat, schedules, tasks

logger = logging.getLogger(__name__)

POLL_SECONDS = 0.1


class SteadyEvent:
    """An event that is awaited by the monotonic clock; `tick` is called before each wait."""

    def __init__(self, event: Event, tick: Callable[[], None]) -> None:
        self._event = event
        self._tick = tick

    def is_set(self) -> bool:
        """Return whether the event is set."""
        return self._event.is_set()

    def wait(self, seconds: float) -> bool:
        """Wait for the event; return whether it is set."""
        self._tick()
        deadline = time.monotonic() + seconds
        while not self._event.is_set():
            left = deadline - time.monotonic()
            if left <= 0:
                return False
            time.sleep(min(left, POLL_SECONDS))
        return True


class Sentinel(cluster.Sentinel):  # type: ignore[misc]  # untyped
    """The supervisor of the worker's processes; it reports heartbeats and runs the scheduler."""

    def __init__(self, stop_event: Event, *args: Any, **kwargs: Any) -> None:
        self._next_beat = self._next_pass = 0.0
        self._has_begun = False
        super().__init__(SteadyEvent(stop_event, self.tick), *args, **kwargs)

    def tick(self) -> None:
        """Report a heartbeat, and queue due tasks, each at its interval."""
        now = time.monotonic()
        if now < self._next_beat:
            return
        self._next_beat = now + heartbeat.BEAT_EVERY
        try:
            if not self._has_begun:
                heartbeat.remove_stale()
                self._has_begun = True
            passed = now >= self._next_pass and self._keep_schedule()
            heartbeat.beat(self.cluster_id, pid=self.parent_pid, passed=passed)
        except Error as error:
            logger.warning("The worker's heartbeat failed (%s).", type(error).__name__)
            connections.close_all()

    def stop(self) -> None:
        """End the worker's other processes, and remove the heartbeat."""
        super().stop()
        try:
            heartbeat.remove(self.cluster_id)
        except Error:
            logger.warning("The database is unavailable; the worker's heartbeat was not removed.")

    def _keep_schedule(self) -> bool:
        """Queue due tasks; return whether none is left."""
        self._next_pass = time.monotonic() + heartbeat.PASS_EVERY
        clock.measure()
        schedules.correct_times()
        began = timezone.now()
        scheduler(broker=self.broker)  # which logs its errors, and continues
        return not Schedule.objects.exclude(repeats=0).filter(next_run__lt=began).exists()


class TaskTimer:
    """Measures the tasks of a worker's process, which executes one at a time."""

    def __init__(self) -> None:
        self._began = 0.0

    def begin(self, **signal: object) -> None:
        """Begin to measure a task."""
        self._began = time.monotonic()

    def end(self, task: Mapping[str, Any], **signal: object) -> None:
        """Add a task to the metrics. One of a superuser's schedule may have any name, which no label has."""
        module, _, name = str(task["func"]).rpartition(".")
        labels = {
            "task": name if module == tasks.__name__ and hasattr(tasks, name) else "other",
            "result": "done" if task.get("success") else "failed",
        }
        WORKER_TASKS.labels(**labels).observe(time.monotonic() - self._began)


_timer = TaskTimer()


def install() -> None:
    """Use the sentinel above in this process, and measure tasks."""
    # There is no setting for it: `Cluster.start` uses the class in its own module.
    cluster.Sentinel = Sentinel
    pre_execute.connect(_timer.begin)
    post_execute_in_worker.connect(_timer.end)
