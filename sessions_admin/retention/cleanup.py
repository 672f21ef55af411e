"""Retention: expired sessions are removed from the store, then from their metadata.

One function for the schedule, the admin and the command. A preview is the same code, and removes nothing.
"""

import uuid
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import NamedTuple

from django.conf import settings
from django.db import transaction
from django.db.models import Count, Sum
from django.db.models.functions import Coalesce
from django.utils import timezone

from chat.memory.file import size_on_disk
from chat.memory.statements import Size
from chat.memory.sync_store import SessionFile, opened
from chat.models import AgentSession, Conversation, User
from chat.models.session import retention
from chat.models.sql import change
from sessions_admin import clock
from sessions_admin.clock import ClockDoubted
from sessions_admin.models import CleanupRun, RunStatus
from sessions_admin.retention import runs
from sessions_admin.retention.conversations import retain
from sessions_admin.retention.runs import AlreadyRunning, CleanupReport, HeartbeatLost, StopRequested
from sessions_admin.sessions.lifecycle import keep_what_others_wrote, release_ended
from sessions_admin.store_samples import sample

__all__ = [
    "AlreadyRunning",
    "CleanupReport",
    "ClockDoubted",
    "HeartbeatLost",
    "carry_out",
    "cleanup",
    "forecast",
    "resume_stale",
]

BATCH = 200  # sessions locked at once, for as long as a returning user may have to wait
CHECKED = 1_000  # sessions that a run compares with their digests
LINES = 10  # that a run's log has of its batches, however many there are

OnProgress = Callable[[int, int], None]
ToldToStop = Callable[[], bool]


@dataclass(frozen=True, slots=True)
class Forecast:
    """What a clean-up at this moment would remove, by the mirror."""

    sessions: int
    items: int
    bytes: int


def forecast() -> Forecast:
    """Return what a clean-up would remove, without opening the store."""
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
    on_progress: OnProgress = lambda done, total: None,
    told_to_stop: ToldToStop = lambda: False,
) -> CleanupReport:
    """Remove the sessions that have been inactive for `older_than` (default: the retention), and record it as a run.

    `told_to_stop` is asked after each batch. Raise AlreadyRunning, HeartbeatLost, ClockDoubted, MemoryUnavailable;
    whatever is raised ends the run as failed.
    """
    runs.fail_stale_runs()
    run = runs.enqueue(trigger=trigger, actor=actor, dry_run=dry_run)
    return _carry_out(run, older_than, on_progress, told_to_stop)


def carry_out(run_id: uuid.UUID | str) -> CleanupReport:
    """Carry out a queued run, or resume a stale one; a run that has ended or is active is left alone."""
    run = CleanupRun.objects.get(pk=run_id)
    if run.status == RunStatus.QUEUED:
        runs.fail_stale_runs()
    return _carry_out(run)


def resume_stale() -> CleanupReport | None:
    """Resume a run whose process was killed, or end it."""
    run = runs.resumable_run()
    if run is None:
        runs.fail_stale_runs()
        return None
    return _carry_out(run)


def _carry_out(
    run: CleanupRun,
    older_than: timedelta | None = None,
    on_progress: OnProgress = lambda done, total: None,
    told_to_stop: ToldToStop = lambda: False,
) -> CleanupReport:
    try:
        if runs.claim(run, older_than=older_than):
            _Work(run, on_progress, told_to_stop).do()
            runs.end(run, RunStatus.DONE)
    except StopRequested:
        runs.end(run, RunStatus.STOPPED)
    except BaseException as error:
        runs.end(run, RunStatus.FAILED, error)
        raise
    return runs.report(run)


@dataclass(frozen=True, slots=True)
class _Work:
    """What a run does, a stage after another."""

    run: CleanupRun
    on_progress: OnProgress
    told_to_stop: ToldToStop

    def do(self) -> None:
        if self.run.dry_run and runs.was_resumed(self.run):
            # It has kept a sample only, so the count is unknown.
            runs.restart(self.run)
        if self.run.dry_run and (doubt := clock.doubt()):
            runs.log(self.run, str(doubt))
        self.check_clock()
        before = size_on_disk(settings.AGENT_SESSION_DB_PATH)
        self.clean_sessions()
        if not self.run.dry_run:
            release_ended(actor=runs.SCHEDULE)
        retain(self.run, go_on=self.go_on)
        if not self.run.dry_run:
            self.check_some()
            self.give_space_back(before)
            sample()

    def go_on(self) -> None:
        """Check between two batches that the run may continue.

        Raise StopRequested, HeartbeatLost, ClockDoubted.
        """
        if self.told_to_stop():
            runs.stop(self.run.pk)
        runs.beat(self.run)
        self.check_clock()

    def check_clock(self) -> None:
        if not self.run.dry_run:
            clock.check_began(self.run.started_at)

    def clean_sessions(self) -> None:
        assert self.run.cutoff
        # In the order in which they fell silent, which is about where they lie in the file.
        expired = AgentSession.objects.expired(self.run.cutoff).order_by("last_activity_at", "pk")
        # One that was taken up has some behind it already.
        chosen = list(expired.values_list("pk", flat=True))
        runs.choose(self.run, len(chosen))
        runs.log(self.run, _chosen(len(chosen), runs.held_back(self.run.cutoff)))
        with opened(settings.AGENT_SESSION_DB_PATH) as file:
            self.take_all(file, chosen)

    def take_all(self, file: SessionFile, chosen: Sequence[int]) -> None:
        done = taken = told = 0
        for batch in _batches(chosen):
            self.go_on()
            taken += _take(self.run, file, batch)
            done += len(batch)
            if done * LINES // len(chosen) > told and done < len(chosen):
                told = done * LINES // len(chosen)
                runs.log(self.run, f"{done:,} of {len(chosen):,} looked at.")
            self.on_progress(done, len(chosen))
        if taken < done:
            runs.log(self.run, f"{_sessions(done - taken)} left alone: somebody was there, or had come back.")

    def check_some(self) -> None:
        """Compare sessions with their digests, other ones in each run."""
        with opened(settings.AGENT_SESSION_DB_PATH) as file:
            ids = file.next_ids(f"user_{uuid.uuid4()}", CHECKED) or file.next_ids("", CHECKED)
            altered = 0
            for start in range(0, len(ids), BATCH):
                self.go_on()
                altered += len(file.altered(ids[start : start + BATCH], sealed=True))
        if altered:
            runs.log(
                self.run,
                f"Another program has written to {altered:,} of {_sessions(len(ids))} looked at; reconcile them.",
            )

    def give_space_back(self, before: int) -> None:
        """Shrink the file, a little at a time."""
        with opened(settings.AGENT_SESSION_DB_PATH) as file:
            for _ in file.give_back():
                self.go_on()
        freed = max(before - size_on_disk(settings.AGENT_SESSION_DB_PATH), 0)
        runs.count(self.run, freed_bytes=freed)
        runs.log(self.run, f"{freed:,} bytes given back to the disk.")


def _chosen(sessions: int, held: int) -> str:
    return f"{_sessions(sessions)} chosen; {held:,} held {'one' if held == 1 else 'ones'} left alone."


def _sessions(number: int) -> str:
    return f"{number:,} session{'' if number == 1 else 's'}"


def _batches(chosen: Sequence[int]) -> Iterator[Sequence[int]]:
    for start in range(0, len(chosen), BATCH):
        yield chosen[start : start + BATCH]


def _take(run: CleanupRun, file: SessionFile, chosen: Sequence[int]) -> int:
    """Remove those of the chosen that still sleep: from the store, then from the mirror; return how many."""
    with transaction.atomic(durable=True):
        sleeping = _locked(run, chosen)
        ids = [session.session_id for session in sleeping]
        if not run.dry_run:
            keep_what_others_wrote(file, {session.session_id: session.conversation for session in sleeping})
        sizes = file.measure(ids) if run.dry_run else file.remove(ids)
        if runs.was_resumed(run):
            sizes = _with_lost(sizes, sleeping)
        _record(run, sleeping, sizes, examined=len(chosen))
        if not run.dry_run:
            change(_GONE, {"pks": [session.pk for session in sleeping], "now": timezone.now()})
    return len(sleeping)


class _Sleeping(NamedTuple):
    """An expired session, and its size by its metadata."""

    pk: int
    session_id: str
    conversation: uuid.UUID
    items: int
    bytes: int


# What went counts as pruned: the conversation's beginning is no longer remembered.
_GONE = """
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


def _with_lost(sizes: dict[str, Size], sleeping: Sequence[_Sleeping]) -> dict[str, Size]:
    """Count what had left the file when the process died, and of which the mirror alone still knows."""
    mirrored = {session.session_id: Size(session.items, session.bytes) for session in sleeping}
    return {session_id: size if size.items else mirrored[session_id] for session_id, size in sizes.items()}


def _locked(run: CleanupRun, chosen: Sequence[int]) -> list[_Sleeping]:
    """Lock the chosen sessions that are still expired; a conversation with an active turn is skipped.

    No turn can begin in a conversation whose row is locked. The question is asked again in a statement of its own,
    which sees what was committed before the locks were taken.
    """
    assert run.cutoff
    conversations = Conversation.objects.filter(session__in=chosen).locked(skip_locked=True)
    ours = list(conversations.values_list("pk", flat=True))
    expired = AgentSession.objects.expired(run.cutoff).filter(pk__in=chosen, conversation__in=ours)
    locked = expired.select_for_update(no_key=True, of=("self",))
    return [
        _Sleeping(*row) for row in locked.values_list("pk", "session_id", "conversation", "item_count", "byte_count")
    ]


def _record(run: CleanupRun, sleeping: Sequence[_Sleeping], sizes: dict[str, Size], *, examined: int) -> None:
    held = [sizes[session.session_id] for session in sleeping]
    items, size = [one.items for one in held], [one.bytes for one in held]
    pks = [session.pk for session in sleeping]
    named = runs.left_to_name(run, run.sessions.all(), len(pks))
    change(_RECORD, {"run": run.pk, "pks": pks[:named], "items": items[:named], "bytes": size[:named]})
    runs.count(
        run,
        examined=examined,
        removed_sessions=len(sleeping),
        removed_items=sum(items),
        removed_bytes=sum(size),
    )
