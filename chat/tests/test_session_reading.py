"""A session is decoded as one text, and a row that holds no item is found all the same."""

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
from chat.tests.stores import insert_rows, outside

ONE = {"role": "user", "content": "one"}
TWO = {"role": "user", "content": "two"}


@pytest.fixture
async def store(each_store: str) -> AsyncIterator[SessionStore]:
    """A store with a session of one item, by a turn that began behind nothing."""
    opened = session_store()
    await opened.write(Append("a", Fence(3, 2), [ONE]))
    yield opened
    await opened.close()


BAD = [
    pytest.param(['{"role": "user", "content": "x"', '"name": "y"}'], id="JSON only together"),
    pytest.param(['{"role": "user", "content": ["x"', '"y"]}'], id="a list only together"),
    pytest.param(['{"role": "user", "content": "x', 'y"}'], id="a text only together"),
    pytest.param([json.dumps(ONE) + "," + json.dumps(ONE)], id="two items in a row"),
    pytest.param([json.dumps(ONE) + "]"], id="a bracket too many"),
    pytest.param([json.dumps(ONE) + ","], id="a comma too many"),
    pytest.param([""], id="nothing"),
    pytest.param(["[" * 100_000 + "]" * 100_000], id="too deep"),
    pytest.param(["[]"], id="no item"),
    pytest.param(['{"role": "user", "content": ' + "9" * 5000 + "}"], id="a number too long"),
]


@pytest.mark.parametrize("rows", BAD)
async def test_rows_that_hold_no_item_are_found_singly(store: SessionStore, rows: list[str]) -> None:
    insert_rows("a", *rows, json.dumps(TWO))

    stored = await store.read("a")

    assert stored.rows == [Row(1, ONE), Row(len(rows) + 2, TWO)]
    assert [(bad.id, bad.data) for bad in stored.bad] == list(enumerate(rows, start=2))
    assert (stored.last, stored.base) == (Fence(3, 2), 0)


@pytest.mark.parametrize("each_store", [FILE], indirect=True)
async def test_text_that_is_none_is_found_singly(store: SessionStore) -> None:
    insert_rows("a", json.dumps(TWO))
    with outside() as other:
        other.execute("UPDATE agent_messages SET message_data = CAST(? AS TEXT) WHERE id = 1", b"\xff\xfe")

    stored = await store.read("a")

    assert stored.rows == [Row(2, TWO)]
    assert [(bad.id, bad.data) for bad in stored.bad] == [(1, repr(b"\xff\xfe"))]


async def test_a_bad_row_is_nothing_to_sessions_that_are_read_with_it(store: SessionStore) -> None:
    insert_rows("a", "{")
    insert_rows("b", json.dumps(TWO), json.dumps(ONE))

    a, b, nobody = await asyncio.gather(store.read("a"), store.read("b"), store.read("nobody"))

    assert (a.rows, [bad.id for bad in a.bad]) == ([Row(1, ONE)], [2])
    assert (b.rows, b.bad, b.last) == ([Row(3, TWO), Row(4, ONE)], [], None)
    assert (nobody.rows, nobody.bad, nobody.last) == ([], [], None)


async def test_those_who_read_together_have_lists_of_their_own(store: SessionStore) -> None:
    first, second = await asyncio.gather(*(AgentSessionMemory("a", store).get_items() for _ in range(2)))

    first.clear()

    assert second == [ONE]


# What one decoder takes and another does not, or takes for something else.
ODD = [
    '{"role": "user", "content": "\\ud800 alone"}',
    '{"role": "user", "content": "\\ud83d\\ude00 \\u0000 \\u2028"}',
    '{"type": "x", "n": 18446744073709551616}',
    '{"type": "x", "n": -9223372036854775809}',
    '{"type": "x", "n": [Infinity, -Infinity, 1e999, 1.0, -0.0, 0.1234567890123456789]}',
    '{"type": "x", "n": 1, "n": 2}',
    ' {"type": "x"}\n',
]


async def sdk_reads(text: str, folder: Path) -> TResponseInputItem:
    """Return what the SDK's own session reads of a row."""
    theirs = SQLiteSession("a", folder / "theirs.db")
    await theirs.add_items([{"role": "user", "content": ""}])
    with closing(sqlite3.connect(folder / "theirs.db")) as connection, connection:
        connection.execute("UPDATE agent_messages SET message_data = ?", (text,))
    (item,) = await theirs.get_items()
    theirs.close()
    return item


@pytest.mark.parametrize("text", ODD)
async def test_what_the_sdk_reads_is_read_the_same(store: SessionStore, text: str, tmp_path: Path) -> None:
    insert_rows("a", text)

    stored = await store.read("a")

    assert list(map(repr, stored.items)) == [repr(ONE), repr(await sdk_reads(text, tmp_path))]
    assert stored.bad == []


async def test_no_number_is_read_as_the_sdk_reads_it(store: SessionStore) -> None:
    insert_rows("a", '{"type": "x", "n": NaN}')

    assert repr((await store.read("a")).items[1]) == "{'type': 'x', 'n': nan}"


@pytest.mark.parametrize("each_store", [FILE], indirect=True)
async def test_an_item_in_bytes_is_read_as_the_sdk_reads_it(store: SessionStore) -> None:
    with outside() as other:
        insert = "INSERT INTO agent_messages (session_id, message_data) VALUES ('a', ?)"
        other.execute(insert, json.dumps(TWO).encode())
    assert (await store.read("a")).items == [ONE, TWO]

    insert_rows("a", "{")

    assert (await store.read("a")).items == [ONE, TWO], "with a bad row beside it too"


async def test_what_is_written_is_letter_for_letter_what_the_sdk_writes(store: SessionStore, tmp_path: Path) -> None:
    items: list[TResponseInputItem] = [
        {"role": "user", "content": "ü 😀 \ud800 \x00 / \u2028"},
        {"role": "assistant", "content": [], "n": [float("nan"), 2**70, 1.0]},  # type: ignore[list-item]
    ]
    theirs = SQLiteSession("b", tmp_path / "theirs.db")
    await theirs.add_items(items)
    theirs.close()

    await store.write(Append("b", None, [dict(item) for item in items]))

    query = "SELECT message_data FROM agent_messages WHERE session_id = 'b' ORDER BY id"
    with closing(sqlite3.connect(tmp_path / "theirs.db")) as connection, outside() as other:
        assert other.execute(query) == connection.execute(query).fetchall()


async def test_a_session_that_was_cut_to_nothing_still_tells_which_turn_did_it(store: SessionStore) -> None:
    await store.write(Begin("a", Fence(3, 3)))

    stored = await store.read("a")

    assert (stored.rows, stored.last, stored.base) == ([], Fence(3, 3), 0)
