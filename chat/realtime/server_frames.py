"""The frames that the server sends over the websocket (docs/reference/websocket.md).

Each type has a function here; `event_frame` makes those of the events of a turn (`chat.turns.events.Event`).
"""

import json
import uuid
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from chat.conversations.listing import conversation_out, conversations_out, with_listing_fields
from chat.conversations.threads import ActiveTurn, active_turns
from chat.exceptions import NotFound, ThreadkeeperError
from chat.models import Conversation, Turn
from chat.read_models import ConversationOut, MessageOut, plain, warning_json
from chat.realtime.client_frames import BadFrame
from chat.tasks.panel import TaskChanges, current_revision
from chat.tasks.undo import changes_of
from chat.turns.accept import Accepted, ahead_of
from chat.turns.events import Event, Warned
from chat.turns.log import TurnLogs

PROTOCOL = 1
# The error codes that clients distinguish.
CODES = frozenset({"bad_frame", "empty", "too_long", "rate_limited", "not_found", "conflict"})
# Changes of more tasks than this are not sent: the client loads the panel again.
TASKS_SENT = 500
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
    turns = turns.select_related("prompt").order_by("seq")
    return [Accepted(MessageOut.of(turn.prompt), turn, ahead_of(turn), is_new=False) for turn in turns]


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


def tasks_frame(changes: TaskChanges) -> dict[str, Any]:
    """Return the frame `tasks.changed`; `reload` stands for more changes than a frame carries."""
    reload = len(changes.changed) + len(changes.removed) > TASKS_SENT
    return {
        "type": "tasks.changed",
        "since": changes.since,
        "revision": changes.revision,
        "tasks": [] if reload else [task.as_json() for task in changes.changed],
        "removed": [] if reload else [str(key) for key in changes.removed],
        "counts": {"open": changes.open_count, "completed": changes.completed_count},
        "reload": reload,
    }


def pong_frame(n: int) -> dict[str, Any]:
    """Return the frame that answers a ping."""
    return {"type": "pong", "n": n}


def event_frame(event: Event, *, turn_id: uuid.UUID, attempt: int, n: int) -> dict[str, Any]:
    """Return the frame that carries an event of a turn's log; fields without a value are left out."""
    frame: dict[str, Any] = {"type": event.type, "turn_id": str(turn_id), "attempt": attempt, "n": n}
    for name in event.__slots__:
        value = getattr(event, name)
        value = warning_json(value) if name == "warning" else plain(value)
        if value is not None or name == "message":
            frame[name] = value
    if isinstance(event, Warned):
        frame["detail"] = event.detail
    return frame


def error_frame(error: ThreadkeeperError, client_id: object = None) -> dict[str, Any]:
    """Return the frame that reports an error, with a code that clients know."""
    codes = (getattr(kind, "code", "") for kind in type(error).__mro__)
    code = next((code for code in codes if code in CODES), BadFrame.code)
    frame: dict[str, Any] = {"type": "error", "code": code, "detail": error.detail}
    if client_id is not None:
        frame["client_id"] = str(client_id)
    if (retry_after := getattr(error, "retry_after", None)) is not None:
        frame["retry_after"] = retry_after
    return frame


def encode(frame: Mapping[str, Any]) -> str:
    """Return a frame's text, which UTF-8 can always hold: half of a surrogate pair stands in it escaped."""
    text = json.dumps(frame, ensure_ascii=False, separators=(",", ":"))
    try:
        text.encode()
    except UnicodeEncodeError:
        return json.dumps(frame, separators=(",", ":"))
    return text
