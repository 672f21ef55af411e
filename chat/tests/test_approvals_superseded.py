"""An undecided approval request is superseded by another message, and by stopping the turn."""

import asyncio

import pytest
from agents import Usage
from agents.items import TResponseOutputItem
from agents.testing import ModelCall, ModelStep, ScriptedModel, assistant_message

from chat.exceptions import Conflict
from chat.infra.db_threads import in_database
from chat.models import Message, Turn
from chat.models.turn import Status
from chat.tests.approvals import DELETE, chat, request_approval, task_titles, tool_call_row, turn_row
from chat.tests.conftest import Chat
from chat.turns.events import (
    ApprovalDecided,
    ApprovalRequested,
    TurnFinished,
    TurnStopped,
    reply_id,
)

__all__ = ["chat"]


async def test_later_message_supersedes_the_approval_request(chat: Chat, script: ScriptedModel) -> None:
    accepted = await request_approval(chat, script)
    script.enqueue([assistant_message("It is Friday.")])
    following = asyncio.create_task(chat.follow_to_end(accepted.turn))
    assert await chat.reply("What day is it for my tasks?") == "It is Friday."

    events = [entry.event for entry in await following]
    assert ApprovalDecided("call_1", False, "superseded") in events
    last = events[-1]
    assert isinstance(last, TurnStopped)
    assert last.message is not None
    assert last.message.text == "Gladly."
    assert last.message.id == reply_id(accepted.turn.pk)
    assert len(await task_titles()) == 3
    model_saw = script.last_call
    assert model_saw is not None
    kinds = [item.get("type", item.get("role")) for item in model_saw.input]
    assert kinds == ["user", "message", "function_call", "function_call_output", "user"]
    with pytest.raises(Conflict):
        await chat.decide(accepted.turn, "call_1", True)
    messages = await in_database(lambda: list(Message.objects.order_by("position").values_list("text", "position")))
    assert messages == [
        ("Delete the first two tasks", 1),
        ("Gladly.", 2),
        ("What day is it for my tasks?", 3),
        ("It is Friday.", 4),
    ]
    newest = await in_database(lambda: Turn.objects.get(seq=2))
    assert newest.warning == "", "the session was not intact"


async def test_message_queued_before_the_approval_request_supersedes_it(chat: Chat, script: ScriptedModel) -> None:
    gate = asyncio.Event()

    async def respond_later(_: ModelCall) -> list[TResponseOutputItem]:
        await gate.wait()
        return [*DELETE]

    script.extend([ModelStep.respond(respond_later), [assistant_message("Yes?")]])
    first, second = await chat.send("Delete the first two tasks"), await chat.send("Wait")
    gate.set()

    assert isinstance((await chat.follow_to_end(first.turn))[-1].event, TurnStopped)
    assert isinstance((await chat.follow_to_end(second.turn))[-1].event, TurnFinished)
    assert (await tool_call_row()).decided_by == "superseded"
    assert len(await task_titles()) == 3


async def test_waiting_turn_is_stopped_and_its_retry_requests_approval_again(chat: Chat, script: ScriptedModel) -> None:
    accepted = await request_approval(chat, script)
    await chat.runner.stop(user_id=chat.user.pk, conversation_id=chat.conversation_id, turn_id=accepted.turn.pk)
    assert isinstance((await chat.follow_to_end(accepted.turn))[-1].event, TurnStopped)
    assert len(await task_titles()) == 3

    again = await chat.retry(accepted.turn)
    await chat.until(again.turn, ApprovalRequested)
    await chat.wait_until_idle()
    script.enqueue([assistant_message("Both are gone.")])
    await chat.decide(again.turn, "call_1", True)
    await chat.follow_to_end(again.turn)
    await chat.wait_until_idle()
    assert await task_titles() == ["Eggs"]
    assert len(script.calls) == 2
    assert await chat.session() == (await turn_row(again)).items


async def test_turn_stopped_by_another_process_does_not_wait_for_approval(chat: Chat, script: ScriptedModel) -> None:
    gate = asyncio.Event()

    async def respond_later(_: ModelCall) -> list[TResponseOutputItem]:
        await gate.wait()
        return [*DELETE]

    script.enqueue(ModelStep.respond(respond_later))
    accepted = await chat.send("Delete the first two tasks")
    await in_database(lambda: Turn.objects.filter(pk=accepted.turn.pk).update(stop_asked=True))
    gate.set()

    assert isinstance((await chat.follow_to_end(accepted.turn))[-1].event, TurnStopped)
    assert (await turn_row(accepted)).status == Status.STOPPED
    assert (await tool_call_row()).decided_by == "superseded"


async def test_superseded_approval_request_counts_its_tokens(chat: Chat, script: ScriptedModel) -> None:
    script.set_default_usage(Usage(requests=1, input_tokens=30, output_tokens=4, total_tokens=34))
    accepted = await request_approval(chat, script)
    await chat.runner.stop(user_id=chat.user.pk, conversation_id=chat.conversation_id, turn_id=accepted.turn.pk)

    assert (await turn_row(accepted)).usage == {"input_tokens": 30, "output_tokens": 4}
