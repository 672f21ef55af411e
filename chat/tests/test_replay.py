"""A turn that was cut off is finished by another process, and nothing is done twice."""

import asyncio
import uuid
from datetime import timedelta

import pytest
from agents.testing import ScriptedModel, assistant_message, function_call
from django.utils import timezone

from chat.infra.db_threads import in_database
from chat.memory.identity import SessionId
from chat.models import Message, Task, ToolCall, Turn, TurnStep, User
from chat.models.turn import Status
from chat.tests.conftest import Chat, Gate, StartRunner
from chat.turns import housekeeping
from chat.turns.events import TurnFinished, TurnResumed
from chat.turns.runner import TurnRunner


async def abandon(runner: TurnRunner) -> None:
    """Stop a runner as a `kill -9` would: nothing is written or released, except that its lock is free."""
    for running in runner.turns._running.values():
        running.task.cancel()
        running.execution.cancel()
    await asyncio.sleep(0)
    await runner._housekeeping.end_task()
    await runner._housekeeping.release_lock()
    await in_database(
        lambda: Turn.objects.filter(owner=runner.owner).update(lease_until=timezone.now() - timedelta(seconds=1))
    )


async def test_turn_cut_off_after_a_tool_call_is_finished_without_a_second_call(
    start_runner: StartRunner, script: ScriptedModel, owner: User
) -> None:
    gate = Gate()
    script.extend([[function_call("create_task", {"title": "Buy milk"}, call_id="call_1")], gate.step()])
    first = await start_runner(script)
    chat = Chat(first, owner, uuid.uuid4())
    accepted = await chat.send("Add milk")
    await gate.reached.wait()
    await abandon(first)

    second_script = ScriptedModel([[assistant_message("Added.")]])
    chat.runner = await start_runner(second_script)
    entries = await chat.follow_to_end(accepted.turn)
    await chat.wait_until_idle()

    resumed = entries[0].event
    assert isinstance(resumed, TurnResumed)
    assert [tool.call_id for tool in resumed.tools] == ["call_1"]
    assert isinstance(entries[-1].event, TurnFinished)
    assert await in_database(Task.objects.count) == 1
    assert await in_database(ToolCall.objects.count) == 1
    assert await in_database(TurnStep.objects.count) == 2
    assert len(second_script.calls) == 1, "the stored response is not requested again"
    turn = await in_database(Turn.objects.get)
    assert (turn.status, turn.attempt) == (Status.DONE, 2)
    rows = await chat.runner.store.rows(str(SessionId(owner.pk, chat.conversation_id)))
    assert [row.item for row in rows] == turn.items, "the session has the turn's items once"


async def test_queued_messages_are_answered_in_order_after_a_restart(
    start_runner: StartRunner, script: ScriptedModel, owner: User
) -> None:
    gate = Gate()
    script.enqueue(gate.step())
    first = await start_runner(script)
    chat = Chat(first, owner, uuid.uuid4())
    turns = [(await chat.send(f"message {n}")).turn for n in range(4)]
    await gate.reached.wait()
    await abandon(first)

    chat.runner = await start_runner(ScriptedModel([[assistant_message(f"reply {n}")] for n in range(4)]))
    for turn in turns:
        await chat.follow_to_end(turn)
    await chat.wait_until_idle()

    texts = await in_database(
        lambda: list(Message.objects.order_by("turn__seq", "position").values_list("text", flat=True))
    )
    assert texts == [text for n in range(4) for text in (f"message {n}", f"reply {n}")]


async def test_turn_of_a_live_process_is_not_taken_over(
    start_runner: StartRunner, script: ScriptedModel, owner: User
) -> None:
    gate = Gate()
    script.enqueue(gate.step())
    first = await start_runner(script)
    await Chat(first, owner, uuid.uuid4()).send("hi")
    await gate.reached.wait()
    await in_database(lambda: Turn.objects.update(lease_until=timezone.now() + timedelta(seconds=1)))

    second = await start_runner(ScriptedModel())

    assert not second.turns.ids
    assert (await in_database(Turn.objects.get)).owner == first.owner


async def test_turn_released_at_shutdown_is_taken_over_at_once(
    start_runner: StartRunner, script: ScriptedModel, owner: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(housekeeping, "RENEWAL", timedelta(hours=1))  # so that housekeeping does not find it later
    gate = Gate()
    script.enqueue(gate.step())
    chat = Chat(await start_runner(script), owner, uuid.uuid4())
    accepted = await chat.send("hi")
    await gate.reached.wait()
    await chat.runner.drain(0)

    chat.runner = await start_runner(ScriptedModel([[assistant_message("Hello!")]]))
    entries = await chat.follow_to_end(accepted.turn)

    assert isinstance(entries[-1].event, TurnFinished)
