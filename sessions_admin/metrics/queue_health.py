"""Active and failed work: turns, the worker's queue, the next clean-up, the last failures."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db.models import Count, F, Min
from django.utils import timezone
from django_q.models import Failure as FailedTask
from django_q.models import OrmQ, Schedule, Success

from chat.memory.identity import SessionId
from chat.models import AgentSession, Turn
from chat.models.sql import select
from chat.models.turn import ACTIVE, Status
from sessions_admin.models import CleanupRun, RunStatus
from sessions_admin.retention.cleanup import Forecast, forecast

DAILY_CLEANUP = "sessions_admin.tasks.daily_cleanup"  # the callable of its schedule
MAX_FAILURES = 5
DAY = timedelta(days=1)
WEEK = timedelta(days=7)


@dataclass(frozen=True, slots=True)
class TurnQueue:
    """The number of turns that have not ended."""

    queued: int
    running: int
    waiting: int  # for a person's decision
    oldest_queued_at: datetime | None


@dataclass(frozen=True, slots=True)
class WorkerQueue:
    """The worker's tasks in the database."""

    waiting: int
    taken: int
    oldest_at: datetime | None
    last_success_at: datetime | None


@dataclass(frozen=True, slots=True)
class NextCleanup:
    """When the next clean-up is due, what it would remove now, and the last one."""

    at: datetime | None
    takes: Forecast
    last: CleanupRun | None

    @property
    def is_overdue(self) -> bool:
        """Whether it is late: the worker runs its scheduler twice a minute."""
        return self.at is not None and self.at < timezone.now() - timedelta(minutes=5)


@dataclass(frozen=True, slots=True)
class Failure:
    """A failure, with a code or a fixed sentence: no user's text."""

    at: datetime
    kind: str  # turn, clean-up, session, task
    code: str
    subject: str  # the id of the session or run, or the task's name


def unfinished_turns() -> dict[Status, tuple[int, datetime | None]]:
    """Return the number of turns of each status that is no end, and when the oldest of them was accepted."""
    rows = Turn.objects.filter(status__in=ACTIVE).order_by().values("status")
    counts = rows.annotate(n=Count("pk"), oldest=Min("accepted_at")).values_list("status", "n", "oldest")
    counted: dict[Status, tuple[int, datetime | None]] = dict.fromkeys(ACTIVE, (0, None))
    return counted | {Status(status): (n, oldest) for status, n, oldest in counts}


def turn_queue() -> TurnQueue:
    """Count the turns that are queued, running, or waiting for a decision."""
    (queued, oldest), (running, _), (waiting, _) = unfinished_turns().values()
    return TurnQueue(queued, running, waiting, oldest)


def worker_queue() -> WorkerQueue:
    """Count the worker's tasks: a task that was taken is locked until it would be retried."""
    now = timezone.now()
    waiting = OrmQ.objects.filter(lock__lte=now).aggregate(n=Count("pk"), oldest=Min("lock"))
    taken = OrmQ.objects.filter(lock__gt=now).count()
    last = Success.objects.order_by("-stopped").values_list("stopped", flat=True).first()
    return WorkerQueue(waiting["n"], taken, waiting["oldest"], last)


def next_cleanup() -> NextCleanup:
    """Return when the next clean-up is due."""
    due = Schedule.objects.filter(func=DAILY_CLEANUP).order_by("next_run").values_list("next_run", flat=True).first()
    ended = CleanupRun.objects.filter(dry_run=False, ended_at__isnull=False)
    return NextCleanup(due, forecast(), ended.order_by("-ended_at").first())


_FAILED_TURNS = """
SELECT ended_at, error_code, user_id, conversation_id FROM chat_turn
WHERE accepted_at >= %(since)s AND status = 'failed' ORDER BY ended_at DESC LIMIT %(limit)s
"""


def failures() -> list[Failure]:
    """Return the last failures, the newest first: turns of a day, sessions of a week, runs and tasks of any time."""
    now = timezone.now()
    rows = select(_FAILED_TURNS, {"since": now - DAY, "limit": MAX_FAILURES})
    found = [Failure(at, "turn", code or "failed", str(SessionId(user, talk))) for at, code, user, talk in rows]
    failed = CleanupRun.objects.filter(status=RunStatus.FAILED, ended_at__isnull=False)
    runs = failed.order_by("-ended_at")[:MAX_FAILURES]
    found += [Failure(run.ended_at, "clean-up", run.error or "failed", str(run.pk)) for run in runs if run.ended_at]
    troubled = AgentSession.objects.filter(last_activity_at__gte=now - WEEK).exclude(last_error="")
    found += [
        Failure(session.last_activity_at, "session", session.last_error, session.session_id)
        for session in troubled.order_by("-last_activity_at")[:MAX_FAILURES]
    ]
    tasks = FailedTask.objects.order_by(F("stopped").desc()).values_list("stopped", "func")[:MAX_FAILURES]
    found += [Failure(at, "task", "failed", func) for at, func in tasks]
    return sorted(found, key=lambda failure: failure.at, reverse=True)[:MAX_FAILURES]
