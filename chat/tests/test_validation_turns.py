"""A turn whose model returns an invalid response ends, and the conversation continues."""

import json

import pytest
from agents.testing import ScriptedModel, assistant_message, function_call

from chat.infra.db_threads import in_database
from chat.models import Task, ToolCall
from chat.tests.conftest import Chat
from chat.turns.events import TurnFailed


async def call_errors(chat: Chat) -> list[str]:
    """Return the errors of the tool outputs in the session."""
    return [json.loads(item["output"])["error"] for item in await chat.session() if "output" in item]


async def test_model_can_call_again_after_an_invalid_call(chat: Chat, script: ScriptedModel) -> None:
    script.enqueue([function_call("create_task", '{"title": "Te', call_id="c1")])
    script.enqueue([function_call("", "{}", call_id="c2"), function_call("make_tea", "{}", call_id="c3")])
    script.extend([[assistant_message("I cannot.")], [assistant_message("Yes.")]])

    assert await chat.reply("Add tea") == "I cannot."
    await chat.wait_until_idle()

    calls = [item for item in await chat.session() if item.get("type") == "function_call"]
    assert [(call["name"], call["arguments"]) for call in calls] == [
        ("create_task", "{}"), ("unknown_tool", "{}"), ("make_tea", "{}"),
    ]  # fmt: skip
    assert await call_errors(chat) == ["invalid_arguments", "unknown_tool", "unknown_tool"]
    assert await in_database(Task.objects.count) == 0
    assert (await in_database(ToolCall.objects.get)).arguments == {}
    assert await chat.reply("Still there?") == "Yes."


async def test_invalid_call_needs_no_approval(chat: Chat, script: ScriptedModel) -> None:
    script.enqueue([function_call("delete_tasks", '{"numbers": [1, 2]', call_id="c1")])
    script.enqueue([assistant_message("Which ones?")])

    assert await chat.reply("Delete both") == "Which ones?"


async def test_invalid_call_stays_invalid_when_its_turn_is_retried(chat: Chat, script: ScriptedModel) -> None:
    script.extend([[function_call("make tea", "{}", call_id="c1")], [assistant_message(" ")]])
    accepted = await chat.send("Tea")
    assert isinstance((await chat.follow_to_end(accepted.turn))[-1].event, TurnFailed)
    await chat.wait_until_idle()

    script.enqueue([assistant_message("There is none.")])
    await chat.follow_to_end((await chat.retry(accepted.turn)).turn)
    await chat.wait_until_idle()

    assert await call_errors(chat) == ["unknown_tool"]


@pytest.mark.parametrize("text", ["", " \n\t"])
async def test_blank_response_fails_the_turn(chat: Chat, script: ScriptedModel, text: str) -> None:
    script.extend([[assistant_message(text)], [assistant_message("Yes.")]])

    failed = await chat.run_turn("Hello")
    assert isinstance(failed, TurnFailed)
    assert (failed.detail, failed.retryable) == ("The assistant gave no answer.", True)
    await chat.wait_until_idle()
    assert [item["role"] for item in await chat.session()] == ["user"]
    assert await chat.reply("Still there?") == "Yes."
