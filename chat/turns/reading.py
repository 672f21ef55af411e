"""What a socket tells about conversations, turns and tasks."""

import uuid
from dataclasses import dataclass
from typing import Any, TypedDict

from chat import tasks
from chat.exceptions import NotFound
from chat.models import Conversation, Turn
from chat.models.turn import ACTIVE
from chat.turns.accept import ahead_of, view
from chat.turns.events import MessageView


class ConversationView(TypedDict):
    """A conversation as programs and the page see it."""

    id: str
    title: str
    created_at: str
    updated_at: str


@dataclass(frozen=True, slots=True)
class ConversationState:
    """A conversation (None before its first message) and its turns that have not ended, `{id, status}` each."""

    conversation: ConversationView | None
    turns: list[dict[str, Any]]


def conversation_state(user_id: uuid.UUID, conversation_id: uuid.UUID) -> ConversationState:
    """Return what a socket begins with; raise NotFound where the conversation is somebody else's."""
    conversation = Conversation.objects.filter(pk=conversation_id).first()
    if conversation is None:
        return ConversationState(None, [])
    if conversation.user_id != user_id:
        raise NotFound("There is no such conversation.")
    active = Turn.objects.filter(conversation=conversation, status__in=ACTIVE).order_by("seq")
    return ConversationState(_view(conversation), [{"id": str(turn.pk), "status": turn.status} for turn in active])


def conversation_view(user_id: uuid.UUID, conversation_id: uuid.UUID) -> ConversationView:
    """Return a person's conversation; raise NotFound."""
    conversation = Conversation.objects.owned_by(user_id).filter(pk=conversation_id).first()
    if conversation is None:
        raise NotFound("There is no such conversation.")
    return _view(conversation)


def check_turn(*, user_id: uuid.UUID, conversation_id: uuid.UUID, turn_id: uuid.UUID) -> None:
    """Make sure that a turn is a person's, in a conversation. Raise NotFound."""
    if not Turn.objects.filter(pk=turn_id, user_id=user_id, conversation_id=conversation_id).exists():
        raise NotFound("There is no such turn.")


def task_views(user_id: uuid.UUID) -> list[tasks.TaskView]:
    """Return a person's whole list, by number."""
    return [tasks.view(task) for task in tasks.list_tasks(user_id=user_id, limit=1000).tasks]


def accepted_elsewhere(turn_id: uuid.UUID) -> dict[str, Any]:
    """Return the frame for a message that was sent over another socket. Raise NotFound."""
    turn = Turn.objects.select_related("prompt").filter(pk=turn_id).first()
    if turn is None:
        raise NotFound("There is no such turn.")
    return accepted_frame(view(turn.prompt), turn, ahead_of(turn))


def accepted_frame(message: MessageView, turn: Turn, ahead: int) -> dict[str, Any]:
    """Return the frame that acknowledges a message."""
    return {
        "type": "message.accepted",
        "client_id": str(turn.client_id),
        "message": message,
        "turn": {"id": str(turn.pk), "status": turn.status, "ahead": ahead},
    }


def _view(conversation: Conversation) -> ConversationView:
    return {
        "id": str(conversation.pk),
        "title": conversation.title,
        "created_at": conversation.created_at.isoformat(),
        "updated_at": conversation.updated_at.isoformat(),
    }
