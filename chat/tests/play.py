"""Play a whole conversation over the real runner, tools, session store and database."""

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
    """One turn: what was said, the reply, and the person's tasks before and after, by number."""

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
    """Let a new person, who has the given tasks, say one thing after another in one conversation at a moment."""
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
    """Let a new person, who has the given tasks, say one thing after another in one conversation.

    Where the assistant asks for an approval, the person gives it in the turns (from 0) that are named; in others the
    question is what they read.
    """
    user = await in_database(_person_with, time_zone, given)
    chat = Chat(runner, user, uuid.uuid4())
    played = []
    for n, text in enumerate(said):
        before = await in_database(_tasks_of, user.pk)
        reply = await _answer(chat, text, before, approve=n in approves)
        played.append(Played(text, reply, before, await in_database(_tasks_of, user.pk)))
    return played


async def _answer(chat: Chat, text: str, before: dict[int, dict[str, Any]], *, approve: bool) -> str:
    accepted = await chat.send(text)
    async with asyncio.timeout(30):
        async for seen in follow(chat.runner.logs, accepted.turn.pk):
            for entry in seen.entries:
                event = entry.event
                if isinstance(event, ApprovalRequested):
                    await chat.settled()
                    if not approve:
                        return _question(event, before)
                    await chat.decide(accepted.turn, event.call_id, True)
                elif isinstance(event, TurnFinished):
                    return event.message.text
    raise AssertionError(f"“{text}” was not answered")


def _question(asked: ApprovalRequested, tasks: dict[int, dict[str, Any]]) -> str:
    """Say what stands on the card that asks the person."""
    lines = [f"- **{number}** {tasks[number]['title']}" for number in asked.arguments["numbers"]]
    return "\n".join([f"Delete {len(lines)} tasks?", "", *lines])


def _person_with(time_zone: str, given: Sequence[dict[str, Any]]) -> User:
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
