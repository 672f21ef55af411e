"""The life of a clean-up run: requested, begun, logged, stopped, ended.

    queued -> running -> done | failed
    queued | running (-> stopping) -> stopped

Each step is a conditional update, so that only one of two processes takes it. An active run belongs to the writer of
its last heartbeat: resuming it moves the heartbeat, and the previous owner notices at its next one.
"""

import uuid
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db import IntegrityError, transaction
from django.db.models import F, Func, JSONField, Q, QuerySet, Value
from django.utils import timezone

from chat.exceptions import Conflict, NotFound, ThreadkeeperError
from chat.models import AgentSession, User
from chat.models.session import is_held, retention
from chat.models.sql import select
from sessions_admin import audit
from sessions_admin.models import UNDER_WAY, Action, CleanupRun, RunStatus, Trigger

PULSE = timedelta(minutes=2)  # an active run without a heartbeat for this long is stale
AHEAD = timedelta(minutes=10)  # and so is one with a heartbeat in the future: the clock was set back
SAMPLE = 100  # sessions, and as many conversations, that a preview names
TAKEN_UP = "Taken up again: it had stopped without a word."
TAKEN_UP_AT_MOST = 2  # a run that takes its worker along each time must not do so for ever
SILENT = "It stopped without a word."
_BEAT = """
UPDATE sessions_admin_cleanuprun SET heartbeat_at = %(now)s
WHERE id = %(run)s AND status = ANY(%(under_way)s) AND heartbeat_at = %(then)s
RETURNING status
"""
SCHEDULE = "schedule"  # the actor of a scheduled run


class AlreadyRunning(Conflict):
    """Two clean-ups never run at once."""

    def __init__(self, detail: str = "Another clean-up is running.") -> None:
        super().__init__(detail)


class HeartbeatLost(Conflict):
    """The run had no heartbeat for so long that another process ended or resumed it."""

    def __init__(self) -> None:
        super().__init__("This clean-up was silent for too long and has been ended.")


class StopRequested(Exception):  # noqa: N818 - no error
    """A stop was requested."""


@dataclass(frozen=True, slots=True)
class CleanupReport:
    """What a clean-up did, or a preview would have done."""

    run_id: uuid.UUID
    status: RunStatus
    dry_run: bool
    cutoff: datetime | None
    total: int | None  # chosen when it began
    examined: int  # of those; the ones that woke up meanwhile were left alone
    held: int  # expired too, but held: left alone as well
    sessions: int
    items: int
    bytes: int
    freed_bytes: int
    trashed: int
    purged: int
    seconds: float | None
    error: str

    def as_json(self) -> dict[str, object]:
        """Give it as a plain dict."""
        return asdict(self) | {
            "run_id": str(self.run_id),
            "status": self.status.value,
            "cutoff": self.cutoff.isoformat() if self.cutoff else None,
        }


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
        held=held_back(run.cutoff) if run.cutoff else 0,
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
    run = CleanupRun.objects.filter(pk=run_id).first()
    if run is None:
        raise NotFound("There is no such run.")
    return run


def held_back(cutoff: datetime) -> int:
    """Count the sessions that only a hold keeps from a clean-up."""
    return AgentSession.objects.filter(
        is_held(timezone.now()), gone_at__isnull=True, last_activity_at__lte=cutoff
    ).count()


@dataclass(frozen=True, slots=True)
class LogLine:
    """An entry of a run's log."""

    at: datetime
    sentence: str


def log_of(run: CleanupRun) -> list[LogLine]:
    """Return a run's log, in order."""
    return [LogLine(datetime.fromisoformat(at), sentence) for at, sentence in run.log]


# Who asks for one.


def enqueue(*, trigger: str, actor: User | None = None, dry_run: bool = False) -> CleanupRun:
    """Have a run in the queue, and write down who asked. Without an actor it was the schedule, or the shell's user."""
    with transaction.atomic():
        run = CleanupRun.objects.create(trigger=trigger, actor=actor, dry_run=dry_run)
        action = Action.PREVIEW if dry_run else Action.CLEANUP
        audit.record(action, actor=_named(actor, trigger), run_id=str(run.pk))
    return run


def refuse_a_second() -> None:
    """Raise AlreadyRunning if another run has not ended; a stale one does not count."""
    yet_to_end = CleanupRun.objects.filter(ended_at__isnull=True).exclude(pk__in=_stale().values("pk"))
    for status in yet_to_end.values_list("status", flat=True):
        if status != RunStatus.QUEUED:
            raise AlreadyRunning
        raise AlreadyRunning("Another clean-up waits for the worker already.")


def stop(run_id: uuid.UUID | str, *, actor: User | None = None) -> RunStatus:
    """Request a stop: at once if the run has not begun or is stale, else after the current batch; return its state.

    Without an actor it is the shell's user. Raise NotFound, and Conflict where it has ended.
    """
    now = timezone.now()
    run = CleanupRun.objects.filter(pk=run_id)
    over = {"status": RunStatus.STOPPED, "ended_at": now, "stopped_by": actor}
    with transaction.atomic():
        if run.filter(status=RunStatus.QUEUED).update(**over, log=_with_line("Stopped before it began.")) or (
            _stale().filter(pk=run_id).update(**over, log=_with_line(f"Stopped. {SILENT}"))
        ):
            status = RunStatus.STOPPED
        elif run.filter(status=RunStatus.RUNNING).update(
            status=RunStatus.STOPPING, stopped_by=actor, log=_with_line("Asked to stop.")
        ):
            status = RunStatus.STOPPING
        elif run.filter(status=RunStatus.STOPPING).exists():
            return RunStatus.STOPPING
        elif run.exists():
            raise Conflict("This run has ended already.")
        else:
            raise NotFound("There is no such run.")
        audit.record(Action.STOP, actor=_named(actor, Trigger.COMMAND), run_id=str(run_id))
    return status


def _named(actor: User | None, trigger: str) -> str:
    if actor is not None:
        return audit.of_user(actor)
    return SCHEDULE if trigger == Trigger.SCHEDULE else audit.of_shell()


# For the process that carries a run out.


def claim(run: CleanupRun, *, older_than: timedelta | None = None) -> bool:
    """Claim a queued run, or resume a stale one; return whether this succeeded. Raise AlreadyRunning."""
    now = timezone.now()
    cutoff = now - (retention() if older_than is None else older_than)
    began = _with_line(f"Begun: sessions with nothing said in them since {cutoff:%Y-%m-%d %H:%M} UTC.")
    queued = CleanupRun.objects.filter(pk=run.pk, status=RunStatus.QUEUED)
    if queued.exists() and CleanupRun.objects.filter(status__in=UNDER_WAY).exists():
        raise AlreadyRunning
    try:
        with transaction.atomic():
            ours = queued.update(
                status=RunStatus.RUNNING, cutoff=cutoff, started_at=now, heartbeat_at=now, log=began
            ) or _stale().filter(pk=run.pk, status=RunStatus.RUNNING).update(heartbeat_at=now, log=_with_line(TAKEN_UP))
    except IntegrityError:  # another one has begun since
        raise AlreadyRunning from None
    run.refresh_from_db()
    return bool(ours)


def beat(run: CleanupRun) -> None:
    """Show that a run is alive. Raise HeartbeatLost, and StopRequested.

    Outside a transaction: a request to stop it, or to begin another, would wait for its end.
    """
    now = timezone.now()
    values = {"run": run.pk, "under_way": [str(status) for status in UNDER_WAY], "then": run.heartbeat_at, "now": now}
    ours = select(_BEAT, values)
    if not ours:
        raise HeartbeatLost
    run.heartbeat_at = now
    if ours == [(RunStatus.STOPPING,)]:
        raise StopRequested


def count(run: CleanupRun, **more: int) -> None:
    """Add to a run's figures, within the transaction of what is counted. Raise HeartbeatLost."""
    if not _ours(run).update(**{name: F(name) + number for name, number in more.items()}):
        raise HeartbeatLost


def left_to_name(run: CleanupRun, named: "QuerySet[Any]", more: int) -> int:
    """Return how many more rows a run keeps that has named some: a preview keeps a sample."""
    return max(min(more, SAMPLE - named.count()), 0) if run.dry_run else more


def restart(run: CleanupRun) -> None:
    """Count a preview from nothing. Raise HeartbeatLost."""
    counted = ("examined", "removed_sessions", "removed_items", "removed_bytes")
    with transaction.atomic():
        run.sessions.all().delete()
        run.conversations.all().delete()
        nothing = dict.fromkeys((*counted, "trashed_conversations", "purged_conversations"), 0)
        if not _ours(run).update(**nothing):
            raise HeartbeatLost


def choose(run: CleanupRun, number: int) -> None:
    """Store how many sessions are left to check. Raise HeartbeatLost."""
    if not _ours(run).update(total=F("examined") + number):
        raise HeartbeatLost


def log(run: CleanupRun, sentence: str) -> None:
    """Add a sentence to a run's log."""
    _ours(run).update(log=_with_line(sentence))


def end(run: CleanupRun, status: RunStatus, error: BaseException | None = None) -> None:
    """End a run, unless another process has ended or resumed it."""
    told = _sentence(error) if error else ""
    # One that never began has no heartbeat.
    ours = CleanupRun.objects.filter(pk=run.pk, ended_at__isnull=True, heartbeat_at=run.heartbeat_at)
    if run.heartbeat_at is None:
        ours = CleanupRun.objects.filter(pk=run.pk, status=RunStatus.QUEUED)
    line = _with_line(f"{status.label}.{f' {told}' if told else ''}")
    ours.update(status=status, ended_at=timezone.now(), error=told, log=line)


def _ours(run: CleanupRun) -> "QuerySet[CleanupRun]":
    return CleanupRun.objects.filter(pk=run.pk, status__in=UNDER_WAY, heartbeat_at=run.heartbeat_at)


def _sentence(error: BaseException) -> str:
    if isinstance(error, ThreadkeeperError):
        return error.detail
    if isinstance(error, KeyboardInterrupt | SystemExit):  # by a person, or by the worker after its time-out
        return "It was interrupted."
    # The database's own words may repeat what people wrote.
    return f"Something went wrong ({type(error).__name__}); the worker's log says more."


# Runs whose process was killed.


def fail_stale_runs() -> None:
    """Fail the runs without a recent heartbeat."""
    over = {"ended_at": timezone.now()}
    _stale().filter(status=RunStatus.STOPPING).update(**over, status=RunStatus.STOPPED, log=_with_line("Stopped."))
    _stale().update(**over, status=RunStatus.FAILED, error=SILENT, log=_with_line(SILENT))


def resumable_run() -> CleanupRun | None:
    """Return the stale run to resume: not a command's, whose caller is gone, nor one that was resumed too often."""
    run = _stale().filter(status=RunStatus.RUNNING).exclude(trigger=Trigger.COMMAND).first()
    return run if run and _times_resumed(run) < TAKEN_UP_AT_MOST else None


def was_resumed(run: CleanupRun) -> bool:
    """Return whether a run was begun by a process that died."""
    return _times_resumed(run) > 0


def _times_resumed(run: CleanupRun) -> int:
    return [sentence for _, sentence in run.log].count(TAKEN_UP)


def _stale() -> "QuerySet[CleanupRun]":
    now = timezone.now()
    silent = Q(heartbeat_at__lt=now - PULSE) | Q(heartbeat_at__gt=now + AHEAD)
    return CleanupRun.objects.filter(silent, status__in=UNDER_WAY)


def _with_line(sentence: str) -> Func:
    """Return a run's log with one more line."""
    line = Value([[timezone.now().isoformat(timespec="seconds"), sentence]], JSONField())
    return Func(F("log"), line, template="%(expressions)s", arg_joiner=" || ", output_field=JSONField())
