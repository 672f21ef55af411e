"""The life of a clean-up run: requested, begun, logged, stopped, ended.

    queued -> running -> done | failed
    queued | running (-> stopping) -> stopped

Each step is a conditional update, so that only one of two processes takes it. An active run belongs to the writer of
its last heartbeat: resuming it moves the heartbeat, and the previous owner notices at its next one.
"""

import uuid
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db import IntegrityError, transaction
from django.db.models import F, Func, JSONField, Q, QuerySet, Value
from django.utils import timezone

from chat.exceptions import Conflict, NotFound, ThreadkeeperError
from chat.infra.lookup import get_one
from chat.models import AgentSession, User
from chat.models.session import is_held, retention
from chat.models.sql import select
from sessions_admin import audit
from sessions_admin.models import UNDER_WAY, Action, CleanupRun, RunStatus, Trigger
from sessions_admin.reports import Report

HEARTBEAT_TIMEOUT = timedelta(minutes=2)  # an active run without a heartbeat for this long is stale
CLOCK_TOLERANCE = timedelta(minutes=10)  # a heartbeat further in the future means that the clock was set back
SAMPLE = 100  # sessions, and as many conversations, that a preview stores
RESUMED = "Resumed: the process had ended unexpectedly."
MAX_RESUMES = 2  # so that a run that kills its worker is not resumed forever
PROCESS_LOST = "The process ended unexpectedly."
_BEAT = """
UPDATE sessions_admin_cleanuprun SET heartbeat_at = %(now)s
WHERE id = %(run)s AND status = ANY(%(under_way)s) AND heartbeat_at = %(then)s
RETURNING status
"""
SCHEDULE = "schedule"  # the actor of a scheduled run


class AlreadyRunning(Conflict):
    """Only one clean-up runs at a time."""

    default_detail = "Another clean-up is running."


class HeartbeatLost(Conflict):
    """The run had no heartbeat for so long that another process ended or resumed it."""

    default_detail = "This clean-up had no heartbeat for too long and was ended."


class StopRequested(Exception):  # no error
    """A stop was requested."""


@dataclass(frozen=True, slots=True)
class CleanupReport(Report):
    """What a clean-up did, or a preview would do."""

    run_id: uuid.UUID
    status: RunStatus
    dry_run: bool
    cutoff: datetime | None
    total: int | None  # expired when it began
    examined: int  # of those, including skipped ones
    held: int  # expired, but on hold
    sessions: int
    items: int
    bytes: int
    freed_bytes: int
    trashed: int
    purged: int
    seconds: float | None
    error: str


def report(run: CleanupRun) -> CleanupReport:
    """Return the report of a run."""
    run.refresh_from_db()
    return CleanupReport(
        run_id=run.pk,
        status=RunStatus(run.status),
        dry_run=run.dry_run,
        cutoff=run.cutoff,
        total=run.total,
        examined=run.examined,
        held=count_held(run.cutoff) if run.cutoff else 0,
        sessions=run.removed_sessions,
        items=run.removed_items,
        bytes=run.removed_bytes,
        freed_bytes=run.freed_bytes,
        trashed=run.trashed_conversations,
        purged=run.purged_conversations,
        seconds=run.duration.total_seconds() if run.duration else None,
        error=run.error,
    )


def find(run_id: uuid.UUID) -> CleanupRun:
    """Return a run. Raise NotFound."""
    return get_one(CleanupRun.objects.filter(pk=run_id), "run")


def count_held(cutoff: datetime) -> int:
    """Count the expired sessions that a hold protects."""
    expired = AgentSession.objects.filter(gone_at__isnull=True, last_activity_at__lte=cutoff)
    return expired.filter(is_held(timezone.now())).count()


@dataclass(frozen=True, slots=True)
class LogLine:
    """An entry of a run's log."""

    at: datetime
    sentence: str


def log_of(run: CleanupRun) -> list[LogLine]:
    """Return a run's log, in order."""
    return [LogLine(datetime.fromisoformat(at), sentence) for at, sentence in run.log]


# Requests.


def enqueue(*, trigger: str, actor: User | None = None, dry_run: bool = False) -> CleanupRun:
    """Queue a run, and record the actor. Without a user the actor is the schedule, or the shell's user."""
    with transaction.atomic():
        run = CleanupRun.objects.create(trigger=trigger, actor=actor, dry_run=dry_run)
        action = Action.PREVIEW if dry_run else Action.CLEANUP
        audit.record(action, actor=_actor_name(actor, trigger), run_id=str(run.pk))
    return run


def check_none_active() -> None:
    """Raise AlreadyRunning if another run has not ended; a stale one does not count."""
    yet_to_end = CleanupRun.objects.filter(ended_at__isnull=True).exclude(pk__in=_stale_runs().values("pk"))
    for status in yet_to_end.values_list("status", flat=True):
        if status != RunStatus.QUEUED:
            raise AlreadyRunning
        raise AlreadyRunning("Another clean-up is already waiting for the worker.")


def stop(run_id: uuid.UUID | str, *, actor: User | None = None) -> RunStatus:
    """Request a stop: at once if the run has not begun or is stale, else after the current batch; return its state.

    Without a user the actor is the shell's user. Raise NotFound, and Conflict if it has ended.
    """
    now = timezone.now()
    run = CleanupRun.objects.filter(pk=run_id)
    over = {"status": RunStatus.STOPPED, "ended_at": now, "stopped_by": actor}
    with transaction.atomic():
        if run.filter(status=RunStatus.QUEUED).update(**over, log=_log_with("Stopped before it began.")) or (
            _stale_runs().filter(pk=run_id).update(**over, log=_log_with(f"Stopped. {PROCESS_LOST}"))
        ):
            status = RunStatus.STOPPED
        elif run.filter(status=RunStatus.RUNNING).update(
            status=RunStatus.STOPPING, stopped_by=actor, log=_log_with("Stop requested.")
        ):
            status = RunStatus.STOPPING
        elif run.filter(status=RunStatus.STOPPING).exists():
            return RunStatus.STOPPING
        elif run.exists():
            raise Conflict("This run has already ended.")
        else:
            raise NotFound("There is no such run.")
        audit.record(Action.STOP, actor=_actor_name(actor, Trigger.COMMAND), run_id=str(run_id))
    return status


def _actor_name(actor: User | None, trigger: str) -> str:
    if actor is not None:
        return audit.user_actor(actor)
    return SCHEDULE if trigger == Trigger.SCHEDULE else audit.shell_actor()


# For the process that executes a run.


def claim(run: CleanupRun, *, older_than: timedelta | None = None) -> bool:
    """Claim a queued run, or resume a stale one; return whether this succeeded. Raise AlreadyRunning."""
    now = timezone.now()
    cutoff = now - (retention() if older_than is None else older_than)
    began = _log_with(f"Started: sessions inactive since {cutoff:%Y-%m-%d %H:%M} UTC.")
    queued = CleanupRun.objects.filter(pk=run.pk, status=RunStatus.QUEUED)
    if queued.exists() and CleanupRun.objects.filter(status__in=UNDER_WAY).exists():
        raise AlreadyRunning
    try:
        with transaction.atomic():
            ours = queued.update(
                status=RunStatus.RUNNING, cutoff=cutoff, started_at=now, heartbeat_at=now, log=began
            ) or _stale_runs().filter(pk=run.pk, status=RunStatus.RUNNING).update(
                heartbeat_at=now, log=_log_with(RESUMED)
            )
    except IntegrityError:  # another run has begun since
        raise AlreadyRunning from None
    run.refresh_from_db()
    return bool(ours)


def record_heartbeat(run: CleanupRun) -> None:
    """Record that a run is active. Raise HeartbeatLost, and StopRequested.

    Call this outside a transaction, which would block a stop request or the start of another run.
    """
    now = timezone.now()
    values = {"run": run.pk, "under_way": [str(status) for status in UNDER_WAY], "then": run.heartbeat_at, "now": now}
    ours = select(_BEAT, values)
    if not ours:
        raise HeartbeatLost
    run.heartbeat_at = now
    if ours == [(RunStatus.STOPPING,)]:
        raise StopRequested


def add_counts(run: CleanupRun, **more: int) -> None:
    """Add to a run's counts, in the transaction of what is counted. Raise HeartbeatLost."""
    if not _owned(run).update(**{name: F(name) + number for name, number in more.items()}):
        raise HeartbeatLost


def remaining_details(run: CleanupRun, named: "QuerySet[Any]", more: int) -> int:
    """Return how many more detail rows a run stores: a preview stores a sample."""
    return max(min(more, SAMPLE - named.count()), 0) if run.dry_run else more


def restart(run: CleanupRun) -> None:
    """Reset the counts of a preview. Raise HeartbeatLost."""
    counted = ("examined", "removed_sessions", "removed_items", "removed_bytes")
    with transaction.atomic():
        run.sessions.all().delete()
        run.conversations.all().delete()
        nothing = dict.fromkeys((*counted, "trashed_conversations", "purged_conversations"), 0)
        if not _owned(run).update(**nothing):
            raise HeartbeatLost


def set_total(run: CleanupRun, number: int) -> None:
    """Set the total from the number of sessions left to process. Raise HeartbeatLost."""
    if not _owned(run).update(total=F("examined") + number):
        raise HeartbeatLost


def log(run: CleanupRun, sentence: str) -> None:
    """Add a sentence to a run's log."""
    _owned(run).update(log=_log_with(sentence))


def end(run: CleanupRun, status: RunStatus, error: BaseException | None = None) -> None:
    """End a run, unless another process has ended or resumed it."""
    detail = _error_text(error) if error else ""
    # A run that never began has no heartbeat.
    ours = CleanupRun.objects.filter(pk=run.pk, ended_at__isnull=True, heartbeat_at=run.heartbeat_at)
    if run.heartbeat_at is None:
        ours = CleanupRun.objects.filter(pk=run.pk, status=RunStatus.QUEUED)
    line = _log_with(f"{status.label}.{f' {detail}' if detail else ''}")
    ours.update(status=status, ended_at=timezone.now(), error=detail, log=line)


def _owned(run: CleanupRun) -> "QuerySet[CleanupRun]":
    return CleanupRun.objects.filter(pk=run.pk, status__in=UNDER_WAY, heartbeat_at=run.heartbeat_at)


def _error_text(error: BaseException) -> str:
    if isinstance(error, ThreadkeeperError):
        return error.detail
    if isinstance(error, KeyboardInterrupt | SystemExit):  # by a user, or by the worker's time-out
        return "The process was interrupted."
    # The database's error may quote users' texts.
    return f"An unexpected error occurred ({type(error).__name__}); see the worker's log."


# Stale runs.


def fail_stale_runs() -> None:
    """Fail the runs without a recent heartbeat."""
    over = {"ended_at": timezone.now()}
    _stale_runs().filter(status=RunStatus.STOPPING).update(**over, status=RunStatus.STOPPED, log=_log_with("Stopped."))
    _stale_runs().update(**over, status=RunStatus.FAILED, error=PROCESS_LOST, log=_log_with(PROCESS_LOST))


def resumable_run() -> CleanupRun | None:
    """Return the stale run to resume, unless it was started by a command or resumed too often."""
    run = _stale_runs().filter(status=RunStatus.RUNNING).exclude(trigger=Trigger.COMMAND).first()
    return run if run and times_resumed(run) < MAX_RESUMES else None


def was_resumed(run: CleanupRun) -> bool:
    """Return whether a run was resumed after its process died."""
    return times_resumed(run) > 0


def times_resumed(run: CleanupRun) -> int:
    """Return how often a run was resumed."""
    return [sentence for _, sentence in run.log].count(RESUMED)


def _stale_runs() -> "QuerySet[CleanupRun]":
    now = timezone.now()
    silent = Q(heartbeat_at__lt=now - HEARTBEAT_TIMEOUT) | Q(heartbeat_at__gt=now + CLOCK_TOLERANCE)
    return CleanupRun.objects.filter(silent, status__in=UNDER_WAY)


def _log_with(sentence: str) -> Func:
    """Return an expression for a run's log with one more line."""
    line = Value([[timezone.now().isoformat(timespec="seconds"), sentence]], JSONField())
    return Func(F("log"), line, template="%(expressions)s", arg_joiner=" || ", output_field=JSONField())
