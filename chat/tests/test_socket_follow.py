"""A follower gets the end of a turn that another process takes over."""

import asyncio
import uuid

from agents.testing import ScriptedModel, assistant_message

from chat.models import User
from chat.tests.conftest import Chat, Gate, StartRunner
from chat.tests.test_replay import abandon
from chat.turns.events import Snapshot
from chat.turns.follow import LogBatch, follow


async def test_follower_sees_the_end_of_a_turn_that_is_taken_over(
    start_runner: StartRunner, script: ScriptedModel, owner: User
) -> None:
    gate = Gate("so far")
    script.enqueue(gate.step())
    first = await start_runner(script)
    accepted = await Chat(first, owner, uuid.uuid4()).send("hi")
    seen: list[LogBatch] = []

    async def watch() -> None:
        async for batch in follow(first.logs, accepted.turn.pk):
            seen.append(batch)

    watching = asyncio.create_task(watch())
    await gate.reached.wait()
    await abandon(first)
    await start_runner(ScriptedModel([[assistant_message("Hello again!")]]))
    async with asyncio.timeout(10):
        await watching

    last = seen[-1].entries[-1].event
    assert isinstance(last, Snapshot)
    assert (seen[-1].attempt, last.status, last.text) == (2, "done", "Hello again!")
