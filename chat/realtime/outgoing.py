"""Read what a socket sends about conversations, turns and tasks."""

import uuid
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from chat.conversations.listing import conversation_out, conversations_out, with_listing_fields
from chat.exceptions import NotFound
from chat.models import Conversation, Turn
from chat.models.turn import ACTIVE
from chat.read_models import Json, MessageJson, MessageOut
from chat.tasks.panel import current_revision
from chat.tasks.undo import changes_of
from chat.turns.accept import ahead_of

# More than one answer of the assistant makes, or one undoing.
CHANGES_SENT = 100


@dataclass(frozen=True, slots=True)
class ConversationState:
    """A conversation (None before its first message), its turns that have not ended, and its last turn's place."""

    conversation: dict[str, Json] | None
    turns: list[dict[str, Any]]  # {id, status}
    last_seq: int
    tasks_revision: int  # of the person's to-do list


@dataclass(frozen=True, slots=True)
class AcceptedMessage:
    """An accepted message: the place of its turn, and the frame that acknowledges it."""

    seq: int
    turn_id: uuid.UUID
    frame: dict[str, Any]


def conversation_state(user_id: uuid.UUID, conversation_id: uuid.UUID) -> ConversationState:
    """Return the state that a socket starts with. Raise NotFound if the conversation belongs to another user."""
    conversation = with_listing_fields(Conversation.objects.all()).filter(pk=conversation_id).first()
    if conversation is None:
        return ConversationState(None, [], 0, current_revision(user_id))
    if conversation.user_id != user_id:
        raise NotFound("There is no such conversation.")
    active = Turn.objects.filter(conversation=conversation, status__in=ACTIVE).order_by("seq")
    turns = [{"id": str(turn.pk), "status": turn.status} for turn in active]
    line = conversation_out(conversation).as_json()
    return ConversationState(line, turns, conversation.last_seq, current_revision(user_id))


def conversation_frames(user_id: uuid.UUID, conversation_ids: Collection[uuid.UUID]) -> list[dict[str, Any]]:
    """Return the frames with the current state of a user's conversations, the most recently active one last."""
    if not conversation_ids:
        return []
    theirs = Conversation.objects.owned_by(user_id).filter(pk__in=conversation_ids)
    lines = conversations_out(theirs.order_by("updated_at"))
    deleted = set(conversation_ids) - {line.id for line in lines}
    return [
        *({"type": "conversation.deleted", "id": str(gone)} for gone in deleted),
        *({"type": "conversation.updated", "conversation": line.as_json()} for line in lines),
    ]


def changes_frame(conversation_id: uuid.UUID) -> dict[str, Any]:
    """Return the frame with the recent changes by a conversation's calls, and which of them are undone."""
    changes = changes_of(conversation_id, newest=CHANGES_SENT)
    return {"type": "changes.updated", "changes": [change.as_json() for change in changes]}


def check_conversation(*, user_id: uuid.UUID, conversation_id: uuid.UUID) -> None:
    """Make sure that a conversation is a person's. Raise NotFound."""
    if not Conversation.objects.owned_by(user_id).filter(pk=conversation_id).exists():
        raise NotFound("There is no such conversation.")


def check_turn(*, user_id: uuid.UUID, conversation_id: uuid.UUID, turn_id: uuid.UUID) -> None:
    """Make sure that a turn is a person's, in a conversation. Raise NotFound."""
    if not Turn.objects.filter(pk=turn_id, user_id=user_id, conversation_id=conversation_id).exists():
        raise NotFound("There is no such turn.")


def accepted_after(user_id: uuid.UUID, conversation_id: uuid.UUID, seq: int) -> list[AcceptedMessage]:
    """Return what was accepted in a person's conversation behind a place in its queue, in order."""
    turns = Turn.objects.filter(user_id=user_id, conversation_id=conversation_id, seq__gt=seq)
    return [
        AcceptedMessage(turn.seq, turn.pk, accepted_frame(MessageOut.of(turn.prompt).as_json(), turn, ahead_of(turn)))
        for turn in turns.select_related("prompt").order_by("seq")
    ]


def accepted_frame(message: MessageJson, turn: Turn, ahead: int) -> dict[str, Any]:
    """Return the frame that acknowledges a message."""
    return {
        "type": "message.accepted",
        "client_id": str(turn.client_id),
        "message": message,
        "turn": {
            "id": str(turn.pk),
            "status": turn.status,
            "ahead": ahead,
            "replaces": str(turn.replaces_id) if turn.replaces_id else None,
        },
    }
