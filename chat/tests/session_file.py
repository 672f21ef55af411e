"""The session file of a real server: damage it from outside, and compare it with the record."""

import os
import shutil
import sqlite3
import subprocess
import sys
import uuid
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg
import pytest
from agents import SQLiteSession

from chat.memory.identity import SessionId
from chat.tests.live import Frame, LiveSocket, open_socket, sign_in
from config.tests.support import LiveDatabase, ServerProcess, database, eventually

FIRST = "Add a task to buy groceries for the party"
QUESTION = "What was the first thing I asked you to do?"
UNAVAILABLE = ["context_unavailable"]
REBUILT = ["context_rebuilt"]

# Takes the lock, reports it, and releases it when stdin is closed.
_LOCK_HOLDER = """
import sqlite3, sys
connection = sqlite3.connect(sys.argv[1], isolation_level=None, timeout=30)
connection.execute("BEGIN EXCLUSIVE")
print("locked", flush=True)
sys.stdin.read()
connection.execute("ROLLBACK")
connection.close()
"""


def path_of(server: ServerProcess) -> Path:
    """Return the path of a server's session file."""
    return Path(server.variables.get("AGENT_SESSION_DB_PATH", server.data_dir / "agent_sessions.db"))


@dataclass
class StoredConversation:
    """A user's conversation, with the messages sent in it."""

    server: ServerProcess
    socket: LiveSocket
    user_id: uuid.UUID
    conversation_id: uuid.UUID
    messages: list[str] = field(default_factory=list)

    @property
    def session_id(self) -> str:
        """The id of the conversation's session."""
        return str(SessionId(self.user_id, self.conversation_id))

    async def begin(self, text: str) -> Frame:
        """Send a message and return its acknowledgement."""
        self.messages.append(text)
        return await self.socket.accepted(await self.socket.message(text))

    async def end(self, accepted: Frame, *, within: float = 30) -> list[str]:
        """Wait until a message is answered; return the codes of the warnings sent with the reply."""
        turn_id = accepted["turn"]["id"]
        end = await self.socket.end_of(turn_id, within=within)
        assert end["type"] == "turn.finished", end
        warnings = [frame["code"] for frame in self.socket.log_of(turn_id) if frame["type"] == "warning"]
        ((stored_warning,),) = self.server.database.query("SELECT warning FROM chat_turn WHERE id = %s", turn_id)
        assert stored_warning == (warnings[-1] if warnings else ""), "the stored warning differs from the last one sent"
        return warnings

    async def say(self, text: str) -> list[str]:
        """Send a message, wait for its answer, and return the codes of the warnings."""
        return await self.end(await self.begin(text))

    async def check_memory(self, first: str = FIRST) -> None:
        """Check that the assistant knows the first request, and that no item is missing in record and session."""
        assert await self.say(QUESTION) == []
        ((reply,),) = self.server.database.query(
            "SELECT text FROM chat_message WHERE conversation_id = %s ORDER BY position DESC LIMIT 1",
            self.conversation_id,
        )
        assert first.removeprefix("Add a task to ").lower() in reply.lower(), reply
        self.check_record()
        assert await self.items() == self.recorded()

    def check_record(self) -> None:
        """Check that every message is stored once, in the order of sending, and answered once."""
        messages = self.server.database.query(
            "SELECT m.role, m.text FROM chat_message m JOIN chat_turn t ON t.id = m.turn_id"
            " WHERE m.conversation_id = %s ORDER BY t.seq, m.position",
            self.conversation_id,
        )
        assert [role for role, _ in messages] == ["user", "assistant"] * len(self.messages)
        assert [text for role, text in messages if role == "user"] == self.messages

    async def items(self) -> list[Any]:
        """Return the items that the SDK's own class reads from the file."""
        with closing(SQLiteSession(self.session_id, path_of(self.server))) as session:
            return list(await session.get_items())

    def recorded(self) -> list[Any]:
        """Return the items that the record has for the session."""
        turns = self.server.database.query(
            "SELECT items FROM chat_turn WHERE conversation_id = %s ORDER BY seq", self.conversation_id
        )
        return [item for (items,) in turns for item in items]


@asynccontextmanager
async def open_conversation(server: ServerProcess) -> AsyncIterator[StoredConversation]:
    """Open a conversation of a new user."""
    person, conversation_id = sign_in(server), uuid.uuid4()
    async with open_socket(server, person, conversation_id) as socket:
        yield StoredConversation(server, socket, person.id, conversation_id)


@contextmanager
def blocked_turns(server: ServerProcess) -> Iterator[Callable[[int], None]]:
    """Block turns at their first response; yield a function that waits until so many turns are blocked."""
    count_waiting = (
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
        " AND query LIKE '%%chat_turnstep%%'"
    )
    with psycopg.connect(server.database.url) as locker:
        # While it is locked, no response can be journaled.
        locker.execute("LOCK TABLE chat_turnstep IN SHARE MODE")
        yield lambda turns: eventually(
            lambda: server.database.query(count_waiting)[0][0] >= turns, what="turns waiting for the lock"
        )


# Damage to a file that the server has open.


def checkpoint(path: Path) -> None:
    """Checkpoint the write-ahead log into the file, so that damage to the file takes effect."""
    change(path, "PRAGMA wal_checkpoint(TRUNCATE)")


def change(path: Path, statement: str, *parameters: object) -> None:
    """Run a statement in a file."""
    with closing(sqlite3.connect(path, timeout=30)) as connection, connection:
        connection.execute(statement, parameters)


def delete(path: Path) -> None:
    """Delete the file, its write-ahead log and its shared memory."""
    for suffix in ("", "-wal", "-shm"):
        path.with_name(path.name + suffix).unlink(missing_ok=True)


def delete_only_the_file(path: Path) -> None:
    """Delete the file only, and leave the write-ahead log."""
    path.unlink()


def empty(path: Path) -> None:
    """Truncate the file to nothing."""
    checkpoint(path)
    os.truncate(path, 0)


def leave_the_header(path: Path) -> None:
    """Truncate the file to 300 bytes."""
    checkpoint(path)
    os.truncate(path, 300)


def halve(path: Path) -> None:
    """Truncate the file to about half, within a page."""
    checkpoint(path)
    os.truncate(path, path.stat().st_size // 2 + 100)


def overwrite(path: Path) -> None:
    """Overwrite the file with random bytes."""
    checkpoint(path)
    path.write_bytes(os.urandom(path.stat().st_size))


def overwrite_with_log(path: Path) -> None:
    """Overwrite the file and its write-ahead log with random bytes."""
    path.write_bytes(os.urandom(path.stat().st_size))
    log = path.with_name(f"{path.name}-wal")
    log.write_bytes(os.urandom(log.stat().st_size))


def replace_by_foreign_file(path: Path) -> None:
    """Replace the file by the valid database of another program."""
    other = path.with_name("other.db")
    with closing(sqlite3.connect(other)) as connection, connection:
        connection.execute("CREATE TABLE unrelated (x)")
    other.replace(path)


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold the lock of a file in another process."""
    command = [sys.executable, "-c", _LOCK_HOLDER, str(path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin is not None and process.stdout is not None
        try:
            assert process.stdout.readline() == b"locked\n"
            yield
        finally:
            process.stdin.close()
            process.wait(30)


Damage = Callable[[Path], None]


def corrupt_row(path: Path, session_id: str, data: str | bytes) -> None:
    """Overwrite the first row of a session."""
    change(
        path,
        "UPDATE agent_messages SET message_data = CAST(? AS TEXT) WHERE id ="
        " (SELECT min(id) FROM agent_messages WHERE session_id = ?)",
        data,
        session_id,
    )


@pytest.fixture(scope="session")
def _one_server(_migrated_template: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    with database(os.environ["DATABASE_URL"], template=_migrated_template) as (_, url):
        data_dir = tmp_path_factory.mktemp("damaged")
        path = data_dir / "memory" / "sessions.db"
        process = ServerProcess(LiveDatabase(url), data_dir, AGENT_SESSION_DB_PATH=str(path))
        yield process
        process.kill9()


@pytest.fixture
def damaged_store_server(_one_server: ServerProcess) -> Iterator[ServerProcess]:
    """A server shared by all tests that damage its sessions, which have their own folder."""
    folder = path_of(_one_server).parent
    folder.mkdir(exist_ok=True)
    yield _one_server
    # The next test starts without the remains of this one.
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
async def stored_conversation(damaged_store_server: ServerProcess) -> AsyncIterator[StoredConversation]:
    """A conversation with two answered messages."""
    async with open_conversation(damaged_store_server) as conversation:
        assert await conversation.say(FIRST) == []
        assert await conversation.say("Actually, make that due tomorrow") == []
        yield conversation
