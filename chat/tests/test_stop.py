"""A user stops a reply: its text so far is stored, and the model is given it in later turns."""

import asyncio
import threading
import uuid
from datetime import timedelta

import pytest
from agents.testing import ScriptedModel, assistant_message, function_call

from chat.exceptions import NotFound
from chat.infra.db_threads import in_database
from chat.models import Message, Task, Turn, User
from chat.models.turn import Status
from chat.tests.conftest import Chat, Gate, StartRunner
from chat.turns import begin, housekeeping, turn_input
from chat.turns.events import TurnFinished, TurnStopped
from chat.turns.turn_input import TurnInput


async def test_text_of_a_stopped_turn_is_given_to_the_next_turn(chat: Chat, script: ScriptedModel) -> None:
    gate = Gate("Once upon ", "a time")
    script.enqueue(gate.step())
    accepted = await chat.send("tell me")
    await gate.reached.wait()

    await chat.runner.stop(user_id=chat.user.pk, conversation_id=chat.conversation_id, turn_id=accepted.turn.pk)
    last = (await chat.follow_to_end(accepted.turn))[-1].event

    assert isinstance(last, TurnStopped)
    assert last.message is not None
    assert last.message.text == "Once upon a time"
    script.enqueue([assistant_message("Sure.")])
    await chat.reply("go on")
    call = script.last_call
    assert call is not None
    assert [item["content"] for item in call.input] == ["tell me", "Once upon a time", "go on"]


async def test_stopped_turn_keeps_its_completed_tool_call(chat: Chat, script: ScriptedModel) -> None:
    gate = Gate("I have ")
    script.extend([[function_call("create_task", {"title": "Buy milk"}, call_id="call_1")], gate.step()])
    accepted = await chat.send("Add milk")
    await gate.reached.wait()

    await chat.runner.stop(user_id=chat.user.pk, conversation_id=chat.conversation_id, turn_id=accepted.turn.pk)
    await chat.follow_to_end(accepted.turn)

    turn = await in_database(Turn.objects.get)
    assert turn.status == Status.STOPPED
    kinds = [item.get("type", item.get("role")) for item in turn.items]
    assert kinds == ["user", "function_call", "function_call_output", "assistant"]
    assert await in_database(Task.objects.count) == 1


async def test_turn_stopped_before_its_first_word_stores_no_reply(chat: Chat, script: ScriptedModel) -> None:
    gate = Gate()
    script.enqueue(gate.step())
    accepted = await chat.send("hi")
    await gate.reached.wait()

    await chat.runner.stop(user_id=chat.user.pk, conversation_id=chat.conversation_id, turn_id=accepted.turn.pk)
    last = (await chat.follow_to_end(accepted.turn))[-1].event

    assert last == TurnStopped(None)
    assert await in_database(Message.objects.count) == 1


async def test_queued_message_is_answered_after_a_stop(
    start_runner: StartRunner, script: ScriptedModel, owner: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    # So that housekeeping does not start the queued turn.
    monkeypatch.setattr(housekeeping, "RENEWAL", timedelta(hours=1))
    chat = Chat(await start_runner(script), owner, uuid.uuid4())
    gate = Gate()
    script.enqueue(gate.step())
    script.enqueue([assistant_message("Second.")])
    first, second = await chat.send("one"), await chat.send("two")
    await gate.reached.wait()

    await chat.runner.stop(user_id=chat.user.pk, conversation_id=chat.conversation_id, turn_id=first.turn.pk)

    assert isinstance((await chat.follow_to_end(second.turn))[-1].event, TurnFinished)


async def test_turn_cannot_be_stopped_by_another_user_or_from_another_conversation(
    chat: Chat, script: ScriptedModel, outsider: User
) -> None:
    gate = Gate()
    script.enqueue(gate.step())
    running, queued = await chat.send("hi"), await chat.send("and")
    await gate.reached.wait()

    for user_id, conversation_id in [(outsider.pk, chat.conversation_id), (chat.user.pk, uuid.uuid4())]:
        for accepted in (running, queued):
            with pytest.raises(NotFound):
                await chat.runner.stop(user_id=user_id, conversation_id=conversation_id, turn_id=accepted.turn.pk)

    assert running.turn.pk in chat.runner.turns.ids
    assert (await in_database(Turn.objects.get, pk=queued.turn.pk)).status == Status.QUEUED


async def test_stopping_an_ended_turn_changes_nothing(chat: Chat, script: ScriptedModel) -> None:
    script.enqueue([assistant_message("Done.")])
    accepted = await chat.send("hi")
    await chat.follow_to_end(accepted.turn)
    await chat.wait_until_idle()

    await chat.runner.stop(user_id=chat.user.pk, conversation_id=chat.conversation_id, turn_id=accepted.turn.pk)

    assert (await in_database(Turn.objects.get)).status == Status.DONE


async def test_queued_turn_can_be_stopped(chat: Chat, script: ScriptedModel) -> None:
    gate = Gate()
    script.enqueue(gate.step())
    await chat.send("one")
    second = await chat.send("two")
    await gate.reached.wait()

    await chat.runner.stop(user_id=chat.user.pk, conversation_id=chat.conversation_id, turn_id=second.turn.pk)

    assert (await chat.follow_to_end(second.turn))[-1].event == TurnStopped(None)
    assert (await in_database(Turn.objects.get, pk=second.turn.pk)).status == Status.STOPPED


async def test_turn_of_another_process_is_stopped(
    start_runner: StartRunner, script: ScriptedModel, owner: User
) -> None:
    gate = Gate("Once upon a time")
    script.enqueue(gate.step())
    remote = Chat(await start_runner(script), owner, uuid.uuid4())
    local_runner = await start_runner(ScriptedModel())
    accepted = await remote.send("tell me of my tasks")
    await gate.reached.wait()

    await local_runner.stop(user_id=owner.pk, conversation_id=remote.conversation_id, turn_id=accepted.turn.pk)
    last = (await remote.follow_to_end(accepted.turn))[-1].event

    assert isinstance(last, TurnStopped)
    assert last.message is not None
    assert last.message.text == "Once upon a time"


async def test_turn_is_stopped_while_it_begins(
    chat: Chat, script: ScriptedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    stored, proceed = threading.Event(), threading.Event()
    read_input = turn_input.read_turn_input

    def wait_before_reading(turn: Turn) -> TurnInput:
        stored.set()
        proceed.wait(10)
        return read_input(turn)

    monkeypatch.setattr(begin, "read_turn_input", wait_before_reading)
    script.enqueue(Gate().step())
    sending = asyncio.create_task(chat.send("hi"))
    await asyncio.to_thread(stored.wait, 10)
    turn = await in_database(Turn.objects.get)
    await chat.runner.stop(user_id=chat.user.pk, conversation_id=chat.conversation_id, turn_id=turn.pk)
    proceed.set()
    await sending

    assert isinstance((await chat.follow_to_end(turn))[-1].event, TurnStopped)
    await chat.wait_until_idle()
    assert (await in_database(Turn.objects.get)).status == Status.STOPPED


async def test_retry_stopped_before_it_begins_keeps_earlier_tool_calls(
    chat: Chat, script: ScriptedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, again = Gate(), Gate()
    script.extend([[function_call("create_task", {"title": "Buy milk"}, call_id="call_1")], first.step()])
    scope = {"user_id": chat.user.pk, "conversation_id": chat.conversation_id}
    original = await chat.send("Add milk")
    await first.reached.wait()
    await chat.runner.stop(**scope, turn_id=original.turn.pk)
    await chat.wait_until_idle()
    script.enqueue(again.step())

    def read_input_of_stopped_turn(turn: Turn) -> TurnInput:
        turn.stop_asked = True
        return turn_input.read_turn_input(turn)

    monkeypatch.setattr(begin, "read_turn_input", read_input_of_stopped_turn)
    second = await chat.runner.retry(**scope, turn_id=original.turn.pk, client_id=uuid.uuid4())
    assert isinstance((await chat.follow_to_end(second.turn))[-1].event, TurnStopped)

    items = (await in_database(Turn.objects.get, pk=second.turn.pk)).items
    assert [item.get("type", item.get("role")) for item in items] == ["user", "function_call", "function_call_output"]
