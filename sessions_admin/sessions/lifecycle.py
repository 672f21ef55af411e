"""The staff's verbs for one session, for the admin, the API and the commands.

Each verb locks the conversation, so that no turn runs meanwhile, changes both stores, and records it in the audit.
"""

import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TypeVar

from django.conf import settings
from django.db import transaction
from django.utils import timezone

from chat.exceptions import BadInput, Conflict, MemoryUnavailable, NotFound
from chat.memory.adoption import forget, take_over
from chat.memory.configured import opened
from chat.memory.digest import Digest
from chat.memory.open import KEEPS_WRITING, TRIES
from chat.memory.rebuild import last_turn, rebuild
from chat.memory.statements import RowsChanged, Size
from chat.memory.sync_store import SyncStore
from chat.models import AgentSession, Conversation, Turn
from chat.models.retention import with_notice
from chat.models.turn import BUSY_STATUSES
from sessions_admin import audit
from sessions_admin.audit import REASON_LENGTH
from sessions_admin.models import Action
from sessions_admin.reports import Report

T = TypeVar("T")

EMPTY = Size(0, 0)
LONGEST_HOLD = timedelta(days=36_500)
BUSY = "A turn of this conversation is running, or waits for a decision."
HELD = "This session is held; release it first."
NOT_HELD = "This session is not held."
ENDED = "The hold has expired."


@dataclass(frozen=True, slots=True)
class Outcome(Report):
    """The effect of a verb on a session: its items before and after."""

    session_id: str
    action: str
    items_before: int
    items: int
    bytes_before: int
    bytes: int

    def __str__(self) -> str:
        return f"{self.session_id}: {self.items_before:,} items before, {self.items:,} now."


class NotHeld(Conflict):
    """A session without a hold cannot be released; `outcome` is its state."""

    def __init__(self, outcome: Outcome) -> None:
        super().__init__(NOT_HELD)
        self.outcome = outcome


def prune_session(session_id: str, *, actor: str, reason: str = "", limit: int | None = None) -> Outcome:
    """Remove the oldest user turns until at most `limit` items (default: the setting) are left.

    Raise NotFound, Conflict, MemoryUnavailable.
    """
    with _locked(session_id, Action.PRUNE, actor, reason) as session, opened() as file:
        before = _size_in_file(file, session)
        adopt_foreign_items(file, {session_id: session.conversation_id})
        size = file.prune(session_id, settings.AGENT_SESSION_MAX_MESSAGES if limit is None else limit)
        pruned = session.pruned_count + max(before.items - size.items, 0)
        return _complete(session, Action.PRUNE, actor, reason, before, size, pruned_count=pruned)


def clear_session(session_id: str, *, actor: str, reason: str = "") -> Outcome:
    """Make the assistant permanently forget a conversation: no rebuild goes back further.

    Raise NotFound, Conflict if it is on hold or in use, MemoryUnavailable.
    """
    with _locked(session_id, Action.CLEAR, actor, reason, refuse_held=True) as session:
        conversation = session.conversation
        conversation.memory_from = conversation.last_seq
        conversation.save(update_fields=["memory_from"])
        with opened() as file:
            before = file.remove([session_id])[session_id]
        forget(conversation.pk)
        return _complete(session, Action.CLEAR, actor, reason, before, EMPTY, pruned_count=0, gone_at=timezone.now())


def expire_session(session_id: str, *, actor: str, reason: str = "") -> Outcome:
    """Remove a session as a clean-up does; the next message rebuilds it from the record.

    Raise NotFound, Conflict if it is on hold or in use, MemoryUnavailable.
    """
    with (
        _locked(session_id, Action.EXPIRE, actor, reason, refuse_held=True) as session,
        opened() as file,
    ):
        before = _size_in_file(file, session)
        _retry_on_change(lambda: file.replace(session_id, [], None, seen=_adopt(file, session)))
        gone = {"pruned_count": session.pruned_count + before.items, "gone_at": timezone.now()}
        return _complete(session, Action.EXPIRE, actor, reason, before, EMPTY, **gone)


def rebuild_session(session_id: str, *, actor: str, reason: str = "") -> Outcome:
    """Rebuild a session from the record. Raise NotFound, Conflict, MemoryUnavailable."""
    with _locked(session_id, Action.REBUILD, actor, reason) as session, opened() as file:
        before = _size_in_file(file, session)
        size, left_out = _retry_on_change(
            lambda: refill(file, session_id, session.conversation, seen=_adopt(file, session))
        )
        gone = None if size.items else timezone.now()
        changes = {"pruned_count": left_out, "gone_at": gone, "last_error": ""}
        return _complete(session, Action.REBUILD, actor, reason, before, size, **changes)


def adopt_foreign_items(file: SyncStore, conversations: Mapping[str, uuid.UUID]) -> None:
    """Copy items that other programs wrote into the file to the record; the conversations are locked."""
    altered = file.altered(list(conversations))
    for session_id, kept in file.load(altered).items():
        if take_over(conversations[session_id], session_id, kept.stored):
            with suppress(RowsChanged):  # the next run finds it altered again
                file.seal(session_id, kept.stored.digest)


def _adopt(file: SyncStore, session: AgentSession) -> Digest:
    """Copy items of other programs to the record; return the digest of the stored items. The session is locked."""
    stored = file.load([session.session_id])[session.session_id].stored
    if not stored.is_intact:
        take_over(session.conversation_id, session.session_id, stored)
    return stored.digest


def _retry_on_change(change: Callable[[], T]) -> T:
    """Retry a change if another program writes to the session meanwhile. Raise MemoryUnavailable."""
    for _ in range(TRIES):
        with suppress(RowsChanged):
            return change()
    raise MemoryUnavailable(KEEPS_WRITING)


def refill(file: SyncStore, session_id: str, conversation: Conversation, *, seen: Digest) -> tuple[Size, int]:
    """Replace the items of a session with those of the record; its conversation is locked.

    Return its new size, and the number of older items that are omitted. Raise RowsChanged if `seen` is not the digest
    of its rows.
    """
    after_all = conversation.last_seq + 1
    last = last_turn(conversation.pk, before=after_all)
    rebuilt = rebuild(conversation.pk, before=after_all, limit=settings.AGENT_SESSION_MAX_MESSAGES)
    fence = last.fence if last and rebuilt.items else None
    return file.replace(session_id, rebuilt.items, fence, seen=seen), rebuilt.pruned


def hold_session(session_id: str, *, actor: str, reason: str, until: datetime | None = None) -> Outcome:
    """Protect a session from removal; a longer hold replaces the current one.

    Raise NotFound, BadInput without a reason, Conflict if the current hold lasts longer.
    """
    if not reason.strip():
        raise BadInput("A hold requires a reason.")
    now = timezone.now()
    if until is not None and until <= now:
        raise BadInput("A hold cannot end in the past.")
    if until is not None and until > now + LONGEST_HOLD:
        raise BadInput("A hold can last at most 100 years, or have no end.")
    with _locked(session_id, Action.HOLD, actor, reason, refuse_busy=False) as session:
        if session.is_held and until is not None and (session.held_until is None or until < session.held_until):
            ends = f"until {session.held_until:%Y-%m-%d %H:%M} UTC" if session.held_until else "without an end"
            raise Conflict(f"This session is already held {ends}; release it first.")
        size = Size(session.item_count, session.byte_count)
        held = {"held_at": now, "held_until": until, "hold_reason": reason.strip()[:REASON_LENGTH]}
        return _complete(session, Action.HOLD, actor, reason, size, size, **held)


def release_session(session_id: str, *, actor: str, reason: str = "") -> Outcome:
    """Release a hold. Raise NotFound, NotHeld."""
    with _locked(session_id, Action.RELEASE, actor, reason, refuse_busy=False) as session:
        if not session.is_held:
            size = session.item_count, session.item_count, session.byte_count, session.byte_count
            raise NotHeld(Outcome(session_id, Action.RELEASE, *size))
        return _release(session, actor, reason)


def release_ended(*, actor: str) -> int:
    """Release expired holds; return their number."""
    ended = AgentSession.objects.filter(held_at__isnull=False, held_until__lte=timezone.now()).order_by("pk")
    released = 0
    for session_id in list(ended.values_list("session_id", flat=True)):
        with _locked(session_id, Action.RELEASE, actor, ENDED, refuse_busy=False) as session:
            if session.held_at is not None and not session.is_held:
                _release(session, actor, ENDED)
                released += 1
    return released


def _release(session: AgentSession, actor: str, reason: str) -> Outcome:
    with_notice(session.conversation, timezone.now())
    session.conversation.save(update_fields=["kept_at", "trashed_at"])
    size = Size(session.item_count, session.byte_count)
    free = {"held_at": None, "held_until": None, "hold_reason": ""}
    return _complete(session, Action.RELEASE, actor, reason, size, size, **free)


def over_limit() -> list[str]:
    """Return the ids of the sessions with more items than the setting allows."""
    over = AgentSession.objects.filter(item_count__gt=settings.AGENT_SESSION_MAX_MESSAGES, gone_at=None)
    return list(over.order_by("pk").values_list("session_id", flat=True))


@contextmanager
def _locked(
    session_id: str, action: Action, actor: str, reason: str, *, refuse_busy: bool = True, refuse_held: bool = False
) -> Iterator[AgentSession]:
    """Lock a session, its conversation first, until the transaction ends; a failure is recorded in the audit."""
    of_session = AgentSession.objects.filter(session_id=session_id)
    conversation_id = of_session.values_list("conversation_id", flat=True).first()
    if conversation_id is None:
        raise NotFound(f"There is no session {session_id}.")
    attempt = audit.attempt(action, actor=actor, session_id=session_id, reason=reason)
    with attempt, transaction.atomic(durable=True):
        conversation = Conversation.objects.locked().filter(pk=conversation_id).first()
        session = of_session.select_for_update(no_key=True).first()
        if conversation is None or session is None:  # erased meanwhile
            raise NotFound(f"There is no session {session_id}.")
        session.conversation = conversation
        if refuse_busy and Turn.objects.filter(conversation=conversation, status__in=BUSY_STATUSES).exists():
            raise Conflict(BUSY)
        if refuse_held and session.is_held:
            raise Conflict(HELD)
        yield session


def _size_in_file(file: SyncStore, session: AgentSession) -> Size:
    return file.measure([session.session_id])[session.session_id]


def _complete(
    session: AgentSession, action: Action, actor: str, reason: str, before: Size, after: Size, **changes: object
) -> Outcome:
    """Update the metadata and record the action."""
    for name, value in changes.items():
        setattr(session, name, value)
    session.item_count, session.byte_count = after.items, after.bytes
    session.save()
    outcome = Outcome(session.session_id, action, before.items, after.items, before.bytes, after.bytes)
    result = {name: value for name, value in outcome.as_json().items() if name not in ("session_id", "action")}
    audit.record(action, actor=actor, person=session.user_id, session_id=session.session_id, reason=reason, **result)
    return outcome
