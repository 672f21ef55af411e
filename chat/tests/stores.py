"""Helpers for tests of both kinds of session store, and for direct access as by another program."""

import sqlite3
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, closing, contextmanager
from typing import Any, Protocol

import psycopg
import pytest
from agents import Session, SQLiteSession, TResponseInputItem
from agents.extensions.memory import SQLAlchemySession
from django.conf import settings
from django.db import connection
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine
from sqlalchemy.pool import NullPool

from chat.memory.configured import DATABASE, FILE
from chat.memory.statements import TABLES
from chat.tests.session_file import delete

TRANSACTIONS = pytest.mark.django_db(transaction=True)
KINDS = (FILE, pytest.param(DATABASE, marks=TRANSACTIONS))
EACH = pytest.mark.usefixtures("each_store")


class DirectAccess(Protocol):
    """Another program's connection; a statement is its own transaction unless it begins one."""

    def execute(self, statement: str, /, *values: Any) -> list[tuple[Any, ...]]:
        """Run a statement, with `?` for each value."""


class DirectFileAccess:
    """Direct access to the session file, which does not wait for locks."""

    def __init__(self, opened: sqlite3.Connection) -> None:
        self._opened = opened

    def execute(self, statement: str, /, *values: Any) -> list[tuple[Any, ...]]:
        """Run a statement."""
        return self._opened.execute(statement, values).fetchall()


class DirectDatabaseAccess:
    """Direct access to the tables."""

    def __init__(self, opened: psycopg.Connection[tuple[Any, ...]]) -> None:
        self._opened = opened

    def execute(self, statement: str, /, *values: Any) -> list[tuple[Any, ...]]:
        """Run a statement."""
        cursor = self._opened.execute(statement.replace("?", "%s").encode(), values or None)
        return cursor.fetchall() if cursor.description else []


@contextmanager
def direct_access() -> Iterator[DirectAccess]:
    """Open the configured store as another program would."""
    if settings.AGENT_SESSION_STORE == FILE:
        path = settings.AGENT_SESSION_DB_PATH
        with closing(sqlite3.connect(path, timeout=0, isolation_level=None)) as file:
            yield DirectFileAccess(file)
    else:
        with direct_database_access() as database:
            yield database


@contextmanager
def direct_database_access() -> Iterator[DirectDatabaseAccess]:
    """Open the test database as another program would."""
    parameters: dict[str, Any] = {**connection.get_connection_params(), "cursor_factory": psycopg.ClientCursor}
    with psycopg.connect(**parameters, autocommit=True) as database:
        yield DirectDatabaseAccess(database)


@contextmanager
def locked(session_id: str) -> Iterator[None]:
    """Hold the lock that a write to a session needs."""
    with direct_access() as other:
        if settings.AGENT_SESSION_STORE == FILE:
            other.execute("BEGIN IMMEDIATE")
        else:
            other.execute("BEGIN")
            other.execute("SELECT FROM agent_sessions WHERE session_id = ? FOR NO KEY UPDATE", session_id)
        yield
        other.execute("ROLLBACK")


def insert_rows(session_id: str, *rows: str | bytes) -> None:
    """Insert rows as a program without knowledge of our metadata would."""
    with direct_access() as other:
        if not other.execute("SELECT 1 FROM agent_sessions WHERE session_id = ?", session_id):
            other.execute("INSERT INTO agent_sessions (session_id) VALUES (?)", session_id)
        insert = "INSERT INTO agent_messages (session_id, message_data) VALUES (?, CAST(? AS TEXT))"
        for row in rows:
            other.execute(insert, session_id, row)


def corrupt_first_row(session_id: str, data: str | bytes) -> None:
    """Overwrite the first row of a session."""
    with direct_access() as other:
        other.execute(
            "UPDATE agent_messages SET message_data = CAST(? AS TEXT)"
            " WHERE id = (SELECT min(id) FROM agent_messages WHERE session_id = ?)",
            data,
            session_id,
        )


def remove_all() -> None:
    """Remove every session from the database."""
    with direct_database_access() as database:
        database.execute(f"TRUNCATE {', '.join(TABLES)} RESTART IDENTITY")


def delete_all_sessions() -> None:
    """Delete every session of the configured store."""
    if settings.AGENT_SESSION_STORE == FILE:
        delete(settings.AGENT_SESSION_DB_PATH)
    else:
        remove_all()


def sdk_engine(schema: str = "public") -> AsyncEngine:
    """Open the test database as the SDK's SQLAlchemySession does."""
    connection_params = connection.get_connection_params()
    parameters = {
        name: connection_params[name]
        for name in ("host", "port", "user", "password", "dbname")
        if connection_params.get(name)
    }
    return create_async_engine(
        "postgresql+psycopg://",
        connect_args=parameters | {"options": f"-c search_path={schema} -c timezone=UTC"},
        poolclass=NullPool,
    )


@asynccontextmanager
async def sdk_session(session_id: str) -> AsyncIterator[Session]:
    """Open a session of the configured store with the SDK's own class."""
    if settings.AGENT_SESSION_STORE == FILE:
        file = SQLiteSession(session_id, settings.AGENT_SESSION_DB_PATH)
        yield file
        file.close()
    else:
        engine = sdk_engine()
        yield SQLAlchemySession(session_id, engine=engine)
        await engine.dispose()


async def add_items_with_sdk(session_id: str, items: list[TResponseInputItem]) -> None:
    """Add items to a session with the SDK's own class."""
    async with sdk_session(session_id) as session:
        await session.add_items(items)
