"""What is asked of the session file, and the statements that do it inside one transaction."""

import json
import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass, replace

import aiosqlite

from chat.exceptions import OutdatedAttempt
from chat.memory.items import Item, is_item


@dataclass(frozen=True, slots=True, order=True)
class Fence:
    """A turn's place in its conversation, and which attempt at it: a write by an earlier one is refused."""

    turn: int
    attempt: int


@dataclass(frozen=True, slots=True)
class Row:
    """One stored item, by the id that orders it."""

    id: int
    item: Item


@dataclass(frozen=True, slots=True)
class BadRow:
    """A stored row that holds no item."""

    id: int
    data: str


@dataclass(frozen=True, slots=True)
class Stored:
    """A session as the file has it: its items, rows that hold none, and who wrote last, from beyond which row."""

    rows: list[Row]
    bad: list[BadRow]
    last: Fence | None
    base: int


@dataclass(frozen=True, slots=True)
class Size:
    """How much a session holds."""

    items: int
    bytes: int


@dataclass(slots=True)
class Append:
    """Add items at the end."""

    session_id: str
    fence: Fence | None
    items: Sequence[Item]


@dataclass(slots=True)
class Begin:
    """Cut the session back to where a turn began and add items there.

    `replaces` names an earlier turn: when that was the last to write, the cut goes back to where it began.
    """

    session_id: str
    fence: Fence
    items: Sequence[Item] = ()
    replaces: int | None = None


@dataclass(slots=True)
class Replace:
    """Put other items in the place of all there are; the turn of the fence begins after them."""

    session_id: str
    fence: Fence
    items: Sequence[Item]


@dataclass(slots=True)
class Delete:
    """Remove rows by id; with no ids, the newest one (and return it)."""

    session_id: str
    ids: Sequence[int] | None


@dataclass(slots=True)
class Clear:
    """Remove the session."""

    session_id: str


_DECODER = json.JSONDecoder()

Write = Append | Begin | Replace | Delete | Clear


async def read(reader: aiosqlite.Connection, session_ids: list[str]) -> dict[str, Stored]:
    found = {session_id: Stored([], [], None, 0) for session_id in session_ids}
    marks = ",".join("?" * len(found))
    query = (
        "SELECT session_id, id, message_data, turn, attempt, base"  # noqa: S608 - marks are question marks
        " FROM agent_messages LEFT JOIN threadkeeper_turns USING (session_id)"
        f" WHERE session_id IN ({marks}) ORDER BY session_id, id"
    )
    for session_id, row_id, data, turn, attempt, base in await reader.execute_fetchall(query, list(found)):
        stored = found[session_id]
        if stored.last is None and turn is not None:
            stored = found[session_id] = replace(stored, last=Fence(turn, attempt), base=base)
        item = _decoded(data)
        if item is None:
            stored.bad.append(BadRow(row_id, _readable(data)))
        else:
            stored.rows.append(Row(row_id, item))
    return found


def _decoded(data: object) -> Item | None:
    if not isinstance(data, str):
        return None
    data = data.strip(" \t\r\n")
    try:
        # What `json.loads` does, at half its price: most of the time of a read goes here.
        item, end = _DECODER.raw_decode(data)
    except (ValueError, RecursionError):
        return None
    return item if end == len(data) and is_item(item) else None


def _readable(data: object) -> str:
    return data if isinstance(data, str) else repr(data)


async def apply_one_by_one(writer: aiosqlite.Connection, writes: Sequence[Write]) -> list[Item | Exception | None]:
    results: list[Item | Exception | None] = []
    for write in writes:
        await writer.execute("SAVEPOINT one")
        try:
            results += await apply(writer, [write])
        except (sqlite3.IntegrityError, sqlite3.DataError, sqlite3.InterfaceError, TypeError, ValueError) as error:
            await writer.execute("ROLLBACK TO one")
            results.append(error)
        await writer.execute("RELEASE one")
    return results


async def apply(writer: aiosqlite.Connection, writes: Sequence[Write]) -> list[Item | Exception | None]:
    """Carry out writes in their order inside the open transaction; runs of appends share their statements."""
    fences = await _fences(writer, [write.session_id for write in writes])
    results: list[Item | Exception | None] = []
    appends: list[Append] = []
    for write in writes:
        fence = getattr(write, "fence", None)
        last = fences.get(write.session_id)
        if fence is not None and last is not None and fence < last:
            results.append(OutdatedAttempt("A later attempt has written to this session."))
            continue
        if fence is not None:
            fences[write.session_id] = fence
        if isinstance(write, Append):
            appends.append(write)
            results.append(None)
            continue
        await _append(writer, appends)
        appends = []
        results.append(await _apply_one(writer, write))
    await _append(writer, appends)
    return results


async def _apply_one(writer: aiosqlite.Connection, write: Begin | Replace | Delete | Clear) -> Item | None:
    if isinstance(write, Clear):
        for table in ("agent_messages", "agent_sessions", "threadkeeper_turns"):
            await writer.execute(f"DELETE FROM {table} WHERE session_id = ?", (write.session_id,))  # noqa: S608
        return None
    if isinstance(write, Delete):
        return await _delete(writer, write)
    if isinstance(write, Replace):
        await writer.execute("DELETE FROM agent_messages WHERE session_id = ?", (write.session_id,))
        await writer.execute("DELETE FROM threadkeeper_turns WHERE session_id = ?", (write.session_id,))
        await _append(writer, [Append(write.session_id, None, write.items)])
        await _append(writer, [Append(write.session_id, write.fence, ())])
        return None
    await writer.execute(
        "DELETE FROM agent_messages WHERE session_id = ?1 AND id > ("
        " SELECT base FROM threadkeeper_turns WHERE session_id = ?1 AND turn IN (?2, ?3))",
        (write.session_id, write.fence.turn, write.replaces),
    )
    await _append(writer, [Append(write.session_id, write.fence, write.items)])
    return None


async def _delete(writer: aiosqlite.Connection, write: Delete) -> Item | None:
    if write.ids is not None:
        ids = [(write.session_id, row_id) for row_id in write.ids]
        await writer.executemany("DELETE FROM agent_messages WHERE session_id = ? AND id = ?", ids)
        return None
    query = "SELECT id, message_data FROM agent_messages WHERE session_id = ? ORDER BY id DESC"
    for row_id, data in await writer.execute_fetchall(query, (write.session_id,)):
        await writer.execute("DELETE FROM agent_messages WHERE id = ?", (row_id,))
        if (item := _decoded(data)) is not None:
            return item
    return None


async def _fences(writer: aiosqlite.Connection, session_ids: list[str]) -> dict[str, Fence]:
    marks = ",".join("?" * len(session_ids))
    query = f"SELECT session_id, turn, attempt FROM threadkeeper_turns WHERE session_id IN ({marks})"  # noqa: S608
    return {row[0]: Fence(row[1], row[2]) for row in await writer.execute_fetchall(query, session_ids)}


async def _append(writer: aiosqlite.Connection, appends: Sequence[Append]) -> None:
    if not appends:
        return
    fences = [(a.session_id, a.fence.turn, a.fence.attempt) for a in appends if a.fence is not None]
    if fences:
        # A new turn begins after the newest row there is; a new attempt at the same turn keeps where it began.
        await writer.executemany(
            "INSERT INTO threadkeeper_turns AS t (session_id, turn, attempt, base) VALUES (?1, ?2, ?3,"
            " coalesce((SELECT max(id) FROM agent_messages WHERE session_id = ?1), 0))"
            " ON CONFLICT (session_id) DO UPDATE SET turn = excluded.turn, attempt = excluded.attempt,"
            " base = CASE WHEN excluded.turn > t.turn THEN excluded.base ELSE t.base END"
            " WHERE (excluded.turn, excluded.attempt) > (t.turn, t.attempt)",
            fences,
        )
    rows = [(append.session_id, json.dumps(item)) for append in appends for item in append.items]
    if rows:
        await writer.executemany(
            "INSERT INTO agent_sessions (session_id) VALUES (?)"
            " ON CONFLICT (session_id) DO UPDATE SET updated_at = CURRENT_TIMESTAMP",
            [(append.session_id,) for append in appends if append.items],
        )
        await writer.executemany("INSERT INTO agent_messages (session_id, message_data) VALUES (?, ?)", rows)
