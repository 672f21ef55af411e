"""A server process that ends lets go of everything it has under way, and begins nothing more."""

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


async def test_draining_waits_for_a_turn_that_is_being_ended(
    chat: Chat, script: ScriptedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    under_way: list[str] = []

    def slow_finish(lease: Lease, ending: TurnOutcome, *, next_owner: uuid.UUID | None) -> StoredOutcome:
        under_way.append("begun")
        time.sleep(0.3)
        ended = finish(lease, ending, next_owner=next_owner)
        under_way.append("ended")
        return ended

    monkeypatch.setattr(running, "finish", slow_finish)
    script.enqueue([assistant_message("Hello!")])
    await chat.send("hi")
    while not under_way:
        await asyncio.sleep(0.01)

    await chat.runner.drain(0)

    assert under_way == ["begun", "ended"]


@pytest.mark.django_db(transaction=True)
async def test_a_socket_of_a_server_that_is_stopping_is_closed_for_a_restart(async_owner_client: AsyncClient) -> None:
    cookie = "; ".join(f"{name}={value.value}" for name, value in async_owner_client.cookies.items())
    headers = [(b"cookie", cookie.encode()), (b"origin", b"http://testserver"), (b"host", b"testserver")]
    socket = WebsocketCommunicator(application, f"/ws/chat/{uuid.uuid4()}/", headers=headers)

    assert (await socket.connect())[0]

    assert await socket.receive_output() == {"type": "websocket.close", "code": 1012}
