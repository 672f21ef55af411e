"""Cancel a turn that no process runs: it is queued, or waits for the user's decision."""

import json
import uuid
from dataclasses import dataclass
from datetime import datetime

from chat.infra.storable import storable
from chat.memory.metadata import update_after_cancel
from chat.models import Message, ToolCall, Turn
from chat.models.conversation import Role
from chat.models.sql import select
from chat.models.turn import SUPERSEDED, Decision, Status
from chat.read_models import MessageOut
from chat.turns import journal as journals
from chat.turns.events import reply_id

NOT_DONE = {"ok": False, "error": SUPERSEDED, "detail": "This was not done: nobody decided before something else came."}

_NEXT_POSITION = """
UPDATE chat_conversation SET last_position = last_position + 1, updated_at = %(now)s WHERE id = %(conversation)s
RETURNING last_position
"""


@dataclass(frozen=True, slots=True)
class Cancelled:
    """A cancelled turn, the calls that this declined, and its text as a message."""

    turn_id: uuid.UUID
    attempt: int
    declined: tuple[str, ...]
    message: MessageOut | None


def cancel(turn: Turn, *, now: datetime) -> Cancelled:
    """Cancel a turn in the caller's transaction, which has locked its conversation: the calls it waits for do not run.

    If the turn had begun, its session was cut back to where it began; the higher attempt makes the next turn read from
    the record what happened.
    """
    awaiting = ToolCall.objects.filter(turn=turn, decision=Decision.AWAITING)
    declined = tuple(awaiting.values_list("call_id", flat=True))
    awaiting.update(decision=Decision.DECLINED, decided_by=SUPERSEDED, output=json.dumps(NOT_DONE))
    journal = journals.load(turn)
    message = _create_reply(turn, now) if turn.text else None
    if turn.status == Status.WAITING or turn.attempt > 1:
        turn.attempt += 1
    turn.status, turn.ended_at = Status.STOPPED, now
    turn.owner = turn.lease_until = None
    turn.items = storable(journals.as_items(turn.prompt.text, journal)) if journal.steps else []
    turn.usage = journal.usage
    turn.save(update_fields=["status", "ended_at", "attempt", "owner", "lease_until", "items", "usage"])
    update_after_cancel(turn.conversation_id, now=now)
    return Cancelled(turn.pk, turn.attempt, declined, MessageOut.of(message) if message else None)


def _create_reply(turn: Turn, now: datetime) -> Message:
    ((position,),) = select(_NEXT_POSITION, {"conversation": turn.conversation_id, "now": now})
    return Message.objects.create(
        pk=reply_id(turn.pk),
        conversation_id=turn.conversation_id,
        turn=turn,
        role=Role.ASSISTANT,
        text=turn.text,
        position=position,
        created_at=now,
    )
