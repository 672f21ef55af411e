"""Render the frames about conversations, turns and tasks."""

import uuid
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from chat.conversations.listing import conversation_out, conversations_out, with_listing_fields
from chat.conversations.threads import ActiveTurn, active_turns
from chat.exceptions import NotFound
from chat.models import Conversation, Turn
from chat.read_models import ConversationOut, MessageOut
from chat.realtime.frames import PROTOCOL
from chat.tasks.panel import current_revision
from chat.tasks.undo import changes_of
from chat.turns.accept import Accepted, ahead_of
from chat.turns.log import TurnLogs

# More than one reply of the assistant makes, or one undo.
CHANGES_SENT = 100


@dataclass(frozen=True, slots=True)
class ConversationState:
    """A conversation (None before its first message), its active turns, and the `seq` of its last turn."""

    conversation: ConversationOut | None
    turns: list[ActiveTurn]
    last_seq: int
    tasks_revision: int  # of the user's to-do list


def conversation_state(user_id: uuid.UUID, conversation_id: uuid.UUID) -> ConversationState:
    """Return the state that a socket starts with. Raise NotFound if the conversation belongs to another user."""
    conversation = with_listing_fields(Conversation.objects.all()).filter(pk=conversation_id).first()
    if conversation is None:
        return ConversationState(None, [], 0, current_revision(user_id))
    if conversation.user_id != user_id:
        raise NotFound("There is no such conversation.")
    line, turns = conversation_out(conversation), active_turns(conversation.pk)
    return ConversationState(line, turns, conversation.last_seq, current_revision(user_id))


def ready_frame(state: ConversationState, logs: TurnLogs) -> dict[str, Any]:
    """Return the first frame of a socket."""
    positions = {turn.id: log.n if (log := logs.get(turn.id)) else 0 for turn in state.turns}
    return {
        "type": "ready",
        "protocol": PROTOCOL,
        "conversation": state.conversation and state.conversation.as_json(),
        "turns": [{"id": str(turn.id), "status": turn.status, "n": positions[turn.id]} for turn in state.turns],
        "tasks_revision": state.tasks_revision,
    }


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


def accepted_after(user_id: uuid.UUID, conversation_id: uuid.UUID, seq: int) -> list[Accepted]:
    """Return what was accepted in a user's conversation after a turn, in order."""
    turns = Turn.objects.filter(user_id=user_id, conversation_id=conversation_id, seq__gt=seq)
    return [
        Accepted(MessageOut.of(turn.prompt), turn, ahead_of(turn), is_new=False)
        for turn in turns.select_related("prompt").order_by("seq")
    ]


def accepted_frame(accepted: Accepted) -> dict[str, Any]:
    """Return the frame that acknowledges a message."""
    turn = accepted.turn
    return {
        "type": "message.accepted",
        "client_id": str(turn.client_id),
        "message": accepted.message.as_json(),
        "turn": {
            "id": str(turn.pk),
            "status": turn.status,
            "ahead": accepted.ahead,
            "replaces": str(turn.replaces_id) if turn.replaces_id else None,
        },
    }
