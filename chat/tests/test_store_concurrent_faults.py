"""Concurrent reads and writes of the session store recover from a fault that they meet together."""

import asyncio
import sqlite3
from collections.abc import AsyncIterator
from contextlib import closing
from pathlib import Path

import pytest

from chat.memory.file_store import FileStore
from chat.memory.statements import Append
from chat.tests.session_file import delete, overwrite

HELLO = {"role": "user", "content": "hello"}


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[FileStore]:
    """Return a store that holds one session."""
    store = FileStore(tmp_path / "sessions.db")
    await store.write(Append("one", None, [HELLO]))
    yield store
    await store.close()


async def test_concurrent_operations_on_a_corrupt_file_create_one_new_file(store: FileStore) -> None:
    overwrite(store.path)

    await asyncio.gather(store.read("one"), store.write(Append("two", None, [HELLO])), store.size("one"))

    corrupt = {path.name for path in store.path.parent.glob("*.corrupt-*")}
    assert len([name for name in corrupt if not name.endswith(("-wal", "-shm"))]) == 1
    assert [row.item for row in await store.rows("two")] == [HELLO], "the write to the new file is kept"


async def test_waiting_write_goes_to_the_new_file_after_a_deletion(store: FileStore) -> None:
    with closing(sqlite3.connect(store.path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        writing = asyncio.create_task(store.write(Append("two", None, [HELLO])))
        await store.read("one")
        delete(store.path)

        assert (await store.read("one")).rows == []

        await writing
    assert [row.item for row in await store.rows("two")] == [HELLO]


async def test_reads_continue_when_a_write_times_out(store: FileStore) -> None:
    """The write closes the connection of the reads together with its own."""
    store._lock_budget = 0.3
    with closing(sqlite3.connect(store.path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        writing = asyncio.create_task(store.write(Append("two", None, [HELLO])))
        while not writing.done():
            assert [row.item for row in await store.rows("one")] == [HELLO]
        assert writing.exception() is not None
        assert [row.item for row in await store.rows("one")] == [HELLO]
