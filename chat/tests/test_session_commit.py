"""A batch of writes is one transaction, done in one go in the connection's thread."""

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


def test_a_batch_that_fails_altogether_leaves_no_transaction_open(connection: sqlite3.Connection) -> None:
    connection.execute("CREATE TRIGGER no BEFORE INSERT ON agent_messages BEGIN SELECT missing(); END")

    with pytest.raises(sqlite3.OperationalError):
        commit(connection, [ONE])

    assert not connection.in_transaction
    assert connection.execute("SELECT count(*) FROM agent_sessions").fetchone() == (0,)


def test_a_lock_held_by_another_is_told_before_it_begins(connection: sqlite3.Connection, tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / "sessions.db", isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(NotBegun) as raised:
            commit(connection, [ONE])

    assert raised.value.locked
    assert not connection.in_transaction


def test_what_is_no_lock_is_not_waited_for(connection: sqlite3.Connection) -> None:
    connection.execute("BEGIN")

    with pytest.raises(NotBegun) as raised:
        commit(connection, [ONE])

    assert not raised.value.locked


async def test_a_connection_that_is_closed_says_so(connection: sqlite3.Connection) -> None:
    opened = Connection(lambda: connection, 64)
    await opened
    assert await opened.run(lambda raw: raw is connection)
    await opened.close()

    with pytest.raises(ValueError, match="closed"):
        await opened.run(lambda raw: raw)
