"""A turn with which one process after another dies is given up, and those who ran beside it are not."""

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


async def reached(gate: Gate) -> None:
    """Wait until a turn has come to a gate."""
    async with asyncio.timeout(10):
        await gate.reached.wait()


async def dies_with_it(start_runner: StartRunner, *gates: Gate) -> TurnRunner:
    """Let a process take up what there is, and die while it answers."""
    runner = await start_runner(ScriptedModel([gate.step() for gate in gates]))
    for gate in gates:
        await reached(gate)
    await abandon(runner)
    return runner


async def status_of(turn: Turn) -> tuple[str, int, int]:
    now = await in_database(Turn.objects.get, pk=turn.pk)
    return now.status, now.attempt, now.cut_off


async def begun(start_runner: StartRunner, owner: User, *texts: str) -> list[Turn]:
    """Begin a turn in a conversation each, in a process that dies with them."""
    gates = [Gate() for _ in texts]
    runner = await start_runner(ScriptedModel([gate.step() for gate in gates]))
    turns = [(await Chat(runner, owner, uuid.uuid4()).send(text)).turn for text in texts]
    for gate in gates:
        await reached(gate)
    await abandon(runner)
    return turns


async def test_after_three_deaths_it_fails_with_a_sentence(start_runner: StartRunner, owner: User) -> None:
    (turn,) = await begun(start_runner, owner, "deadly")
    await dies_with_it(start_runner, Gate())
    await dies_with_it(start_runner, Gate())

    script = ScriptedModel()
    chat = Chat(await start_runner(script), owner, turn.conversation_id)
    last = (await chat.log(turn))[-1].event

    assert isinstance(last, TurnFailed)
    assert (last.code, last.retryable) == ("cut_off", True)
    assert last.detail == "This was interrupted three times while it was being answered."
    assert not script.calls, "it was not tried once more"
    assert await status_of(turn) == (Status.FAILED, 4, 3)


async def test_the_conversation_goes_on_afterwards(start_runner: StartRunner, owner: User) -> None:
    (turn,) = await begun(start_runner, owner, "deadly")
    await dies_with_it(start_runner, Gate())
    await dies_with_it(start_runner, Gate())

    chat = Chat(await start_runner(ScriptedModel([[assistant_message("Here I am.")]])), owner, turn.conversation_id)

    assert await chat.reply("are you there?") == "Here I am."


async def test_those_who_ran_beside_it_are_answered(start_runner: StartRunner, owner: User) -> None:
    turns = await begun(start_runner, owner, "one", "two", "three")
    await dies_with_it(start_runner, Gate(), Gate(), Gate())
    await dies_with_it(start_runner, Gate())
    attempts = [(await status_of(turn))[1] for turn in turns]
    assert attempts == [3, 2, 2], "of those with which two have died one is run at a time"

    chat = Chat(await start_runner(ScriptedModel([[assistant_message("Hello!")]] * 2)), owner, uuid.uuid4())
    for turn in turns:
        await chat.log(turn)

    ends = [(await status_of(turn))[0] for turn in turns]
    assert ends == [Status.FAILED, Status.DONE, Status.DONE]


async def test_a_turn_that_comes_further_is_not_given_up(start_runner: StartRunner, owner: User) -> None:
    (turn,) = await begun(start_runner, owner, "add two things")
    await dies_with_it(start_runner, Gate())
    step = [function_call("create_task", {"title": "One"}, call_id="call_1")]
    gate = Gate()
    runner = await start_runner(ScriptedModel([step, gate.step()]))
    await reached(gate)
    assert await status_of(turn) == (Status.RUNNING, 3, 0)
    await abandon(runner)

    chat = Chat(await start_runner(ScriptedModel([[assistant_message("Done.")]])), owner, turn.conversation_id)

    assert isinstance((await chat.log(turn))[-1].event, TurnFinished)
    assert await in_database(Task.objects.count) == 1


async def test_a_server_that_is_restarted_in_good_order_is_no_death(start_runner: StartRunner, owner: User) -> None:
    gate = Gate()
    runner = await start_runner(ScriptedModel([gate.step()]))
    turn = (await Chat(runner, owner, uuid.uuid4()).send("take your time")).turn
    for _ in range(4):
        await reached(gate)
        await runner.drain(0)
        gate = Gate()
        runner = await start_runner(ScriptedModel([gate.step()]))
    await reached(gate)

    assert await status_of(turn) == (Status.RUNNING, 5, 0)


async def test_a_response_that_cannot_be_used_is_asked_for_anew(
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
    failed = (await chat.log(accepted.turn))[-1].event
    assert isinstance(failed, TurnFailed)
    await chat.settled()

    script.enqueue([assistant_message("Added.")])
    again = await chat.retry(accepted.turn)
    end = (await chat.log(again.turn))[-1].event

    assert isinstance(end, TurnFinished)
    assert end.message.text == "Added."
    steps = await in_database(lambda: list(TurnStep.objects.order_by("pk").values_list("turn", "n", "is_void")))
    first, second = accepted.turn.pk, again.turn.pk
    assert steps == [(first, 1, False), (second, 1, False), (second, 2, False)]
    assert await in_database(Task.objects.count) == 1


async def test_a_void_step_is_written_anew_where_its_process_died_before_the_turn_failed(
    start_runner: StartRunner, owner: User
) -> None:
    (turn,) = await begun(start_runner, owner, "hi")
    await in_database(lambda: TurnStep.objects.create(turn=turn, n=1, output=[], usage={}, duration_ms=1, is_void=True))

    chat = Chat(await start_runner(ScriptedModel([[assistant_message("Hello!")]])), owner, turn.conversation_id)

    assert isinstance((await chat.log(turn))[-1].event, TurnFinished)
    step = await in_database(TurnStep.objects.get)
    assert (step.n, step.is_void, len(step.output)) == (1, False, 1)


async def test_a_lease_is_no_death_while_its_process_lives(start_runner: StartRunner, owner: User) -> None:
    gate = Gate()
    runner = await start_runner(ScriptedModel([gate.step()]))
    turn = (await Chat(runner, owner, uuid.uuid4()).send("hi")).turn
    await reached(gate)
    await in_database(lambda: Turn.objects.update(lease_until=timezone.now() + timedelta(seconds=1)))

    await start_runner(ScriptedModel())

    assert await status_of(turn) == (Status.RUNNING, 1, 0)
