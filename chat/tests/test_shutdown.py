"""A server that shuts down accepts nothing new, lets turns finish, closes its sockets, and releases other turns."""

import asyncio
import time
import uuid
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from chat.tests.live import LiveSocket, Person, check_log, open_socket, sign_in
from chat.tests.model_server import ModelServer, Request, text_reply
from chat.tests.model_server.script import Step
from chat.turns.lease import LEASE_TIME
from config.runtime.asgi_server import DRAIN_SECONDS, SERVICE_RESTART
from config.tests.support import LiveDatabase, ServerProcess, free_port

pytestmark = pytest.mark.service

WORDS = [f"word{n} " for n in range(30)]


@pytest.fixture
def model_port() -> int:
    return free_port()


@pytest.fixture
def server(live_database: LiveDatabase, tmp_path: Path, model_port: int) -> Iterator[ServerProcess]:
    """Start a server that uses the test's model."""
    model = {"OPENAI_BASE_URL": f"http://127.0.0.1:{model_port}/v1", "AGENT_GUARDRAIL": "off"}
    process = ServerProcess(live_database, tmp_path, **model)
    yield process
    process.kill9()


@pytest.fixture
async def model(model_port: int) -> AsyncIterator[ModelServer]:
    """Serve a model that repeats the user's message, and pauses after as many words as a test releases."""

    async def rule(request: Request) -> Step:
        return text_reply(*WORDS, request.last_user_text)

    async with ModelServer(port=model_port, rule=rule) as endpoint:
        endpoint.pause()
        yield endpoint


async def start_turn(socket: LiveSocket, model: ModelServer, text: str = "hello") -> str:
    """Send a message, pause in the middle of its reply, and return the turn's id."""
    accepted = await socket.accepted(await socket.message(text))
    model.release(10)
    await socket.until(lambda frame: frame["type"] == "text.delta" and "word9" in frame["text"])
    return str(accepted["turn"]["id"])


async def begin_shutdown(server: ServerProcess) -> None:
    """Send SIGTERM to the server, and wait until it accepts no more connections."""
    server.process.terminate()
    async with asyncio.timeout(10):
        while True:
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", server.port)
            except ConnectionRefusedError:
                return
            writer.close()
            await asyncio.sleep(0.02)


async def exit_code(server: ServerProcess) -> int:
    """Wait for the end of the process and return its exit code."""
    return await asyncio.to_thread(server.process.wait, 20)


def turns(server: ServerProcess, conversation_id: uuid.UUID) -> list[tuple[Any, ...]]:
    """Return each turn's status, attempt and crash count, and whether a running turn's lease has expired."""
    return server.database.query(
        "SELECT status, attempt, cut_off, CASE WHEN status = 'running' THEN lease_until <= now() END"
        " FROM chat_turn WHERE conversation_id = %s ORDER BY seq",
        conversation_id,
    )


@pytest.fixture
def person(server: ServerProcess) -> Person:
    return sign_in(server)


async def test_turn_that_finishes_in_time_is_completed_before_sockets_close(
    server: ServerProcess, model: ModelServer, person: Person
) -> None:
    conversation_id = uuid.uuid4()
    async with (
        open_socket(server, person, conversation_id) as socket,
        open_socket(server, person, uuid.uuid4()) as idle,
    ):
        await idle.ready()
        turn_id = await start_turn(socket, model)
        await begin_shutdown(server)
        with pytest.raises(httpx.ConnectError):
            httpx.get(f"{server.url}/healthz")
        assert (socket.code, idle.code) == (None, None), "sockets stay open until the turn has ended"
        model.release()

        end = await socket.end_of(turn_id)
        assert end["message"]["text"] == check_log(socket.log_of(turn_id)) == "".join(WORDS) + "hello"
        assert await socket.closed() == await idle.closed() == SERVICE_RESTART
    assert await exit_code(server) == 0
    assert turns(server, conversation_id) == [("done", 1, 0, None)]


async def test_longer_turn_is_released_and_resumed_by_the_next_server_at_once(
    server: ServerProcess, model: ModelServer, person: Person
) -> None:
    conversation_id = uuid.uuid4()
    async with open_socket(server, person, conversation_id) as socket:
        turn_id = await start_turn(socket, model)
        begin = time.monotonic()
        await begin_shutdown(server)
        assert await socket.closed() == SERVICE_RESTART
        assert not [frame for frame in socket.log_of(turn_id) if frame["type"].startswith("turn.") and frame["n"] > 1]
    assert await exit_code(server) == 0
    assert DRAIN_SECONDS <= time.monotonic() - begin < DRAIN_SECONDS + 10
    # The lease has expired already, and the turn does not count as one of a crashed process.
    assert turns(server, conversation_id) == [("running", 1, -1, True)]

    server.restart()
    ((waited, attempt),) = server.database.query(
        "SELECT extract(epoch FROM now() - (lease_until - %s)), attempt FROM chat_turn WHERE conversation_id = %s",
        LEASE_TIME,
        conversation_id,
    )
    assert attempt == 2, "resumed before the server listened"
    assert waited < LEASE_TIME.total_seconds() / 2
    async with open_socket(server, person, conversation_id) as socket:
        assert [turn["id"] for turn in (await socket.ready())["turns"]] == [turn_id]
        model.release()
        end = await socket.end_of(turn_id)
        assert end["message"]["text"] == "".join(WORDS) + "hello"
    assert turns(server, conversation_id) == [("done", 2, 0, None)]


@pytest.mark.long
async def test_message_sent_during_shutdown_is_answered_once_by_the_next_server(
    server: ServerProcess, model: ModelServer, person: Person
) -> None:
    """This holds for acknowledged messages and others: a client sends the others again with the same id."""
    conversation_id, other = uuid.uuid4(), uuid.uuid4()
    sent: dict[uuid.UUID, tuple[uuid.UUID, str]] = {}
    async with (
        open_socket(server, person, conversation_id) as socket,
        open_socket(server, person, other) as other_socket,
    ):
        await other_socket.ready()
        await start_turn(socket, model)
        await begin_shutdown(server)
        requests_before = len(model.requests)
        while socket.code is None and len(sent) < 12:
            for target, target_id in ((socket, conversation_id), (other_socket, other)):
                client_id, text = uuid.uuid4(), f"during the end {len(sent)}"
                sent[client_id] = (target_id, text)
                try:
                    await target.message(text, client_id)
                except Exception:  # noqa: BLE001 - the socket may be closed during the send
                    break
            await asyncio.sleep(DRAIN_SECONDS / 4)
        await socket.closed()
        await other_socket.closed()
        acknowledged = {
            frame["client_id"]
            for one in (socket, other_socket)
            for frame in one.frames
            if frame["type"] == "message.accepted"
        }
        assert len(model.requests) == requests_before, "no new turn starts"
    assert await exit_code(server) == 0
    stored = {
        str(client_id)
        for (client_id,) in server.database.query("SELECT client_id FROM chat_turn WHERE user_id = %s", person.id)
    }
    assert acknowledged <= stored

    model.release()
    server.restart()
    for client_id, (target_id, text) in sent.items():
        async with open_socket(server, person, target_id) as again:
            frame = await again.accepted(await again.message(text, client_id))
            await again.send("log.follow", turn_id=frame["turn"]["id"], attempt=0, after=0)
            await again.end_of(frame["turn"]["id"])
    replies = server.database.query(
        "SELECT t.client_id, m.text FROM chat_turn t JOIN chat_message m ON m.turn_id = t.id AND m.role = 'assistant'"
        " WHERE t.user_id = %s AND t.status = 'done'",
        person.id,
    )
    assert len(replies) == len(sent) + 1
    assert {client_id: text for client_id, text in replies if client_id in sent} == {
        client_id: "".join(WORDS) + text for client_id, (_, text) in sent.items()
    }


@pytest.mark.long
async def test_second_signal_stops_the_server_at_once_without_loss(
    server: ServerProcess, model: ModelServer, person: Person
) -> None:
    conversation_id = uuid.uuid4()
    async with open_socket(server, person, conversation_id) as socket:
        await start_turn(socket, model)
        await begin_shutdown(server)
        begin = time.monotonic()
        server.process.terminate()
        await exit_code(server)
        assert time.monotonic() - begin < DRAIN_SECONDS
    model.release()
    server.restart()
    async with open_socket(server, person, conversation_id) as socket:
        for turn in (await socket.ready())["turns"]:
            await socket.end_of(turn["id"])
    ((status, _, cut_off, _),) = turns(server, conversation_id)
    assert (status, cut_off <= 1) == ("done", True)
