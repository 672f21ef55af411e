"""A turn that crashes three processes in a row fails, and the turns that ran beside it are answered."""

import asyncio
import uuid
from datetime import timedelta

from agents.testing import ScriptedModel, assistant_message, function_call
from django.utils import timezone
from openai.types.responses import ResponseApplyPatchToolCall
from openai.types.responses.response_apply_patch_tool_call import OperationDeleteFile

from chat.infra.db_threads import in_database
from chat.models import Task, Turn, TurnStep, User
from chat.models.turn import Status
from chat.tests.conftest import Chat, Gate, StartRunner
from chat.tests.test_replay import abandon
from chat.turns.events import TurnFailed, TurnFinished
from chat.turns.runner import TurnRunner


async def wait_until_reached(gate: Gate) -> None:
    """Wait until a turn has reached a gate."""
    async with asyncio.timeout(10):
        await gate.reached.wait()


async def crash_with(start_runner: StartRunner, *gates: Gate) -> TurnRunner:
    """Let a process take over the running turns, and crash while it answers them."""
    runner = await start_runner(ScriptedModel([gate.step() for gate in gates]))
    for gate in gates:
        await wait_until_reached(gate)
    await abandon(runner)
    return runner


async def status_of(turn: Turn) -> tuple[str, int, int]:
    now = await in_database(Turn.objects.get, pk=turn.pk)
    return now.status, now.attempt, now.cut_off


async def start_and_crash(start_runner: StartRunner, owner: User, *texts: str) -> list[Turn]:
    """Start a turn in a conversation for each text, in a process that crashes while it runs them."""
    gates = [Gate() for _ in texts]
    runner = await start_runner(ScriptedModel([gate.step() for gate in gates]))
    turns = [(await Chat(runner, owner, uuid.uuid4()).send(text)).turn for text in texts]
    for gate in gates:
        await wait_until_reached(gate)
    await abandon(runner)
    return turns


async def test_turn_fails_after_three_crashes(start_runner: StartRunner, owner: User) -> None:
    (turn,) = await start_and_crash(start_runner, owner, "deadly")
    await crash_with(start_runner, Gate())
    await crash_with(start_runner, Gate())

    script = ScriptedModel()
    chat = Chat(await start_runner(script), owner, turn.conversation_id)
    last = (await chat.follow_to_end(turn))[-1].event

    assert isinstance(last, TurnFailed)
    assert (last.code, last.retryable) == ("cut_off", True)
    assert last.detail == "This was interrupted three times while it was being answered."
    assert not script.calls, "the model is not called again"
    assert await status_of(turn) == (Status.FAILED, 4, 3)


async def test_conversation_answers_after_a_cut_off_turn(start_runner: StartRunner, owner: User) -> None:
    (turn,) = await start_and_crash(start_runner, owner, "deadly")
    await crash_with(start_runner, Gate())
    await crash_with(start_runner, Gate())

    chat = Chat(await start_runner(ScriptedModel([[assistant_message("Here I am.")]])), owner, turn.conversation_id)

    assert await chat.reply("are you there?") == "Here I am."


async def test_turns_that_ran_beside_a_crashing_turn_are_answered(start_runner: StartRunner, owner: User) -> None:
    turns = await start_and_crash(start_runner, owner, "one", "two", "three")
    await crash_with(start_runner, Gate(), Gate(), Gate())
    await crash_with(start_runner, Gate())
    attempts = [(await status_of(turn))[1] for turn in turns]
    assert attempts == [3, 2, 2], "turns that were cut off twice are run one at a time"

    chat = Chat(await start_runner(ScriptedModel([[assistant_message("Hello!")]] * 2)), owner, uuid.uuid4())
    for turn in turns:
        await chat.follow_to_end(turn)

    ends = [(await status_of(turn))[0] for turn in turns]
    assert ends == [Status.FAILED, Status.DONE, Status.DONE]


async def test_progress_of_a_turn_resets_its_crash_count(start_runner: StartRunner, owner: User) -> None:
    (turn,) = await start_and_crash(start_runner, owner, "add two things")
    await crash_with(start_runner, Gate())
    step = [function_call("create_task", {"title": "One"}, call_id="call_1")]
    gate = Gate()
    runner = await start_runner(ScriptedModel([step, gate.step()]))
    await wait_until_reached(gate)
    assert await status_of(turn) == (Status.RUNNING, 3, 0)
    await abandon(runner)

    chat = Chat(await start_runner(ScriptedModel([[assistant_message("Done.")]])), owner, turn.conversation_id)

    assert isinstance((await chat.follow_to_end(turn))[-1].event, TurnFinished)
    assert await in_database(Task.objects.count) == 1


async def test_graceful_restart_is_not_counted_as_a_crash(start_runner: StartRunner, owner: User) -> None:
    gate = Gate()
    runner = await start_runner(ScriptedModel([gate.step()]))
    turn = (await Chat(runner, owner, uuid.uuid4()).send("take your time")).turn
    for _ in range(4):
        await wait_until_reached(gate)
        await runner.drain(0)
        gate = Gate()
        runner = await start_runner(ScriptedModel([gate.step()]))
    await wait_until_reached(gate)

    assert await status_of(turn) == (Status.RUNNING, 5, 0)


async def test_retry_requests_an_unusable_response_again(
    start_runner: StartRunner, owner: User, script: ScriptedModel
) -> None:
    chat = Chat(await start_runner(script), owner, uuid.uuid4())
    unusable = ResponseApplyPatchToolCall(
        id="patch",
        call_id="call_2",
        type="apply_patch_call",
        status="completed",
        operation=OperationDeleteFile(type="delete_file", path="x"),
    )
    script.extend([[function_call("create_task", {"title": "One"}, call_id="call_1")], [unusable]])
    accepted = await chat.send("add one")
    failed = (await chat.follow_to_end(accepted.turn))[-1].event
    assert isinstance(failed, TurnFailed)
    await chat.wait_until_idle()

    script.enqueue([assistant_message("Added.")])
    retried = await chat.retry(accepted.turn)
    end = (await chat.follow_to_end(retried.turn))[-1].event

    assert isinstance(end, TurnFinished)
    assert end.message.text == "Added."
    steps = await in_database(lambda: list(TurnStep.objects.order_by("pk").values_list("turn", "n", "is_void")))
    first, second = accepted.turn.pk, retried.turn.pk
    assert steps == [(first, 1, False), (second, 1, False), (second, 2, False)]
    assert await in_database(Task.objects.count) == 1


async def test_void_step_is_replaced_after_a_crash(start_runner: StartRunner, owner: User) -> None:
    (turn,) = await start_and_crash(start_runner, owner, "hi")
    await in_database(lambda: TurnStep.objects.create(turn=turn, n=1, output=[], usage={}, duration_ms=1, is_void=True))

    chat = Chat(await start_runner(ScriptedModel([[assistant_message("Hello!")]])), owner, turn.conversation_id)

    assert isinstance((await chat.follow_to_end(turn))[-1].event, TurnFinished)
    step = await in_database(TurnStep.objects.get)
    assert (step.n, step.is_void, len(step.output)) == (1, False, 1)


async def test_expiring_lease_of_a_live_process_is_no_crash(start_runner: StartRunner, owner: User) -> None:
    gate = Gate()
    runner = await start_runner(ScriptedModel([gate.step()]))
    turn = (await Chat(runner, owner, uuid.uuid4()).send("hi")).turn
    await wait_until_reached(gate)
    await in_database(lambda: Turn.objects.update(lease_until=timezone.now() + timedelta(seconds=1)))

    await start_runner(ScriptedModel())

    assert await status_of(turn) == (Status.RUNNING, 1, 0)
