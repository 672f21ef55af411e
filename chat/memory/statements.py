"""The queries and writes of the session file; the functions here run in a connection's thread."""

import json
import sqlite3
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import NamedTuple

from chat.exceptions import OutdatedAttempt
from chat.memory import digest
from chat.memory.digest import Digest
from chat.memory.items import Item, is_item

# Errors that a single write of a batch may cause; all others concern the file.
WRITE_ERRORS = (sqlite3.IntegrityError, sqlite3.DataError, sqlite3.InterfaceError, TypeError, ValueError)


class NotBegun(sqlite3.OperationalError):
    """A transaction could not begin; `locked` if another process holds the write lock, so that a retry may succeed."""

    def __init__(self, error: sqlite3.OperationalError) -> None:
        super().__init__(str(error))
        self.locked = error.sqlite_errorcode & 0xFF == sqlite3.SQLITE_BUSY


class RowsChanged(ValueError):
    """Another program has written to the session since it was read: the rows are not those that were compared."""


@dataclass(frozen=True, slots=True, order=True)
class Fence:
    """A turn's position in its conversation, and its attempt: writes of earlier attempts are refused."""

    turn: int
    attempt: int


class Row(NamedTuple):
    """One stored item, and the id that orders it."""

    id: int
    item: Item


@dataclass(frozen=True, slots=True)
class BadRow:
    """A stored row that is not an item."""

    id: int
    data: str


@dataclass(frozen=True, slots=True)
class Stored:
    """A session as stored in the file: items by row id, invalid rows, the last fence, and the last row before it.

    `digest` is that of the rows; `is_intact` means that it matches the stored digest; `is_sealed` that there is a
    stored digest.
    """

    ids: list[int] = field(default_factory=list)
    items: list[Item] = field(default_factory=list)
    bad: list[BadRow] = field(default_factory=list)
    last: Fence | None = None
    base: int = 0
    digest: Digest = digest.EMPTY
    is_intact: bool = True
    is_sealed: bool = False

    @property
    def rows(self) -> list[Row]:
        """Return each item with its row id."""
        return list(map(Row, self.ids, self.items))


@dataclass(frozen=True, slots=True)
class Size:
    """The size of a session."""

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

    `replaces` names an earlier turn: if that was the last to write, the cut goes back to where it began. With `seen`,
    the digest of the rows that were read, RowsChanged is raised if they have changed.
    """

    session_id: str
    fence: Fence
    items: Sequence[Item] = ()
    replaces: int | None = None
    seen: Digest | None = None


@dataclass(slots=True)
class Replace:
    """Replace all items; the turn of the fence, if any, begins after them.

    With `anew` an earlier turn may write again. `seen` is as for `Begin`.
    """

    session_id: str
    fence: Fence | None
    items: Sequence[Item]
    anew: bool = False
    seen: Digest | None = None


@dataclass(slots=True)
class Delete:
    """Delete rows by id; without ids, delete the newest one and return it."""

    session_id: str
    ids: Sequence[int] | None


@dataclass(slots=True)
class Clear:
    """Remove the session. `seen` is as for `Begin`."""

    session_id: str
    seen: Digest | None = None


@dataclass(slots=True)
class Seal:
    """Store the digest of the rows: they were compared with the record. `seen` is as for `Begin`."""

    session_id: str
    seen: Digest


Write = Append | Begin | Replace | Delete | Clear | Seal

# Everything that the file has of a session.
TABLES = ("agent_messages", "agent_sessions", "threadkeeper_turns", "threadkeeper_digests")

_ANY_ROW = "SELECT 1 FROM agent_messages WHERE session_id = ? LIMIT 1"
# All items of a session in one text, so that they are decoded together; SQLite's group_concat keeps the order of a
# subquery.
_JOINED = """
    WITH wanted (session_id) AS (VALUES {marks})
    SELECT session_id, turn, attempt, base, crc, adler,
        (SELECT group_concat(id) FROM (
            SELECT id FROM agent_messages AS m WHERE m.session_id = wanted.session_id ORDER BY id)),
        (SELECT group_concat(message_data) FROM (
            SELECT message_data FROM agent_messages AS m WHERE m.session_id = wanted.session_id ORDER BY id))
    FROM wanted LEFT JOIN threadkeeper_turns USING (session_id) LEFT JOIN threadkeeper_digests USING (session_id)
"""
_ROWS = """
    SELECT id, message_data, turn, attempt, base
    FROM agent_messages LEFT JOIN threadkeeper_turns USING (session_id)
    WHERE session_id = ? ORDER BY id
"""


def read(connection: sqlite3.Connection, session_ids: Sequence[str]) -> dict[str, Stored]:
    """Return sessions by id; missing ones are empty."""
    found = {session_id: Stored() for session_id in session_ids}
    query = _JOINED.format(marks=",".join(["(?)"] * len(found)))
    for session_id, turn, attempt, base, crc, adler, ids, texts in connection.execute(query, list(found)).fetchall():
        last, seal = _last_fence(turn, attempt, base), None if crc is None else (crc, adler)
        if ids is None:
            found[session_id] = Stored(
                [], [], [], *last, digest.EMPTY, is_intact=seal is None, is_sealed=seal is not None
            )
            continue
        row_ids = [int(row_id) for row_id in ids.split(",")]
        items = _decode_joined(texts)
        if items is None or len(items) != len(row_ids):
            found[session_id] = _read_row_by_row(connection, session_id)
        else:
            of_rows = digest.of_joined(texts if isinstance(texts, bytes) else texts.encode())
            found[session_id] = Stored(
                row_ids, items, [], *last, of_rows, is_intact=of_rows == seal, is_sealed=seal is not None
            )
    return found


def _decode_joined(texts: str | bytes) -> list[Item] | None:
    """Return a session's items, or None if a row may be invalid.

    Whether each text is one item is decided only by their number: two halves of an item in two rows are one too few.
    """
    if isinstance(texts, bytes):
        return None
    try:
        items: list[Item] = json.loads(f"[{texts}]")
    except (ValueError, RecursionError):
        return None
    return items if all(map(is_item, items)) else None


def _read_row_by_row(connection: sqlite3.Connection, session_id: str) -> Stored:
    rows: list[Row] = []
    bad: list[BadRow] = []
    last: tuple[Fence | None, int] = (None, 0)
    connection.execute("BEGIN")  # so that rows and digests are of the same moment
    try:
        found = connection.execute(_ROWS, (session_id,)).fetchall()
        seal, of_rows = digest.stored(connection, session_id), digest.computed(connection, session_id)
    finally:
        connection.execute("COMMIT")
    for row_id, data, *fence in found:
        item, last = _decode(data), _last_fence(*fence)
        if item is None:
            bad.append(BadRow(row_id, data if isinstance(data, str) else repr(data)))
        else:
            rows.append(Row(row_id, item))
    ids, items = [row.id for row in rows], [row.item for row in rows]
    is_intact = of_rows == (seal or digest.EMPTY)
    return Stored(ids, items, bad, *last, of_rows, is_intact=is_intact, is_sealed=seal is not None)


def _last_fence(turn: int | None, attempt: int, base: int) -> tuple[Fence | None, int]:
    return (None, 0) if turn is None else (Fence(turn, attempt), base)


def _decode(data: str | bytes) -> Item | None:
    try:
        item = json.loads(data if isinstance(data, str) else data.decode())
    except (ValueError, RecursionError):
        return None
    return item if is_item(item) else None


def commit(connection: sqlite3.Connection, writes: Sequence[Write]) -> list[Item | Exception | None]:
    """Apply writes in one transaction, or one by one if they fail together. Raise NotBegun, sqlite3.Error."""
    _begin(connection)
    try:
        connection.execute("SAVEPOINT together")
        try:
            results = _apply(connection, writes)
        except WRITE_ERRORS:
            connection.execute("ROLLBACK TO together")
            results = _apply_one_by_one(connection, writes)
        connection.execute("COMMIT")
    except BaseException:
        with suppress(sqlite3.Error):
            connection.rollback()
        raise
    return results


def _begin(connection: sqlite3.Connection) -> None:
    try:
        connection.execute("BEGIN IMMEDIATE")
    except sqlite3.OperationalError as error:
        raise NotBegun(error) from error


def _apply_one_by_one(connection: sqlite3.Connection, writes: Sequence[Write]) -> list[Item | Exception | None]:
    results: list[Item | Exception | None] = []
    for write in writes:
        connection.execute("SAVEPOINT one")
        try:
            results += _apply(connection, [write])
        except WRITE_ERRORS as error:
            connection.execute("ROLLBACK TO one")
            results.append(error)
        connection.execute("RELEASE one")
    return results


def _apply(connection: sqlite3.Connection, writes: Sequence[Write]) -> list[Item | Exception | None]:
    """Apply writes in order within the open transaction; consecutive appends share their statements."""
    session_ids = [write.session_id for write in writes]
    marks = ",".join("?" * len(session_ids))
    query = f"SELECT session_id, turn, attempt FROM threadkeeper_turns WHERE session_id IN ({marks})"  # noqa: S608
    fences = {row[0]: Fence(row[1], row[2]) for row in connection.execute(query, session_ids)}
    results: list[Item | Exception | None] = []
    appends: list[Append] = []
    for write in writes:
        fence = getattr(write, "fence", None)
        last = fences.get(write.session_id)
        is_anew = isinstance(write, Replace) and write.anew
        if fence is not None and last is not None and fence < last and not is_anew:
            results.append(OutdatedAttempt("A later attempt has written to this session."))
            continue
        if fence is not None:
            fences[write.session_id] = fence
        if isinstance(write, Clear):
            fences.pop(write.session_id, None)  # a write to a cleared session begins anew
        if isinstance(write, Append):
            appends.append(write)
            results.append(None)
            continue
        _append(connection, appends)
        appends = []
        results.append(_apply_one(connection, write))
    _append(connection, appends)
    return results


def _apply_one(connection: sqlite3.Connection, write: Begin | Replace | Delete | Clear | Seal) -> Item | None:
    seen = None if isinstance(write, Delete) else write.seen
    if seen is not None and digest.computed(connection, write.session_id) != seen:
        raise RowsChanged
    if isinstance(write, Clear):
        for table in TABLES:
            connection.execute(f"DELETE FROM {table} WHERE session_id = ?", (write.session_id,))  # noqa: S608
        return None
    if isinstance(write, Seal):
        digest.write(connection, write.session_id, write.seen)
        return None
    if isinstance(write, Replace):
        for table in ("agent_messages", "threadkeeper_turns", "threadkeeper_digests"):
            connection.execute(f"DELETE FROM {table} WHERE session_id = ?", (write.session_id,))  # noqa: S608
        _append(connection, [Append(write.session_id, None, write.items)])
        if write.fence is not None:
            _append(connection, [Append(write.session_id, write.fence, ())])
        return None
    # If some rows are of unknown origin, the remaining ones are too.
    was_intact = digest.is_intact(connection, write.session_id)
    result = _delete(connection, write) if isinstance(write, Delete) else None
    if isinstance(write, Begin):
        connection.execute(
            "DELETE FROM agent_messages WHERE session_id = ?1 AND id > ("
            " SELECT base FROM threadkeeper_turns WHERE session_id = ?1 AND turn IN (?2, ?3))",
            (write.session_id, write.fence.turn, write.replaces),
        )
    kept = digest.computed(connection, write.session_id) if was_intact else None
    digest.write(connection, write.session_id, kept)
    if isinstance(write, Begin):
        _append(connection, [Append(write.session_id, write.fence, write.items)])
    return result


def _delete(connection: sqlite3.Connection, write: Delete) -> Item | None:
    if write.ids is not None:
        ids = [(write.session_id, row_id) for row_id in write.ids]
        connection.executemany("DELETE FROM agent_messages WHERE session_id = ? AND id = ?", ids)
        return None
    query = "SELECT id, message_data FROM agent_messages WHERE session_id = ? ORDER BY id DESC"
    for row_id, data in connection.execute(query, (write.session_id,)).fetchall():
        connection.execute("DELETE FROM agent_messages WHERE id = ?", (row_id,))
        if (item := _decode(data)) is not None:
            return item
    return None


def _append(connection: sqlite3.Connection, appends: Sequence[Append]) -> None:
    if not appends:
        return
    fences = [(a.session_id, a.fence.turn, a.fence.attempt) for a in appends if a.fence is not None]
    if fences:
        # A new turn begins after the newest row; a new attempt at the same turn keeps its beginning.
        connection.executemany(
            "INSERT INTO threadkeeper_turns AS t (session_id, turn, attempt, base) VALUES (?1, ?2, ?3,"
            " coalesce((SELECT max(id) FROM agent_messages WHERE session_id = ?1), 0))"
            " ON CONFLICT (session_id) DO UPDATE SET turn = excluded.turn, attempt = excluded.attempt,"
            " base = CASE WHEN excluded.turn > t.turn THEN excluded.base ELSE t.base END"
            " WHERE (excluded.turn, excluded.attempt) > (t.turn, t.attempt)",
            fences,
        )
    rows = [(append.session_id, json.dumps(item)) for append in appends for item in append.items]
    if rows:
        connection.executemany(
            "INSERT INTO agent_sessions (session_id) VALUES (?)"
            " ON CONFLICT (session_id) DO UPDATE SET updated_at = CURRENT_TIMESTAMP",
            [(append.session_id,) for append in appends if append.items],
        )
        _extend_digests(connection, rows)
        connection.executemany("INSERT INTO agent_messages (session_id, message_data) VALUES (?, ?)", rows)


def _extend_digests(connection: sqlite3.Connection, rows: Sequence[tuple[str, str]]) -> None:
    """Extend digests by rows that are about to be added, without reading the existing rows."""
    added: dict[str, list[bytes]] = {}
    for session_id, text in rows:
        added.setdefault(session_id, []).append(text.encode())
    for session_id, texts in added.items():
        known = digest.stored(connection, session_id)
        if known is None and connection.execute(_ANY_ROW, (session_id,)).fetchone():
            continue  # rows of another program
        digest.write(connection, session_id, digest.extended(known or digest.EMPTY, texts))
