"""Copy the sessions into another store while servers use the present one, verify the copies, and empty the old store.

Each session is copied with its conversation locked, so that no turn begins meanwhile. Sessions that a turn is writing
to, or that change later, are copied by the next pass. What has changed when the servers change to the new store is
rebuilt from the record, as after any loss.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass

from django.conf import settings
from django.db import transaction

from chat.exceptions import BadInput, Conflict
from chat.memory.configured import DATABASE, FILE, is_configured, label, opened, opened_to_read
from chat.memory.copying import PAGE_SIZE, Copied, copy_sessions, own_ids, pages
from chat.memory.identity import SessionId
from chat.memory.sync_store import StoredId, SyncStore
from chat.models import Conversation, Turn
from chat.models.turn import Status
from config import url_settings
from config.env import InvalidValue
from sessions_admin import audit
from sessions_admin.models import Action
from sessions_admin.reports import OnProgress, Report, counted, ignore_progress

MAX_PASSES = 5


@dataclass(frozen=True, slots=True)
class Migration(Report):
    """The result of copying all sessions.

    `busy` sessions were written to by a turn during every pass, `unreadable` ones have rows that are not UTF-8: both
    are rebuilt from the record. `removed` ones were in the target only.
    """

    source: str
    target: str
    dry_run: bool
    sessions: int
    copied: int
    equal: int
    busy: int
    unreadable: int
    removed: int
    passes: int
    seconds: float

    @property
    def summary(self) -> str:
        """The result and the next step, as text."""
        if self.dry_run:
            return f"Would copy {counted(self.sessions, 'session')} from {self.source} to {self.target}."
        parts = [
            f"{self.copied:,} copied",
            f"{self.equal:,} equal in {self.target} after {self.passes} {'pass' if self.passes == 1 else 'passes'}",
        ]
        parts += [f"{self.removed:,} removed there that {self.source} no longer has"] if self.removed else []
        parts += [f"{self.busy:,} in use, and {self.unreadable:,} unreadable"] if self.busy or self.unreadable else []
        return (
            f"{counted(self.sessions, 'session')} in {self.source}: {', '.join(parts)}.\n"
            f"Set AGENT_SESSION_STORE to {self.target}, and restart. What changes until then is rebuilt from the"
            f" record. Then `migrate_sessions --remove {self.source if self.source in (FILE, DATABASE) else 'URL'}`"
            f" removes the sessions of {self.source}."
        )


@dataclass(frozen=True, slots=True)
class Removal(Report):
    """The result of removing the sessions of a store."""

    store: str
    dry_run: bool
    sessions: int

    @property
    def summary(self) -> str:
        """The result, as a sentence."""
        return f"{'Would remove' if self.dry_run else 'Removed'} {counted(self.sessions, 'session')} from {self.store}."


def migrate(to: str, *, actor: str, dry_run: bool = False, on_progress: OnProgress = ignore_progress) -> Migration:
    """Copy all sessions from the store of the settings into another, and verify the copies.

    Raise BadInput, Conflict if the settings name the target, MemoryUnavailable.
    """
    _check_name(to)
    source, begun = settings.AGENT_SESSION_STORE, time.monotonic()
    if is_configured(to):
        raise Conflict(
            f"AGENT_SESSION_STORE names {label(to)} already; --remove removes the sessions of the other one."
        )
    if dry_run:
        with opened_to_read() as store:
            sessions = store.count()
        return Migration(label(source), label(to), True, sessions, 0, 0, 0, 0, 0, 0, 0.0)
    with opened() as present, opened(to) as target:
        passes, copied, last = 0, 0, _Pass()
        while passes < MAX_PASSES and (not passes or last.copied.copied or last.busy):
            last = _copy_once(present, target, on_progress)
            copied += last.copied.copied
            passes += 1
        removed = _remove_extra(present, target)
    report = Migration(
        source=label(source),
        target=label(to),
        dry_run=False,
        sessions=last.sessions,
        copied=copied,
        equal=last.copied.equal,
        busy=last.busy,
        unreadable=last.copied.skipped,
        removed=removed,
        passes=passes,
        seconds=round(time.monotonic() - begun, 3),
    )
    audit.record(Action.MIGRATE, actor=actor, person=None, session_id="", report=report.as_json())
    return report


def remove(name: str, *, actor: str, dry_run: bool = False, on_progress: OnProgress = ignore_progress) -> Removal:
    """Remove the sessions of a store that the settings no longer name, but those of other programs.

    Raise BadInput, Conflict if the settings name it, MemoryUnavailable.
    """
    _check_name(name)
    if is_configured(name):
        raise Conflict(f"AGENT_SESSION_STORE names {label(name)}: its sessions are in use.")
    done = 0
    with (opened_to_read if dry_run else opened)(name) as store:
        total = store.count()
        for ids in pages(store):
            ours = own_ids(ids)
            if not dry_run:
                store.secure_delete(ours)
            done += len(ours)
            on_progress(min(done, total), total)
        if not dry_run:
            store.purge_removed()
            audit.record(
                Action.MIGRATE, actor=actor, person=None, session_id="", removed_from=label(name), sessions=done
            )
    return Removal(label(name), dry_run, done)


def _check_name(name: str) -> None:
    try:
        url_settings.session_store(name)
    except InvalidValue as error:
        raise BadInput(f"The store cannot be used: {error}.") from None


@dataclass(frozen=True, slots=True)
class _Pass:
    copied: Copied = Copied()
    busy: int = 0
    sessions: int = 0


def _copy_once(source: SyncStore, target: SyncStore, on_progress: OnProgress) -> _Pass:
    """Copy every session that differs."""
    done = _Pass()
    total = source.count()
    for ids in pages(source):
        copied, busy = _copy_page(source, target, ids)
        done = _Pass(done.copied + copied, done.busy + busy, done.sessions + len(ids))
        on_progress(min(done.sessions, total), total)
    return done


def _copy_page(source: SyncStore, target: SyncStore, ids: Sequence[StoredId]) -> tuple[Copied, int]:
    """Copy some sessions with their conversations locked; return how many were skipped as busy, too."""
    conversations = {str(name): SessionId.parse(name).conversation_id for name in own_ids(ids)}
    with transaction.atomic(durable=True):
        chosen = list(conversations.values())
        locked = set(
            Conversation.objects.filter(pk__in=chosen)
            .order_by("pk")
            .locked(skip_locked=True)
            .values_list("pk", flat=True)
        )
        there = set(Conversation.objects.filter(pk__in=chosen).values_list("pk", flat=True))
        running = set(
            Turn.objects.filter(conversation__in=chosen, status=Status.RUNNING).values_list("conversation", flat=True)
        )
        busy = (there - locked) | running
        quiet = [name for name in ids if conversations.get(str(name)) not in busy]
        return copy_sessions(source, target, quiet), len(ids) - len(quiet)


def _remove_extra(source: SyncStore, target: SyncStore) -> int:
    """Remove the sessions that only the target has: they were removed from the source since they were copied."""
    removed = 0
    for ids in pages(target, PAGE_SIZE):
        ours = own_ids(ids)
        there = source.load(ours)
        gone = [name for name in ours if not there[name].has_rows]
        target.secure_delete(gone)
        removed += len(gone)
    if removed:
        target.purge_removed()
    return removed
