"""Retention: sessions that nobody has spoken to for too long are removed from the store, then from the mirror.

One function for the schedule, the admin and the command. A preview is the same code, and removes nothing.
"""

import uuid
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from functools import partial

from django.conf import settings
from django.db import IntegrityError, transaction
from django.db.models import Count, F, Sum
from django.db.models.functions import Coalesce
from django.utils import timezone

from chat.exceptions import Conflict, ThreadkeeperError
from chat.memory.maintenance import SessionFile, opened
from chat.memory.statements import Size
from chat.models import AgentSession, Conversation, User
from chat.models.session import retention
from sessions_admin.models import CleanedSession, CleanupRun, RunStatus
from sessions_admin.retention import retain

BATCH = 200  # sessions locked at once, so for how long somebody who comes back may have to wait
PULSE = timedelta(minutes=2)  # a running run that has not been heard of for so long is dead

OnProgress = Callable[[int, int], None]


class AlreadyRunning(Conflict):
    """Two clean-ups never run at once."""

    def __init__(self) -> None:
        super().__init__("Another clean-up is running.")


class TakenForDead(Conflict):
    """The run was silent for so long that somebody else ended it."""

    def __init__(self) -> None:
        super().__init__("This clean-up was silent for too long and has been ended.")


@dataclass(frozen=True, slots=True)
class CleanupReport:
    """What a clean-up did, or a preview would have done."""

    run_id: uuid.UUID
    status: RunStatus
    dry_run: bool
    cutoff: datetime | None
    examined: int  # chosen; those of them that woke up meanwhile were left alone
    sessions: int
    items: int
    bytes: int
    seconds: float | None
    error: str

    def as_json(self) -> dict[str, object]:
        """Give it as a plain dict."""
        return asdict(self) | {
            "run_id": str(self.run_id),
            "status": self.status.value,
            "cutoff": self.cutoff.isoformat() if self.cutoff else None,
        }


@dataclass(frozen=True, slots=True)
class Forecast:
    """What a clean-up at this moment would remove, by the mirror."""

    sessions: int
    items: int
    bytes: int


def forecast() -> Forecast:
    """Say what a clean-up would remove, without opening the store."""
    expired = AgentSession.objects.expired(timezone.now() - retention())
    return Forecast(
        **expired.aggregate(
            sessions=Count("pk"), items=Coalesce(Sum("item_count"), 0), bytes=Coalesce(Sum("byte_count"), 0)
        )
    )


def cleanup(
    *,
    trigger: str,
    actor: User | None = None,
    dry_run: bool = False,
    older_than: timedelta | None = None,
    run: CleanupRun | None = None,
    on_progress: OnProgress = lambda done, total: None,
) -> CleanupReport:
    """Remove the sessions that have been inactive for `older_than` (default: the retention), and record it as a run.

    `run` is one that was queued; one that has begun before is not done again. Raise AlreadyRunning, TakenForDead,
    MemoryUnavailable; whatever is raised ends the run as failed.
    """
    _bury_the_dead()
    run = run or CleanupRun.objects.create(trigger=trigger, actor=actor, dry_run=dry_run)
    try:
        if _begin(run, cutoff=timezone.now() - (retention() if older_than is None else older_than)):
            _work(run, on_progress)
            _end(run, RunStatus.DONE)
    except BaseException as error:
        _end(run, RunStatus.FAILED, error=_sentence(error))
        raise
    return report(run)


def carry_out(run_id: str) -> CleanupReport:
    """Carry out a run that was queued."""
    run = CleanupRun.objects.select_related("actor").get(pk=run_id)
    return cleanup(trigger=run.trigger, actor=run.actor, dry_run=run.dry_run, run=run)


def report(run: CleanupRun) -> CleanupReport:
    """Say how a run went."""
    run.refresh_from_db()
    return CleanupReport(
        run_id=run.pk,
        status=RunStatus(run.status),
        dry_run=run.dry_run,
        cutoff=run.cutoff,
        examined=run.examined,
        sessions=run.removed_sessions,
        items=run.removed_items,
        bytes=run.removed_bytes,
        seconds=run.duration.total_seconds() if run.duration else None,
        error=run.error,
    )


# A run's life: each step is a conditional update, so that of two processes one alone takes it.


def _bury_the_dead() -> None:
    now = timezone.now()
    silent = CleanupRun.objects.filter(status=RunStatus.RUNNING, heartbeat_at__lt=now - PULSE)
    silent.update(status=RunStatus.FAILED, ended_at=now, error="It stopped without a word.")


def _begin(run: CleanupRun, *, cutoff: datetime) -> bool:
    now = timezone.now()
    queued = CleanupRun.objects.filter(pk=run.pk, status=RunStatus.QUEUED)
    try:
        with transaction.atomic():
            begun = queued.update(status=RunStatus.RUNNING, cutoff=cutoff, started_at=now, heartbeat_at=now)
    except IntegrityError:
        raise AlreadyRunning from None
    run.cutoff = cutoff
    return bool(begun)


def _beat(run: CleanupRun, **counted: object) -> None:
    """Show that the run is alive, and make sure that nobody took it for dead."""
    running = CleanupRun.objects.filter(pk=run.pk, status=RunStatus.RUNNING)
    if not running.update(heartbeat_at=timezone.now(), **counted):
        raise TakenForDead


def _end(run: CleanupRun, status: RunStatus, *, error: str = "") -> None:
    open_still = CleanupRun.objects.filter(pk=run.pk, ended_at__isnull=True)
    open_still.update(status=status, ended_at=timezone.now(), error=error)


def _sentence(error: BaseException) -> str:
    if isinstance(error, ThreadkeeperError):
        return error.detail
    if isinstance(error, KeyboardInterrupt | SystemExit):  # by a person, or by the worker after its time-out
        return "It was interrupted."
    return f"Something went wrong: {error or type(error).__name__}"


# The work.


def _work(run: CleanupRun, on_progress: OnProgress) -> None:
    assert run.cutoff
    chosen = list(AgentSession.objects.expired(run.cutoff).order_by("pk").values_list("pk", flat=True))
    with opened(settings.AGENT_SESSION_DB_PATH) as file:
        done = 0
        for batch in _batches(chosen):
            _take(run, file, batch)
            done += len(batch)
            on_progress(done, len(chosen))
    retain(run, beat=partial(_beat, run))


def _batches(chosen: Sequence[int]) -> Iterator[Sequence[int]]:
    for start in range(0, len(chosen), BATCH):
        yield chosen[start : start + BATCH]


def _take(run: CleanupRun, file: SessionFile, chosen: Sequence[int]) -> None:
    """Remove those of the chosen that still sleep: from the store, then from the mirror."""
    _beat(run)  # not in the transaction: whoever wants to begin another run would wait for its end
    with transaction.atomic(durable=True):
        sessions = _locked(run, chosen)
        ids = [session.session_id for session in sessions]
        sizes = file.measure(ids) if run.dry_run else file.remove(ids)
        _record(run, sessions, sizes, examined=len(chosen))
        if not run.dry_run:
            # What went counts as pruned: the conversation's beginning is no longer remembered.
            AgentSession.objects.filter(pk__in=[session.pk for session in sessions]).update(
                gone_at=timezone.now(),
                pruned_count=F("pruned_count") + F("item_count"),
                item_count=0,
                byte_count=0,
            )


def _locked(run: CleanupRun, chosen: Sequence[int]) -> list[AgentSession]:
    """Lock the chosen sessions that are still expired; a conversation in which somebody is at work is passed over.

    No turn can begin in a conversation whose row is locked. The question is asked again in a statement of its own,
    which sees what was committed before the locks were taken.
    """
    assert run.cutoff
    conversations = Conversation.objects.filter(session__in=chosen).locked(skip_locked=True)
    ours = list(conversations.values_list("pk", flat=True))
    expired = AgentSession.objects.expired(run.cutoff).filter(pk__in=chosen, conversation__in=ours)
    return list(expired.select_for_update(no_key=True, of=("self",)))


def _record(run: CleanupRun, sessions: Sequence[AgentSession], sizes: dict[str, Size], *, examined: int) -> None:
    CleanedSession.objects.bulk_create(
        CleanedSession(
            run=run,
            user_id=session.user_id,
            session_id=session.session_id,
            items=sizes[session.session_id].items,
            bytes=sizes[session.session_id].bytes,
            last_activity_at=session.last_activity_at,
        )
        for session in sessions
    )
    _beat(
        run,
        examined=F("examined") + examined,
        removed_sessions=F("removed_sessions") + len(sessions),
        removed_items=F("removed_items") + sum(size.items for size in sizes.values()),
        removed_bytes=F("removed_bytes") + sum(size.bytes for size in sizes.values()),
    )
