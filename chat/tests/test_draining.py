"""A server process that ends lets go of everything it has under way, and begins nothing more."""

import asyncio
import time
import uuid

import pytest
from agents.testing import ScriptedModel, assistant_message

from chat.models import Turn
from chat.tests.conftest import Chat
from chat.turns import runner as runners
from chat.turns.claim import claim


async def test_draining_waits_for_a_turn_that_is_being_looked_for(
    chat: Chat, script: ScriptedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    under_way: list[str] = []

    def slow_claim(conversation_id: uuid.UUID, *, owner: uuid.UUID) -> Turn | None:
        under_way.append("begun")
        time.sleep(0.3)
        turn = claim(conversation_id, owner=owner)
        under_way.append("ended")
        return turn

    monkeypatch.setattr(runners, "claim", slow_claim)
    script.enqueue([assistant_message("Hello!")])
    accepted = await chat.send("hi")
    await chat.log(accepted.turn)
    while not under_way:
        await asyncio.sleep(0.01)

    await chat.runner.drain(0)

    assert under_way == ["begun", "ended"]
