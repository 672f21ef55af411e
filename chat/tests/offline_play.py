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
from chat.tasks import services
from chat.tests.conftest import Chat
from chat.turns.events import ApprovalRequested, TurnFinished
from chat.turns.follow import follow
from chat.turns.runner import TurnRunner


@dataclass(frozen=True, slots=True)
class TurnResult:
    """One turn: the message, the reply, and the user's tasks before and after, by number."""

    message: str
    reply: str
    before: dict[int, dict[str, Any]]
    after: dict[int, dict[str, Any]]


async def play(
    runner: TurnRunner,
    messages: Sequence[str],
    *,
    now: datetime,
    time_zone: str = "Europe/Berlin",
    tasks: Sequence[dict[str, Any]] = (),
    approved_turns: Collection[int] = (),
) -> list[TurnResult]:
    """Run `converse` at a given time."""
    with time_machine.travel(now, tick=True):
        return await converse(runner, messages, time_zone=time_zone, tasks=tasks, approved_turns=approved_turns)


async def converse(
    runner: TurnRunner,
    messages: Sequence[str],
    *,
    time_zone: str = "Europe/Berlin",
    tasks: Sequence[dict[str, Any]] = (),
    approved_turns: Collection[int] = (),
) -> list[TurnResult]:
    """Send messages one after another in a conversation of a new user, who has these tasks.

    An approval request is approved in the turns (from 0) that `approved_turns` lists; in other turns, the request's
    text counts as the reply.
    """
    user = await in_database(_create_user, time_zone, tasks)
    chat = Chat(runner, user, uuid.uuid4())
    results = []
    for n, text in enumerate(messages):
        before = await in_database(_tasks_of, user.pk)
        reply = await _reply_to(chat, text, before, approve=n in approved_turns)
        results.append(TurnResult(text, reply, before, await in_database(_tasks_of, user.pk)))
    return results


async def _reply_to(chat: Chat, text: str, before: dict[int, dict[str, Any]], *, approve: bool) -> str:
    accepted = await chat.send(text)
    async with asyncio.timeout(30):
        async for batch in follow(chat.runner.logs, accepted.turn.pk):
            for entry in batch.entries:
                event = entry.event
                if isinstance(event, ApprovalRequested):
                    await chat.wait_until_idle()
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


def _create_user(time_zone: str, tasks: Sequence[dict[str, Any]]) -> User:
    user = User.objects.create_user(f"{uuid.uuid4().hex}@example.com", time_zone=time_zone)
    for fields in tasks:
        task = services.create_task(
            user_id=user.pk,
            title=fields["title"],
            description=fields.get("description") or "",
            due_date=services.parse_date(fields.get("due_date")),
            due_time=services.parse_time(fields.get("due_time")),
            priority=fields.get("priority") or "normal",
        )
        if fields.get("is_completed"):
            services.complete_task(user_id=user.pk, number=task.number)
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
