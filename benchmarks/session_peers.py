"""The session stores to compare, each used as its documentation recommends, and their initial files."""

import json
import os
import sqlite3
from abc import ABC, abstractmethod
from collections.abc import Sequence
from contextlib import closing
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any, ClassVar

import django
from agents import SQLiteSession, TResponseInputItem
from agents.extensions.memory import AsyncSQLiteSession
from agents.memory.session import SessionABC

from config.runtime.gc_freeze import freeze

Items = list[TResponseInputItem]

LONG = 40  # sessions of a file with many items
LONG_ITEMS = 200
SHORT_ITEMS = 20


class Peer(ABC):
    """One way to store sessions in a file."""

    name: ClassVar[str]
    is_quick: ClassVar[bool] = True  # enough to be measured more than once

    def __init__(self, path: Path) -> None:
        self.path = path

    @abstractmethod
    def session(self, session_id: str, turn: int = 1) -> SessionABC:
        """Return a session to read and write in a turn."""

    async def release(self, session: SessionABC) -> None:  # noqa: B027 - some have nothing to close
        """Close a session that is no longer used."""

    async def close(self) -> None:  # noqa: B027 - or nothing shared
        """Close the shared resources of all sessions."""

    @abstractmethod
    async def synchronous(self) -> str:
        """Return the durability of commits, as reported by its own connections."""


class Ours(Peer):
    """One store per process, and a new handle with its fence per turn, as in the runner."""

    name = "ours"

    def __init__(self, path: Path) -> None:
        from chat.memory.file_store import FileStore

        super().__init__(path)
        self._store = FileStore(path)

    def session(self, session_id: str, turn: int = 1) -> SessionABC:
        from chat.memory.session import AgentSessionMemory
        from chat.memory.statements import Fence

        return AgentSessionMemory(session_id, self._store, fence=Fence(turn, 1))

    async def close(self) -> None:
        await self._store.close()

    async def synchronous(self) -> str:
        from chat.memory import file

        with closing(file.connect(self.path, busy_ms=1000)) as connection:
            return _level(connection.execute("PRAGMA synchronous").fetchone())


class OneEach(Peer):
    """A session object per conversation, kept while the conversation is active."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self._live: dict[str, SessionABC] = {}

    def session(self, session_id: str, turn: int = 1) -> SessionABC:
        if session_id not in self._live:
            self._live[session_id] = self.make(session_id)
        return self._live[session_id]

    @abstractmethod
    def make(self, session_id: str) -> SessionABC:
        """Create the session object."""

    async def release(self, session: SessionABC) -> None:
        self._live.pop(session.session_id, None)

    async def close(self) -> None:
        for session in list(self._live.values()):
            await self.release(session)


class ThreadedSQLite(OneEach):
    """`SQLiteSession(session_id, path)`: its calls run on asyncio's threads."""

    name = "SQLiteSession"

    def make(self, session_id: str) -> SessionABC:
        return SQLiteSession(session_id, self.path)

    async def release(self, session: SessionABC) -> None:
        await super().release(session)
        assert isinstance(session, SQLiteSession)
        session.close()

    async def synchronous(self) -> str:
        session = SQLiteSession("", self.path)
        with session._locked_connection() as connection:
            level = _level(connection.execute("PRAGMA synchronous").fetchone())
        session.close()
        return level


class AsyncSQLite(OneEach):
    """`AsyncSQLiteSession(session_id, path)`: each object has a connection and a thread."""

    name = "AsyncSQLiteSession"
    is_quick = False

    def make(self, session_id: str) -> SessionABC:
        return AsyncSQLiteSession(session_id, self.path)

    async def release(self, session: SessionABC) -> None:
        await super().release(session)
        assert isinstance(session, AsyncSQLiteSession)
        await session.close()

    async def synchronous(self) -> str:
        session = AsyncSQLiteSession("", self.path)
        connection = await session._get_connection()
        rows = list(await connection.execute_fetchall("PRAGMA synchronous"))
        await session.close()
        return _level(rows[0])


class Alchemy(OneEach):
    """`SQLAlchemySession(session_id, engine=engine)` with one engine per process, which pools its connections."""

    name = "SQLAlchemySession"
    is_quick = False

    def __init__(self, path: Path) -> None:
        from sqlalchemy.ext.asyncio import create_async_engine

        super().__init__(path)
        self._engine = create_async_engine(f"sqlite+aiosqlite:///{path}")

    def make(self, session_id: str) -> SessionABC:
        from agents.extensions.memory import SQLAlchemySession

        return SQLAlchemySession(session_id, engine=self._engine, create_tables=True)

    async def close(self) -> None:
        await self._engine.dispose()

    async def synchronous(self) -> str:
        async with self._engine.connect() as connection:
            return _level((await connection.exec_driver_sql("PRAGMA synchronous")).one())


def _level(row: Sequence[Any]) -> str:
    return {0: "OFF", 1: "NORMAL", 2: "FULL", 3: "EXTRA"}[row[0]]


PEERS: tuple[type[Peer], ...] = (Ours, ThreadedSQLite, AsyncSQLite)
if find_spec("sqlalchemy"):
    PEERS = (*PEERS, Alchemy)


def exchange(n: int) -> Items:
    """Return the items of one turn with a tool: a message, a call, its output, a reply."""
    call_id = f"call_{n:08}"
    reply = f"I have added “write letter {n}” to your list. It is due tomorrow; shall I remind you in the morning?"
    return [
        {"role": "user", "content": f"Please add a task to write letter {n}, and make it due tomorrow."},
        {
            "type": "function_call",
            "id": f"fc_{n:08}",
            "call_id": call_id,
            "name": "add_task",
            "arguments": json.dumps({"title": f"write letter {n}", "due": "tomorrow", "priority": "normal"}),
        },
        {"type": "function_call_output", "call_id": call_id, "output": json.dumps({"added": True, "number": n})},
        {
            "type": "message",
            "id": f"msg_{n:08}",
            "status": "completed",
            "role": "assistant",
            "content": [{"type": "output_text", "text": reply, "annotations": [], "logprobs": []}],
        },
    ]


def long_sessions(sessions: int) -> list[str]:
    """Return the ids of the sessions with `LONG_ITEMS` items."""
    return [f"session {n}" for n in range(0, sessions, sessions // LONG)]


def write_file(path: Path, sessions: int) -> None:
    """Write a file as the SDK does; sessions grow concurrently, so the rows of each are scattered."""
    SQLiteSession("", path).close()
    ids = [f"session {n}" for n in range(sessions)]
    long = long_sessions(sessions)
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.executemany("INSERT INTO agent_sessions (session_id) VALUES (?)", [(name,) for name in ids])
        for n in range(LONG_ITEMS // 4):
            data = [json.dumps(item) for item in exchange(n)]
            growing = ids if n < SHORT_ITEMS // 4 else long
            connection.executemany(
                "INSERT INTO agent_messages (session_id, message_data) VALUES (?, ?)",
                [(name, item) for name in growing for item in data],
            )


def prepare(folder: Path) -> None:
    """Make our modules importable; nothing here queries a database."""
    os.environ |= {"DJANGO_SETTINGS_MODULE": "config.settings", "ENV_FILE": os.devnull, "DATA_DIR": str(folder)}
    os.environ["OPENAI_AGENTS_DISABLE_TRACING"] = "1"
    django.setup()
    # Import everything, then freeze the garbage collector as the server does.
    import_module("chat.memory.session")
    freeze()
