"""A batch of writes is one transaction, run in the connection's thread."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from chat.memory import file
from chat.memory.connection import Connection
from chat.memory.file_tables import NotBegun, commit
from chat.memory.statements import Append

ONE = Append("a", None, [{"role": "user", "content": "one"}])


@pytest.fixture
def connection(tmp_path: Path) -> Iterator[sqlite3.Connection]:
    with closing(file.connect(tmp_path / "sessions.db", busy_ms=10)) as opened:
        yield opened


def test_failed_batch_leaves_no_open_transaction(connection: sqlite3.Connection) -> None:
    connection.execute("CREATE TRIGGER no BEFORE INSERT ON agent_messages BEGIN SELECT missing(); END")

    with pytest.raises(sqlite3.OperationalError):
        commit(connection, [ONE])

    assert not connection.in_transaction
    assert connection.execute("SELECT count(*) FROM agent_sessions").fetchone() == (0,)


def test_commit_raises_not_begun_when_file_is_locked(connection: sqlite3.Connection, tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / "sessions.db", isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(NotBegun) as raised:
            commit(connection, [ONE])

    assert raised.value.locked
    assert not connection.in_transaction


def test_error_other_than_a_lock_is_not_marked_as_locked(connection: sqlite3.Connection) -> None:
    connection.execute("BEGIN")

    with pytest.raises(NotBegun) as raised:
        commit(connection, [ONE])

    assert not raised.value.locked


async def test_closed_connection_raises_value_error(connection: sqlite3.Connection) -> None:
    opened = Connection(lambda: connection, 64)
    await opened
    assert await opened.run(lambda raw: raw is connection)
    await opened.close()

    with pytest.raises(ValueError, match="closed"):
        await opened.run(lambda raw: raw)
