"""Acknowledged messages survive a `kill -9` with session, queue and tasks, and nothing is done twice."""

import json
import sqlite3
import uuid
from contextlib import closing
from datetime import UTC, datetime, timedelta

import psycopg
import pytest
from agents import SQLiteSession

from chat.memory.identity import SessionId
from chat.tests.live import Person, check_log, is_end, open_socket, sign_in
from config.tests.support import ServerProcess

pytestmark = [pytest.mark.service, pytest.mark.long]


async def test_conversation_continues_after_a_kill(server: ServerProcess) -> None:
    person, conversation_id = sign_in(server), uuid.uuid4()
    async with open_socket(server, person, conversation_id) as socket:
        await socket.send_and_wait("Add a task to buy groceries for the party")
        # Another process that opens and closes the file takes nothing away from the server that uses it.
        await check_session(server, person, conversation_id)
        log = await socket.send_and_wait("Actually, make that due tomorrow")
        server.kill9()
        assert await socket.closed() == 1006
    server.restart()

    async with open_socket(server, person, conversation_id) as socket:
        ready = await socket.ready()
        assert (ready["conversation"]["id"], ready["turns"]) == (str(conversation_id), [])
        reply = await socket.reply("What was the first thing I asked you to do?")
        assert "buy groceries for the party" in reply.lower()

        await socket.send("log.follow", turn_id=log[-1]["turn_id"], attempt=1, after=2)
        snapshot = await socket.end_of(log[-1]["turn_id"])
        assert (snapshot["type"], snapshot["status"], snapshot["text"]) == ("turn.snapshot", "done", check_log(log))

    tomorrow = datetime.now(UTC).date() + timedelta(days=1)
    assert server.database.query("SELECT title, due_date FROM chat_task WHERE user_id = %s", person.id) == [
        ("Buy groceries for the party", tomorrow)
    ]
    await check_session(server, person, conversation_id)


async def check_session(server: ServerProcess, person: Person, conversation_id: uuid.UUID) -> None:
    """Check that the SDK's own class reads from the file the items that the database has stored."""
    path, session_id = server.data_dir / "agent_sessions.db", str(SessionId(person.id, conversation_id))
    assert path.stat().st_mode & 0o777 == 0o600
    with closing(SQLiteSession(session_id, path)) as session:
        items = await session.get_items()
    stored = server.database.query(
        "SELECT items FROM chat_turn WHERE conversation_id = %s ORDER BY seq", conversation_id
    )
    assert items == [item for (turn,) in stored for item in turn]
    with closing(sqlite3.connect(path)) as file:
        rows = file.execute(
            "SELECT message_data FROM agent_messages WHERE session_id = ? ORDER BY id", (session_id,)
        ).fetchall()
    assert items == [json.loads(row[0]) for row in rows]
    assert items[0] == {"role": "user", "content": "Add a task to buy groceries for the party"}


async def test_acknowledged_messages_are_answered_after_a_kill(server: ServerProcess) -> None:
    person, conversation_id = sign_in(server), uuid.uuid4()
    texts = [f"Add a task to water plant {name}" for name in ("ada", "bob", "cleo", "dan", "eve")]
    async with open_socket(server, person, conversation_id) as socket:
        await socket.ready()
        with psycopg.connect(server.database.url) as gate:
            # No response can be journaled, so that all five are still to be answered when the server is killed.
            gate.execute("LOCK TABLE chat_turnstep IN SHARE MODE")
            accepted = [await socket.accepted(await socket.message(text)) for text in texts]
            server.kill9()
    turns = [frame["turn"]["id"] for frame in accepted]
    assert [frame["turn"]["status"] for frame in accepted] == ["running"] + ["queued"] * 4
    server.restart()

    async with open_socket(server, person, conversation_id) as socket:
        ready = await socket.ready()
        assert [turn["id"] for turn in ready["turns"]] == turns[len(turns) - len(ready["turns"]) :]
        for turn_id in turns:
            await socket.send("log.follow", turn_id=turn_id, attempt=0, after=0)
            end = await socket.end_of(turn_id)
            assert is_end(end)
        await socket.send("message.send", client_id=accepted[2]["client_id"], text=texts[2])
        repeated = await socket.accepted(accepted[2]["client_id"])
        assert repeated["message"] == accepted[2]["message"], "a message that a client sends again is stored once"

    messages = server.database.query(
        "SELECT m.text FROM chat_message m JOIN chat_turn t ON t.id = m.turn_id"
        " WHERE m.conversation_id = %s ORDER BY t.seq, m.position",
        conversation_id,
    )
    assert [text for (text,) in messages][::2] == texts
    assert all(name in text for name, (text,) in zip(("ada", "bob", "cleo", "dan", "eve"), messages[1::2], strict=True))
    done = server.database.query(
        "SELECT status FROM chat_turn WHERE conversation_id = %s ORDER BY seq", conversation_id
    )
    assert done == [("done",)] * 5
    titles = server.database.query("SELECT title FROM chat_task WHERE user_id = %s ORDER BY number", person.id)
    assert [title for (title,) in titles] == [text.removeprefix("Add a task to ").capitalize() for text in texts]
