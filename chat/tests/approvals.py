"""Fixtures of the approval tests: a user with three tasks, and a model that calls a tool to delete two of them."""

import uuid

import pytest
from agents.testing import ScriptedModel, assistant_message, function_call

from chat.infra.db_threads import in_database
from chat.models import Task, ToolCall, Turn, User
from chat.tasks import services as tasks
from chat.tests.conftest import Chat, StartRunner
from chat.turns.accept import Accepted
from chat.turns.events import ApprovalRequested

DELETE = [function_call("delete_tasks", {"numbers": [1, 2]}, call_id="call_1")]


@pytest.fixture
async def chat(start_runner: StartRunner, script: ScriptedModel, owner: User) -> Chat:
    """The owner, with three tasks, in a conversation that the scripted model answers."""

    def create_tasks() -> None:
        for title in ("Milk", "Bread", "Eggs"):
            tasks.create_task(user_id=owner.pk, title=title)

    await in_database(create_tasks)
    return Chat(await start_runner(script), owner, uuid.uuid4())


async def task_titles() -> list[str]:
    return await in_database(lambda: list(Task.objects.order_by("number").values_list("title", flat=True)))


async def turn_row(accepted: Accepted) -> Turn:
    return await in_database(lambda: Turn.objects.get(pk=accepted.turn.pk))


async def tool_call_row() -> ToolCall:
    return await in_database(ToolCall.objects.get)


async def request_approval(chat: Chat, script: ScriptedModel) -> Accepted:
    script.enqueue([assistant_message("Gladly."), *DELETE])
    accepted, event = await chat.request_approval("Delete the first two tasks")
    assert event == ApprovalRequested("call_1", "delete_tasks", {"numbers": [1, 2]})
    return accepted
