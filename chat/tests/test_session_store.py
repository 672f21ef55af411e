"""A session store keeps many sessions apart and loses no write."""

import asyncio
import sqlite3
import stat
import time
from collections.abc import AsyncIterator
from contextlib import closing
from pathlib import Path

import pytest
from agents import SQLiteSession

from chat.exceptions import MemoryUnavailable, OutdatedAttempt
from chat.memory import file_store as store_module
from chat.memory.configured import session_store
from chat.memory.file_store import FileStore
from chat.memory.session import AgentSessionMemory
from chat.memory.statements import Append, Begin, Delete, Fence, Size
from chat.memory.store import SessionStore
from chat.tests.stores import direct_access, locked


@pytest.fixture
async def store(each_store: str) -> AsyncIterator[SessionStore]:
    opened = session_store()
    yield opened
    await opened.close()


@pytest.fixture
async def file_store(tmp_path: Path) -> AsyncIterator[FileStore]:
    opened = FileStore(tmp_path / "sessions.db")
    yield opened
    await opened.close()


def user_item(text: str) -> dict[str, str]:
    return {"role": "user", "content": text}


async def texts(store: SessionStore, session_id: str) -> list[str]:
    return [row.item["content"] for row in await store.rows(session_id)]


async def test_schema_equals_that_of_the_sdk(file_store: FileStore, tmp_path: Path) -> None:
    await file_store.write(Append("a", None, [user_item("hi")]))
    theirs = SQLiteSession("a", tmp_path / "theirs.db")
    await theirs.add_items([{"role": "user", "content": "hi"}])
    theirs.close()

    def schema(path: Path) -> list[tuple[str, str]]:
        with sqlite3.connect(path) as connection:
            query = "SELECT name, sql FROM sqlite_master WHERE name LIKE '%agent_%' AND sql IS NOT NULL ORDER BY name"
            rows = connection.execute(query).fetchall()
        connection.close()
        return [(name, " ".join(sql.replace("( ", "(").split())) for name, sql in rows]

    ours = [(name, sql.replace(" ", "")) for name, sql in schema(file_store.path)]
    assert ours == [(name, sql.replace(" ", "")) for name, sql in schema(tmp_path / "theirs.db")]


async def test_session_file_is_readable_only_by_its_owner(file_store: FileStore) -> None:
    await file_store.write(Append("a", None, [user_item("hi")]))

    for name in ("sessions.db", "sessions.db-wal", "sessions.db-shm"):
        assert stat.S_IMODE((file_store.path.parent / name).stat().st_mode) == 0o600


async def test_concurrent_writes_keep_their_order_in_each_session(store: SessionStore) -> None:
    async def append_ten(session_id: str) -> None:
        for n in range(10):
            await store.write(Append(session_id, Fence(1, 1), [user_item(f"{session_id} {n}")]))

    await asyncio.gather(*(append_ten(f"s{n}") for n in range(40)))

    for n in range(40):
        assert await texts(store, f"s{n}") == [f"s{n} {i}" for i in range(10)]


async def test_invalid_write_does_not_fail_the_others(store: SessionStore) -> None:
    results = await asyncio.gather(
        store.write(Append("a", None, [user_item("one")])),
        store.write(Append("b", None, [{"content": object()}])),
        store.write(Append("c", None, [user_item("three")])),
        return_exceptions=True,
    )

    assert isinstance(results[1], TypeError)
    assert await texts(store, "a") == ["one"]
    assert await texts(store, "b") == []
    assert await texts(store, "c") == ["three"]


async def test_outdated_attempt_is_rejected(store: SessionStore) -> None:
    await store.write(Append("a", Fence(1, 2), [user_item("second attempt")]))

    for fence in (Fence(1, 1), Fence(0, 9)):
        with pytest.raises(OutdatedAttempt):
            await store.write(Append("a", fence, [user_item("too late")]))

    assert await texts(store, "a") == ["second attempt"]


async def test_new_attempt_removes_items_of_the_previous_attempt(store: SessionStore) -> None:
    await store.write(Append("a", Fence(1, 1), [user_item("first turn")]))
    await store.write(Append("a", Fence(2, 1), [user_item("second turn")]))
    await store.write(Append("a", Fence(2, 1), [user_item("half of a reply")]))

    await store.write(Begin("a", Fence(2, 2)))

    assert await texts(store, "a") == ["first turn"]


async def test_retry_removes_items_of_the_turn_it_replaces(store: SessionStore) -> None:
    await store.write(Append("a", Fence(1, 1), [user_item("first turn")]))
    await store.write(Append("a", Fence(2, 1), [user_item("failed turn")]))

    await store.write(Begin("a", Fence(3, 1), [user_item("again")], replaces=2))
    assert await texts(store, "a") == ["first turn", "again"]
    await store.write(Begin("a", Fence(3, 2)))

    assert await texts(store, "a") == ["first turn"]


async def test_first_attempt_removes_nothing(store: SessionStore) -> None:
    await store.write(Append("a", Fence(1, 1), [user_item("first turn")]))

    await store.write(Begin("a", Fence(2, 1), [user_item("second")]))

    assert await texts(store, "a") == ["first turn", "second"]


async def test_delete_removes_rows_of_the_named_session_only(store: SessionStore) -> None:
    await store.write(Append("a", None, [user_item("a")]))
    await store.write(Append("b", None, [user_item("b")]))
    ids = [row.id for row in await store.rows("a")]

    await store.write(Delete("b", ids))

    assert await texts(store, "a") == ["a"]


async def test_size_is_counted_in_items_and_bytes(store: SessionStore) -> None:
    await store.write(Append("a", None, [user_item("ü")]))
    assert await store.size("a") == Size(items=1, bytes=len('{"role": "user", "content": "\\u00fc"}'))

    # The SDK escapes what is not ASCII; another program that writes the format need not.
    with direct_access() as other:
        other.execute("UPDATE agent_messages SET message_data = ?", '{"role": "user", "content": "ü"}')
    assert await store.size("a") == Size(items=1, bytes=len('{"role": "user", "content": "ü"}') + 1)


async def test_store_recovers_once_its_missing_folder_exists(tmp_path: Path) -> None:
    store = FileStore(tmp_path / "gone" / "sessions.db")
    with pytest.raises(MemoryUnavailable):
        await store.rows("a")
    with pytest.raises(MemoryUnavailable):
        await store.write(Append("a", None, [user_item("hi")]))

    (tmp_path / "gone").mkdir()
    await store.write(Append("a", None, [user_item("hi")]))

    assert await texts(store, "a") == ["hi"]
    await store.close()


async def test_write_waits_for_a_lock(store: SessionStore) -> None:
    await store.write(Append("a", None, [user_item("one")]))
    with locked("a"):
        writing = asyncio.create_task(store.write(Append("a", None, [user_item("two")])))
        assert await texts(store, "a") == ["one"], "reads do not wait"
        # Longer than SQLite itself waits.
        await asyncio.sleep(3 * store_module.BUSY_MS / 1000)
        assert not writing.done()

    await writing

    assert await texts(store, "a") == ["one", "two"]


async def test_lock_held_beyond_the_budget_raises_memory_unavailable(
    file_store: FileStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store_module, "LOCK_BUDGET", 0.4)
    await file_store.write(Append("a", None, [user_item("one")]))
    other = sqlite3.connect(file_store.path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")

    began = time.monotonic()
    writing = asyncio.create_task(file_store.write(Append("a", None, [user_item("two")])))
    finished, _ = await asyncio.wait([writing], timeout=30)  # a write must not be cancelled
    waited = time.monotonic() - began
    other.execute("ROLLBACK")
    with pytest.raises(MemoryUnavailable):
        await writing
    assert finished and waited >= 0.4
    assert file_store._lock_budget == store_module.LOCK_BUDGET_AFTER_FAILURE, "the next write waits less"

    other.close()
    await file_store.write(Append("a", None, [user_item("three")]))
    assert await texts(file_store, "a") == ["one", "three"]
    assert file_store._lock_budget == 0.4


async def test_close_finishes_pending_writes(each_store: str) -> None:
    store = session_store()
    writing = [asyncio.create_task(store.write(Append("a", None, [user_item(str(n))]))) for n in range(5)]
    await asyncio.sleep(0)

    await store.close()
    await store.close()
    await asyncio.gather(*writing)

    again = session_store()
    assert await texts(again, "a") == ["0", "1", "2", "3", "4"]
    await again.close()


async def test_handle_returns_no_items_while_store_is_unavailable(tmp_path: Path) -> None:
    store = FileStore(tmp_path / "gone" / "sessions.db")
    reported: list[bool] = []
    handle = AgentSessionMemory("a", store, fence=Fence(1, 1), on_unavailable=lambda: reported.append(True))

    assert await handle.get_items() == []
    await handle.add_items([{"role": "user", "content": "hi"}])

    assert handle.unavailable
    assert reported == [True]
    assert handle.given == [user_item("hi")]
    await store.close()


async def test_write_rejected_by_the_file_raises_memory_unavailable(tmp_path: Path) -> None:
    file_store = FileStore(tmp_path / "sessions.db")
    await file_store.write(Append("a", None, [{"role": "user", "content": "one"}]))
    with closing(sqlite3.connect(file_store.path)) as connection, connection:
        connection.execute("CREATE TRIGGER no BEFORE INSERT ON agent_messages BEGIN SELECT raise(abort, 'no'); END")
    with pytest.raises(MemoryUnavailable):
        await file_store.write(Append("a", None, [{"role": "user", "content": "two"}]))
    await file_store.close()
