"""Limits of a user, each with a clear refusal, and nothing stored of what was refused."""

import asyncio
import json
import uuid
from collections.abc import Iterator
from contextlib import AsyncExitStack
from pathlib import Path

import psycopg
import pytest

from chat.tests.live import check_log, open_socket, sign_in
from chat.tests.model_server import ModelServer, says
from config.tests.support import LiveDatabase, ServerProcess, eventually, free_port

pytestmark = pytest.mark.service


@pytest.fixture(scope="module")
def strict_server(shared_server: ServerProcess, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """A server that allows next to nothing."""
    limits = {"MESSAGES_PER_MINUTE": "6", "SOCKETS_PER_USER": "2", "QUEUE_PER_CONVERSATION": "2"}
    server = ServerProcess(shared_server.database, tmp_path_factory.mktemp("strict"), **limits)
    yield server
    server.kill9()


def stored(database: LiveDatabase, conversation_id: uuid.UUID) -> tuple[int, ...]:
    """Count the conversations, messages and turns of an id."""
    ((*counts,),) = database.query(
        "SELECT (SELECT count(*) FROM chat_conversation WHERE id = %(id)s),"
        " (SELECT count(*) FROM chat_message WHERE conversation_id = %(id)s),"
        " (SELECT count(*) FROM chat_turn WHERE conversation_id = %(id)s)".replace("%(id)s", f"'{conversation_id}'")
    )
    return tuple(counts)


async def test_messages_a_minute(strict_server: ServerProcess) -> None:
    person, conversation_id, other = sign_in(strict_server), uuid.uuid4(), uuid.uuid4()
    async with open_socket(strict_server, person, conversation_id) as socket:
        for _ in range(6):
            await socket.say("hello")
        client_id = await socket.message("one too many")
        error = await socket.error()
        assert (error["code"], error["client_id"]) == ("rate_limited", client_id)
        assert 0 < error["retry_after"] <= 61
        assert error["detail"].endswith(".")
    async with open_socket(strict_server, person, other) as socket:
        await socket.message("in another conversation")
        assert (await socket.error())["code"] == "rate_limited"

    assert stored(strict_server.database, conversation_id) == (1, 12, 6)
    assert stored(strict_server.database, other) == (0, 0, 0)


async def test_a_message_that_is_repeated_again_and_again_is_refused(strict_server: ServerProcess) -> None:
    person, client_id = sign_in(strict_server), uuid.uuid4()
    async with open_socket(strict_server, person, uuid.uuid4()) as socket:
        # One more is allowed each second, and a busy machine takes a while for 60.
        for _ in range(200):
            await socket.message("hello", client_id)
        error = await socket.error()
        assert (error["code"], error["client_id"]) == ("rate_limited", str(client_id))
        kinds = [frame["type"] for frame in socket.frames]
        assert kinds.count("message.accepted") >= 60


async def test_messages_a_minute_hold_for_conversations_begun_at_once(strict_server: ServerProcess) -> None:
    person, conversations = sign_in(strict_server), [uuid.uuid4(), uuid.uuid4()]
    async with (
        open_socket(strict_server, person, conversations[0]) as one,
        open_socket(strict_server, person, conversations[1]) as other,
    ):
        for _ in range(5):
            await one.say("hello")
        with psycopg.connect(strict_server.database.url) as gate:
            # Both wait at the same place, and then go on together.
            gate.execute("LOCK TABLE chat_conversation IN EXCLUSIVE MODE")
            sent = [await one.message("the sixth"), await other.message("the sixth, too")]
            waiting = "SELECT pid FROM pg_locks WHERE NOT granted AND relation = 'chat_conversation'::regclass"
            await asyncio.to_thread(lambda: eventually(lambda: len(strict_server.database.query(waiting)) == 2))
        answers = [
            await socket.until(lambda frame, client_id=client_id: frame.get("client_id") == client_id)  # type: ignore[misc]
            for socket, client_id in zip((one, other), sent, strict=True)
        ]

    assert sorted(answer["type"] for answer in answers) == ["error", "message.accepted"]
    assert sum(stored(strict_server.database, conversation)[2] for conversation in conversations) == 6


async def test_messages_that_wait(strict_server: ServerProcess) -> None:
    person, conversation_id = sign_in(strict_server), uuid.uuid4()
    async with open_socket(strict_server, person, conversation_id) as socket:
        with psycopg.connect(strict_server.database.url) as gate:
            # No response can be journaled, so the first turn cannot end.
            gate.execute("LOCK TABLE chat_turnstep IN SHARE MODE")
            accepted = [await socket.accepted(await socket.message(f"message {n}")) for n in range(3)]
            client_id = await socket.message("one too many")
            error = await socket.error()
        assert (error["code"], error["client_id"]) == ("rate_limited", client_id)
        assert error["retry_after"] > 0
        for frame in accepted:
            await socket.end_of(frame["turn"]["id"])
        await socket.say("now there is room again")

    assert stored(strict_server.database, conversation_id) == (1, 8, 4)


async def test_sockets_of_a_person(strict_server: ServerProcess) -> None:
    person, other = sign_in(strict_server), sign_in(strict_server, "other")
    async with AsyncExitStack() as stack:
        for _ in range(2):
            await (await stack.enter_async_context(open_socket(strict_server, person, uuid.uuid4()))).ready()
        third = await stack.enter_async_context(open_socket(strict_server, person, uuid.uuid4()))
        assert await third.closed() == 4429
        assert third.frames == []
        elsewhere = await stack.enter_async_context(open_socket(strict_server, other, uuid.uuid4()))
        await elsewhere.ready()
    async with open_socket(strict_server, person, uuid.uuid4()) as again:
        await again.ready()


async def test_turns_at_once(live_database: LiveDatabase, tmp_path: Path) -> None:
    """What comes beyond is acknowledged and waits; it is answered as soon as there is a place."""
    port = free_port()
    model = {"OPENAI_BASE_URL": f"http://127.0.0.1:{port}/v1", "AGENT_GUARDRAIL": "off"}
    server = ServerProcess(live_database, tmp_path, TURNS_AT_ONCE="2", **model)
    try:
        people = [sign_in(server, f"person-{n}") for n in range(4)]
        async with ModelServer(port=port) as endpoint, AsyncExitStack() as stack:
            endpoint.play(*[says("Hello!")] * 4)
            endpoint.hold()
            sockets = [await stack.enter_async_context(open_socket(server, person, uuid.uuid4())) for person in people]
            accepted = [await socket.accepted(await socket.message("hello")) for socket in sockets]
            statuses = [(frame["turn"]["status"], frame["turn"]["ahead"]) for frame in accepted]
            assert statuses == [("running", 0)] * 2 + [("queued", 0)] * 2
            for socket in sockets[:2]:
                await socket.until(lambda frame: frame["type"] == "turn.started")
            assert [socket.kinds().count("turn.started") for socket in sockets] == [1, 1, 0, 0]
            assert len(endpoint.requests) <= 2

            endpoint.release()
            for socket, frame in zip(sockets, accepted, strict=True):
                assert (await socket.end_of(frame["turn"]["id"]))["message"]["text"] == "Hello!"
                check_log(socket.log_of(frame["turn"]["id"]))
    finally:
        server.kill9()


@pytest.mark.parametrize("character", ["x", "ß", "漢", "🧵"])
async def test_10000_characters_whatever_they_are(shared_server: ServerProcess, character: str) -> None:
    person, conversation_id = sign_in(shared_server), uuid.uuid4()
    async with open_socket(shared_server, person, conversation_id) as socket:
        await socket.message(character * 10_001)
        assert (await socket.error())["code"] == "too_long"
        assert stored(shared_server.database, conversation_id) == (0, 0, 0)
        # As escaped as JSON can be.
        client_id = str(uuid.uuid4())
        frame = {"type": "message.send", "client_id": client_id, "text": character * 10_000}
        await socket.connection.send(json.dumps(frame, ensure_ascii=True))
        accepted = await socket.accepted(client_id)
        assert accepted["message"]["text"] == character * 10_000
        await socket.end_of(accepted["turn"]["id"])


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ('""', "empty"),
        ('" \\n\\t\\u3000 "', "empty"),
        ('"nul \\u0000"', "bad_frame"),
        ('"half \\ud83d of a pair"', "bad_frame"),
        ('"other half \\udd25"', "bad_frame"),
        ('"the wrong way \\udd25\\ud83d round"', "bad_frame"),
    ],
)
async def test_text_that_is_no_message_is_not_stored(shared_server: ServerProcess, text: str, code: str) -> None:
    person, conversation_id = sign_in(shared_server), uuid.uuid4()
    async with open_socket(shared_server, person, conversation_id) as socket:
        client_id = str(uuid.uuid4())
        await socket.connection.send(f'{{"type": "message.send", "client_id": "{client_id}", "text": {text}}}')
        error = await socket.error()
        assert (error["code"], error.get("client_id")) == (code, client_id)
        await socket.pong()

    assert stored(shared_server.database, conversation_id) == (0, 0, 0)
