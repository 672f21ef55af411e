"""Each limit of a user is enforced with a clear error, and a rejected frame stores nothing."""

import json
import uuid
from collections.abc import Iterator
from contextlib import AsyncExitStack

import pytest

from chat.tests.live import open_socket, sign_in
from config.tests.support import LiveDatabase, ServerProcess

pytestmark = pytest.mark.service


@pytest.fixture(scope="module")
def strict_server(shared_server: ServerProcess, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """Start a server with very low limits."""
    limits = {"MESSAGES_PER_MINUTE": "6", "SOCKETS_PER_USER": "2", "QUEUE_PER_CONVERSATION": "2"}
    server = ServerProcess(shared_server.database, tmp_path_factory.mktemp("strict"), **limits)
    yield server
    server.kill9()


def count_rows(database: LiveDatabase, conversation_id: uuid.UUID) -> tuple[int, ...]:
    """Count the conversations, messages and turns of a conversation id."""
    ((*counts,),) = database.query(
        "SELECT (SELECT count(*) FROM chat_conversation WHERE id = %(id)s),"
        " (SELECT count(*) FROM chat_message WHERE conversation_id = %(id)s),"
        " (SELECT count(*) FROM chat_turn WHERE conversation_id = %(id)s)".replace("%(id)s", f"'{conversation_id}'")
    )
    return tuple(counts)


async def test_messages_per_minute_are_limited(strict_server: ServerProcess) -> None:
    person, conversation_id, other = sign_in(strict_server), uuid.uuid4(), uuid.uuid4()
    async with open_socket(strict_server, person, conversation_id) as socket:
        for _ in range(6):
            await socket.send_and_wait("hello")
        client_id = await socket.message("one too many")
        error = await socket.error()
        assert (error["code"], error["client_id"]) == ("rate_limited", client_id)
        assert 0 < error["retry_after"] <= 61
        assert error["detail"].endswith(".")
    async with open_socket(strict_server, person, other) as socket:
        await socket.message("in another conversation")
        assert (await socket.error())["code"] == "rate_limited"

    assert count_rows(strict_server.database, conversation_id) == (1, 12, 6)
    assert count_rows(strict_server.database, other) == (0, 0, 0)


@pytest.mark.long
async def test_message_repeated_too_often_is_rate_limited(strict_server: ServerProcess) -> None:
    person, client_id = sign_in(strict_server), uuid.uuid4()
    async with open_socket(strict_server, person, uuid.uuid4()) as socket:
        # One more is allowed each second, and a busy machine takes a while for 60.
        for _ in range(200):
            await socket.message("hello", client_id)
        error = await socket.error()
        assert (error["code"], error["client_id"]) == ("rate_limited", str(client_id))
        kinds = [frame["type"] for frame in socket.frames]
        assert kinds.count("message.accepted") >= 60


async def test_sockets_per_user_are_limited(strict_server: ServerProcess) -> None:
    person, other = sign_in(strict_server), sign_in(strict_server, "other")
    async with AsyncExitStack() as stack:
        for _ in range(2):
            await (await stack.enter_async_context(open_socket(strict_server, person, uuid.uuid4()))).ready()
        third = await stack.enter_async_context(open_socket(strict_server, person, uuid.uuid4()))
        assert await third.closed() == 4429
        assert third.frames == []
        other_socket = await stack.enter_async_context(open_socket(strict_server, other, uuid.uuid4()))
        await other_socket.ready()
    async with open_socket(strict_server, person, uuid.uuid4()) as again:
        await again.ready()


async def test_message_may_have_10000_characters_of_any_size(shared_server: ServerProcess) -> None:
    person, conversation_id, character = sign_in(shared_server), uuid.uuid4(), "🧵"
    async with open_socket(shared_server, person, conversation_id) as socket:
        await socket.message(character * 10_001)
        assert (await socket.error())["code"] == "too_long"
        assert count_rows(shared_server.database, conversation_id) == (0, 0, 0)
        # With every character escaped in JSON.
        client_id = str(uuid.uuid4())
        frame = {"type": "message.send", "client_id": client_id, "text": character * 10_000}
        await socket.connection.send(json.dumps(frame, ensure_ascii=True))
        accepted = await socket.accepted(client_id)
        assert accepted["message"]["text"] == character * 10_000
        await socket.end_of(accepted["turn"]["id"])
