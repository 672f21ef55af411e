"""Approval requests before a tool call: a card whose buttons decide."""

import asyncio
from typing import Any

import pytest
from agents.testing import ModelCall, ModelStep, ScriptedModel, assistant_message, function_call
from pytest_django import Settings

from chat.infra.db_threads import in_database
from chat.models import Task, Turn
from chat.tasks import services as tasks
from chat.tests.approvals import DELETE
from chat.tests.chatkit.front_end import FrontEnd, completed_item, error_message, event_types, text_of
from chat.tests.conftest import Chat, StartRunner


async def request_approval(
    kit: FrontEnd, chat: Chat, script: ScriptedModel
) -> tuple[str, dict[str, Any], list[dict[str, Any]]]:
    """Let the assistant request approval to delete two tasks; return the thread ID, the card item and the events."""

    def fill() -> None:
        for title in ("Milk", "Bread", "Eggs"):
            tasks.create_task(user_id=chat.user.pk, title=title)

    await in_database(fill)
    script.enqueue([assistant_message("Gladly."), *DELETE])
    events = await kit.create_thread("Delete the first two tasks")
    await chat.wait_until_idle()
    return events[0]["thread"]["id"], completed_item(events, "widget"), events


def action_of_button(question: dict[str, Any], button: str) -> Any:
    return question["widget"][button]["action"]


async def test_approval_is_a_card_whose_buttons_decide(kit: FrontEnd, chat: Chat, script: ScriptedModel) -> None:
    thread_id, question, events = await request_approval(kit, chat, script)
    shown = [child["value"] for child in question["widget"]["children"]]
    assert shown == ["Delete 2 tasks?", "#1 Milk", "#2 Bread"]
    assert text_of(completed_item(events, "assistant_message")) == "Gladly."
    assert (await kit.items(thread_id))[1:] == [completed_item(events, "assistant_message"), question]
    assert await in_database(Task.objects.count) == 3

    script.enqueue([assistant_message("Both are gone.")])
    action = action_of_button(question, "confirm")
    events = await kit.send_action(thread_id, action["type"], action["payload"], question["id"])
    assert await in_database(Task.objects.count) == 1
    (card,) = [event["update"]["widget"] for event in events if event.get("item_id") == question["id"]]
    assert card["children"][0]["value"] == "Approved: delete 2 tasks"
    assert "confirm" not in card
    assert text_of(completed_item(events, "assistant_message")) == "Gladly.\n\nBoth are gone."
    shown = [text_of(item) if "content" in item else item["widget"] for item in await kit.items(thread_id)]
    assert shown == ["Delete the first two tasks", card, "Gladly.\n\nBoth are gone."]

    repeated = await kit.send_action(thread_id, action["type"], action["payload"], question["id"])
    assert error_message(repeated) == "This was decided already."


async def test_approval_of_a_custom_tool_shows_its_arguments(
    kit: FrontEnd, chat: Chat, script: ScriptedModel, settings: Settings
) -> None:
    settings.AGENT_EXTRA_TOOLS = "chat.tests.custom_tools.TOOLS"
    script.enqueue([function_call("send", {"text": "I am late. " * 100}, call_id="call_1")])
    question = completed_item(await kit.create_thread("Send it"), "widget")
    title, line = [child["value"] for child in question["widget"]["children"]]
    assert title == "Send?"
    assert line.startswith("text: I am late. I am late.") and len(line) < 600


async def test_declined_approval_changes_nothing(kit: FrontEnd, chat: Chat, script: ScriptedModel) -> None:
    thread_id, question, _ = await request_approval(kit, chat, script)
    script.enqueue([assistant_message("I leave them.")])
    action = action_of_button(question, "cancel")
    events = await kit.send_action(thread_id, action["type"], action["payload"], question["id"])
    assert text_of(completed_item(events, "assistant_message")).endswith("I leave them.")
    assert await in_database(Task.objects.count) == 3
    card = (await kit.items(thread_id))[1]["widget"]
    assert card["children"][0]["value"] == "Declined: delete 2 tasks"


@pytest.mark.parametrize("events_before", [2, 3, 4])
async def test_stream_has_no_error_when_its_turn_has_already_ended(
    kit: FrontEnd, chat: Chat, script: ScriptedModel, events_before: int
) -> None:
    thread_id, question, _ = await request_approval(kit, chat, script)
    thinking, released = asyncio.Event(), asyncio.Event()

    async def think(call: ModelCall) -> Any:
        thinking.set()
        await released.wait()
        return [assistant_message("All three stay.")]

    first_output = [assistant_message("I leave them."), function_call("list_tasks", {}, call_id="call_2")]
    script.extend([first_output, ModelStep.respond(think)])
    params = {"thread_id": thread_id, "item_id": question["id"], "action": action_of_button(question, "cancel")}
    stream = kit.stream("threads.custom_action", **params)
    async with asyncio.timeout(60):
        events = [await anext(stream), await anext(stream)]  # the second one follows the decision
        await thinking.wait()
        events += [await anext(stream) for _ in range(events_before - 2)]
        released.set()
        await chat.wait_until_idle()
        events += [event async for event in stream]
    assert "error" not in event_types(events)
    (answer,) = [item for item in await kit.items(thread_id) if item["type"] == "assistant_message"]
    assert text_of(answer).endswith("All three stay.")


@pytest.mark.parametrize("where", ["here", "in another process"])
async def test_turn_resumes_after_the_last_of_several_decisions(
    kit: FrontEnd, chat: Chat, script: ScriptedModel, start_runner: StartRunner, where: str
) -> None:
    second = function_call("delete_tasks", {"numbers": [3]}, call_id="call_2")

    def fill() -> None:
        for title in ("Milk", "Bread", "Eggs"):
            tasks.create_task(user_id=chat.user.pk, title=title)

    await in_database(fill)
    script.enqueue([*DELETE, second])
    events = await kit.create_thread("Delete all")
    await chat.wait_until_idle()
    thread_id = events[0]["thread"]["id"]
    cards = [event["item"] for event in events if event.get("item", {}).get("type") == "widget"]
    assert [card["widget"]["children"][0]["value"] for card in cards] == ["Delete 2 tasks?", "Delete task 3?"]

    action = action_of_button(cards[0], "cancel")
    if where == "here":
        events = await kit.send_action(thread_id, action["type"], action["payload"], cards[0]["id"])
        assert event_types(events) == ["stream_options", "widget.root.updated"], "the other approval still waits"
    else:
        turn = await in_database(Turn.objects.get)
        turn_params = {"user_id": chat.user.pk, "conversation_id": turn.conversation_id, "turn_id": turn.pk}
        await (await start_runner(script)).decide(**turn_params, call_id=action["payload"]["call_id"], approve=False)
    script.enqueue([assistant_message("Eggs are gone.")])
    action = action_of_button(cards[1], "confirm")
    events = await kit.send_action(thread_id, action["type"], action["payload"], cards[1]["id"])
    assert text_of(completed_item(events, "assistant_message")) == "Eggs are gone."
    assert await in_database(lambda: sorted(task.title for task in Task.objects.all())) == ["Bread", "Milk"]
