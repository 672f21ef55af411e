"""A server process runs so many turns at once and no more; the others wait their turn, not for ever."""

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


class Crowd:
    """Counts how many model requests are under way at once."""

    def __init__(self) -> None:
        self.now = self.most = 0
        self.met = asyncio.Event()  # two were there at once

    async def _respond(self, call: ModelCall) -> list[object]:
        self.now += 1
        self.most = max(self.most, self.now)
        if self.now == 2:
            self.met.set()
        await self.met.wait()
        self.now -= 1
        return [assistant_message("Done.")]

    def step(self) -> ModelStep:
        """Return a step for a script."""
        return ModelStep.respond(self._respond)  # type: ignore[arg-type]


async def test_what_comes_beyond_the_limit_waits_and_is_answered(
    start_runner: StartRunner, owner: User, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.TURNS_AT_ONCE = 2
    monkeypatch.setattr(housekeeping, "RENEWAL", timedelta(hours=1))  # so that the keeper does not find them
    crowd = Crowd()
    runner = await start_runner(ScriptedModel([crowd.step() for _ in range(8)]))
    chats = [Chat(runner, owner, uuid.uuid4()) for _ in range(8)]

    accepted = await asyncio.gather(*(chat.send("hi") for chat in chats))
    for chat, one in zip(chats, accepted, strict=True):
        await chat.log(one.turn)

    assert [one.turn.status for one in accepted].count(Status.QUEUED) > 0
    assert crowd.most == 2
