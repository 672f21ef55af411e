"""End a turn: the reply, what the session was given, and the mirror, in one transaction."""

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
from chat.read_models import MessageJson, MessageOut
from chat.search.index import index_message
from chat.turns.events import ApprovalRequested, reply_id
from chat.turns.lease import HELD, Lease
from chat.turns.queue import claim_locked

_END = f"""
WITH ended AS (
    UPDATE chat_turn SET status = %(status)s, ended_at = %(now)s, text = %(text)s, reasoning = %(reasoning)s,
        items = %(items)s, usage = %(usage)s, warning = %(warning)s, error_code = %(error_code)s,
        error_detail = %(error_detail)s
    WHERE {HELD} RETURNING id
), said AS (
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
    pruned: int | None = None  # older items that the session is without, where the mirror does not know
    warning: str = ""
    error_code: str = ""
    error_detail: str = ""
    asks: Sequence[ApprovalRequested] = ()
    reasoning: str = ""

    @property
    def trouble(self) -> str:
        """What staff are to see of it at the session."""
        return self.warning if self.warning == "context_unavailable" else ""


@dataclass(frozen=True, slots=True)
class FinishedTurn:
    """The reply, if there is one to keep, and the conversation's next turn, which runs now."""

    message: MessageJson | None
    next: Turn | None


def finish(lease: Lease, ending: TurnOutcome, *, next_owner: uuid.UUID | None = None) -> FinishedTurn:
    """Write how a turn ended, and take the conversation's next one for a process that has a place. Raise TurnLost."""
    now = timezone.now()
    with transaction.atomic():
        conversation_id, user_id, last_position = lease.lock_conversation()
        message = _reply(lease.turn_id, last_position + 1, ending, now)
        lease.write(
            _END,
            now=now,
            conversation=conversation_id,
            has_reply=message is not None,
            message=message.pk if message else None,
            position=message.position if message else last_position,
            status=ending.status,
            text=ending.text,
            reasoning=ending.reasoning,
            items=Jsonb(storable(list(ending.items))),
            usage=Jsonb(ending.usage),
            warning=ending.warning,
            error_code=ending.error_code,
            error_detail=ending.error_detail,
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
        update_metadata(session_id, size=ending.size, pruned=ending.pruned, now=now, error=ending.trouble)
        following = claim_locked(conversation_id, owner=next_owner) if next_owner else None
    return FinishedTurn(MessageOut.of(message).as_json() if message else None, following)


def _reply(turn_id: uuid.UUID, position: int, ending: TurnOutcome, now: datetime) -> Message | None:
    if not ending.text or ending.status == Status.FAILED:
        return None
    return Message(
        pk=reply_id(turn_id),
        turn_id=turn_id,
        role=Role.ASSISTANT,
        text=ending.text,
        position=position,
        created_at=now,
    )
