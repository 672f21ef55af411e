"""All metrics of the dashboard and `session_stats`."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta

from django.db.models import Min
from django.utils import timezone

from chat.memory.configured import size_on_disk
from chat.models import PendingDeletion
from chat.models.session import State
from sessions_admin import clock
from sessions_admin.clock import ClockDoubt
from sessions_admin.health import Health, health
from sessions_admin.metrics import queue_health, stats
from sessions_admin.metrics.queue_health import Failure, NextCleanup, TurnQueue, WorkerQueue
from sessions_admin.metrics.stats import Day, StateCount, Weight
from sessions_admin.models import StoreSample
from sessions_admin.reports import plain
from sessions_admin.store_samples import growth

MAX_WAIT = timedelta(minutes=5)  # a task that waits longer means that the worker is behind


@dataclass(frozen=True, slots=True)
class Overview:
    """The state of all sessions and of the worker at one moment."""

    at: datetime
    health: Health
    states: Sequence[StateCount]
    quarantined: int
    days: Sequence[Day]
    growth: Sequence[StoreSample]
    file_bytes: int
    biggest_sessions: Sequence[Weight]
    biggest_owners: Sequence[Weight]
    turns: TurnQueue
    worker: WorkerQueue
    cleanup: NextCleanup
    failures: Sequence[Failure]
    clock: ClockDoubt | None
    oldest_deletion_at: datetime | None  # of those that are still in the session file

    @property
    def kept(self) -> Sequence[StateCount]:
        """The states of sessions that exist."""
        return [counted for counted in self.states if counted.state != State.GONE]

    @property
    def sessions(self) -> int:
        """The number of sessions."""
        return sum(counted.sessions for counted in self.kept)

    @property
    def items(self) -> int:
        """The number of items in all sessions."""
        return sum(counted.items for counted in self.kept)

    @property
    def problems(self) -> list[str]:
        """The problems that need attention, as sentences."""
        problems = self.health.problems
        if self.health.worker and self.worker.oldest_at and self.worker.oldest_at < self.at - MAX_WAIT:
            problems.append("The worker is behind: a task has waited for more than five minutes.")
        if self.cleanup.at is None:
            problems.append("No daily clean-up is scheduled; the next start of the server schedules it.")
        elif self.cleanup.is_overdue:
            problems.append("The daily clean-up is overdue.")
        if self.oldest_deletion_at and self.oldest_deletion_at < self.at - MAX_WAIT:
            problems.append(
                "Deleted text can still be read in the session file, since "
                f"{self.oldest_deletion_at:%Y-%m-%d %H:%M} UTC: a process keeps the file open for reading. "
                "Close it; the worker then finishes the deletion."
            )
        if self.clock:
            problems.append(str(self.clock))
        return problems

    def count(self, state: State) -> int:
        """Return the number of sessions in a state."""
        return next(counted.sessions for counted in self.states if counted.state == state)

    def as_json(self) -> dict[str, object]:
        """Return a dict for JSON."""
        last = self.cleanup.last
        shown: dict[str, object] = {
            "at": self.at,
            "health": asdict(self.health),
            "problems": self.problems,
            "sessions": self.sessions,
            "items": self.items,
            "states": {
                c.state.value: {"sessions": c.sessions, "items": c.items, "bytes": c.bytes} for c in self.states
            },
            "quarantined": self.quarantined,
            "days": [asdict(day) for day in self.days],
            "growth": [
                {"at": one.at, "sessions": one.sessions, "items": one.items, "bytes": one.bytes, "file": one.file_bytes}
                for one in self.growth
            ],
            "file_bytes": self.file_bytes,
            "biggest_sessions": [asdict(weight) for weight in self.biggest_sessions],
            "biggest_owners": [asdict(weight) for weight in self.biggest_owners],
            "turns": asdict(self.turns),
            "worker": asdict(self.worker),
            "cleanup": {
                "at": self.cleanup.at,
                "takes": asdict(self.cleanup.takes),
                "last": {"id": str(last.pk), "status": last.status, "ended_at": last.ended_at} if last else None,
            },
            "failures": [asdict(failure) for failure in self.failures],
            "clock": str(self.clock) if self.clock else None,
            "oldest_deletion_at": self.oldest_deletion_at,
        }
        return {name: plain(value) for name, value in shown.items()}


def overview() -> Overview:
    """Read all metrics once."""
    return Overview(
        at=timezone.now(),
        health=health(),
        states=stats.by_state(),
        quarantined=stats.quarantined(),
        days=stats.activity(),
        growth=growth(),
        file_bytes=size_on_disk(),
        biggest_sessions=stats.biggest_sessions(),
        biggest_owners=stats.biggest_owners(),
        turns=queue_health.turn_queue(),
        worker=queue_health.worker_queue(),
        cleanup=queue_health.next_cleanup(),
        failures=queue_health.failures(),
        clock=clock.find_doubt(),
        oldest_deletion_at=PendingDeletion.objects.filter(finished_at=None).aggregate(at=Min("created_at"))["at"],
    )
