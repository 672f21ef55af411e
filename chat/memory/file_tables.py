"""The queries and writes of the session file; the functions here run in a connection's thread."""

import sqlite3
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress

from chat.memory import digest
from chat.memory.apply import Digests, RawRow, Tables, apply
from chat.memory.digest import Digest
from chat.memory.items import Item
from chat.memory.statements import TABLES, Fence, Stored, Write, decode_joined, decode_rows, last_fence

# Errors that a single write of a batch may cause; all others concern the file.
WRITE_ERRORS = (sqlite3.IntegrityError, sqlite3.DataError, sqlite3.InterfaceError, TypeError, ValueError)


class NotBegun(sqlite3.OperationalError):
    """A transaction could not begin; `locked` if another process holds the write lock, so that a retry may succeed."""

    def __init__(self, error: sqlite3.OperationalError) -> None:
        super().__init__(str(error))
        self.locked = error.sqlite_errorcode & 0xFF == sqlite3.SQLITE_BUSY


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
_DIGESTS_OF = """
    WITH wanted (session_id) AS (VALUES {marks})
    SELECT session_id, crc, adler,
        (SELECT CAST(group_concat(message_data) AS BLOB) FROM (
            SELECT message_data FROM agent_messages AS m WHERE m.session_id = wanted.session_id ORDER BY id))
    FROM wanted LEFT JOIN threadkeeper_digests USING (session_id)
"""
_ROWS = "SELECT id, message_data FROM agent_messages WHERE session_id = ? ORDER BY id"
# As bytes: a row may hold invalid text.
_RAW_ROWS = "SELECT id, CAST(message_data AS BLOB) FROM agent_messages WHERE session_id = ? ORDER BY id"
_WRITE_FENCE = """
    INSERT INTO threadkeeper_turns AS t (session_id, turn, attempt, base) VALUES (?1, ?2, ?3,
        coalesce((SELECT max(id) FROM agent_messages WHERE session_id = ?1), 0))
    ON CONFLICT (session_id) DO UPDATE SET turn = excluded.turn, attempt = excluded.attempt,
        base = CASE WHEN excluded.turn > t.turn THEN excluded.base ELSE t.base END
    WHERE (excluded.turn, excluded.attempt) > (t.turn, t.attempt)
"""
_TOUCH = """
    INSERT INTO agent_sessions (session_id) VALUES (?)
    ON CONFLICT (session_id) DO UPDATE SET updated_at = CURRENT_TIMESTAMP
"""
_MESSAGES, _SESSIONS, _TURNS, _DIGESTS = TABLES


def read(connection: sqlite3.Connection, session_ids: Sequence[str]) -> dict[str, Stored]:
    """Return sessions by id; missing ones are empty."""
    found = {session_id: Stored() for session_id in session_ids}
    query = _JOINED.format(marks=",".join(["(?)"] * len(found)))
    for session_id, turn, attempt, base, crc, adler, ids, texts in connection.execute(query, list(found)).fetchall():
        last, seal = last_fence(turn, attempt, base), None if crc is None else (crc, adler)
        if ids is None:
            found[session_id] = decode_rows([], last, seal, digest.EMPTY)
            continue
        stored = decode_joined([int(row_id) for row_id in ids.split(",")], texts, last, seal)
        found[session_id] = stored or _read_row_by_row(connection, session_id)
    return found


def _read_row_by_row(connection: sqlite3.Connection, session_id: str) -> Stored:
    tables = FileTables(connection)
    connection.execute("BEGIN")  # so that rows and digests are of the same moment
    try:
        rows = connection.execute(_ROWS, (session_id,)).fetchall()
        fence, base = tables.fences([session_id]).get(session_id), tables.base(session_id)
        seal, of_rows = tables.seals([session_id]).get(session_id), tables.computed(session_id)
    finally:
        connection.execute("COMMIT")
    return decode_rows(rows, (fence, base[1] if base else 0), seal, of_rows)


def commit(connection: sqlite3.Connection, writes: Sequence[Write]) -> list[Item | Exception | None]:
    """Apply writes in one transaction, or one by one if they fail together. Raise NotBegun, sqlite3.Error."""
    tables = FileTables(connection)
    _begin(connection)
    try:
        connection.execute("SAVEPOINT together")
        try:
            results = apply(tables, writes)
        except WRITE_ERRORS:
            connection.execute("ROLLBACK TO together")
            results = _apply_one_by_one(connection, tables, writes)
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


def _apply_one_by_one(
    connection: sqlite3.Connection, tables: Tables, writes: Sequence[Write]
) -> list[Item | Exception | None]:
    results: list[Item | Exception | None] = []
    for write in writes:
        connection.execute("SAVEPOINT one")
        try:
            results += apply(tables, [write])
        except WRITE_ERRORS as error:
            connection.execute("ROLLBACK TO one")
            results.append(error)
        connection.execute("RELEASE one")
    return results


class FileTables(Tables):
    """The tables of the session file. A transaction has the write lock of the whole file."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def lock(self, writes: Sequence[Write]) -> None:
        """Do nothing: the transaction began with the lock."""

    def fences(self, session_ids: Collection[str]) -> dict[str, Fence]:
        """Return the last fences of the sessions that have one."""
        query = f"SELECT session_id, turn, attempt FROM threadkeeper_turns WHERE session_id IN ({_marks(session_ids)})"  # noqa: S608
        return {row[0]: Fence(row[1], row[2]) for row in self._connection.execute(query, list(session_ids))}

    def seals(self, session_ids: Collection[str]) -> dict[str, Digest]:
        """Return the stored digests of the sessions that have one."""
        query = f"SELECT session_id, crc, adler FROM threadkeeper_digests WHERE session_id IN ({_marks(session_ids)})"  # noqa: S608
        return {row[0]: (row[1], row[2]) for row in self._connection.execute(query, list(session_ids))}

    def digests(self, session_ids: Sequence[str]) -> list[Digests]:
        """Return the digests of each session, by one query."""
        query = _DIGESTS_OF.format(marks=",".join(["(?)"] * len(session_ids)))
        return [
            Digests(session_id, None if crc is None else (crc, adler), digest.of_joined(texts))
            for session_id, crc, adler, texts in self._connection.execute(query, list(session_ids))
        ]

    def rows(self, session_id: str) -> list[RawRow]:
        """Return the rows of a session in order."""
        return [RawRow(*row) for row in self._connection.execute(_RAW_ROWS, (session_id,))]

    def has_rows(self, session_id: str) -> bool:
        """Return whether a session has rows."""
        query = "SELECT 1 FROM agent_messages WHERE session_id = ? LIMIT 1"
        return self._connection.execute(query, (session_id,)).fetchone() is not None

    def base(self, session_id: str) -> tuple[int, int] | None:
        """Return the last turn that wrote to a session, and the last row before it."""
        query = "SELECT turn, base FROM threadkeeper_turns WHERE session_id = ?"
        found: tuple[int, int] | None = self._connection.execute(query, (session_id,)).fetchone()
        return found

    def write_fences(self, fences: Sequence[tuple[str, Fence]]) -> None:
        """Store later fences."""
        rows = [(session_id, fence.turn, fence.attempt) for session_id, fence in fences]
        self._connection.executemany(_WRITE_FENCE, rows)

    def write_seals(self, seals: Mapping[str, Digest]) -> None:
        """Store digests."""
        query = "INSERT OR REPLACE INTO threadkeeper_digests (session_id, crc, adler) VALUES (?, ?, ?)"
        self._connection.executemany(query, [(session_id, *seal) for session_id, seal in seals.items()])

    def remove_seal(self, session_id: str) -> None:
        """Remove the digest of a session."""
        self._connection.execute("DELETE FROM threadkeeper_digests WHERE session_id = ?", (session_id,))

    def add(self, rows: Sequence[tuple[str, str]]) -> None:
        """Add rows at the end of sessions, which are created if they are missing."""
        self._connection.executemany(_TOUCH, [(session_id,) for session_id in {row[0] for row in rows}])
        self._connection.executemany("INSERT INTO agent_messages (session_id, message_data) VALUES (?, ?)", rows)

    def delete(self, session_id: str, row_ids: Sequence[int]) -> None:
        """Delete rows of a session."""
        query = "DELETE FROM agent_messages WHERE session_id = ? AND id = ?"
        self._connection.executemany(query, [(session_id, row_id) for row_id in row_ids])

    def remove(self, session_id: str, *, keep_listed: bool = False) -> None:
        """Remove everything of a session, but its row in the table of sessions if `keep_listed`."""
        for table in (_MESSAGES, _TURNS, _DIGESTS) if keep_listed else TABLES:
            self._connection.execute(f"DELETE FROM {table} WHERE session_id = ?", (session_id,))  # noqa: S608


def _marks(values: Collection[object]) -> str:
    return ",".join("?" * len(values))
