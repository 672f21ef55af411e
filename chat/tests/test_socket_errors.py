"""A socket rejects following too many turns at once, and closes when the database fails."""

import uuid

import pytest

from chat.realtime.followers import FOLLOWED_AT_ONCE
from chat.tests.live import open_socket, sign_in
from config.tests.support import LiveDatabase, ServerProcess

pytestmark = pytest.mark.service

SIZE = 100_000  # characters of a reply: a few replies fill the window of unacknowledged frames
COPY = """
INSERT INTO chat_turn SELECT (jsonb_populate_record(t, jsonb_build_object(
    'id', gen_random_uuid(), 'client_id', gen_random_uuid(), 'seq', 1000 + n, 'text', repeat('x', %s)
))).* FROM chat_turn t, generate_series(1, %s) n WHERE t.id = %s RETURNING id::text
"""


def copy_ended_turn(database: LiveDatabase, turn_id: str, count: int) -> list[str]:
    """Store copies of an ended turn with long replies; return their ids."""
    return [copy for (copy,) in database.query(COPY, SIZE, count, turn_id)]


async def test_socket_follows_a_limited_number_of_turns(shared_server: ServerProcess) -> None:
    person, conversation_id = sign_in(shared_server), uuid.uuid4()
    async with open_socket(shared_server, person, conversation_id) as socket:
        log = await socket.send_and_wait("hello")
    turns = copy_ended_turn(shared_server.database, log[-1]["turn_id"], FOLLOWED_AT_ONCE + 3)
    async with open_socket(shared_server, person, conversation_id, acknowledges=False) as socket:
        # The first two fill the window and end; all others wait for it.
        for turn_id in turns[:2]:
            await socket.send("log.follow", turn_id=turn_id, attempt=0, after=0)
        await socket.until(lambda frame: frame.get("turn_id") == turns[0])
        await socket.until(lambda frame: frame.get("turn_id") == turns[1])
        await socket.pong()
        for turn_id in turns[2:]:
            await socket.send("log.follow", turn_id=turn_id, attempt=0, after=0)
        error = await socket.error()
        assert error["code"] == "rate_limited" and "at most 32 turns" in error["detail"]
        assert error["retry_after"] > 0
        # One of them can be followed again; and once they are read, so can the turn that was rejected.
        await socket.send("log.follow", turn_id=turns[2], attempt=0, after=0)
        await socket.pong()
        assert socket.kinds().count("error") == 1
        acknowledged: set[str] = set()
        while len(acknowledged) < len(turns) - 1:
            frame = await socket.until(lambda frame: frame.get("turn_id") in set(turns) - acknowledged)
            acknowledged.add(frame["turn_id"])
            await socket.send("log.ack", turn_id=frame["turn_id"], attempt=frame["attempt"], n=frame["n"])
        await socket.send("log.follow", turn_id=turns[-1], attempt=0, after=0)
        assert len((await socket.end_of(turns[-1]))["text"]) == SIZE


async def test_database_error_closes_the_socket_and_logs_one_line(server: ServerProcess) -> None:
    person, conversation_id, client_id = sign_in(server), uuid.uuid4(), uuid.uuid4()
    server.database.query("ALTER TABLE chat_messagevector RENAME TO elsewhere")
    async with open_socket(server, person, conversation_id) as socket:
        await socket.message("hello", client_id)
        assert await socket.closed() == 1011
    server.database.query("ALTER TABLE chat_conversation RENAME TO chat_conversation_elsewhere")
    async with open_socket(server, person, conversation_id) as socket:
        assert await socket.closed() == 1011
    server.database.query("ALTER TABLE chat_conversation_elsewhere RENAME TO chat_conversation")
    server.database.query("ALTER TABLE elsewhere RENAME TO chat_messagevector")
    # A client reconnects, and sends the unacknowledged message again.
    async with open_socket(server, person, conversation_id) as socket:
        accepted = await socket.accepted(await socket.message("hello", client_id))
        await socket.end_of(accepted["turn"]["id"])
    lines = [line for line in server.output.splitlines() if "A socket is closed" in line]
    assert len(lines) == 2 and all("UndefinedTable (SQLSTATE 42P01)" in line for line in lines), server.output
    assert "Traceback" not in server.output
