"""What staff do to one session: one function a verb, for the admin and the commands alike.

Each locks the conversation, so that it never meets a turn, changes both stores, and leaves an audit record.
"""

import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import TypeVar

from django.conf import settings
from django.db import transaction
from django.utils import timezone

from chat.exceptions import BadInput, Conflict, MemoryUnavailable, NotFound
from chat.memory.adoption import forget, take_over
from chat.memory.digest import Digest
from chat.memory.open import KEEPS_WRITING, TRIES
from chat.memory.rebuild import last_turn, rebuild
from chat.memory.statements import RowsChanged, Size
from chat.memory.sync_store import SessionFile, opened
from chat.models import AgentSession, Conversation, Turn
from chat.models.retention import with_notice
from chat.models.turn import HOLDING
from sessions_admin import audit
from sessions_admin.audit import REASON_LENGTH
from sessions_admin.models import Action

T = TypeVar("T")

NOTHING = Size(0, 0)
LONGEST_HOLD = timedelta(days=36_500)
BUSY = "The assistant is at work in this conversation, or waits for the person's decision."
HELD = "This session is held; release it first."
NOT_HELD = "This session is not held."
ENDED = "The hold has come to its end."


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a verb did to a session: how much it held before and holds now."""

    session_id: str
    action: str
    items_before: int
    items: int
    bytes_before: int
    bytes: int

    def as_json(self) -> dict[str, object]:
        """Give it as a plain dict."""
        return asdict(self)

    def __str__(self) -> str:
        return f"{self.session_id}: {self.items_before:,} items before, {self.items:,} now."


class NotHeld(Conflict):
    """A session without a hold cannot be released; `outcome` is what it holds."""

    def __init__(self, outcome: Outcome) -> None:
        super().__init__(NOT_HELD)
        self.outcome = outcome


def prune_session(session_id: str, *, actor: str, reason: str = "", limit: int | None = None) -> Outcome:
    """Remove whole user turns from the old end until at most `limit` items (the setting's) stay.

    Raise NotFound, Conflict, MemoryUnavailable.
    """
    with _locked(session_id, Action.PRUNE, actor, reason) as session, opened(settings.AGENT_SESSION_DB_PATH) as file:
        before = _held_by(file, session)
        keep_what_others_wrote(file, {session_id: session.conversation_id})
        size = file.prune(session_id, settings.AGENT_SESSION_MAX_MESSAGES if limit is None else limit)
        pruned = session.pruned_count + max(before.items - size.items, 0)
        return _done(session, Action.PRUNE, actor, reason, before, size, pruned_count=pruned)


def clear_session(session_id: str, *, actor: str, reason: str = "") -> Outcome:
    """Let the assistant forget a conversation for good: no rebuild reaches behind this.

    Raise NotFound, Conflict where it is held or in use, MemoryUnavailable.
    """
    with _locked(session_id, Action.CLEAR, actor, reason, unless_held=True) as session:
        conversation = session.conversation
        conversation.memory_from = conversation.last_seq
        conversation.save(update_fields=["memory_from"])
        with opened(settings.AGENT_SESSION_DB_PATH) as file:
            before = file.remove([session_id])[session_id]
        forget(conversation.pk)
        return _done(session, Action.CLEAR, actor, reason, before, NOTHING, pruned_count=0, gone_at=timezone.now())


def expire_session(session_id: str, *, actor: str, reason: str = "") -> Outcome:
    """Remove a session as the clean-up would; the next message fills it again from the record.

    Raise NotFound, Conflict where it is held or in use, MemoryUnavailable.
    """
    with (
        _locked(session_id, Action.EXPIRE, actor, reason, unless_held=True) as session,
        opened(settings.AGENT_SESSION_DB_PATH) as file,
    ):
        before = _held_by(file, session)
        _unless_changed(lambda: file.replace(session_id, [], None, seen=_kept(file, session)))
        pruned = session.pruned_count + before.items
        return _done(
            session, Action.EXPIRE, actor, reason, before, NOTHING, pruned_count=pruned, gone_at=timezone.now()
        )


def rebuild_session(session_id: str, *, actor: str, reason: str = "") -> Outcome:
    """Fill a session again from the record. Raise NotFound, Conflict, MemoryUnavailable."""
    with _locked(session_id, Action.REBUILD, actor, reason) as session, opened(settings.AGENT_SESSION_DB_PATH) as file:
        before = _held_by(file, session)
        size, left_out = _unless_changed(
            lambda: fill_again(file, session_id, session.conversation, seen=_kept(file, session))
        )
        gone = None if size.items else timezone.now()
        return _done(
            session,
            Action.REBUILD,
            actor,
            reason,
            before,
            size,
            pruned_count=left_out,
            gone_at=gone,
            last_error="",
        )


def keep_what_others_wrote(file: SessionFile, conversations: Mapping[str, uuid.UUID]) -> None:
    """Keep in the record what only the file has of sessions, by their ids; their conversations are locked."""
    altered = file.altered(list(conversations))
    for session_id, kept in file.look(altered).items():
        if take_over(conversations[session_id], session_id, kept.stored):
            with suppress(RowsChanged):  # it is found altered again
                file.seal(session_id, kept.stored.digest)


def _kept(file: SessionFile, session: AgentSession) -> Digest:
    """Keep with the record what only the file has of a locked session; return the digest of what was compared."""
    stored = file.look([session.session_id])[session.session_id].stored
    if not stored.is_intact:
        take_over(session.conversation_id, session.session_id, stored)
    return stored.digest


def _unless_changed(change: Callable[[], T]) -> T:
    """Change a session; do it again where another program has written to it meanwhile. Raise MemoryUnavailable."""
    for _ in range(TRIES):
        with suppress(RowsChanged):
            return change()
    raise MemoryUnavailable(KEEPS_WRITING)


def fill_again(file: SessionFile, session_id: str, conversation: Conversation, *, seen: Digest) -> tuple[Size, int]:
    """Put what the record remembers of a locked conversation in the place of all that its session holds.

    Return how much that is, and how many older items it is without. Raise RowsChanged where `seen` is not the digest of
    its rows.
    """
    after_all = conversation.last_seq + 1
    last = last_turn(conversation.pk, before=after_all)
    rebuilt = rebuild(conversation.pk, before=after_all, limit=settings.AGENT_SESSION_MAX_MESSAGES)
    fence = last.fence if last and rebuilt.items else None
    return file.replace(session_id, rebuilt.items, fence, seen=seen), rebuilt.pruned


def hold_session(session_id: str, *, actor: str, reason: str, until: datetime | None = None) -> Outcome:
    """Keep a session from everything that would remove it. Raise NotFound, BadInput without a reason."""
    if not reason.strip():
        raise BadInput("A hold needs a reason.")
    now = timezone.now()
    if until is not None and until <= now:
        raise BadInput("A hold cannot end in the past.")
    if until is not None and until > now + LONGEST_HOLD:
        raise BadInput("A hold ends within 100 years, or has no end.")
    with _locked(session_id, Action.HOLD, actor, reason, unless_busy=False) as session:
        size = Size(session.item_count, session.byte_count)
        held = {"held_at": now, "held_until": until, "hold_reason": reason.strip()[:REASON_LENGTH]}
        return _done(session, Action.HOLD, actor, reason, size, size, **held)


def release_session(session_id: str, *, actor: str, reason: str = "") -> Outcome:
    """End a hold. Raise NotFound, NotHeld where there is none."""
    with _locked(session_id, Action.RELEASE, actor, reason, unless_busy=False) as session:
        if not session.is_held:
            size = session.item_count, session.item_count, session.byte_count, session.byte_count
            raise NotHeld(Outcome(session_id, Action.RELEASE, *size))
        return _release(session, actor, reason)


def release_ended(*, actor: str) -> int:
    """Release the sessions whose holds have expired; return their number."""
    ended = AgentSession.objects.filter(held_at__isnull=False, held_until__lte=timezone.now()).order_by("pk")
    released = 0
    for session_id in list(ended.values_list("session_id", flat=True)):
        with _locked(session_id, Action.RELEASE, actor, ENDED, unless_busy=False) as session:
            if session.held_at is not None and not session.is_held:
                _release(session, actor, ENDED)
                released += 1
    return released


def _release(session: AgentSession, actor: str, reason: str) -> Outcome:
    with_notice(session.conversation, timezone.now())
    session.conversation.save(update_fields=["kept_at", "trashed_at"])
    size = Size(session.item_count, session.byte_count)
    free = {"held_at": None, "held_until": None, "hold_reason": ""}
    return _done(session, Action.RELEASE, actor, reason, size, size, **free)


def over_limit() -> list[str]:
    """Return the ids of the sessions that hold more items than the setting allows."""
    over = AgentSession.objects.filter(item_count__gt=settings.AGENT_SESSION_MAX_MESSAGES, gone_at=None)
    return list(over.order_by("pk").values_list("session_id", flat=True))


@contextmanager
def _locked(
    session_id: str, action: Action, actor: str, reason: str, *, unless_busy: bool = True, unless_held: bool = False
) -> Iterator[AgentSession]:
    """Lock a session, its conversation first, until what is done to it is committed; record it where that fails."""
    conversation_id = _conversation_of(session_id)
    attempt = audit.attempt(action, actor=actor, session_id=session_id, reason=reason)
    with attempt, transaction.atomic(durable=True):
        conversation = Conversation.objects.locked().get(pk=conversation_id)
        session = AgentSession.objects.select_for_update(no_key=True).get(session_id=session_id)
        session.conversation = conversation
        if unless_busy and Turn.objects.filter(conversation=conversation, status__in=HOLDING).exists():
            raise Conflict(BUSY)
        if unless_held and session.is_held:
            raise Conflict(HELD)
        yield session


def _conversation_of(session_id: str) -> uuid.UUID:
    found = AgentSession.objects.filter(session_id=session_id).values_list("conversation_id", flat=True).first()
    if found is None:
        raise NotFound(f"There is no session {session_id}.")
    return found


def _held_by(file: SessionFile, session: AgentSession) -> Size:
    return file.measure([session.session_id])[session.session_id]


def _done(
    session: AgentSession, action: Action, actor: str, reason: str, before: Size, after: Size, **changes: object
) -> Outcome:
    """Bring the mirror in step and write down who did it."""
    for name, value in changes.items():
        setattr(session, name, value)
    session.item_count, session.byte_count = after.items, after.bytes
    session.save()
    outcome = Outcome(session.session_id, action, before.items, after.items, before.bytes, after.bytes)
    result = {name: value for name, value in outcome.as_json().items() if name not in ("session_id", "action")}
    audit.record(action, actor=actor, person=session.user_id, session_id=session.session_id, reason=reason, **result)
    return outcome
