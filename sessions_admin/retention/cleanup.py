"""Retention: expired sessions are removed from the store, then from their metadata.

The schedule, the admin and the command call the same function. A preview runs the same code, and removes nothing.
"""

import uuid
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, closing
from dataclasses import dataclass, field
from datetime import timedelta
from typing import NamedTuple

from django.db import transaction
from django.db.models import Count, Sum
from django.db.models.functions import Coalesce
from django.utils import timezone

from chat.infra import tracing
from chat.infra.tracing import Span
from chat.memory.configured import opened, size_on_disk
from chat.memory.statements import Size
from chat.memory.sync_store import SyncStore
from chat.models import AgentSession, Conversation, User
from chat.models.session import retention
from chat.models.sql import change
from sessions_admin import clock
from sessions_admin.clock import ClockDoubted
from sessions_admin.models import CleanupRun, RunStatus
from sessions_admin.reports import OnProgress, batches, counted, ignore_progress
from sessions_admin.retention import runs
from sessions_admin.retention.conversations import apply_retention
from sessions_admin.retention.pace import Pace
from sessions_admin.retention.runs import AlreadyRunning, CleanupReport, HeartbeatLost, StopRequested
from sessions_admin.sessions.lifecycle import adopt_foreign_items, release_ended
from sessions_admin.store_samples import sample

__all__ = [
    "AlreadyRunning",
    "CleanupReport",
    "ClockDoubted",
    "HeartbeatLost",
    "cleanup",
    "execute",
    "forecast",
    "resume_stale",
]

# Sessions locked at once, for as long as a returning user may have to wait.
BATCH, BATCH_BESIDE_TURNS = 500, 25
DIGESTS_PER_RUN = 1_000  # sessions that a run compares with their digests
LOG_LINES = 10  # at most, about its batches

ShouldStop = Callable[[], bool]


@dataclass(frozen=True, slots=True)
class Forecast:
    """What a clean-up would remove now, by the metadata."""

    sessions: int
    items: int
    bytes: int


def forecast() -> Forecast:
    """Return what a clean-up would remove, without opening the store."""
    expired = AgentSession.objects.expired(timezone.now() - retention())
    items, bytes = Coalesce(Sum("item_count"), 0), Coalesce(Sum("byte_count"), 0)
    return Forecast(**expired.aggregate(sessions=Count("pk"), items=items, bytes=bytes))


def cleanup(
    *,
    trigger: str,
    actor: User | None = None,
    dry_run: bool = False,
    older_than: timedelta | None = None,
    on_progress: OnProgress = ignore_progress,
    should_stop: ShouldStop = lambda: False,
) -> CleanupReport:
    """Remove the sessions that have been inactive for `older_than` (default: the retention), and record it as a run.

    `should_stop` is called after each batch. Raise AlreadyRunning, HeartbeatLost, ClockDoubted, MemoryUnavailable; any
    exception ends the run as failed.
    """
    runs.fail_stale_runs()
    run = runs.enqueue(trigger=trigger, actor=actor, dry_run=dry_run)
    return _execute(run, older_than, on_progress, should_stop)


def execute(run_id: uuid.UUID | str) -> CleanupReport:
    """Execute a queued run, or resume a stale one; do nothing if it has ended or is active."""
    run = CleanupRun.objects.get(pk=run_id)
    if run.status == RunStatus.QUEUED:
        runs.fail_stale_runs()
    return _execute(run)


def resume_stale() -> CleanupReport | None:
    """Resume a run whose process was killed, or end it."""
    run = runs.resumable_run()
    if run is None:
        runs.fail_stale_runs()
        return None
    return _execute(run)


def _execute(
    run: CleanupRun,
    older_than: timedelta | None = None,
    on_progress: OnProgress = ignore_progress,
    should_stop: ShouldStop = lambda: False,
) -> CleanupReport:
    try:
        if runs.claim(run, older_than=older_than):
            _run_stages(_Execution(run, on_progress, should_stop))
    except BaseException as error:
        runs.end(run, RunStatus.FAILED, error)
        raise
    return runs.report(run)


def _run_stages(execution: "_Execution") -> None:
    run = execution.run
    with tracing.recorded(_begin_span(run)) as span:
        status = RunStatus.DONE
        try:
            execution.run_stages()
        except StopRequested:
            status = RunStatus.STOPPED
        runs.end(run, status)
        _record_report(span, runs.report(run))


def _begin_span(run: CleanupRun) -> Span:
    attributes: tracing.Attributes = {
        "threadkeeper.cleanup.id": str(run.pk),
        "threadkeeper.cleanup.trigger": run.trigger,
        "threadkeeper.cleanup.dry_run": run.dry_run,
    }
    return tracing.begin_attempt("cleanup", run.pk, runs.times_resumed(run) + 1, attributes)


def _record_report(span: Span, report: CleanupReport) -> None:
    counts = ("examined", "held", "sessions", "items", "freed_bytes", "trashed", "purged")
    span.set({f"threadkeeper.cleanup.{name}": getattr(report, name) for name in counts})
    span.set({"threadkeeper.cleanup.status": str(report.status)})


def _stage(name: str) -> AbstractContextManager[Span]:
    return tracing.recorded(tracing.begin(f"cleanup.{name}"))


@dataclass(frozen=True, slots=True)
class _Execution:
    """The stages of a run."""

    run: CleanupRun
    on_progress: OnProgress
    should_stop: ShouldStop
    pace: Pace = field(default_factory=Pace)

    def run_stages(self) -> None:
        if self.run.dry_run and runs.was_resumed(self.run):
            # A preview stores only a sample, so the count so far is unknown.
            runs.restart(self.run)
        if self.run.dry_run and (doubt := clock.find_doubt()):
            runs.log(self.run, str(doubt))
        self.check_clock()
        before = size_on_disk()
        with _stage("sessions"):
            self.clean_sessions()
        if not self.run.dry_run:
            release_ended(actor=runs.SCHEDULE)
        with _stage("conversations"):
            apply_retention(self.run, check_continue=self.check_continue)
        if not self.run.dry_run:
            with _stage("digests"):
                self.check_digests()
            with _stage("file"):
                self.shrink_file(before)
            sample()

    def check_continue(self) -> None:
        """Check between two batches that the run may continue.

        Raise StopRequested, HeartbeatLost, ClockDoubted.
        """
        if self.should_stop():
            runs.stop(self.run.pk)
        runs.record_heartbeat(self.run)
        self.check_clock()

    def check_clock(self) -> None:
        if not self.run.dry_run:
            clock.check_since(self.run.started_at)

    def clean_sessions(self) -> None:
        assert self.run.cutoff
        # By last activity, which is roughly their order in the file.
        expired = AgentSession.objects.expired(self.run.cutoff).order_by("last_activity_at", "pk")
        # A resumed run has already processed some.
        chosen = list(expired.values_list("conversation", flat=True))
        runs.set_total(self.run, len(chosen))
        runs.log(self.run, _describe_chosen(len(chosen), runs.count_held(self.run.cutoff)))
        with opened() as file:
            self.remove_sessions(file, chosen)

    def remove_sessions(self, file: SyncStore, chosen: Sequence[uuid.UUID]) -> None:
        done = removed = logged = 0
        while done < len(chosen):
            with self.pace.step(file):
                batch = chosen[done : done + (BATCH if file.is_quiet else min(BATCH, BATCH_BESIDE_TURNS))]
                self.check_continue()
                removed += _remove_batch(self.run, file, batch)
            done += len(batch)
            if done * LOG_LINES // len(chosen) > logged and done < len(chosen):
                logged = done * LOG_LINES // len(chosen)
                runs.log(self.run, f"{done:,} of {len(chosen):,} processed.")
            self.on_progress(done, len(chosen))
        if removed < done:
            runs.log(self.run, f"{counted(done - removed, 'session')} skipped: in use again.")

    def check_digests(self) -> None:
        """Compare sessions with their digests, different ones in each run."""
        with opened() as file:
            ids = file.next_ids(f"user_{uuid.uuid4()}", DIGESTS_PER_RUN) or file.next_ids("", DIGESTS_PER_RUN)
            altered = 0
            for batch in batches(ids, BATCH_BESIDE_TURNS):
                with self.pace.step(file):
                    self.check_continue()
                    altered += len(file.altered(batch, sealed=True))
        if altered:
            examined = counted(len(ids), "session")
            runs.log(self.run, f"Another program has changed {altered:,} of {examined} checked; reconcile them.")

    def shrink_file(self, before: int) -> None:
        """Shrink the file in small steps."""
        # Closed before the file, which a step that was begun still uses.
        with opened() as file, closing(file.free_space()) as steps:
            is_left = True
            while is_left:
                with self.pace.step(file):
                    self.check_continue()
                    is_left = next(steps, None) is not None
        freed = max(before - size_on_disk(), 0)
        runs.add_counts(self.run, freed_bytes=freed)
        runs.log(self.run, f"{freed:,} bytes returned to the disk.")


def _describe_chosen(sessions: int, held: int) -> str:
    return f"{counted(sessions, 'session')} chosen; {held:,} on hold skipped."


def _remove_batch(run: CleanupRun, file: SyncStore, chosen: Sequence[uuid.UUID]) -> int:
    """Remove the sessions that are still expired from the store, then from the metadata; return their number."""
    with transaction.atomic(durable=True):
        expired = _lock_expired(run, chosen)
        ids = [session.session_id for session in expired]
        if not run.dry_run:
            adopt_foreign_items(file, {session.session_id: session.conversation for session in expired})
        sizes = file.measure(ids) if run.dry_run else file.remove(ids)
        if runs.was_resumed(run):
            sizes = _with_missing_sizes(sizes, expired)
        _record_removed(run, expired, sizes, examined=len(chosen))
        if not run.dry_run:
            change(_MARK_GONE, {"pks": [session.pk for session in expired], "now": timezone.now()})
    return len(expired)


class _Expired(NamedTuple):
    """An expired session, and its size by its metadata."""

    pk: int
    session_id: str
    conversation: uuid.UUID
    items: int
    bytes: int


# Removed items count as pruned: the beginning of the conversation is no longer remembered.
_MARK_GONE = """
UPDATE chat_agentsession
SET gone_at = %(now)s, pruned_count = pruned_count + item_count, item_count = 0, byte_count = 0
WHERE id = ANY(%(pks)s)
"""
_RECORD = """
INSERT INTO sessions_admin_cleanedsession (run_id, user_id, session_id, items, bytes, last_activity_at)
SELECT %(run)s, session.user_id, session.session_id, held.items, held.bytes, session.last_activity_at
FROM unnest(%(pks)s::bigint[], %(items)s::bigint[], %(bytes)s::bigint[]) AS held (pk, items, bytes)
JOIN chat_agentsession AS session ON session.id = held.pk
"""


def _with_missing_sizes(sizes: dict[str, Size], expired: Sequence[_Expired]) -> dict[str, Size]:
    """Add the sizes of sessions that were removed from the file when the process died, from the metadata."""
    mirrored = {session.session_id: Size(session.items, session.bytes) for session in expired}
    return {session_id: size if size.items else mirrored[session_id] for session_id, size in sizes.items()}


def _lock_expired(run: CleanupRun, chosen: Sequence[uuid.UUID]) -> list[_Expired]:
    """Lock the sessions of conversations that are still expired; conversations with an active turn are skipped.

    No turn can start in a locked conversation. The condition is checked again by a separate query, which sees what was
    committed before the locks were taken.
    """
    assert run.cutoff
    ours = list(Conversation.objects.filter(pk__in=chosen).locked(skip_locked=True).values_list("pk", flat=True))
    expired = AgentSession.objects.expired(run.cutoff).filter(conversation__in=ours)
    locked = expired.select_for_update(no_key=True, of=("self",))
    rows = locked.values_list("pk", "session_id", "conversation", "item_count", "byte_count")
    return [_Expired(*row) for row in rows]


def _record_removed(run: CleanupRun, expired: Sequence[_Expired], sizes: dict[str, Size], *, examined: int) -> None:
    held = [sizes[session.session_id] for session in expired]
    items, size = [one.items for one in held], [one.bytes for one in held]
    pks = [session.pk for session in expired]
    named = runs.remaining_details(run, run.sessions.all(), len(pks))
    change(_RECORD, {"run": run.pk, "pks": pks[:named], "items": items[:named], "bytes": size[:named]})
    runs.add_counts(
        run, examined=examined, removed_sessions=len(expired), removed_items=sum(items), removed_bytes=sum(size)
    )
