"""A model cannot act for another user: tools take no user argument, and task numbers belong to the turn's user."""

import json
import uuid
from typing import Any

import pytest
from agents.testing import ScriptedModel, assistant_message, function_call

from chat.assistant.tools import TOOLS
from chat.infra.db_threads import in_database
from chat.models import Task, User
from chat.tasks import services as tasks
from chat.tests.conftest import Chat
from chat.turns.events import TurnFinished

ATTEMPTS: list[tuple[str, dict[str, Any]]] = [
    ("list_tasks", {}),
    ("list_tasks", {"limit": 100, "offset": -5}),
    ("get_task", {"number": 7}),
    ("complete_task", {"number": 7}),
    ("update_task", {"number": 7, "title": "hacked", "completed": True}),
    ("delete_task", {"number": 7}),
]


def _tasks_of(outsider: User) -> list[object]:
    return list(Task.objects.owned_by(outsider.pk).order_by("number").values())


def _seven_tasks(outsider: User) -> None:
    for n in range(7):
        tasks.create_task(user_id=outsider.pk, title=f"Secret {n}")


async def output_of(chat: Chat, script: ScriptedModel, name: str, arguments: dict[str, Any]) -> str:
    script.extend([[function_call(name, arguments, call_id="call_1")], [assistant_message("Done.")]])
    last = await chat.run_turn("please")
    assert isinstance(last, TurnFinished), last
    call = script.last_call
    assert call is not None
    return json.dumps([item for item in call.input if item.get("type") == "function_call_output"])


@pytest.mark.parametrize(("name", "arguments"), ATTEMPTS)
async def test_no_tool_reaches_tasks_of_another_user(
    chat: Chat, script: ScriptedModel, outsider: User, name: str, arguments: dict[str, Any]
) -> None:
    await in_database(_seven_tasks, outsider)
    before = await in_database(_tasks_of, outsider)
    theirs = str(outsider.pk)
    for named in ({}, {"user_id": theirs}, {"user": theirs}, {"owner": theirs}, {"email": outsider.email}):
        output = await output_of(chat, script, name, {**arguments, **named})
        assert "Secret" not in output, named
    assert await in_database(_tasks_of, outsider) == before


async def test_create_task_refuses_a_user_id(chat: Chat, script: ScriptedModel, outsider: User) -> None:
    arguments = {"title": "Yours", "user_id": str(outsider.pk), "task_id": str(uuid.uuid4())}

    output = await output_of(chat, script, "create_task", arguments)

    assert '\\"ok\\": false' in output
    assert await in_database(Task.objects.count) == 0


def test_no_tool_has_an_argument_for_a_user() -> None:
    for tool in TOOLS:
        assert not {name for name in tool.model_fields if "user" in name or "owner" in name or name.endswith("_id")}
