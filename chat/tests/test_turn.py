"""A turn runs from a message to its stored reply."""

import asyncio

import pytest
from agents.testing import ScriptedModel, assistant_message, function_call

from chat.infra import notifications
from chat.infra.db_threads import in_database
from chat.models import Message, Task, ToolCall, Turn, TurnStep
from chat.tests.conftest import Chat, Gate
from chat.turns.events import TextDelta, ToolFinished, ToolStarted, TurnFinished, TurnStarted, reply_id


async def test_reply_to_a_message_is_streamed_and_stored(chat: Chat, script: ScriptedModel) -> None:
    script.enqueue([assistant_message("Hello there!")])

    accepted = await chat.send("hi")
    entries = await chat.follow_to_end(accepted.turn)
    await chat.wait_until_idle()

    assert isinstance(entries[0].event, TurnStarted)
    assert "".join(e.event.text for e in entries if isinstance(e.event, TextDelta)) == "Hello there!"
    last = entries[-1].event
    assert isinstance(last, TurnFinished)
    assert last.message.id == reply_id(accepted.turn.pk), "the reply's id is known from the start of the turn"
    messages = await in_database(
        lambda: list(Message.objects.order_by("position").values_list("role", "text", "position"))
    )
    assert messages == [("user", "hi", 1), ("assistant", "Hello there!", 2)]


async def test_tool_call_is_executed_and_journaled(chat: Chat, script: ScriptedModel) -> None:
    script.extend(
        [
            [function_call("create_task", {"title": "Buy milk"}, call_id="call_1")],
            [assistant_message("Added task 1.")],
        ]
    )

    accepted = await chat.send("Add a task to buy milk")
    entries = await chat.follow_to_end(accepted.turn)
    await chat.wait_until_idle()

    events = [e.event for e in entries]
    assert [type(e).__name__ for e in events if isinstance(e, ToolStarted | ToolFinished)] == [
        "ToolStarted",
        "ToolFinished",
    ]
    task = await in_database(Task.objects.get)
    assert (task.title, task.number, task.user_id) == ("Buy milk", 1, chat.user.pk)
    call = await in_database(ToolCall.objects.get)
    assert (call.name, call.arguments) == ("create_task", {"title": "Buy milk"})
    assert await in_database(TurnStep.objects.count) == 2
    turn = await in_database(Turn.objects.get)
    assert [item.get("type", "message") for item in turn.items] == [
        "message",
        "function_call",
        "function_call_output",
        "message",
    ]


async def test_message_is_answered_although_its_sender_is_cancelled(chat: Chat, script: ScriptedModel) -> None:
    script.enqueue([assistant_message("Hello there!")])
    sending = asyncio.create_task(chat.send("hi"))
    await asyncio.sleep(0)
    sending.cancel()
    with pytest.raises(asyncio.CancelledError):
        await sending
    await chat.wait_until_idle()

    turn = await in_database(Turn.objects.get)
    assert (turn.status, turn.attempt) == ("done", 1)


async def test_next_turn_begins_although_a_notification_fails(
    chat: Chat, script: ScriptedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def broken(*_: object) -> None:
        raise RuntimeError("nobody foresaw this")

    gate = Gate()
    script.extend([gate.step(), [assistant_message("Second.")]])
    first = await chat.send("one")
    second = await chat.send("two")
    await gate.reached.wait()
    monkeypatch.setattr(notifications, "conversation_updated", broken)

    await chat.runner.stop(user_id=chat.user.pk, conversation_id=chat.conversation_id, turn_id=first.turn.pk)

    assert isinstance((await chat.follow_to_end(second.turn))[-1].event, TurnFinished)
