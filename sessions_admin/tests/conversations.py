"""Conversations as turns leave them: in the database, the session store and the metadata."""

import uuid
from collections.abc import Sequence
from datetime import datetime, timedelta
from pathlib import Path

from django.db import transaction
from django.utils import timezone

from chat.memory.identity import SessionId
from chat.memory.items import Item
from chat.memory.metadata import update_metadata
from chat.memory.statements import Append, Fence, Size
from chat.models import AgentSession, Conversation, Message, Turn, User
from chat.models.conversation import Role
from chat.models.turn import Status
from sessions_admin.tests.conftest import write


def make_conversation(user: User, path: Path, *, turns: int = 3, idle: timedelta = timedelta(0)) -> AgentSession:
    """Make a conversation of some turns; return its `AgentSession`."""
    then = timezone.now() - idle
    conversation = Conversation.objects.create(
        user=user, title="Party", updated_at=then, last_seq=turns, last_position=2 * turns
    )
    history = [_items(seq) for seq in range(1, turns + 1)]
    with transaction.atomic():
        for seq, items in enumerate(history, 1):
            _turn(conversation, seq, items, then)
        session_id = SessionId(user.pk, conversation.pk)
        update_metadata(session_id, size=_remember(path, str(session_id), history), now=then)
    return AgentSession.objects.select_related("conversation").get(conversation=conversation)


def _items(seq: int) -> list[Item]:
    message = {"role": "user", "content": f"message {seq} of the party – café"}
    reply = [{"type": "output_text", "text": f"reply {seq}", "annotations": []}]
    return [message, {"type": "message", "role": "assistant", "content": reply}]


def _turn(conversation: Conversation, seq: int, items: Sequence[Item], then: datetime) -> None:
    turn_id, client_id = uuid.uuid4(), uuid.uuid4()
    prompt = Message.objects.create(
        conversation=conversation,
        turn_id=turn_id,
        role=Role.USER,
        text=items[0]["content"],
        position=2 * seq - 1,
        client_id=client_id,
        created_at=then,
    )
    Turn.objects.create(
        id=turn_id,
        conversation=conversation,
        user_id=conversation.user_id,
        prompt=prompt,
        client_id=client_id,
        seq=seq,
        status=Status.DONE,
        items=items,
        accepted_at=then,
        started_at=then,
        ended_at=then,
    )
    reply = {"turn_id": turn_id, "role": Role.ASSISTANT, "text": f"reply {seq}", "position": 2 * seq}
    Message.objects.create(conversation=conversation, created_at=then, **reply)


def _remember(path: Path, session_id: str, history: Sequence[Sequence[Item]]) -> Size:
    return write(path, [Append(session_id, Fence(seq, 1), items) for seq, items in enumerate(history, 1)])
