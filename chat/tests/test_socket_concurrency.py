"""Concurrent messages over many sockets and two processes are answered once, in order, in the right conversation."""

import asyncio
import json
import random
import sqlite3
import uuid
from collections.abc import Iterator
from contextlib import AsyncExitStack, closing
from itertools import pairwise
from string import ascii_lowercase

import pytest

from chat.memory.identity import SessionId
from chat.tests.live import LiveSocket, Person, check_log, open_socket, sign_in
from config.tests.support import ServerProcess

pytestmark = pytest.mark.service

# Enough for a busy machine.
SECONDS = 90.0


@pytest.fixture(scope="module")
def users(shared_server: ServerProcess) -> list[Person]:
    return [sign_in(shared_server, f"crowd-{n}") for n in range(10)]


@pytest.fixture(scope="module")
def second_server(shared_server: ServerProcess) -> Iterator[ServerProcess]:
    """Start another process on the same database and session file."""
    server = ServerProcess(shared_server.database, shared_server.data_dir, **shared_server.variables)
    yield server
    server.kill9()


class Crowd:
    """Sockets of several conversations, with the owner and the turns of each."""

    def __init__(self) -> None:
        self.stack = AsyncExitStack()
        self.sockets: dict[uuid.UUID, list[LiveSocket]] = {}
        self.owner: dict[uuid.UUID, Person] = {}
        self.turns: dict[str, uuid.UUID] = {}

    async def join(self, server: ServerProcess, person: Person, conversation_id: uuid.UUID) -> None:
        socket = await self.stack.enter_async_context(open_socket(server, person, conversation_id))
        await socket.ready()
        self.sockets.setdefault(conversation_id, []).append(socket)
        self.owner[conversation_id] = person

    async def send_at_once(self, messages: range) -> None:
        """Send several messages to every conversation at the same moment, through its sockets in turn."""
        sent = [
            self._send(conversation_id, sockets[n % len(sockets)], n)
            for conversation_id, sockets in self.sockets.items()
            for n in messages
        ]
        random.Random(7).shuffle(sent)
        await asyncio.gather(*sent)

    async def _send(self, conversation_id: uuid.UUID, socket: LiveSocket, n: int) -> None:
        # The reply repeats the title, so that a reply in the wrong conversation is detected.
        title = f"feed cat{ascii_lowercase[n]} of {name_of(conversation_id)}"
        client_id = await socket.message(f"Add a task to {title}")
        turn = (await socket.accepted(client_id, within=SECONDS))["turn"]
        assert turn["id"] not in self.turns
        self.turns[turn["id"]] = conversation_id
        end = await socket.end_of(turn["id"], within=SECONDS)
        assert title in end["message"]["text"].lower()


def name_of(conversation_id: uuid.UUID) -> str:
    """Return an id without digits, which a model might take for a date."""
    return conversation_id.hex.translate(str.maketrans("0123456789", "ghijklmnop"))


def check_record(server: ServerProcess, crowd: Crowd, messages: int) -> None:
    """Check in PostgreSQL that each message was answered once, one after another."""
    for conversation_id, person in crowd.owner.items():
        turns = server.database.query(
            "SELECT id::text, seq, status, attempt, started_at, ended_at, user_id FROM chat_turn"
            " WHERE conversation_id = %s ORDER BY seq",
            conversation_id,
        )
        assert {turn[0] for turn in turns} == {turn for turn, where in crowd.turns.items() if where == conversation_id}
        assert [turn[1:4] for turn in turns] == [(n, "done", 1) for n in range(1, messages + 1)]
        assert {turn[6] for turn in turns} == {person.id}
        assert all(one[5] <= other[4] for one, other in pairwise(turns)), "one after another"
        sent = server.database.query(
            "SELECT turn_id::text, role, position, text FROM chat_message WHERE conversation_id = %s ORDER BY position",
            conversation_id,
        )
        assert [row[2] for row in sent] == list(range(1, 2 * messages + 1))
        assert [row[0] for row in sent if row[1] == "user"] == [turn[0] for turn in turns]
        assert [row[0] for row in sent if row[1] == "assistant"] == [turn[0] for turn in turns]
        assert all(name_of(conversation_id) in row[3] for row in sent)


def check_sessions(server: ServerProcess, crowd: Crowd, messages: int) -> None:
    """Check that each session holds its own conversation, turn after turn."""
    with closing(sqlite3.connect(server.data_dir / "agent_sessions.db")) as file:
        for conversation_id, person in crowd.owner.items():
            rows = file.execute(
                "SELECT message_data FROM agent_messages WHERE session_id = ? ORDER BY id",
                (str(SessionId(person.id, conversation_id)),),
            ).fetchall()
            items = [json.loads(row[0]) for row in rows]
            (stored,) = zip(
                *server.database.query(
                    "SELECT items FROM chat_turn WHERE conversation_id = %s ORDER BY seq", conversation_id
                ),
                strict=True,
            )
            assert items == [item for turn in stored for item in turn]
            kinds = [item.get("type") or item["role"] for item in items]
            assert kinds == ["user", "function_call", "function_call_output", "message"] * messages
            user_texts = [item["content"] for item in items if item.get("role") == "user"]
            assert all(name_of(conversation_id) in text for text in user_texts)


def check_logs(crowd: Crowd) -> None:
    """Check that every socket got the whole log of each turn of its conversation, and no other turn."""
    for conversation_id, sockets in crowd.sockets.items():
        expected = {turn for turn, where in crowd.turns.items() if where == conversation_id}
        for socket in sockets:
            assert {frame["turn_id"] for frame in socket.frames if "turn_id" in frame} == expected
            for turn_id in expected:
                check_log(socket.log_of(turn_id))


async def wait_for_all_ends(crowd: Crowd) -> None:
    for turn_id, conversation_id in crowd.turns.items():
        for socket in crowd.sockets[conversation_id]:
            await socket.end_of(turn_id, within=SECONDS)


@pytest.mark.long
async def test_80_messages_from_40_sockets_are_answered_in_20_conversations(
    shared_server: ServerProcess, users: list[Person]
) -> None:
    crowd = Crowd()
    async with crowd.stack:
        for n in range(20):
            conversation_id = uuid.uuid4()
            for _ in range(2):
                await crowd.join(shared_server, users[n % 10], conversation_id)
        await crowd.send_at_once(range(4))
        await wait_for_all_ends(crowd)
        check_logs(crowd)

    assert len(crowd.turns) == 80
    check_record(shared_server, crowd, 4)
    check_sessions(shared_server, crowd, 4)
    ((tasks,),) = shared_server.database.query(
        "SELECT count(*) FROM chat_task WHERE user_id = ANY(%s)", [person.id for person in users]
    )
    assert tasks == 80


@pytest.mark.long
async def test_two_processes_answer_a_conversation_in_order(
    shared_server: ServerProcess, second_server: ServerProcess, users: list[Person]
) -> None:
    """Sockets of both processes send at once; either process may run a turn, and both see its end."""
    crowd = Crowd()
    async with crowd.stack:
        for n in range(4):
            conversation_id = uuid.uuid4()
            for server in (shared_server, second_server)[:: 1 if n % 2 else -1]:
                await crowd.join(server, users[n], conversation_id)
        await crowd.send_at_once(range(1))
        await crowd.send_at_once(range(1, 8))

    check_record(shared_server, crowd, 8)
    check_sessions(shared_server, crowd, 8)
    owners = shared_server.database.query(
        "SELECT DISTINCT owner FROM chat_turn WHERE conversation_id = ANY(%s)", list(crowd.owner)
    )
    assert len(owners) == 2, "both processes took part"
