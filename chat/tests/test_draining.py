"""A server process that stops waits for work in progress and closes its sockets."""

import asyncio
import time
import uuid

import pytest
from agents.testing import ScriptedModel, assistant_message
from channels.testing import WebsocketCommunicator
from django.test import AsyncClient

from chat.realtime.consumer import application
from chat.tests.conftest import Chat
from chat.turns import running
from chat.turns.finish import StoredOutcome, TurnOutcome, finish
from chat.turns.lease import Lease


async def test_drain_waits_for_a_turn_that_is_being_finished(
    chat: Chat, script: ScriptedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps: list[str] = []

    def slow_finish(lease: Lease, outcome: TurnOutcome, *, next_owner: uuid.UUID | None) -> StoredOutcome:
        steps.append("begun")
        time.sleep(0.3)
        stored = finish(lease, outcome, next_owner=next_owner)
        steps.append("ended")
        return stored

    monkeypatch.setattr(running, "finish", slow_finish)
    script.enqueue([assistant_message("Hello!")])
    await chat.send("hi")
    while not steps:
        await asyncio.sleep(0.01)

    await chat.runner.drain(0)

    assert steps == ["begun", "ended"]


@pytest.mark.django_db(transaction=True)
async def test_stopping_server_closes_sockets_with_code_1012(async_owner_client: AsyncClient) -> None:
    cookie = "; ".join(f"{name}={value.value}" for name, value in async_owner_client.cookies.items())
    headers = [(b"cookie", cookie.encode()), (b"origin", b"http://testserver"), (b"host", b"testserver")]
    socket = WebsocketCommunicator(application, f"/ws/chat/{uuid.uuid4()}/", headers=headers)

    assert (await socket.connect())[0]

    assert await socket.receive_output() == {"type": "websocket.close", "code": 1012}
