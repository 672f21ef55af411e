"""The session file for commands and the worker: the same tables as `chat.memory.file_store`.

The server notices a removal at its next read.
"""

import json
import os
import sqlite3
import time
import uuid
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import AbstractContextManager, closing, contextmanager
from pathlib import Path

from chat.exceptions import MemoryUnavailable
from chat.memory import file, file_tables
from chat.memory.file_store import LOCK_BUDGET
from chat.memory.file_tables import FileTables
from chat.memory.items import Item
from chat.memory.statements import TABLES, Size, Stored, Write, decode
from chat.memory.sync_store import READER_TIMEOUT, BlobId, StoredId, SyncStore

# One parameter for any number of sessions.
_MEASURE = (
    "SELECT session_id, count(*), sum(length(CAST(message_data AS BLOB))) FROM agent_messages"
    " WHERE session_id IN (SELECT value FROM json_each(?)) GROUP BY session_id"
)
# A row may be in only one of the tables; each is queried by its own index.
_BETWEEN = " UNION ".join(
    f"SELECT session_id, typeof(session_id) FROM {table} WHERE session_id >= ?1 AND session_id < ?2"  # noqa: S608
    for table in TABLES
)
_ANY_BETWEEN = "SELECT " + " OR ".join(  # noqa: S608
    f"EXISTS (SELECT 1 FROM {table} WHERE session_id >= ?1 AND session_id < ?2)"  # noqa: S608
    for table in TABLES
)
_NEXT = " UNION ".join(
    f"SELECT * FROM (SELECT DISTINCT session_id, typeof(session_id) FROM {table}"  # noqa: S608
    " WHERE session_id > {after} ORDER BY session_id LIMIT ?2)"
    for table in TABLES
)
_AS_TEXT = "CAST(? AS TEXT)"
_LISTED = "SELECT session_id FROM agent_sessions WHERE session_id IN (SELECT value FROM json_each(?))"
# The server needs the write lock too: it is held briefly, and then released while the disk writes, at least as long as
# waiting processes need to notice.
SESSIONS_PER_TRANSACTION, PAGES_PER_STEP = 10, 128
# While no turn runs, for about as long as a turn that begins then may have to wait.
PAGES_IF_QUIET, SECONDS_IF_QUIET = 4096, 0.2
LOCK_PAUSE = 0.002  # seconds
CACHE_KB = 32 * 1024  # for the pages that a large transaction changes
# Truncating the log blocks writers while it waits for a reader. So it waits only for a moment, repeatedly.
TRUNCATED_WITHIN_MS, TRUNCATED_AGAIN_AFTER = 50, 0.05
# A file that cannot be vacuumed incrementally is rewritten, if that takes less than about a second.
MAX_REWRITE_BYTES = 64 * 2**20
INCREMENTAL = 2


class SessionFile(SyncStore):
    """The sessions of a file."""

    def __init__(self, connection: sqlite3.Connection, path: Path) -> None:
        self._connection = connection
        self._path = path

    def measure(self, session_ids: Sequence[str]) -> dict[str, Size]:
        """Return the size of each session; a missing one is empty."""
        with _convert_errors():
            found = self._connection.execute(_MEASURE, (json.dumps(session_ids),))
            sizes = {session_id: Size(items, size) for session_id, items, size in found}
        return {session_id: sizes.get(session_id, Size(0, 0)) for session_id in session_ids}

    def of_user(self, user_id: uuid.UUID) -> list[StoredId]:
        """Return the ids of all sessions of a user in any table, with or without a conversation.

        Includes those that another program has written in another letter case, or with a suffix.
        """
        with _convert_errors():
            spellings = [""]
            for letter in f"user_{user_id}_conv_":
                longer = [f"{text}{case}" for text in spellings for case in sorted({letter, letter.upper()})]
                spellings = [text for text in longer if self._is_any_between(text, _prefix_end(text))]
            found = [
                row
                for text in spellings
                for row in self._connection.execute(_BETWEEN, (text, _prefix_end(text))).fetchall()
            ]
        return [_stored_id(*row) for row in found]

    def _is_any_between(self, begin: str, end: str) -> bool:
        ((found,),) = self._connection.execute(_ANY_BETWEEN, (begin, end)).fetchall()
        return bool(found)

    def size_of(self, session_id: StoredId) -> Size:
        """Return the size of one session, whatever its id is."""
        query = (
            "SELECT count(*), coalesce(sum(length(CAST(message_data AS BLOB))), 0)"  # noqa: S608 - our own words
            f" FROM agent_messages WHERE session_id = {_parameter(session_id)}"
        )
        with _convert_errors():
            ((items, size),) = self._connection.execute(query, (session_id,)).fetchall()
        return Size(items, size)

    def count_rows(self, terms: Sequence[str]) -> dict[str, list[int]]:
        """Return for each column of each table how many rows contain each text, ignoring the case of ASCII letters."""
        with _convert_errors():
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

    def items(self, session_id: StoredId) -> list[Item]:
        """Return a session's items, without invalid rows."""
        with _convert_errors():
            if isinstance(session_id, str):
                return file_tables.read(self._connection, [session_id])[session_id].items
            query = f"SELECT message_data FROM agent_messages WHERE session_id = {_parameter(session_id)} ORDER BY id"  # noqa: S608
            rows = self._connection.execute(query, (session_id,)).fetchall()
        return [item for (data,) in rows if (item := decode(data)) is not None]

    def secure_delete(self, session_ids: Sequence[StoredId]) -> None:
        """Remove sessions so that none of their data is readable in the file's free pages; then call purge_removed."""
        self._remove(session_ids, is_secret=True)

    def purge_removed(self, *, seconds: float = READER_TIMEOUT) -> bool:
        """Make removed data unreadable: in free pages and in the write-ahead log.

        Return whether none is left. Pages are freed for that many seconds, and then readers are waited for as long:
        what they read stays in the file and in its log.
        """
        deadline = time.monotonic() + seconds
        with _convert_errors():
            for _ in self._vacuum():
                if time.monotonic() > deadline:
                    return False
            return self._checkpoint(seconds)

    def next_ids(self, after: StoredId, limit: int) -> list[StoredId]:
        """Return the ids that follow one in byte order, from all tables.

        Ids that are not UTF-8 are bytes (see `StoredId`).
        """
        query = f"{_NEXT.format(after=_parameter(after).replace('?', '?1'))} ORDER BY session_id LIMIT ?2"
        with _convert_errors():
            return [_stored_id(*row) for row in self._connection.execute(query, (after, limit)).fetchall()]

    def unlisted_ids(self) -> list[StoredId]:
        """Return the ids of sessions that have items, but no row in the table of sessions."""
        query = (
            "SELECT DISTINCT session_id, typeof(session_id) FROM agent_messages AS m"
            " WHERE NOT EXISTS (SELECT 1 FROM agent_sessions AS s WHERE s.session_id = m.session_id)"
        )
        with _convert_errors():
            return [_stored_id(*row) for row in self._connection.execute(query).fetchall()]

    def count(self) -> int:
        """Count the sessions."""
        with _convert_errors():
            ((sessions,),) = self._connection.execute("SELECT count(*) FROM agent_sessions").fetchall()
        return int(sessions)

    def add_session_row(self, session_id: str) -> None:
        """Add a session's row to the table of sessions if it is missing."""
        with _convert_errors():
            self._connection.execute("INSERT OR IGNORE INTO agent_sessions (session_id) VALUES (?)", (session_id,))

    def remove(self, session_ids: Sequence[str]) -> dict[str, Size]:
        """Remove all data of sessions, in small transactions; return the size of each.

        Durable when it returns. If it raises, some sessions may be removed, but none partly.
        """
        sizes = self.measure(session_ids)
        # What expires is not secret: the record still has it. But it must not stay between the rows of others, where it
        # would outlive an erasure of the user; completely free pages are freed by then, in most files.
        self._remove(session_ids, is_secret=False)
        return sizes

    def _remove(self, session_ids: Sequence[StoredId], *, is_secret: bool) -> None:
        with _convert_errors():
            secure_delete = "FAST" if not is_secret and self._has_incremental_vacuum() else "ON"
            self._connection.execute(f"PRAGMA secure_delete={secure_delete}")
            with self._deferred_sync() as wait_for_the_disk:
                left = session_ids
                while left:
                    with self._transaction(is_write=True):
                        left = self._remove_some(left)
                    wait_for_the_disk()

    def _remove_some(self, session_ids: Sequence[StoredId]) -> Sequence[StoredId]:
        """Remove as many sessions as a transaction may; return the others."""
        ends = time.monotonic() + SECONDS_IF_QUIET
        for count, session_id in enumerate(session_ids, 1):
            for table in TABLES:
                query = f"DELETE FROM {table} WHERE session_id = {_parameter(session_id)}"  # noqa: S608
                self._connection.execute(query, (session_id,))
            if time.monotonic() > ends or (count >= SESSIONS_PER_TRANSACTION and not self.is_quiet):
                return session_ids[count:]
        return []

    def free_space(self) -> Generator[int, None, None]:
        """Free the space of removed data incrementally; yield how many pages are left.

        A file that was created without incremental vacuum is rewritten, if it is small enough; then it has it.
        """
        with _convert_errors():
            yield from self._vacuum()
            # The part of the log that a reader still needs stays; the next writer continues with it.
            self._checkpoint(READER_TIMEOUT)

    def _vacuum(self) -> Iterator[int]:
        if self._has_incremental_vacuum():
            yield from self._vacuum_incrementally()
        elif self._pragma("freelist_count") and self._bytes_in_use() <= MAX_REWRITE_BYTES:
            self._connection.execute("PRAGMA auto_vacuum=INCREMENTAL")
            self._connection.execute("VACUUM")

    def _has_incremental_vacuum(self) -> bool:
        return self._pragma("auto_vacuum") == INCREMENTAL

    def _checkpoint(self, seconds: float) -> bool:
        """Checkpoint and truncate the log, once readers allow it; return whether it is empty."""
        deadline = time.monotonic() + seconds
        while not (is_empty := self._truncate_log()) and time.monotonic() < deadline:
            time.sleep(TRUNCATED_AGAIN_AFTER)
        return is_empty

    def _truncate_log(self) -> bool:
        before = self._pragma("busy_timeout")
        # Most is copied while others write; the part that blocks them has little left to do.
        self._connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()
        self._connection.execute(f"PRAGMA busy_timeout={TRUNCATED_WITHIN_MS}")
        try:
            ((is_busy, _, _),) = self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF not in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
                raise
            return False
        finally:
            self._connection.execute(f"PRAGMA busy_timeout={before}")
        return not is_busy

    def _vacuum_incrementally(self) -> Iterator[int]:
        with self._deferred_sync() as wait_for_the_disk:
            pages = PAGES_PER_STEP
            while left := self._pragma("freelist_count"):
                began = time.monotonic()
                # As a script, which runs to its end, unlike `execute`.
                self._connection.executescript(f"PRAGMA incremental_vacuum({pages})")
                is_fast = 2 * (time.monotonic() - began) < SECONDS_IF_QUIET
                wait_for_the_disk()
                yield left
                pages = min(2 * pages, PAGES_IF_QUIET) if self.is_quiet and is_fast else PAGES_PER_STEP

    def _bytes_in_use(self) -> int:
        return (self._pragma("page_count") - self._pragma("freelist_count")) * self._pragma("page_size")

    def _pragma(self, name: str) -> int:
        ((value,),) = self._connection.execute(f"PRAGMA {name}").fetchall()
        return int(value)

    @property
    def _tables(self) -> FileTables:
        return FileTables(self._connection)

    def _converted_errors(self) -> AbstractContextManager[None]:
        return _convert_errors()

    def _read(self, session_ids: Sequence[str]) -> dict[str, Stored]:
        return file_tables.read(self._connection, session_ids)

    def _listed(self, session_ids: Sequence[str]) -> set[str]:
        return {row[0] for row in self._connection.execute(_LISTED, (json.dumps(session_ids),))}

    def _commit(self, writes: Sequence[Write]) -> Sequence[Item | Exception | None]:
        return file_tables.commit(self._connection, writes)

    @contextmanager
    def _transaction(self, *, is_write: bool) -> Iterator[None]:
        # The lock from the start: a transaction that begins with a read fails immediately if another wrote meanwhile.
        self._connection.execute("BEGIN IMMEDIATE" if is_write else "BEGIN")
        try:
            yield
            self._connection.execute("COMMIT")
        except BaseException:
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")
            raise

    @contextmanager
    def _deferred_sync(self) -> Iterator[Callable[[], None]]:
        """Commit without waiting for the disk, and yield a function that does, to be called without the write lock.

        A commit waits for the whole log to reach the disk, including this part, so it is flushed early.
        """
        with _log_opened(self._path) as log:
            self._connection.execute("PRAGMA synchronous=NORMAL")
            try:
                yield lambda: _flush(log)
            finally:
                self._connection.execute("PRAGMA synchronous=FULL")


# Not every system has the variant that skips a file's times.
_sync = getattr(os, "fdatasync", os.fsync)


def _flush(log: int) -> None:
    begun = time.monotonic()
    _sync(log)
    time.sleep(max(0.0, LOCK_PAUSE + begun - time.monotonic()))


@contextmanager
def _log_opened(path: Path) -> Iterator[int]:
    # No process locks the log, so closing it releases no lock.
    log = os.open(file.log_of(path), os.O_RDONLY)
    try:
        yield log
    finally:
        os.close(log)


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _prefix_end(beginning: str) -> str:
    """Return the smallest text after all texts with a prefix."""
    return beginning[:-1] + chr(ord(beginning[-1]) + 1)


def _parameter(session_id: StoredId) -> str:
    return _AS_TEXT if isinstance(session_id, bytes) and not isinstance(session_id, BlobId) else "?"


def _stored_id(session_id: StoredId, kind: str) -> StoredId:
    return BlobId(session_id) if kind == "blob" and isinstance(session_id, bytes) else session_id


@contextmanager
def opened(path: Path) -> Iterator[SessionFile]:
    """Open the session file for a block. Raise MemoryUnavailable if it cannot be used, or is locked for too long."""
    with _convert_errors():
        connection = file.connect(path, busy_ms=int(LOCK_BUDGET * 1000), checkpoint_at=file.CHECKPOINT_OF_CLEANUP_AT)
        connection.execute(f"PRAGMA cache_size=-{CACHE_KB}")
    with closing(connection):
        yield SessionFile(connection, path)


@contextmanager
def opened_to_read(path: Path) -> Iterator[SessionFile]:
    """Open the session file read-only for a block. Raise MemoryUnavailable if that fails."""
    if not path.exists():
        raise MemoryUnavailable("There is no session file.")
    with _convert_errors():
        connection = file.connect_to_read(path, busy_ms=int(LOCK_BUDGET * 1000))
    with closing(connection):
        yield SessionFile(connection, path)


@contextmanager
def _convert_errors() -> Iterator[None]:
    try:
        yield
    except (sqlite3.Error, OSError) as error:
        raise MemoryUnavailable(f"The session store cannot be used: {error}.") from error
