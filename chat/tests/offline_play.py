"""Run a whole conversation with the real runner, tools, session store and database."""

import asyncio
import uuid
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import time_machine

from chat.infra.db_threads import in_database
from chat.models import Task, User
from chat.tasks import services as tasks
from chat.tests.conftest import Chat
from chat.turns.events import ApprovalRequested, TurnFinished
from chat.turns.follow import follow
from chat.turns.runner import TurnRunner


@dataclass(frozen=True, slots=True)
class Played:
    """One turn: the message, the reply, and the user's tasks before and after, by number."""

    said: str
    reply: str
    before: dict[int, dict[str, Any]]
    after: dict[int, dict[str, Any]]


async def play(
    runner: TurnRunner,
    said: Sequence[str],
    *,
    now: datetime,
    time_zone: str = "Europe/Berlin",
    given: Sequence[dict[str, Any]] = (),
    approves: Collection[int] = (),
) -> list[Played]:
    """Run `converse` at a given time."""
    with time_machine.travel(now, tick=True):
        return await converse(runner, said, time_zone=time_zone, given=given, approves=approves)


async def converse(
    runner: TurnRunner,
    said: Sequence[str],
    *,
    time_zone: str = "Europe/Berlin",
    given: Sequence[dict[str, Any]] = (),
    approves: Collection[int] = (),
) -> list[Played]:
    """Send messages one after another in a conversation of a new user, who has the given tasks.

    An approval request is approved in the turns (from 0) that `approves` lists; in other turns, the request's text
    counts as the reply.
    """
    user = await in_database(_create_user, time_zone, given)
    chat = Chat(runner, user, uuid.uuid4())
    played = []
    for n, text in enumerate(said):
        before = await in_database(_tasks_of, user.pk)
        reply = await _reply_to(chat, text, before, approve=n in approves)
        played.append(Played(text, reply, before, await in_database(_tasks_of, user.pk)))
    return played


async def _reply_to(chat: Chat, text: str, before: dict[int, dict[str, Any]], *, approve: bool) -> str:
    accepted = await chat.send(text)
    async with asyncio.timeout(30):
        async for batch in follow(chat.runner.logs, accepted.turn.pk):
            for entry in batch.entries:
                event = entry.event
                if isinstance(event, ApprovalRequested):
                    await chat.settled()
                    if not approve:
                        return _approval_card(event, before)
                    await chat.decide(accepted.turn, event.call_id, True)
                elif isinstance(event, TurnFinished):
                    return event.message.text
    raise AssertionError(f"“{text}” was not answered")


def _approval_card(request: ApprovalRequested, tasks: dict[int, dict[str, Any]]) -> str:
    """Return the text of the approval card on the page."""
    lines = [f"- **{number}** {tasks[number]['title']}" for number in request.arguments["numbers"]]
    return "\n".join([f"Delete {len(lines)} tasks?", "", *lines])


def _create_user(time_zone: str, given: Sequence[dict[str, Any]]) -> User:
    user = User.objects.create_user(f"{uuid.uuid4().hex}@example.com", time_zone=time_zone)
    for fields in given:
        task = tasks.create_task(
            user_id=user.pk,
            title=fields["title"],
            description=fields.get("description") or "",
            due_date=tasks.parse_date(fields.get("due_date")),
            due_time=tasks.parse_time(fields.get("due_time")),
            priority=fields.get("priority") or "normal",
        )
        if fields.get("is_completed"):
            tasks.complete_task(user_id=user.pk, number=task.number)
    return user


def _tasks_of(user_id: uuid.UUID) -> dict[int, dict[str, Any]]:
    return {
        task.number: {
            "title": task.title,
            "description": task.description or None,
            "due_date": task.due_date.isoformat() if task.due_date else None,
            "due_time": f"{task.due_time:%H:%M}" if task.due_time else None,
            "priority": task.get_priority_display(),
            "is_completed": task.is_completed,
        }
        for task in Task.objects.owned_by(user_id)
    }
