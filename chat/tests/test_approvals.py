"""Deleting several tasks needs the user's approval: requested once, decided once, whatever happens in between."""

import asyncio
import uuid

import pytest
from agents.testing import ScriptedModel, assistant_message, function_call
from django.utils import timezone
from pytest_django import Settings

from chat.assistant.context import Call
from chat.exceptions import Conflict, NotFound, TurnLost
from chat.infra import notifications
from chat.infra.db_threads import in_database
from chat.memory.items import faults
from chat.models import ToolCall, Turn, User
from chat.models.turn import Status
from chat.tasks import services as tasks
from chat.tests.approvals import DELETE, chat, request_approval, task_titles, tool_call_row, turn_row
from chat.tests.conftest import Chat, Gate, StartRunner
from chat.turns import follow as follow_module
from chat.turns.events import (
    ApprovalDecided,
    ApprovalRequested,
    Snapshot,
    TextDelta,
    ToolFinished,
    TurnFinished,
    TurnQueued,
    TurnResumed,
    TurnStopped,
)
from chat.turns.journal import perform
from chat.turns.lease import LEASE_TIME, lease_of

__all__ = ["chat"]


async def test_nothing_is_deleted_before_the_decision(chat: Chat, script: ScriptedModel) -> None:
    accepted = await request_approval(chat, script)

    turn = await turn_row(accepted)
    assert (turn.status, turn.owner, turn.lease_until, turn.ended_at) == (Status.WAITING, None, None, None)
    assert turn.text == "Gladly."
    assert len(await task_titles()) == 3
    assert await chat.session() == [], "the session has a call without an output"


async def test_approved_call_runs_once_and_the_turn_resumes(chat: Chat, script: ScriptedModel) -> None:
    accepted = await request_approval(chat, script)
    script.enqueue([assistant_message("Both are gone.")])
    await chat.decide(accepted.turn, "call_1", True)
    entries = await chat.follow_to_end(accepted.turn)
    await chat.wait_until_idle()

    assert await task_titles() == ["Eggs"]
    decided, resumed = entries[0].event, entries[1].event
    assert decided == ApprovalDecided("call_1", True, str(chat.user.pk))
    assert isinstance(resumed, TurnResumed)
    assert (resumed.text, resumed.at) == ("Gladly.", 7)
    assert resumed.tools[0].approval == "approved"
    assert [entry.n for entry in entries] == list(range(1, len(entries) + 1))
    last = entries[-1].event
    assert isinstance(last, TurnFinished)
    assert last.message.text == "Gladly.\n\nBoth are gone."
    assert sum(isinstance(entry.event, ToolFinished) for entry in entries) == 1
    turn = await turn_row(accepted)
    assert await chat.session() == turn.items
    assert faults(turn.items) == {}
    assert len(script.calls) == 2, "the response with the call was requested again"


async def test_declined_call_deletes_nothing_and_the_model_sees_it(chat: Chat, script: ScriptedModel) -> None:
    accepted = await request_approval(chat, script)
    script.enqueue([assistant_message("I leave them.")])
    await chat.decide(accepted.turn, "call_1", False)
    last = (await chat.follow_to_end(accepted.turn))[-1].event
    await chat.wait_until_idle()

    assert isinstance(last, TurnFinished)
    assert len(await task_titles()) == 3
    model_saw = script.last_call
    assert model_saw is not None
    assert '"declined"' in str(model_saw.input[-1]["output"])
    assert await chat.session() == (await turn_row(accepted)).items


async def test_concurrent_decisions_count_once(chat: Chat, script: ScriptedModel) -> None:
    accepted = await request_approval(chat, script)
    script.enqueue([assistant_message("Done.")])
    outcomes = await asyncio.gather(
        *(chat.decide(accepted.turn, "call_1", approve) for approve in (True, False, True, False)),
        return_exceptions=True,
    )
    await chat.follow_to_end(accepted.turn)

    assert sum(outcome is None for outcome in outcomes) == 1
    assert all(outcome is None or isinstance(outcome, Conflict) for outcome in outcomes), outcomes
    decided = await tool_call_row()
    assert (await task_titles() == ["Eggs"]) == (decided.decision == "approved")


async def test_decision_of_another_user_or_conversation_is_not_found(
    chat: Chat, script: ScriptedModel, outsider: User
) -> None:
    accepted = await request_approval(chat, script)
    other_chat = Chat(chat.runner, chat.user, uuid.uuid4())

    with pytest.raises(NotFound):
        await chat.decide(accepted.turn, "call_1", True, user=outsider)
    with pytest.raises(NotFound):
        await other_chat.decide(accepted.turn, "call_1", True)
    with pytest.raises(NotFound):
        await chat.decide(accepted.turn, "call_2", True)
    assert (await turn_row(accepted)).status == Status.WAITING
    assert (await tool_call_row()).decision == "awaiting"


async def test_call_without_an_approval_request_cannot_be_decided(chat: Chat, script: ScriptedModel) -> None:
    script.extend([[function_call("delete_task", {"number": 1}, call_id="call_9")], [assistant_message("Gone.")]])
    accepted = await chat.send("Delete task 1")
    await chat.follow_to_end(accepted.turn)

    with pytest.raises(NotFound):
        await chat.decide(accepted.turn, "call_9", False)


async def test_approval_request_survives_a_restart(
    chat: Chat, script: ScriptedModel, start_runner: StartRunner
) -> None:
    accepted = await request_approval(chat, script)
    await chat.runner.drain(0)
    later = Chat(await start_runner(script), chat.user, chat.conversation_id)
    snapshot = (await later.until(accepted.turn, Snapshot))[-1].event
    assert isinstance(snapshot, Snapshot)
    assert (snapshot.status, snapshot.text) == ("waiting", "Gladly.")
    assert snapshot.tools[0].approval == "awaiting"

    script.enqueue([assistant_message("Both are gone.")])
    await later.decide(accepted.turn, "call_1", True)
    assert isinstance((await later.follow_to_end(accepted.turn))[-1].event, TurnFinished)
    await later.wait_until_idle()
    assert await task_titles() == ["Eggs"]
    assert await later.session() == (await turn_row(accepted)).items


async def test_follower_gets_request_decision_and_end_once_each(chat: Chat, script: ScriptedModel) -> None:
    script.enqueue([assistant_message("Gladly."), *DELETE])
    accepted = await chat.send("Delete the first two tasks")
    following = asyncio.create_task(chat.follow_to_end(accepted.turn))
    await chat.until(accepted.turn, ApprovalRequested)
    await chat.wait_until_idle()
    script.enqueue([assistant_message("Both are gone.")])
    await chat.decide(accepted.turn, "call_1", True)

    events = [entry.event for entry in await following]
    kinds = [type(event) for event in events if not isinstance(event, TextDelta)]
    assert [kind.type for kind in kinds] == [
        "turn.started", "approval.requested", "approval.decided", "turn.resumed", "tool.started", "tool.finished",
        "turn.finished",
    ]  # fmt: skip
    assert "".join(event.text for event in events if isinstance(event, TextDelta)) == "Gladly.\n\nBoth are gone."


async def test_turn_resumes_after_all_calls_are_decided(chat: Chat, script: ScriptedModel) -> None:
    script.enqueue(
        [
            function_call("delete_tasks", {"numbers": [1]}, call_id="call_1"),
            function_call("create_task", {"title": "Tea"}, call_id="call_2"),
            function_call("delete_tasks", {"numbers": [2]}, call_id="call_3"),
        ]
    )
    accepted, _ = await chat.request_approval("Delete task 1, add tea, delete task 2")
    assert await task_titles() == ["Milk", "Bread", "Eggs", "Tea"]

    await chat.decide(accepted.turn, "call_3", False)
    assert (await turn_row(accepted)).status == Status.WAITING
    script.enqueue([assistant_message("Done.")])
    await chat.decide(accepted.turn, "call_1", True)
    assert isinstance((await chat.follow_to_end(accepted.turn))[-1].event, TurnFinished)
    await chat.wait_until_idle()
    assert await task_titles() == ["Bread", "Eggs", "Tea"], "the tool called beside them ran again"
    assert await chat.session() == (await turn_row(accepted)).items


async def test_decided_turn_is_queued_when_no_slot_is_free(
    chat: Chat, script: ScriptedModel, owner: User, settings: Settings
) -> None:
    accepted = await request_approval(chat, script)
    settings.TURNS_AT_ONCE = 1
    gate = Gate("busy")
    script.extend([gate.step(), [assistant_message("Both are gone.")]])
    other_chat = Chat(chat.runner, owner, uuid.uuid4())
    other = await other_chat.send("tell me")
    await gate.reached.wait()

    await chat.decide(accepted.turn, "call_1", True)
    assert (await turn_row(accepted)).status == Status.QUEUED
    await chat.runner.stop(user_id=owner.pk, conversation_id=other_chat.conversation_id, turn_id=other.turn.pk)
    entries = await chat.follow_to_end(accepted.turn)
    assert entries[1].event == TurnQueued()
    assert isinstance(entries[-1].event, TurnFinished)
    assert await task_titles() == ["Eggs"]


async def test_decided_turn_resumes_in_the_next_process_after_a_crash(
    chat: Chat, script: ScriptedModel, start_runner: StartRunner
) -> None:
    accepted = await request_approval(chat, script)
    gate = Gate("I delete ")
    script.enqueue(gate.step())
    await chat.decide(accepted.turn, "call_1", True)
    async with asyncio.timeout(15):
        await gate.reached.wait()
    assert await task_titles() == ["Eggs"]
    await chat.runner.drain(0)

    script.enqueue([assistant_message("Both are gone.")])
    later = Chat(await start_runner(script), chat.user, chat.conversation_id)
    assert isinstance((await later.follow_to_end(accepted.turn))[-1].event, TurnFinished)
    assert await task_titles() == ["Eggs"]
    assert await in_database(ToolCall.objects.count) == 1


async def test_decision_before_the_attempt_ends_is_kept(
    chat: Chat, script: ScriptedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    attempt_ending, decided = asyncio.Event(), asyncio.Event()

    async def wait_for_decision(user_id: uuid.UUID, conversation_id: uuid.UUID) -> None:
        if not attempt_ending.is_set():  # the decision calls it as well
            attempt_ending.set()
            await decided.wait()

    monkeypatch.setattr(notifications, "conversation_updated", wait_for_decision)
    gate = Gate("I delete ")
    script.extend([[*DELETE], gate.step()])
    accepted = await chat.send("Delete the first two tasks")
    async with asyncio.timeout(15):
        await attempt_ending.wait()
        (first_attempt,) = chat.runner.turns._tasks
        await chat.decide(accepted.turn, "call_1", True)
        decided.set()
        await first_attempt
        await gate.reached.wait()

    await chat.runner.stop(user_id=chat.user.pk, conversation_id=chat.conversation_id, turn_id=accepted.turn.pk)
    last = (await chat.follow_to_end(accepted.turn))[-1].event
    assert isinstance(last, TurnStopped)
    assert last.message is not None
    assert last.message.text == "I delete "


async def test_tasks_deleted_before_the_decision_are_reported_missing(chat: Chat, script: ScriptedModel) -> None:
    accepted = await request_approval(chat, script)
    await in_database(lambda: tasks.delete_task(user_id=chat.user.pk, number=1))
    script.enqueue([assistant_message("Done.")])
    await chat.decide(accepted.turn, "call_1", True)
    await chat.follow_to_end(accepted.turn)

    assert await task_titles() == ["Eggs"]
    assert '"missing": [1]' in ((await tool_call_row()).output or "")


async def test_invalid_call_requests_no_approval(chat: Chat, script: ScriptedModel) -> None:
    script.extend(
        [
            [function_call("delete_tasks", {"numbers": []}, call_id="call_1")],
            [assistant_message("Which ones?")],
        ]
    )
    assert await chat.reply("Delete some tasks") == "Which ones?"
    assert '"ok": false' in ((await tool_call_row()).output or "")


async def test_decision_in_another_process_reaches_followers(
    chat: Chat, script: ScriptedModel, start_runner: StartRunner, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(follow_module, "POLL_QUEUED_EVERY", 0.05)
    script.enqueue(
        [
            function_call("delete_tasks", {"numbers": [1]}, call_id="call_1"),
            function_call("delete_tasks", {"numbers": [2]}, call_id="call_2"),
        ]
    )
    accepted, _ = await chat.request_approval("Delete task 1 and task 2")
    following = asyncio.create_task(chat.follow_to_end(accepted.turn))
    other_chat = Chat(await start_runner(script), chat.user, chat.conversation_id)

    await other_chat.decide(accepted.turn, "call_1", False)
    entries = await chat.until(accepted.turn, ApprovalDecided)
    assert entries[-1].event == ApprovalDecided("call_1", False, str(chat.user.pk))
    script.enqueue([assistant_message("Done.")])
    await other_chat.decide(accepted.turn, "call_2", True)

    last = (await following)[-1].event
    assert isinstance(last, Snapshot)
    assert (last.status, last.text) == ("done", "Done.")
    assert [tool.approval for tool in last.tools] == ["declined", "approved"]
    assert await task_titles() == ["Milk", "Eggs"]


async def test_undecided_call_cannot_be_performed(chat: Chat, script: ScriptedModel) -> None:
    accepted = await request_approval(chat, script)
    running = {"status": Status.RUNNING, "owner": uuid.uuid4(), "lease_until": timezone.now() + LEASE_TIME}
    await in_database(lambda: Turn.objects.filter(pk=accepted.turn.pk).update(**running))
    turn = await turn_row(accepted)
    undecided_call = Call("call_1", "delete_tasks", '{"numbers": [1, 2]}')

    with pytest.raises(TurnLost, match="Nobody has decided"):
        await in_database(lambda: perform(lease_of(turn), undecided_call, lambda: pytest.fail("it was carried out")))
