"""Service level objectives, measured: from the record, and from what the processes of this machine have counted."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta

from django.conf import settings
from django.db.models import Min
from django.db.models.functions import Now
from django.utils import timezone

from chat.models import Turn, User
from chat.models.sql import select
from chat.models.turn import Status
from sessions_admin import audit
from sessions_admin.metrics.histograms import quantiles
from sessions_admin.models import CleanupRun, RunStatus

# A lease is renewed every two seconds, and a turn whose lease has ended is taken over within seconds.
ABANDONED_AFTER = timedelta(minutes=1)
# While no server runs, nothing is lost: the next start takes its turns over.
LOST_AFTER = timedelta(hours=1)
DAY = 86_400.0
FIRST_DELTA, EVENT_DELAY = "threadkeeper_first_delta_seconds", "threadkeeper_event_delay_seconds"

_TURNS = """
SELECT count(*), count(*) FILTER (WHERE ended_at IS NOT NULL), count(*) FILTER (WHERE status = 'failed'),
    count(*) FILTER (WHERE status = 'stopped'), count(*) FILTER (WHERE
        (status = 'running' AND lease_until < statement_timestamp() - %(lost_after)s)
        OR (status = 'done' AND NOT EXISTS (
            SELECT FROM chat_message m WHERE m.turn_id = t.id AND m.role = 'assistant'))
        OR (status = 'queued' AND EXISTS (
            SELECT FROM chat_turn later WHERE later.conversation_id = t.conversation_id AND later.seq > t.seq
                AND later.started_at IS NOT NULL))
    )
FROM chat_turn t WHERE accepted_at >= %(since)s
"""


@dataclass(frozen=True, slots=True)
class Objective:
    """What is promised, and what was measured; `value` is None if there is nothing to measure."""

    name: str
    label: str
    value: float | None
    limit: float  # at most
    unit: str  # turns, share or seconds
    is_of_last_start: bool = False  # measured since `up` was started on this machine

    @property
    def is_met(self) -> bool:
        """Whether the value is within the limit."""
        return self.value is None or self.value <= self.limit


@dataclass(frozen=True, slots=True)
class ObjectivesReport:
    """All objectives at one moment, and the turns of the last days that are in the record."""

    at: datetime
    days: int
    accepted: int
    ended: int
    failed: int
    stopped: int
    objectives: Sequence[Objective]

    @property
    def is_met(self) -> bool:
        """Whether all objectives are met."""
        return all(objective.is_met for objective in self.objectives)

    def as_json(self) -> dict[str, object]:
        """Return a dict for JSON."""
        objectives = [asdict(one) | {"is_met": one.is_met} for one in self.objectives]
        return asdict(self) | {"at": self.at.isoformat(), "is_met": self.is_met, "objectives": objectives}


def measure(days: int) -> ObjectivesReport:
    """Measure all objectives; those of the record over some days."""
    now = timezone.now()
    values = {"since": now - timedelta(days=days), "lost_after": LOST_AFTER}
    ((accepted, ended, failed, stopped, lost),) = select(_TURNS, values)
    tried = ended - stopped
    share = failed / tried if tried else None
    objectives = [
        Objective("lost_messages", "acknowledged messages that are lost", lost, 0, "turns"),
        Objective("failed_turns", "turns that failed", share, 0.02, "share"),
        *_delays(),
        *_ages(now),
    ]
    return ObjectivesReport(now, days, accepted, ended, failed, stopped, objectives)


def _delays() -> Iterator[Objective]:
    times = quantiles(0.95, FIRST_DELTA, EVENT_DELAY)
    yield Objective("first_text", "first text, 19 of 20 replies", times[FIRST_DELTA], 4.0, "seconds", True)
    label = "delay of events between processes, 19 of 20"
    yield Objective("event_delay", label, times[EVENT_DELAY], 0.1, "seconds", True)


def _ages(now: datetime) -> Iterator[Objective]:
    def age(at: datetime | None) -> float | None:
        return None if at is None else (now - at).total_seconds()

    def oldest(status: Status) -> float | None:
        return age(Turn.objects.filter(status=status).aggregate(at=Min("accepted_at"))["at"])

    last = CleanupRun.objects.filter(status=RunStatus.DONE, dry_run=False).order_by("-ended_at").first()
    yield Objective("oldest_queued", "age of the oldest queued turn", oldest(Status.QUEUED), 120.0, "seconds")
    label = "age of the oldest awaited decision"
    yield Objective("oldest_waiting", label, oldest(Status.WAITING), 7 * DAY, "seconds")
    installed = User.objects.aggregate(at=Min("created_at"))["at"]
    since = age(last.ended_at if last else installed)
    label = "age of the last clean-up" if last else "no clean-up since the installation"
    yield Objective("last_cleanup", label, since, 2 * DAY, "seconds")
    if settings.BACKUP_TO:
        backed_up = audit.last_backup()
        label = "age of the last backup" if backed_up else "no backup since the installation"
        yield Objective("last_backup", label, age(backed_up or installed), 2 * DAY, "seconds")


def count_abandoned() -> int:
    """Count the turns whose process is gone and which no other has taken over."""
    return Turn.objects.filter(status=Status.RUNNING, lease_until__lt=Now() - ABANDONED_AFTER).count()
