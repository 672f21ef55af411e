"""A session is decoded as one text, and a row that holds no item is found all the same."""

import asyncio
import json
import sqlite3
from collections.abc import AsyncIterator, Sequence
from contextlib import closing
from pathlib import Path

import pytest
from agents import SQLiteSession, TResponseInputItem

from chat.memory.file_store import FileStore
from chat.memory.session import AgentSessionMemory
from chat.memory.statements import Append, Begin, Fence, Row

ONE = {"role": "user", "content": "one"}
TWO = {"role": "user", "content": "two"}


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[FileStore]:
    """A store with a session of one item, by a turn that began behind nothing."""
    opened = FileStore(tmp_path / "sessions.db")
    await opened.write(Append("a", Fence(3, 2), [ONE]))
    yield opened
    await opened.close()


def insert(store: FileStore, rows: Sequence[str | bytes], *, session_id: str = "a") -> None:
    with closing(sqlite3.connect(store.path)) as connection, connection:
        connection.executemany(
            "INSERT INTO agent_messages (session_id, message_data) VALUES (?, ?)", [(session_id, row) for row in rows]
        )


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
async def test_rows_that_hold_no_item_are_found_singly(store: FileStore, rows: list[str]) -> None:
    insert(store, [*rows, json.dumps(TWO)])

    stored = await store.read("a")

    assert stored.rows == [Row(1, ONE), Row(len(rows) + 2, TWO)]
    assert [(bad.id, bad.data) for bad in stored.bad] == list(enumerate(rows, start=2))
    assert (stored.last, stored.base) == (Fence(3, 2), 0)


async def test_text_that_is_none_is_found_singly(store: FileStore) -> None:
    insert(store, [json.dumps(TWO)])
    with closing(sqlite3.connect(store.path)) as connection, connection:
        connection.execute("UPDATE agent_messages SET message_data = CAST(? AS TEXT) WHERE id = 1", (b"\xff\xfe",))

    stored = await store.read("a")

    assert stored.rows == [Row(2, TWO)]
    assert [(bad.id, bad.data) for bad in stored.bad] == [(1, repr(b"\xff\xfe"))]


async def test_a_bad_row_is_nothing_to_sessions_that_are_read_with_it(store: FileStore) -> None:
    insert(store, ["{"])
    insert(store, [json.dumps(TWO), json.dumps(ONE)], session_id="b")

    a, b, nobody = await asyncio.gather(store.read("a"), store.read("b"), store.read("nobody"))

    assert (a.rows, [bad.id for bad in a.bad]) == ([Row(1, ONE)], [2])
    assert (b.rows, b.bad, b.last) == ([Row(3, TWO), Row(4, ONE)], [], None)
    assert (nobody.rows, nobody.bad, nobody.last) == ([], [], None)


async def test_those_who_read_together_have_lists_of_their_own(store: FileStore) -> None:
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


@pytest.mark.parametrize("text", ODD)
async def test_what_the_sdk_reads_is_read_the_same(store: FileStore, text: str) -> None:
    insert(store, [text])
    theirs = SQLiteSession("a", store.path)

    stored = await store.read("a")

    assert list(map(repr, stored.items)) == list(map(repr, await theirs.get_items()))
    assert stored.bad == []
    theirs.close()


async def test_no_number_is_read_as_the_sdk_reads_it(store: FileStore) -> None:
    insert(store, ['{"type": "x", "n": NaN}'])

    assert repr((await store.read("a")).items[1]) == "{'type': 'x', 'n': nan}"


async def test_an_item_in_bytes_is_read_as_the_sdk_reads_it(store: FileStore) -> None:
    insert(store, [json.dumps(TWO).encode()])
    assert (await store.read("a")).items == [ONE, TWO]

    insert(store, ["{"])

    assert (await store.read("a")).items == [ONE, TWO], "with a bad row beside it too"


async def test_what_is_written_is_letter_for_letter_what_the_sdk_writes(store: FileStore, tmp_path: Path) -> None:
    items: list[TResponseInputItem] = [
        {"role": "user", "content": "ü 😀 \ud800 \x00 / \u2028"},
        {"role": "assistant", "content": [], "n": [float("nan"), 2**70, 1.0]},  # type: ignore[list-item]
    ]
    theirs = SQLiteSession("b", tmp_path / "theirs.db")
    await theirs.add_items(items)
    theirs.close()

    await store.write(Append("b", None, [dict(item) for item in items]))

    texts = []
    for path in (store.path, tmp_path / "theirs.db"):
        with closing(sqlite3.connect(path)) as connection:
            query = "SELECT message_data FROM agent_messages WHERE session_id = 'b' ORDER BY id"
            texts.append(connection.execute(query).fetchall())
    assert texts[0] == texts[1]


async def test_a_session_that_was_cut_to_nothing_still_tells_which_turn_did_it(store: FileStore) -> None:
    await store.write(Begin("a", Fence(3, 3)))

    stored = await store.read("a")

    assert (stored.rows, stored.last, stored.base) == ([], Fence(3, 3), 0)
