"""The session file from commands and the worker: synchronous, beside a server that reads and writes it meanwhile.

The same file and the same tables as `chat.memory.store`; what is removed here is gone for it at its next read.
"""

import json
import os
import sqlite3
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from chat.exceptions import MemoryUnavailable
from chat.memory import digest, file, statements
from chat.memory.items import Item, surplus
from chat.memory.statements import Clear, Delete, Fence, Replace, Seal, Size, Stored, Write
from chat.memory.store import LOCK_BUDGET

# One parameter, however many sessions.
_MEASURE = (
    "SELECT session_id, count(*), sum(length(CAST(message_data AS BLOB))) FROM agent_messages"
    " WHERE session_id IN (SELECT value FROM json_each(?)) GROUP BY session_id"
)
# Whatever is kept of sessions whose ids begin in one way; what follows “_conv_” is smaller than “_conv`”.
_OF_PERSON = " UNION ".join(
    f"SELECT session_id FROM {table} WHERE session_id >= ?1 || '_conv_' AND session_id < ?1 || '_conv`'"  # noqa: S608
    for table in statements.TABLES
)
_REMOVE = [
    f"DELETE FROM {table} WHERE session_id IN (SELECT value FROM json_each(?))"  # noqa: S608
    for table in statements.TABLES
]
# Each table is asked for the next ones by its own index: a row may stand in one of them alone.
_NEXT = " UNION ".join(
    f"SELECT * FROM (SELECT DISTINCT session_id FROM {table} WHERE session_id > ?1 ORDER BY session_id LIMIT ?2)"  # noqa: S608
    for table in statements.TABLES
)
_LISTED = "SELECT session_id FROM agent_sessions WHERE session_id IN (SELECT value FROM json_each(?))"
# Whoever chats meanwhile needs the write lock too: it is taken for a moment, and then left alone while the disk writes,
# and for at least so long that those who wait for it notice.
AT_ONCE = 10  # sessions
PAGES_AT_ONCE = 128
LEFT_ALONE = 0.002  # seconds
# A file that cannot give back in pieces is written anew, where that takes less than a second or so.
REWRITTEN_UP_TO = 64 * 2**20
INCREMENTAL = 2


@dataclass(frozen=True, slots=True)
class Kept:
    """All that the file has of one session; `is_listed` tells whether it has its row among the sessions."""

    stored: Stored = field(default_factory=Stored)
    size: Size = Size(0, 0)
    is_listed: bool = False

    @property
    def has_rows(self) -> bool:
        """Whether there is a row of it in any table."""
        return bool(self.size.items) or self.is_listed or self.stored.last is not None


class SessionFile:
    """Looks after many sessions at once. Its methods raise MemoryUnavailable."""

    def __init__(self, connection: sqlite3.Connection, path: Path) -> None:
        self._connection = connection
        self._path = path

    def measure(self, session_ids: Sequence[str]) -> dict[str, Size]:
        """Return how much each session holds; one that is not there holds nothing."""
        with _failures_named():
            found = self._connection.execute(_MEASURE, (json.dumps(session_ids),))
            sizes = {session_id: Size(items, size) for session_id, items, size in found}
        return {session_id: sizes.get(session_id, Size(0, 0)) for session_id in session_ids}

    def of_person(self, user_id: uuid.UUID) -> list[str]:
        """Return the ids of all sessions of a person that there is anything of, with or without a conversation."""
        with _failures_named():
            return sorted(row[0] for row in self._connection.execute(_OF_PERSON, (f"user_{user_id}",)))

    def count_rows(self, terms: Sequence[str]) -> dict[str, list[int]]:
        """Return for each column of each table how many rows hold each text, in any letter case of ASCII."""
        with _failures_named():
            tables = [
                name for (name,) in self._connection.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")
            ]
            return {
                f"{table}.{column}": self._count_column(table, column, terms)
                for table in tables
                for (column,) in self._connection.execute("SELECT name FROM pragma_table_info(?)", (table,)).fetchall()
            }

    def _count_column(self, table: str, column: str, terms: Sequence[str]) -> list[int]:
        text = f"lower(CAST({_quoted(column)} AS TEXT))"
        sums = ", ".join(f"coalesce(sum(instr({text}, ?) > 0), 0)" for _ in terms)
        found = self._connection.execute(f"SELECT {sums} FROM {_quoted(table)}", [term.lower() for term in terms])  # noqa: S608
        (counts,) = found.fetchall()
        return list(counts)

    def items(self, session_id: str) -> list[Item]:
        """Return a session's items; rows that hold none are left out."""
        with _failures_named():
            return statements.read(self._connection, [session_id])[session_id].items

    def shred(self, session_ids: Sequence[str]) -> None:
        """Remove sessions so that nothing of them can be read from the file's free pages; then call `settle`."""
        self._remove(session_ids, secure_delete="ON")

    def settle(self) -> None:
        """Leave nothing to read of what was removed, now or before: neither free pages nor the write-ahead log.

        As far as nobody reads meanwhile, and the file is one that can give space back.
        """
        for _ in self.give_back():
            pass

    def next_ids(self, after: str, limit: int) -> list[str]:
        """Return the ids that follow one in the order of bytes, of whatever table has a row of theirs."""
        with _failures_named():
            found = self._connection.execute(f"{_NEXT} ORDER BY session_id LIMIT ?2", (after, limit)).fetchall()
        return [session_id for (session_id,) in found]

    def count(self) -> int:
        """Count the sessions."""
        with _failures_named():
            ((sessions,),) = self._connection.execute("SELECT count(*) FROM agent_sessions").fetchall()
        return int(sessions)

    def look(self, session_ids: Sequence[str]) -> dict[str, Kept]:
        """Return all that there is of sessions; of one that is not there, nothing."""
        if not session_ids:
            return {}
        sizes = self.measure(session_ids)
        with _failures_named():
            listed = {row[0] for row in self._connection.execute(_LISTED, (json.dumps(session_ids),))}
            stored = statements.read(self._connection, session_ids)
        return {
            session_id: Kept(stored[session_id], sizes[session_id], session_id in listed) for session_id in session_ids
        }

    def drop(self, session_id: str, row_ids: Sequence[int]) -> None:
        """Remove rows of a session."""
        with _failures_named():
            self._commit(Delete(session_id, row_ids))

    def enlist(self, session_id: str) -> None:
        """Give a session its row among the sessions where it has none."""
        with _failures_named():
            self._connection.execute("INSERT OR IGNORE INTO agent_sessions (session_id) VALUES (?)", (session_id,))

    def remove(self, session_ids: Sequence[str]) -> dict[str, Size]:
        """Remove sessions with all that is kept of them, a few in a transaction; return how much each held.

        Durable when it returns. Where it raises, some may be gone; none is half gone.
        """
        sizes = self.measure(session_ids)
        # What expires is no secret: the record has it still. But it may not be left between others' rows, where it
        # would outlive the person's erasure; pages that are free as a whole are given back by then.
        self._remove(session_ids, secure_delete="FAST")
        return sizes

    def _remove(self, session_ids: Sequence[str], *, secure_delete: str) -> None:
        with _failures_named():
            self._connection.execute(f"PRAGMA secure_delete={secure_delete}")
            with self._without_waiting_for_the_disk() as wait_for_the_disk:
                for few in _in_pieces(session_ids):
                    with self._writing_briefly():
                        for statement in _REMOVE:
                            self._connection.execute(statement, (json.dumps(few),))
                    wait_for_the_disk()

    def prune(self, session_id: str, limit: int) -> Size:
        """Remove whole user turns from the old end until at most `limit` items stay; return how much stays."""
        with _failures_named():
            stored = statements.read(self._connection, [session_id])[session_id]
            gone = [stored.ids[index] for index in surplus(stored.items, limit)]
            if gone:
                self._commit(Delete(session_id, gone))
        return self.measure([session_id])[session_id]

    def replace(self, session_id: str, items: Sequence[Item], fence: Fence | None) -> Size:
        """Put other items in the place of all there are; `fence` is the turn that they end with, if any."""
        with _failures_named():
            self._commit(Clear(session_id), *([Replace(session_id, fence, items)] if items else []))
        return self.measure([session_id])[session_id]

    def altered(self, session_ids: Sequence[str], *, sealed: bool = False) -> list[str]:
        """Return those sessions whose rows are not known to be what we wrote last.

        With `sealed`, leave out those of which nothing is known: of another program alone, or of an earlier version.
        """
        with _failures_named():
            return digest.altered(self._connection, session_ids, sealed=sealed)

    def seal(self, session_id: str) -> None:
        """Take the rows that are there for ours."""
        with _failures_named():
            self._commit(Seal(session_id))

    def give_back(self) -> Iterator[int]:
        """Give the space of what was removed back to the disk, a little at a time; yield how many pages are left.

        A file that was begun without room for that is written anew, if it is small enough; then it has room.
        """
        with _failures_named():
            if self._pragma("auto_vacuum") == INCREMENTAL:
                yield from self._give_back_in_pieces()
            elif self._pragma("freelist_count") and self._bytes_in_use() <= REWRITTEN_UP_TO:
                self._connection.execute("PRAGMA auto_vacuum=INCREMENTAL")
                self._connection.execute("VACUUM")
            # What a reader still needs of the log stays; the next one who writes goes on with it.
            self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")

    def _give_back_in_pieces(self) -> Iterator[int]:
        with self._without_waiting_for_the_disk() as wait_for_the_disk:
            while left := self._pragma("freelist_count"):
                # As a script: it is to be stepped to its end, which `execute` does not do.
                self._connection.executescript(f"PRAGMA incremental_vacuum({PAGES_AT_ONCE})")
                wait_for_the_disk()
                yield left

    def _bytes_in_use(self) -> int:
        return (self._pragma("page_count") - self._pragma("freelist_count")) * self._pragma("page_size")

    def _pragma(self, name: str) -> int:
        ((value,),) = self._connection.execute(f"PRAGMA {name}").fetchall()
        return int(value)

    def _commit(self, *writes: Write) -> None:
        for result in statements.commit(self._connection, writes):
            if isinstance(result, Exception):
                raise MemoryUnavailable(f"The session store cannot be used: {result}.") from result

    @contextmanager
    def _writing_briefly(self) -> Iterator[None]:
        # The lock from the start: a transaction that begins by reading fails at once where another wrote meanwhile.
        self._connection.execute("BEGIN IMMEDIATE")
        try:
            yield
            self._connection.execute("COMMIT")
        except BaseException:
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")
            raise

    @contextmanager
    def _without_waiting_for_the_disk(self) -> Iterator[Callable[[], None]]:
        """Commit without waiting for the disk, and yield what waits for it then, when the write lock is free.

        Whoever commits waits for all that the log has, ours too: so what we wrote is to be on the disk soon.
        """
        with _log_opened(self._path) as log:
            self._connection.execute("PRAGMA synchronous=NORMAL")
            try:
                yield lambda: _flush(log)
            finally:
                self._connection.execute("PRAGMA synchronous=FULL")


# Not every system has the one that leaves out a file's times.
_sync = getattr(os, "fdatasync", os.fsync)


def _flush(log: int) -> None:
    begun = time.monotonic()
    _sync(log)
    time.sleep(max(0.0, LEFT_ALONE + begun - time.monotonic()))


@contextmanager
def _log_opened(path: Path) -> Iterator[int]:
    # Nobody locks the log: closing it lets go of nothing.
    log = os.open(file.log_of(path), os.O_RDONLY)
    try:
        yield log
    finally:
        os.close(log)


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _in_pieces(session_ids: Sequence[str]) -> Iterator[Sequence[str]]:
    for start in range(0, len(session_ids), AT_ONCE):
        yield session_ids[start : start + AT_ONCE]


@contextmanager
def opened(path: Path) -> Iterator[SessionFile]:
    """Open the session file for a while. Raise MemoryUnavailable where it cannot be used, or is locked for too long."""
    with _failures_named():
        connection = file.connect(path, busy_ms=int(LOCK_BUDGET * 1000), checkpoint_at=file.CHECKPOINT_OF_CLEANUP_AT)
    with closing(connection):
        yield SessionFile(connection, path)


@contextmanager
def opened_to_read(path: Path) -> Iterator[SessionFile]:
    """Open the session file for a while to look at it only. Raise MemoryUnavailable where it cannot be."""
    if not path.exists():
        raise MemoryUnavailable("There is no session file.")
    with _failures_named():
        connection = file.connect_to_read(path, busy_ms=int(LOCK_BUDGET * 1000))
    with closing(connection):
        yield SessionFile(connection, path)


@contextmanager
def _failures_named() -> Iterator[None]:
    try:
        yield
    except (sqlite3.Error, OSError) as error:
        raise MemoryUnavailable(f"The session store cannot be used: {error}.") from error
