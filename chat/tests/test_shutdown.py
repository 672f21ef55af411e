"""A server that is told to stop takes nothing more, lets turns end, tells its sockets, and leaves the rest behind."""

import asyncio
import time
import uuid
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from chat.tests.live import LiveSocket, Person, check_log, open_socket, sign_in
from chat.tests.model_server import ModelServer, Request, says
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
    """A server whose model is the test's."""
    model = {"OPENAI_BASE_URL": f"http://127.0.0.1:{model_port}/v1", "AGENT_GUARDRAIL": "off"}
    process = ServerProcess(live_database, tmp_path, **model)
    yield process
    process.kill9()


@pytest.fixture
async def model(model_port: int) -> AsyncIterator[ModelServer]:
    """A model that repeats what was said, and holds after as many words as a test allows."""

    async def rule(request: Request) -> Step:
        return says(*WORDS, request.said)

    async with ModelServer(port=model_port, rule=rule) as endpoint:
        endpoint.hold()
        yield endpoint


async def begun(socket: LiveSocket, model: ModelServer, text: str = "hello") -> str:
    """Send a message, hold in the middle of its reply, and return the turn's id."""
    accepted = await socket.accepted(await socket.message(text))
    model.release(10)
    await socket.until(lambda frame: frame["type"] == "text.delta" and "word9" in frame["text"])
    return str(accepted["turn"]["id"])


async def stopping(server: ServerProcess) -> None:
    """Tell the server to stop, and wait until it takes no connections any more."""
    server.process.terminate()
    async with asyncio.timeout(10):
        while True:
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", server.port)
            except ConnectionRefusedError:
                return
            writer.close()
            await asyncio.sleep(0.02)


async def ended(server: ServerProcess) -> int:
    """Wait for the end of the process and return its exit code."""
    return await asyncio.to_thread(server.process.wait, 20)


def turns(server: ServerProcess, conversation_id: uuid.UUID) -> list[tuple[Any, ...]]:
    """Return status, attempt and counted deaths of a conversation's turns, and whether a running one's lease ended."""
    return server.database.query(
        "SELECT status, attempt, cut_off, CASE WHEN status = 'running' THEN lease_until <= now() END"
        " FROM chat_turn WHERE conversation_id = %s ORDER BY seq",
        conversation_id,
    )


@pytest.fixture
def person(server: ServerProcess) -> Person:
    return sign_in(server)


async def test_a_turn_that_can_end_in_time_does_and_its_socket_is_told_of_both(
    server: ServerProcess, model: ModelServer, person: Person
) -> None:
    conversation_id = uuid.uuid4()
    async with (
        open_socket(server, person, conversation_id) as socket,
        open_socket(server, person, uuid.uuid4()) as idle,
    ):
        await idle.ready()
        turn_id = await begun(socket, model)
        await stopping(server)
        with pytest.raises(httpx.ConnectError):
            httpx.get(f"{server.url}/healthz")
        assert (socket.code, idle.code) == (None, None), "while a turn ends, nobody is sent away"
        model.release()

        end = await socket.end_of(turn_id)
        assert end["message"]["text"] == check_log(socket.log_of(turn_id)) == "".join(WORDS) + "hello"
        assert await socket.closed() == await idle.closed() == SERVICE_RESTART
    assert await ended(server) == 0
    assert turns(server, conversation_id) == [("done", 1, 0, None)]


async def test_a_turn_that_takes_longer_is_let_go_of_and_taken_up_at_once_by_the_next_server(
    server: ServerProcess, model: ModelServer, person: Person
) -> None:
    conversation_id = uuid.uuid4()
    async with open_socket(server, person, conversation_id) as socket:
        turn_id = await begun(socket, model)
        begin = time.monotonic()
        await stopping(server)
        assert await socket.closed() == SERVICE_RESTART
        assert not [frame for frame in socket.log_of(turn_id) if frame["type"].startswith("turn.") and frame["n"] > 1]
    assert await ended(server) == 0
    assert DRAIN_SECONDS <= time.monotonic() - begin < DRAIN_SECONDS + 10
    # Over at once, and the process has not died with it.
    assert turns(server, conversation_id) == [("running", 1, -1, True)]

    server.restart()
    ((waited, attempt),) = server.database.query(
        "SELECT extract(epoch FROM now() - (lease_until - %s)), attempt FROM chat_turn WHERE conversation_id = %s",
        LEASE_TIME,
        conversation_id,
    )
    assert attempt == 2, "taken up before it listened"
    assert waited < LEASE_TIME.total_seconds() / 2
    async with open_socket(server, person, conversation_id) as socket:
        assert [turn["id"] for turn in (await socket.ready())["turns"]] == [turn_id]
        model.release()
        end = await socket.end_of(turn_id)
        assert end["message"]["text"] == "".join(WORDS) + "hello"
    assert turns(server, conversation_id) == [("done", 2, 0, None)]


async def test_what_is_said_while_it_stops_is_answered_once_by_the_next(
    server: ServerProcess, model: ModelServer, person: Person
) -> None:
    """Whether it is acknowledged or not: a client sends again what was not, with the same id."""
    conversation_id, other = uuid.uuid4(), uuid.uuid4()
    sent: dict[uuid.UUID, tuple[uuid.UUID, str]] = {}
    async with (
        open_socket(server, person, conversation_id) as socket,
        open_socket(server, person, other) as elsewhere,
    ):
        await elsewhere.ready()
        await begun(socket, model)
        await stopping(server)
        asked = len(model.requests)
        while socket.code is None and len(sent) < 12:
            for here, place in ((socket, conversation_id), (elsewhere, other)):
                client_id, text = uuid.uuid4(), f"during the end {len(sent)}"
                sent[client_id] = (place, text)
                try:
                    await here.message(text, client_id)
                except Exception:  # noqa: BLE001 - closed under its hands; that is what is tried
                    break
            await asyncio.sleep(DRAIN_SECONDS / 4)
        await socket.closed()
        await elsewhere.closed()
        acknowledged = {
            frame["client_id"]
            for one in (socket, elsewhere)
            for frame in one.frames
            if frame["type"] == "message.accepted"
        }
        assert len(model.requests) == asked, "nothing new is begun"
    assert await ended(server) == 0
    stored = {
        str(client_id)
        for (client_id,) in server.database.query("SELECT client_id FROM chat_turn WHERE user_id = %s", person.id)
    }
    assert acknowledged <= stored

    model.release()
    server.restart()
    for client_id, (place, text) in sent.items():
        async with open_socket(server, person, place) as again:
            frame = await again.accepted(await again.message(text, client_id))
            await again.send("log.follow", turn_id=frame["turn"]["id"], attempt=0, after=0)
            await again.end_of(frame["turn"]["id"])
    answered = server.database.query(
        "SELECT t.client_id, m.text FROM chat_turn t JOIN chat_message m ON m.turn_id = t.id AND m.role = 'assistant'"
        " WHERE t.user_id = %s AND t.status = 'done'",
        person.id,
    )
    assert len(answered) == len(sent) + 1
    assert {client_id: text for client_id, text in answered if client_id in sent} == {
        client_id: "".join(WORDS) + text for client_id, (_, text) in sent.items()
    }


async def test_a_second_signal_stops_it_at_once_and_loses_nothing(
    server: ServerProcess, model: ModelServer, person: Person
) -> None:
    conversation_id = uuid.uuid4()
    async with open_socket(server, person, conversation_id) as socket:
        await begun(socket, model)
        await stopping(server)
        begin = time.monotonic()
        server.process.terminate()
        await ended(server)
        assert time.monotonic() - begin < DRAIN_SECONDS
    model.release()
    server.restart()
    async with open_socket(server, person, conversation_id) as socket:
        for turn in (await socket.ready())["turns"]:
            await socket.end_of(turn["id"])
    ((status, _, cut_off, _),) = turns(server, conversation_id)
    assert (status, cut_off <= 1) == ("done", True)
