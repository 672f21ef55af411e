"""A server process runs a limited number of turns at once; the others are queued, and are answered later."""

import asyncio
import uuid
from datetime import timedelta

import pytest
from agents.testing import ModelCall, ModelStep, ScriptedModel, assistant_message
from pytest_django import Settings

from chat.models import User
from chat.models.turn import Status
from chat.tests.conftest import Chat, StartRunner
from chat.turns import housekeeping


class RequestCounter:
    """Counts how many model requests run at once."""

    def __init__(self) -> None:
        self.running = self.maximum = 0
        self.two_running = asyncio.Event()  # set once two requests run at the same time

    async def _respond(self, call: ModelCall) -> list[object]:
        self.running += 1
        self.maximum = max(self.maximum, self.running)
        if self.running == 2:
            self.two_running.set()
        await self.two_running.wait()
        self.running -= 1
        return [assistant_message("Done.")]

    def step(self) -> ModelStep:
        """Return a step for a script."""
        return ModelStep.respond(self._respond)  # type: ignore[arg-type]


async def test_turns_beyond_the_limit_are_queued_and_answered(
    start_runner: StartRunner, owner: User, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.TURNS_AT_ONCE = 2
    # So that housekeeping does not start the queued turns.
    monkeypatch.setattr(housekeeping, "RENEWAL", timedelta(hours=1))
    counter = RequestCounter()
    runner = await start_runner(ScriptedModel([counter.step() for _ in range(8)]))
    chats = [Chat(runner, owner, uuid.uuid4()) for _ in range(8)]

    accepted = await asyncio.gather(*(chat.send("hi") for chat in chats))
    for chat, one in zip(chats, accepted, strict=True):
        await chat.follow_to_end(one.turn)

    assert [one.turn.status for one in accepted].count(Status.QUEUED) > 0
    assert counter.maximum == 2
