"""The worker's heartbeats: one every few seconds, and one whenever all due tasks are queued.

Ages are measured by the machine's monotonic clock, or by the database's clock if worker and reader run on different
machines. Both readings are from the same clock, so that a change of the wall clock makes no worker look alive.
"""

import uuid
from collections.abc import Sequence
from dataclasses import dataclass

import psutil

from chat.models.sql import change, select
from config.runtime.clocks import awake_seconds, machine_clock, pid_space

# Seconds.
BEAT_EVERY, BEAT_LATE = 5.0, 20.0
PASS_EVERY, PASS_LATE = 30.0, 100.0

_BEAT = """
INSERT INTO sessions_admin_workerheartbeat AS known (
    cluster, pid, pid_space, clock, beat_seconds, beat_at, pass_seconds, pass_at
) VALUES (
    %(cluster)s, %(pid)s, %(pid_space)s, %(clock)s, %(seconds)s, clock_timestamp(), %(seconds)s, clock_timestamp()
)
ON CONFLICT (cluster) DO UPDATE SET
    beat_seconds = excluded.beat_seconds,
    beat_at = excluded.beat_at,
    pass_seconds = CASE WHEN %(passed)s THEN excluded.pass_seconds ELSE known.pass_seconds END,
    pass_at = CASE WHEN %(passed)s THEN excluded.pass_at ELSE known.pass_at END
"""
_READ = """
SELECT pid, pid_space, clock, beat_seconds, pass_seconds,
    extract(epoch FROM clock_timestamp() - beat_at)::float8, extract(epoch FROM clock_timestamp() - pass_at)::float8
FROM sessions_admin_workerheartbeat
"""
_REMOVE_STALE = """
DELETE FROM sessions_admin_workerheartbeat
WHERE abs(extract(epoch FROM clock_timestamp() - beat_at)) > %(day)s OR (clock = %(clock)s AND beat_seconds < %(since)s)
"""


@dataclass(frozen=True, slots=True)
class Worker:
    """A worker that has sent a heartbeat, and the ages of its heartbeats in seconds."""

    pid: int
    is_here: bool  # in this process's PID namespace
    beat_age: float
    pass_age: float

    @property
    def is_alive(self) -> bool:
        """Whether it is running."""
        return abs(self.beat_age) <= BEAT_LATE and (not self.is_here or psutil.pid_exists(self.pid))

    @property
    def keeps_schedule(self) -> bool:
        """Whether it is running and queues all due tasks."""
        return self.is_alive and abs(self.pass_age) <= PASS_LATE


def beat(cluster: uuid.UUID, *, pid: int, passed: bool) -> None:
    """Store a heartbeat, and whether all due tasks have just been queued."""
    values = {"cluster": cluster, "pid": pid, "pid_space": pid_space() or "", "passed": passed}
    change(_BEAT, values | {"clock": machine_clock() or "", "seconds": awake_seconds()})


def remove(cluster: uuid.UUID) -> None:
    """Remove the heartbeat of a worker that ends."""
    change("DELETE FROM sessions_admin_workerheartbeat WHERE cluster = %(cluster)s", {"cluster": cluster})


def remove_stale() -> None:
    """Remove the heartbeats of workers that ended unexpectedly."""
    change(_REMOVE_STALE, {"day": 86_400, "clock": machine_clock() or "", "since": awake_seconds() - BEAT_LATE})


def workers() -> Sequence[Worker]:
    """Return every worker with a heartbeat, including those that ended unexpectedly."""
    return [_worker(*row) for row in select(_READ, {})]


def _worker(pid: int, space: str, clock: str, beat: float, passed: float, beat_age: float, pass_age: float) -> Worker:
    if clock == machine_clock():
        now = awake_seconds()
        beat_age, pass_age = now - beat, now - passed
    return Worker(pid, space == pid_space(), beat_age, pass_age)
