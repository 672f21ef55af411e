"""The session store in PostgreSQL: the SDK uses the same tables, and many processes write to them at once."""

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Any

import pytest
from agents import TResponseInputItem
from agents.extensions.memory import SQLAlchemySession
from sqlalchemy.ext.asyncio import AsyncEngine

from chat.exceptions import MemoryUnavailable, OutdatedAttempt
from chat.memory.configured import DATABASE, session_store
from chat.memory.session import AgentSessionMemory
from chat.memory.statements import Append, Begin, Fence
from chat.memory.store import SessionStore
from chat.tests.stores import TRANSACTIONS, direct_access, locked, sdk_engine

ONLY = pytest.mark.parametrize("each_store", [pytest.param(DATABASE, marks=TRANSACTIONS)], indirect=True)

_COLUMNS = """
SELECT table_name, column_name, data_type, character_maximum_length, is_nullable,
    replace(column_default, 'theirs.', '')
FROM information_schema.columns WHERE table_schema = ? AND table_name LIKE 'agent\\_%%'
ORDER BY table_name, ordinal_position
"""
_INDEXES = """
SELECT indexname, replace(indexdef, schemaname || '.', '') FROM pg_indexes
WHERE schemaname = ? AND tablename LIKE 'agent\\_%%' ORDER BY indexname
"""
_KEYS = """
SELECT conname, replace(pg_get_constraintdef(c.oid), n.nspname || '.', '') FROM pg_constraint c
JOIN pg_class t ON t.oid = c.conrelid JOIN pg_namespace n ON n.oid = t.relnamespace
WHERE n.nspname = ? AND t.relname LIKE 'agent\\_%%' AND c.contype <> 'n' ORDER BY conname
"""


def user_item(text: str) -> TResponseInputItem:
    return {"role": "user", "content": text}


@pytest.fixture
async def store(each_store: str) -> AsyncIterator[SessionStore]:
    opened = session_store()
    yield opened
    await opened.close()


@pytest.fixture
async def other_store(each_store: str) -> AsyncIterator[SessionStore]:
    """Return a second store on the same sessions, as another process has."""
    opened = session_store()
    yield opened
    await opened.close()


@pytest.fixture
async def engine() -> AsyncIterator[AsyncEngine]:
    """Return the engine through which the SDK reaches the tables."""
    opened = sdk_engine()
    yield opened
    await opened.dispose()


def shape(schema: str) -> list[Any]:
    with direct_access() as other:
        return [other.execute(query, schema) for query in (_COLUMNS, _INDEXES, _KEYS)]


@ONLY
async def test_tables_equal_those_the_sdk_creates(store: SessionStore) -> None:
    with direct_access() as other:
        other.execute("CREATE SCHEMA theirs")
        engine = sdk_engine("theirs")
        await SQLAlchemySession("a", engine=engine, create_tables=True).add_items([user_item("hi")])
        await engine.dispose()
        other.execute("ALTER TABLE theirs.agent_messages ALTER COLUMN id TYPE bigint")  # our ids are wider
        theirs = shape("theirs")
        other.execute("DROP SCHEMA theirs CASCADE")

    assert shape("public") == theirs
    assert len(theirs[0]) == 7


@ONLY
async def test_sdk_and_store_share_a_session(store: SessionStore, engine: AsyncEngine) -> None:
    ours, theirs = AgentSessionMemory("a", store), SQLAlchemySession("a", engine=engine)
    await ours.add_items([user_item("one"), user_item("two")])
    assert await theirs.get_items() == [user_item("one"), user_item("two")]

    await theirs.add_items([user_item("three")])
    assert await ours.get_items() == [user_item("one"), user_item("two"), user_item("three")]
    assert not (await store.read("a")).is_intact, "a write of another program is detected"

    assert await theirs.pop_item() == user_item("three")
    assert (await store.read("a")).is_intact
    assert await ours.pop_item() == user_item("two")
    await theirs.clear_session()
    assert await ours.get_items() == []


@ONLY
async def test_sdk_reads_rows_in_write_order(store: SessionStore, engine: AsyncEngine) -> None:
    await store.write(Append("a", None, [user_item("one")]))
    with locked("a"):
        waiting = asyncio.create_task(store.write(Append("a", None, [user_item("three"), user_item("four")])))
        await asyncio.sleep(0.3)  # so that its transaction is older than the row that it waits for
        with direct_access() as other:
            # As if a clock had been set back.
            later = "INSERT INTO agent_messages (session_id, message_data, created_at) VALUES ('a', ?, now() + '1 h')"
            other.execute(later, '{"role": "user", "content": "two"}')
    await waiting

    expected = [user_item(text) for text in ("one", "two", "three", "four")]
    assert await AgentSessionMemory("a", store).get_items() == expected
    assert await SQLAlchemySession("a", engine=engine).get_items() == expected


@ONLY
async def test_concurrent_writes_of_sdk_and_store_all_succeed(store: SessionStore, engine: AsyncEngine) -> None:
    ours, theirs = AgentSessionMemory("a", store), SQLAlchemySession("a", engine=engine)
    async with asyncio.timeout(60):
        await asyncio.gather(
            *(ours.add_items([user_item(f"ours {n}")]) for n in range(20)),
            *(theirs.add_items([user_item(f"theirs {n}")]) for n in range(20)),
            *(ours.pop_item() for _ in range(10)),
        )

    assert len(await ours.get_items()) == 30


async def test_two_processes_write_to_the_same_sessions_without_errors(
    store: SessionStore, other_store: SessionStore
) -> None:
    names = [f"s{n}" for n in range(12)]

    async def write_all(one: SessionStore, order: list[str], writer: str) -> None:
        for n in range(5):
            await asyncio.gather(*(one.write(Append(name, None, [user_item(f"{writer} {n}")])) for name in order))

    for one in (store, other_store):
        await one.read("s0")  # open one after the other, before the concurrent writes
    await asyncio.gather(write_all(store, names, "first"), write_all(other_store, names[::-1], "second"))

    for name in names:
        texts = [row.item["content"] for row in await store.rows(name)]
        for writer in ("first", "second"):
            assert [text for text in texts if text.startswith(writer)] == [f"{writer} {n}" for n in range(5)]


async def test_outdated_attempt_stores_nothing_after_a_later_attempt_begins(
    store: SessionStore, other_store: SessionStore
) -> None:
    """Two processes write for the same turn, as after one was cut off and the other took over its turn."""
    await store.write(Append("a", Fence(1, 1), [user_item("before")]))
    began = asyncio.Event()
    rejected = 0

    async def old_attempt() -> None:
        nonlocal rejected
        for n in range(60):
            if n == 20:
                began.set()
            try:
                await store.write(Append("a", Fence(2, 1), [user_item(f"old {n}")]))
            except OutdatedAttempt:
                rejected += 1

    async def new_attempt() -> None:
        await began.wait()
        await other_store.write(Begin("a", Fence(2, 2), [user_item("new 0")]))
        for n in range(1, 20):
            await other_store.write(Append("a", Fence(2, 2), [user_item(f"new {n}")]))

    await asyncio.gather(old_attempt(), new_attempt())

    assert rejected
    assert [row.item["content"] for row in await store.rows("a")] == ["before", *(f"new {n}" for n in range(20))]


@ONLY
async def test_locked_session_delays_other_sessions_only_briefly(store: SessionStore) -> None:
    names = [f"s{n}" for n in range(6)]
    for name in names:
        await store.write(Append(name, None, [user_item("first")]))
    with locked("s3"):
        begun = time.monotonic()
        writes = {name: asyncio.create_task(store.write(Append(name, None, [user_item("second")]))) for name in names}
        await asyncio.wait(writes.values())
        took = time.monotonic() - begun
    assert took < 3  # less than one wait for a lock in a server's connection
    assert {name for name, write in writes.items() if write.exception()} == {"s3"}
    assert isinstance(writes["s3"].exception(), MemoryUnavailable)
    for name in names:
        assert len((await store.read(name)).items) == (1 if name == "s3" else 2)
