"""Conversations written directly into the database, for tests of their display."""

import json
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from itertools import count
from typing import Any

from django.db import connection, transaction
from django.utils import timezone

from chat.models import Conversation, Message, ToolCall, Turn, User
from chat.models.conversation import Role
from chat.models.turn import ACTIVE, Status

_milliseconds = count()


def conversation(user: User, title: str = "Groceries", *, at: datetime | None = None) -> Conversation:
    """Create a conversation."""
    return Conversation.objects.create(user=user, title=title, updated_at=at or timezone.now())


def add_turn(
    talk: Conversation,
    text: str,
    reply: str | None = "Done.",
    *,
    status: Status = Status.DONE,
    calls: int = 0,
    retry_of: Turn | None = None,
    error: str = "",
    so_far: str = "",
) -> Turn:
    """Add a turn in the state in which the runner leaves it."""
    now = timezone.now() + timedelta(milliseconds=next(_milliseconds))
    talk.last_seq += 1
    turn = Turn(
        conversation=talk,
        user=talk.user,
        client_id=uuid.uuid4(),
        seq=talk.last_seq,
        status=status,
        replaces=retry_of,
        text=so_far,
        error_code="model" if error else "",
        error_detail=error,
        accepted_at=now,
        ended_at=None if status in ACTIVE else now,
    )
    if status == Status.RUNNING:
        turn.owner, turn.lease_until = uuid.uuid4(), now + timedelta(minutes=1)
    with transaction.atomic():
        turn.prompt = retry_of.prompt if retry_of else add_message(talk, turn, Role.USER, text, now)
        turn.save(force_insert=True)
        if retry_of:
            Turn.objects.filter(pk=retry_of.pk).update(superseded_by=turn)
        for n in range(calls):
            output = json.dumps({"ok": True, "task": {"number": n + 1, "title": text}})
            ToolCall.objects.create(
                turn=turn, call_id=f"c{n}", name="create_task", arguments={"title": text}, output=output
            )
        if reply is not None:
            add_message(talk, turn, Role.ASSISTANT, reply, now)
        talk.save()
    return turn


def add_message(talk: Conversation, turn: Turn, role: Role, text: str, at: datetime) -> Message:
    """Add a message."""
    talk.last_position += 1
    return Message.objects.create(
        conversation=talk,
        turn=turn,
        role=role,
        text=text,
        position=talk.last_position,
        client_id=turn.client_id if role == Role.USER else None,
        created_at=at,
    )


@contextmanager
def turn_ends_during_read(turn: Turn) -> Iterator[None]:
    """End a turn with a reply right after the first query of messages."""
    has_ended = False

    def execute_and_end_turn(execute: Callable[..., Any], sql: str, *args: Any) -> Any:
        nonlocal has_ended
        result = execute(sql, *args)
        if not has_ended and sql.startswith("SELECT") and 'FROM "chat_message"' in sql:
            has_ended = True
            add_message(turn.conversation, turn, Role.ASSISTANT, "Done.", timezone.now())
            Turn.objects.filter(pk=turn.pk).update(status=Status.DONE, ended_at=timezone.now(), owner=None)
        return result

    with connection.execute_wrapper(execute_and_end_turn):
        yield
    assert has_ended
