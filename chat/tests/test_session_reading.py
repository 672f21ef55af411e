"""The rows of a session are decoded as one JSON text, and an invalid row is still found."""

import asyncio
import json
import sqlite3
from collections.abc import AsyncIterator
from contextlib import closing
from pathlib import Path

import pytest
from agents import SQLiteSession, TResponseInputItem

from chat.memory.configured import FILE, session_store
from chat.memory.session import AgentSessionMemory
from chat.memory.statements import Append, Begin, Fence, Row
from chat.memory.store import SessionStore
from chat.tests.stores import direct_access, insert_rows

ONE = {"role": "user", "content": "one"}
TWO = {"role": "user", "content": "two"}


@pytest.fixture
async def store(each_store: str) -> AsyncIterator[SessionStore]:
    """Return a store with a session of one item, written by a turn that began with an empty session."""
    opened = session_store()
    await opened.write(Append("a", Fence(3, 2), [ONE]))
    yield opened
    await opened.close()


BAD = [
    pytest.param(['{"role": "user", "content": "x"', '"name": "y"}'], id="JSON only when joined"),
    pytest.param(['{"role": "user", "content": ["x"', '"y"]}'], id="list only when joined"),
    pytest.param(['{"role": "user", "content": "x', 'y"}'], id="string only when joined"),
    pytest.param([json.dumps(ONE) + "," + json.dumps(ONE)], id="two items in one row"),
    pytest.param([json.dumps(ONE) + "]"], id="extra bracket"),
    pytest.param([json.dumps(ONE) + ","], id="extra comma"),
    pytest.param([""], id="empty"),
    pytest.param(["[" * 100_000 + "]" * 100_000], id="nested too deep"),
    pytest.param(["[]"], id="not an item"),
    pytest.param(['{"role": "user", "content": ' + "9" * 5000 + "}"], id="number too long"),
]


@pytest.mark.parametrize("rows", BAD)
async def test_invalid_rows_are_found_one_by_one(store: SessionStore, rows: list[str]) -> None:
    insert_rows("a", *rows, json.dumps(TWO))

    stored = await store.read("a")

    assert stored.rows == [Row(1, ONE), Row(len(rows) + 2, TWO)]
    assert [(bad.id, bad.data) for bad in stored.bad] == list(enumerate(rows, start=2))
    assert (stored.last, stored.base) == (Fence(3, 2), 0)


@pytest.mark.parametrize("each_store", [FILE], indirect=True)
async def test_row_with_invalid_utf8_is_found(store: SessionStore) -> None:
    insert_rows("a", json.dumps(TWO))
    with direct_access() as other:
        other.execute("UPDATE agent_messages SET message_data = CAST(? AS TEXT) WHERE id = 1", b"\xff\xfe")

    stored = await store.read("a")

    assert stored.rows == [Row(2, TWO)]
    assert [(bad.id, bad.data) for bad in stored.bad] == [(1, repr(b"\xff\xfe"))]


async def test_invalid_row_does_not_affect_sessions_read_with_it(store: SessionStore) -> None:
    insert_rows("a", "{")
    insert_rows("b", json.dumps(TWO), json.dumps(ONE))

    a, b, missing = await asyncio.gather(store.read("a"), store.read("b"), store.read("nobody"))

    assert (a.rows, [bad.id for bad in a.bad]) == ([Row(1, ONE)], [2])
    assert (b.rows, b.bad, b.last) == ([Row(3, TWO), Row(4, ONE)], [], None)
    assert (missing.rows, missing.bad, missing.last) == ([], [], None)


async def test_concurrent_reads_return_separate_lists(store: SessionStore) -> None:
    first, second = await asyncio.gather(*(AgentSessionMemory("a", store).get_items() for _ in range(2)))

    first.clear()

    assert second == [ONE]


# Texts that JSON decoders treat differently.
ODD = [
    '{"role": "user", "content": "\\ud800 alone"}',
    '{"role": "user", "content": "\\ud83d\\ude00 \\u0000 \\u2028"}',
    '{"type": "x", "n": 18446744073709551616}',
    '{"type": "x", "n": -9223372036854775809}',
    '{"type": "x", "n": [Infinity, -Infinity, 1e999, 1.0, -0.0, 0.1234567890123456789]}',
    '{"type": "x", "n": 1, "n": 2}',
    ' {"type": "x"}\n',
]


async def read_with_sdk(text: str, folder: Path) -> TResponseInputItem:
    """Return the item that the SDK's own session reads from a row."""
    theirs = SQLiteSession("a", folder / "theirs.db")
    await theirs.add_items([{"role": "user", "content": ""}])
    with closing(sqlite3.connect(folder / "theirs.db")) as connection, connection:
        connection.execute("UPDATE agent_messages SET message_data = ?", (text,))
    (item,) = await theirs.get_items()
    theirs.close()
    return item


@pytest.mark.parametrize("text", ODD)
async def test_item_is_read_as_the_sdk_reads_it(store: SessionStore, text: str, tmp_path: Path) -> None:
    insert_rows("a", text)

    stored = await store.read("a")

    assert list(map(repr, stored.items)) == [repr(ONE), repr(await read_with_sdk(text, tmp_path))]
    assert stored.bad == []


async def test_nan_is_read_as_the_sdk_reads_it(store: SessionStore) -> None:
    insert_rows("a", '{"type": "x", "n": NaN}')

    assert repr((await store.read("a")).items[1]) == "{'type': 'x', 'n': nan}"


@pytest.mark.parametrize("each_store", [FILE], indirect=True)
async def test_item_stored_as_bytes_is_read_as_the_sdk_reads_it(store: SessionStore) -> None:
    with direct_access() as other:
        insert = "INSERT INTO agent_messages (session_id, message_data) VALUES ('a', ?)"
        other.execute(insert, json.dumps(TWO).encode())
    assert (await store.read("a")).items == [ONE, TWO]

    insert_rows("a", "{")

    assert (await store.read("a")).items == [ONE, TWO], "also next to an invalid row"


async def test_stored_text_equals_what_the_sdk_writes(store: SessionStore, tmp_path: Path) -> None:
    items: list[TResponseInputItem] = [
        {"role": "user", "content": "ü 😀 \ud800 \x00 / \u2028"},
        {"role": "assistant", "content": [], "n": [float("nan"), 2**70, 1.0]},  # type: ignore[list-item]
    ]
    theirs = SQLiteSession("b", tmp_path / "theirs.db")
    await theirs.add_items(items)
    theirs.close()

    await store.write(Append("b", None, [dict(item) for item in items]))

    query = "SELECT message_data FROM agent_messages WHERE session_id = 'b' ORDER BY id"
    with closing(sqlite3.connect(tmp_path / "theirs.db")) as connection, direct_access() as other:
        assert other.execute(query) == connection.execute(query).fetchall()


async def test_emptied_session_keeps_its_last_fence(store: SessionStore) -> None:
    await store.write(Begin("a", Fence(3, 3)))

    stored = await store.read("a")

    assert (stored.rows, stored.last, stored.base) == ([], Fence(3, 3), 0)
