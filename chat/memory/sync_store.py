"""The session store for commands and the worker: synchronous, while a server may read and write it."""

import uuid
from abc import ABC, abstractmethod
from collections.abc import Generator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field

from chat.exceptions import MemoryUnavailable
from chat.memory.apply import Digests, Tables
from chat.memory.digest import Digest
from chat.memory.items import Item, surplus
from chat.memory.statements import Clear, Delete, Fence, Replace, RowsChanged, Seal, Size, Stored, Write

READER_TIMEOUT = 1.0  # seconds, for readers
COMPARED_AT_ONCE = 20  # sessions; their items are in memory together


class BlobId(bytes):
    """A session id that is not text for SQLite. One that is, but is not UTF-8, is plain bytes."""


StoredId = str | bytes


@dataclass(frozen=True, slots=True)
class StoredSession:
    """All data of one session in the store; `is_listed` if it has a row in the table of sessions."""

    stored: Stored = field(default_factory=Stored)
    size: Size = Size(0, 0)
    is_listed: bool = False

    @property
    def has_rows(self) -> bool:
        """Whether any table has a row of it."""
        return bool(self.size.items) or self.is_listed or self.stored.last is not None


@dataclass(frozen=True, slots=True)
class RawSession:
    """A session as it is stored, to be copied to another store: its rows, its last turn, and its digest.

    `before` is how many of the rows are there since before that turn.
    """

    rows: tuple[str, ...]
    last: Fence | None
    before: int
    seal: Digest | None


class SyncStore(ABC):
    """Works on many sessions at once. Its methods raise MemoryUnavailable."""

    is_quiet = False  # whether no turn runs that would wait for a long transaction

    @abstractmethod
    def measure(self, session_ids: Sequence[str]) -> dict[str, Size]:
        """Return the size of each session; a missing one is empty."""

    @abstractmethod
    def of_user(self, user_id: uuid.UUID) -> list[StoredId]:
        """Return the ids of all sessions of a user in any table, with or without a conversation.

        Includes those that another program has written in another letter case, or with a suffix.
        """

    @abstractmethod
    def size_of(self, session_id: StoredId) -> Size:
        """Return the size of one session, whatever its id is."""

    @abstractmethod
    def count_rows(self, terms: Sequence[str]) -> dict[str, list[int]]:
        """Return for each column of each table how many rows contain each text, ignoring the case of ASCII letters.

        Tables of the record's database are left out: a search of the record includes them.
        """

    @abstractmethod
    def items(self, session_id: StoredId) -> list[Item]:
        """Return a session's items, without invalid rows."""

    @abstractmethod
    def remove(self, session_ids: Sequence[str]) -> dict[str, Size]:
        """Remove all data of sessions; return the size of each.

        Durable when it returns, or when the caller's transaction of the same database ends. If it raises, some sessions
        may be removed, but none partly.
        """

    @abstractmethod
    def secure_delete(self, session_ids: Sequence[StoredId]) -> None:
        """Remove sessions so that purge_removed, to be called next, can make their data unreadable."""

    @abstractmethod
    def purge_removed(self, *, seconds: float = READER_TIMEOUT) -> bool:
        """Make removed data unreadable, within about that time; return whether none is left to do."""

    @abstractmethod
    def next_ids(self, after: StoredId, limit: int) -> list[StoredId]:
        """Return the ids that follow one in the order of the store, from all tables."""

    @abstractmethod
    def unlisted_ids(self) -> list[StoredId]:
        """Return the ids of sessions that have items, but no row in the table of sessions."""

    @abstractmethod
    def count(self) -> int:
        """Count the sessions."""

    @abstractmethod
    def add_session_row(self, session_id: str) -> None:
        """Add a session's row to the table of sessions if it is missing."""

    @abstractmethod
    def free_space(self) -> Generator[int, None, None]:
        """Free the space of removed data incrementally; yield how much is left to do."""

    def load(self, session_ids: Sequence[str]) -> dict[str, StoredSession]:
        """Return all data of sessions; empty for a missing one."""
        if not session_ids:
            return {}
        sizes = self.measure(session_ids)
        with self._converted_errors():
            listed, stored = self._listed(session_ids), self._read(session_ids)
        return {
            session_id: StoredSession(stored[session_id], sizes[session_id], session_id in listed)
            for session_id in session_ids
        }

    def prune(self, session_id: str, limit: int) -> Size:
        """Remove the oldest user turns until at most `limit` items stay; return the new size."""
        with self._converted_errors():
            stored = self._read([session_id])[session_id]
            gone = [stored.ids[index] for index in surplus(stored.items, limit)]
            if gone:
                self._write(Delete(session_id, gone))
        return self.measure([session_id])[session_id]

    def replace(
        self, session_id: str, items: Sequence[Item], fence: Fence | None, *, seen: Digest | None = None
    ) -> Size:
        """Replace all items; `fence` is the turn that they end with, if any.

        With `seen`, the digest of the rows that were read, raise RowsChanged if they have changed.
        """
        with self._converted_errors():
            new = Replace(session_id, fence, items, restart=True, seen=seen) if items else Clear(session_id, seen)
            self._write(new)
        return self.measure([session_id])[session_id]

    def altered(self, session_ids: Sequence[StoredId], *, sealed: bool = False) -> list[str]:
        """Return the sessions whose rows do not match their digest.

        With `sealed`, leave out those without a digest: of another program only, or of an earlier version.
        """
        # The application never writes an id that is not UTF-8.
        texts = [session_id for session_id in session_ids if isinstance(session_id, str)]
        found: list[Digests] = []
        with self._converted_errors():
            for start in range(0, len(texts), COMPARED_AT_ONCE):
                found += self._tables.digests(texts[start : start + COMPARED_AT_ONCE])
        return [one.session_id for one in found if one.differ and (one.stored is not None or not sealed)]

    def seal(self, session_id: str, seen: Digest) -> None:
        """Store the digest of the rows if it is `seen`. Raise RowsChanged otherwise."""
        with self._converted_errors():
            self._write(Seal(session_id, seen))

    def raw(self, session_ids: Sequence[StoredId]) -> dict[str, RawSession]:
        """Return sessions as they are stored, without those that not every store can hold: that are not UTF-8."""
        found = {}
        with self._converted_errors(), self._transaction(is_write=False):
            for session_id in session_ids:
                raw = self._raw(session_id) if isinstance(session_id, str) and "\0" not in session_id else None
                if raw is not None:
                    found[str(session_id)] = raw
        return found

    def _raw(self, session_id: str) -> RawSession | None:
        rows = self._tables.rows(session_id)
        try:
            texts = tuple(row.data.decode() for row in rows)
        except UnicodeDecodeError:
            return None
        if any("\0" in text for text in texts):
            return None
        last, (_, base) = self._tables.fences([session_id]).get(session_id), self._tables.base(session_id) or (0, 0)
        before = sum(row.id <= base for row in rows)
        return RawSession(texts, last, before, self._tables.seals([session_id]).get(session_id))

    def put(self, sessions: Mapping[str, RawSession]) -> None:
        """Replace sessions by those of another store, in one transaction."""
        tables = self._tables
        with self._converted_errors(), self._transaction(is_write=True):
            tables.lock([Replace(session_id, None, ()) for session_id in sessions])
            for session_id, raw in sessions.items():
                tables.remove(session_id)
                _add(tables, session_id, raw.rows[: raw.before])
                if raw.last is not None:
                    tables.write_fences([(session_id, raw.last)])  # begins after the rows so far
                _add(tables, session_id, raw.rows[raw.before :])
            tables.write_seals({name: raw.seal for name, raw in sessions.items() if raw.seal is not None})

    def _write(self, write: Write) -> None:
        (result,) = self._commit([write])
        if isinstance(result, RowsChanged):
            raise result
        if isinstance(result, Exception):
            raise MemoryUnavailable(f"The session store cannot be used: {result}.") from result

    # -- implemented by each store

    @property
    @abstractmethod
    def _tables(self) -> Tables: ...

    @abstractmethod
    def _converted_errors(self) -> AbstractContextManager[object]:
        """Raise MemoryUnavailable for errors of the database."""

    @abstractmethod
    def _transaction(self, *, is_write: bool) -> AbstractContextManager[object]: ...

    @abstractmethod
    def _read(self, session_ids: Sequence[str]) -> dict[str, Stored]: ...

    @abstractmethod
    def _listed(self, session_ids: Sequence[str]) -> set[str]: ...

    @abstractmethod
    def _commit(self, writes: Sequence[Write]) -> Sequence[Item | Exception | None]: ...


def _add(tables: Tables, session_id: str, texts: Sequence[str]) -> None:
    if texts:
        tables.add([(session_id, text) for text in texts])
