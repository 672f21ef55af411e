"""End a turn: the reply, what the session was given, and the mirror, in one transaction."""

import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field

from django.db import transaction
from django.utils import timezone

from chat.exceptions import NotFound, TurnLost
from chat.memory.items import Item
from chat.memory.mirror import reflect
from chat.memory.statements import Size
from chat.models import Conversation, Message, Turn
from chat.models.conversation import Role
from chat.models.turn import Status
from chat.turns.accept import view
from chat.turns.events import MessageView
from chat.turns.journal import storable
from chat.turns.ownership import Hold


@dataclass(frozen=True, slots=True, kw_only=True)
class Ending:
    """How a turn ended."""

    status: Status
    text: str
    items: Sequence[Item]
    usage: dict[str, int] = field(default_factory=dict)
    size: Size | None = None  # of the session; None where the store could not say
    pruned: int | None = None  # items that a rebuilt session was left without
    warning: str = ""
    error_code: str = ""
    error_detail: str = ""


def finish(hold: Hold, ending: Ending) -> MessageView | None:
    """Write how a turn ended and return the reply, if there is one to keep. Raise TurnLost."""
    now = timezone.now()
    with transaction.atomic():
        conversation = Conversation.objects.locked().filter(turns=hold.turn_id).first()
        if conversation is None:
            raise TurnLost("The conversation is gone.")
        turn = hold.locked()
        message = _reply(conversation, turn, ending)
        turn.status, turn.ended_at = ending.status, now
        turn.text, turn.items, turn.usage = ending.text, storable(list(ending.items)), ending.usage
        turn.warning, turn.error_code, turn.error_detail = ending.warning, ending.error_code, ending.error_detail
        turn.save()
        conversation.updated_at = now
        conversation.save(update_fields=["last_position", "updated_at"])
        reflect(conversation, size=ending.size, pruned=ending.pruned, now=now, error=_trouble(ending))
    return view(message) if message else None


def _trouble(ending: Ending) -> str:
    return ending.warning if ending.warning == "context_unavailable" else ""


def stop_queued(*, user_id: uuid.UUID, conversation_id: uuid.UUID, turn_id: uuid.UUID) -> Turn:
    """End a turn that has not begun; return it as it is then. Raise NotFound."""
    with transaction.atomic():
        Conversation.objects.owned_by(user_id).locked().filter(pk=conversation_id).first()
        turn = Turn.objects.filter(pk=turn_id, user_id=user_id, conversation_id=conversation_id).first()
        if turn is None:
            raise NotFound("There is no such turn.")
        if turn.status == Status.QUEUED:
            turn.status, turn.ended_at = Status.STOPPED, timezone.now()
            turn.save(update_fields=["status", "ended_at"])
    return turn


def _reply(conversation: Conversation, turn: Turn, ending: Ending) -> Message | None:
    if not ending.text or ending.status == Status.FAILED:
        return None
    conversation.last_position += 1
    return Message.objects.create(
        conversation=conversation,
        turn=turn,
        role=Role.ASSISTANT,
        text=ending.text,
        position=conversation.last_position,
        created_at=timezone.now(),
    )
