"""Inspect a session: the only way for staff to read users' texts.

A reason is required, and the audit records it in the transaction that reads, before anything is shown.
"""

import json
from dataclasses import asdict, dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from django.core.serializers.json import DjangoJSONEncoder
from django.db import transaction
from django.template.defaultfilters import filesizeformat
from django.utils import timezone

from chat.exceptions import MemoryUnavailable, NotFound
from chat.memory.adoption import adopted
from chat.memory.configured import opened_to_read
from chat.memory.open import SessionContext, preview_opening
from chat.memory.rebuild import first_remembered, last_turn
from chat.memory.statements import Fence, Size, Stored
from chat.models import AgentSession, Message, ToolCall, Turn
from chat.models.turn import BUSY_STATUSES, Decision
from sessions_admin import audit
from sessions_admin.models import Action
from sessions_admin.sessions import read_models

MAX_SHOWN = 200  # turns and messages per page


class NextMemory(StrEnum):
    """What the next turn does with the stored items."""

    AS_STORED = "as stored"
    REBUILT = "rebuilt"  # or repaired, without a record
    AT_WORK = "at work"
    UNKNOWN = "unknown"


NEXT_MEMORY_TEXTS = {
    NextMemory.AS_STORED: "The next turn uses the stored items unchanged.",
    NextMemory.REBUILT: "The stored items differ from those of the next turn, which repairs them first.",
    NextMemory.AT_WORK: "A turn is running or waits for a decision, so this may change at any moment.",
    NextMemory.UNKNOWN: "The next turn continues without context, unless the store is available by then.",
}


@dataclass(frozen=True, slots=True)
class InspectedMemory:
    """The items in the store, the items of the next turn, and the metadata of a session."""

    course: NextMemory
    trouble: str  # why the store cannot be read, as a sentence
    stored: list[read_models.InspectedItem]
    given: list[read_models.InspectedItem]  # the items of the next turn
    items: int
    bytes: int
    mirrored_items: int
    mirrored_bytes: int
    pruned: int

    @property
    def summary(self) -> str:
        """What the next turn does, as a sentence."""
        return NEXT_MEMORY_TEXTS[self.course]

    @property
    def drift(self) -> str:
        """how the metadata differs from the store, as a sentence; empty if it does not."""
        if self.trouble or (self.items, self.bytes) == (self.mirrored_items, self.mirrored_bytes):
            return ""
        mirror = f"{self.mirrored_items:,} items, {filesizeformat(self.mirrored_bytes)}"
        return f"The metadata has {mirror}; the store has {self.items:,} items, {filesizeformat(self.bytes)}."

    @property
    def faults(self) -> int:
        """The number of invalid rows in the store."""
        return sum(bool(entry.fault) for entry in self.stored)


@dataclass(frozen=True, slots=True)
class Inspection:
    """An inspected session, with its conversation and the journal of its turns."""

    session_id: str
    email: str
    title: str
    at: datetime
    memory: InspectedMemory
    conversation: list[read_models.InspectedMessage]
    messages: int  # in all; the oldest may be omitted
    journal: list[read_models.InspectedTurn]
    turns: int
    adopted: list[read_models.AdoptedBatch]
    quarantine: list[read_models.QuarantinedRow]

    def as_json(self) -> dict[str, Any]:
        """Return a dict for JSON."""
        plain: dict[str, Any] = json.loads(json.dumps(asdict(self), cls=DjangoJSONEncoder))
        plain["memory"]["drift"] = self.memory.drift
        return plain


def inspect(session_id: str, *, actor: str, reason: str) -> Inspection:
    """Return a session with its newest messages and turns. Raise BadInput without a reason, NotFound."""
    return _inspect(session_id, Action.INSPECT, actor=actor, reason=reason, newest=MAX_SHOWN)


def export_session(session_id: str, *, actor: str, reason: str) -> Inspection:
    """Return everything about a session. Raise BadInput without a reason, NotFound."""
    return _inspect(session_id, Action.EXPORT, actor=actor, reason=reason, newest=None)


def _inspect(session_id: str, action: Action, *, actor: str, reason: str, newest: int | None) -> Inspection:
    attempt = audit.attempt(action, actor=actor, session_id=session_id, reason=reason)
    with attempt, transaction.atomic(durable=True):
        session = AgentSession.objects.select_related("user", "conversation").filter(session_id=session_id).first()
        if session is None:
            raise NotFound(f"There is no session {session_id}.")
        seen = _read(session, newest)
        counts = {"items": seen.memory.items, "messages": seen.messages, "turns": seen.turns}
        audit.record_disclosure(
            action, actor=actor, person=session.user_id, session_id=session_id, reason=reason, **counts
        )
    return seen


def _read(session: AgentSession, newest: int | None) -> Inspection:
    conversation = session.conversation
    begins_at = first_remembered(conversation.pk)
    return Inspection(
        session_id=session.session_id,
        email=session.user.email,
        title=str(conversation),
        at=timezone.now(),
        memory=_memory(session),
        conversation=read_models.messages_of(conversation, begins_at=begins_at, newest=newest),
        messages=Message.objects.filter(conversation=conversation, position__isnull=False).count(),
        journal=read_models.journal_of(conversation, newest=newest),
        turns=Turn.objects.filter(conversation=conversation).count(),
        adopted=read_models.adopted_batches(conversation),
        quarantine=read_models.quarantined_rows(session.session_id),
    )


def _memory(session: AgentSession) -> InspectedMemory:
    trouble, stored, size = _stored(session.session_id)
    awaiting = ToolCall.objects.filter(turn__conversation=session.conversation_id, decision=Decision.AWAITING)
    held = read_models.stored_entries(stored, awaiting=list(awaiting.values_list("call_id", flat=True)))
    course, given = (NextMemory.UNKNOWN, held) if trouble else _next_memory(session, stored, held)
    return InspectedMemory(
        course=course,
        trouble=trouble,
        stored=held,
        given=given,
        items=size.items,
        bytes=size.bytes,
        mirrored_items=session.item_count,
        mirrored_bytes=session.byte_count,
        pruned=session.pruned_count,
    )


def _stored(session_id: str) -> tuple[str, Stored, Size]:
    try:
        with opened_to_read() as file:
            kept = file.load([session_id])[session_id]
            return "", kept.stored, kept.size
    except MemoryUnavailable as error:
        return error.detail, Stored(), Size(0, 0)


def _next_memory(
    session: AgentSession, stored: Stored, held: list[read_models.InspectedItem]
) -> tuple[NextMemory, list[read_models.InspectedItem]]:
    """Return what the next turn does with the stored items, by calling the same function."""
    conversation_id = session.conversation_id
    if Turn.objects.filter(conversation=conversation_id, status__in=BUSY_STATUSES).exists():
        return NextMemory.AT_WORK, held
    following = session.conversation.last_seq + 1
    last = last_turn(conversation_id, before=following)
    place = SessionContext(
        session_id=session.session_id,
        conversation_id=conversation_id,
        fence=Fence(following, 1),
        replaces=None,
        last=last,
        has_adopted=last is None and adopted(conversation_id, following).exists(),
    )
    given = preview_opening(stored, place).items
    if given == stored.items and not stored.bad:
        return NextMemory.AS_STORED, held
    return NextMemory.REBUILT, read_models.entries(given)
