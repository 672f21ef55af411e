"""Finish a turn: the reply, the items of the session and its metadata, in one transaction."""

import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime

from django.db import transaction
from django.utils import timezone
from psycopg.types.json import Jsonb

from chat.infra.storable import storable
from chat.memory.identity import SessionId
from chat.memory.items import Item
from chat.memory.metadata import update_metadata
from chat.memory.statements import Size
from chat.models import Message, Turn
from chat.models.conversation import Role
from chat.models.turn import Status
from chat.read_models import MessageOut
from chat.search.index import index_message
from chat.turns.cancel import Cancelled
from chat.turns.events import (
    ApprovalRequested,
    LastEvent,
    TurnFailed,
    TurnFinished,
    TurnStopped,
    is_retryable,
    reply_id,
)
from chat.turns.lease import IS_LEASED, Lease
from chat.turns.queue import claim_locked

_END = f"""
WITH ended AS (
    UPDATE chat_turn SET status = %(status)s, ended_at = %(now)s, text = %(text)s, reasoning = %(reasoning)s,
        items = %(items)s, usage = %(usage)s, warning = %(warning)s, error_code = %(error_code)s,
        error_detail = %(error_detail)s
    WHERE {IS_LEASED} RETURNING id
), reply AS (
    INSERT INTO chat_message (id, conversation_id, turn_id, role, text, position, created_at)
    SELECT %(message)s, %(conversation)s, id, 'assistant', %(text)s, %(position)s, %(now)s FROM ended
    WHERE %(has_reply)s
)
UPDATE chat_conversation SET updated_at = %(now)s, last_position = %(position)s
WHERE id = %(conversation)s AND EXISTS (SELECT FROM ended)
"""  # noqa: S608 - our own words


@dataclass(frozen=True, slots=True, kw_only=True)
class TurnOutcome:
    """How a turn ended, or which decisions it waits for (then its status is "waiting")."""

    status: Status
    text: str
    items: Sequence[Item]
    usage: dict[str, int] = field(default_factory=dict)
    size: Size | None = None  # of the session; None if the store could not return it
    pruned: int | None = None  # older items that the session is without, if the metadata lacks it
    warning: str = ""
    error_code: str = ""
    error_detail: str = ""
    approval_requests: Sequence[ApprovalRequested] = ()
    reasoning: str = ""

    @property
    def session_warning(self) -> str:
        """The warning that staff see at the session."""
        return self.warning if self.warning == "context_unavailable" else ""


@dataclass(frozen=True, slots=True)
class StoredOutcome:
    """The events to log, the conversation's next turn if it begins, and a turn that was cancelled instead of asking."""

    events: Sequence[LastEvent | ApprovalRequested]
    begins: Turn | None = None
    cancelled: Cancelled | None = None


def finish(lease: Lease, outcome: TurnOutcome, *, next_owner: uuid.UUID | None = None) -> StoredOutcome:
    """Store how a turn ended, and claim the conversation's next one for a process with a free slot. Raise TurnLost."""
    now = timezone.now()
    with transaction.atomic():
        conversation_id, user_id, last_position = lease.lock_conversation()
        message = _reply(lease.turn_id, last_position + 1, outcome, now)
        lease.write(
            _END,
            now=now,
            conversation=conversation_id,
            has_reply=message is not None,
            message=message.pk if message else None,
            position=message.position if message else last_position,
            status=outcome.status,
            text=outcome.text,
            reasoning=outcome.reasoning,
            items=Jsonb(storable(list(outcome.items))),
            usage=Jsonb(outcome.usage),
            warning=outcome.warning,
            error_code=outcome.error_code,
            error_detail=outcome.error_detail,
        )
        if message is not None:
            index_message(
                message_id=message.pk,
                conversation_id=conversation_id,
                user_id=user_id,
                text=message.text,
                created_at=now,
            )
        session_id = SessionId(user_id, conversation_id)
        update_metadata(session_id, size=outcome.size, pruned=outcome.pruned, now=now, error=outcome.session_warning)
        following = claim_locked(conversation_id, owner=next_owner) if next_owner else None
    return StoredOutcome([_last_event(outcome, message)], following)


def _last_event(outcome: TurnOutcome, message: Message | None) -> LastEvent:
    if outcome.status == Status.FAILED:
        return TurnFailed(outcome.error_code, outcome.error_detail, retryable=is_retryable(outcome.error_code))
    reply = MessageOut.of(message) if message else None
    if outcome.status == Status.STOPPED:
        return TurnStopped(reply, outcome.warning)
    assert reply is not None  # a finished turn has a reply
    return TurnFinished(reply, outcome.usage, outcome.warning)


def _reply(turn_id: uuid.UUID, position: int, outcome: TurnOutcome, now: datetime) -> Message | None:
    if not outcome.text or outcome.status == Status.FAILED:
        return None
    return Message(
        pk=reply_id(turn_id), turn_id=turn_id, role=Role.ASSISTANT, text=outcome.text, position=position, created_at=now
    )
