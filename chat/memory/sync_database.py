"""The session store in PostgreSQL for commands and the worker: the same tables as `chat.memory.database_store`.

If the tables are in the record's database, changes are committed with the caller's transaction.
"""

import uuid
from collections.abc import Generator, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager

from django.db import DEFAULT_DB_ALIAS, Error, transaction

from chat.memory import database_tables
from chat.memory.database_store import unavailable
from chat.memory.database_tables import DatabaseTables, query
from chat.memory.items import Item
from chat.memory.statements import TABLES, Size, Stored, Write
from chat.memory.sync_store import READER_TIMEOUT, StoredId, SyncStore

_ALL_IDS = " UNION ".join(
    f"SELECT session_id FROM {table} {{condition}}"  # noqa: S608 - our own words
    for table in TABLES
    if table != "agent_messages"  # a row of it refers to one of agent_sessions
)
_NEXT = " UNION ".join(
    f"(SELECT session_id FROM {table} WHERE session_id > %s ORDER BY session_id LIMIT %s)"  # noqa: S608
    for table in TABLES
    if table != "agent_messages"
)
_COLUMNS = """
SELECT attrelid::regclass::text, attname FROM pg_attribute
WHERE attrelid = ANY(%s::regclass[]) AND attnum > 0 AND NOT attisdropped
"""
# The server since its start, the database, the table: the same by whatever name it is reached.
_IDENTITY = """
SELECT pg_postmaster_start_time(), d.oid, to_regclass('agent_messages')::oid
FROM pg_database d WHERE d.datname = current_database()
"""
SIZE_ON_DISK = "SELECT coalesce(sum(pg_total_relation_size(to_regclass(name))), 0)::bigint FROM unnest(%s) AS name"


class DatabaseSessions(SyncStore):
    """The sessions of a database, named by its alias in the settings."""

    def __init__(self, alias: str) -> None:
        self._alias = alias

    def is_same(self, other: "DatabaseSessions") -> bool:
        """Return whether two names are those of the same tables."""
        with self._converted_errors(), other._converted_errors():
            return query(self._alias, _IDENTITY) == query(other._alias, _IDENTITY)

    def measure(self, session_ids: Sequence[str]) -> dict[str, Size]:
        """Return the size of each session; a missing one is empty."""
        with self._converted_errors():
            return database_tables.measure(self._alias, session_ids)

    def of_user(self, user_id: uuid.UUID) -> list[StoredId]:
        """Return the ids of all sessions of a user in any table, with or without a conversation."""
        statement = _ALL_IDS.format(condition='WHERE starts_with(lower(session_id COLLATE "C"), %s)')
        return self._ids(statement, *[f"user_{user_id}_conv_"] * 3)

    def size_of(self, session_id: StoredId) -> Size:
        """Return the size of one session."""
        return self.measure([session_id])[session_id] if isinstance(session_id, str) else Size(0, 0)

    def count_rows(self, terms: Sequence[str]) -> dict[str, list[int]]:
        """Return for each column of each table how many rows contain each text, ignoring the case of ASCII letters."""
        if self._alias == DEFAULT_DB_ALIAS:
            return {}
        with self._converted_errors():
            columns = query(self._alias, _COLUMNS, list(TABLES))
            return {f"{table}.{column}": self._count_column(table, column, terms) for table, column in columns}

    def _count_column(self, table: str, column: str, terms: Sequence[str]) -> list[int]:
        text = f'lower({column}::text COLLATE "C")'
        sums = ", ".join(f"count(*) FILTER (WHERE strpos({text}, %s) > 0)" for _ in terms)
        (counts,) = query(self._alias, f"SELECT {sums} FROM {table}", *[term.lower() for term in terms])  # noqa: S608
        return list(counts)

    def items(self, session_id: StoredId) -> list[Item]:
        """Return a session's items, without invalid rows."""
        if not isinstance(session_id, str):
            return []
        with self._converted_errors():
            return self._read([session_id])[session_id].items

    def remove(self, session_ids: Sequence[str]) -> dict[str, Size]:
        """Remove all data of sessions; return the size of each."""
        sizes = self.measure(session_ids)
        self.secure_delete(session_ids)
        return sizes

    def secure_delete(self, session_ids: Sequence[StoredId]) -> None:
        """Remove sessions; PostgreSQL overwrites deleted rows as those of the record."""
        texts = [session_id for session_id in session_ids if isinstance(session_id, str)]
        with self._converted_errors():
            database_tables.remove(self._alias, texts)

    def purge_removed(self, *, seconds: float = READER_TIMEOUT) -> bool:
        """Return True: the rest is left to autovacuum, as with the record."""
        return True

    def next_ids(self, after: StoredId, limit: int) -> list[StoredId]:
        """Return the ids that follow one in the order of the database, from all tables."""
        return self._ids(f"{_NEXT} ORDER BY session_id LIMIT %s", *[after, limit] * 3, limit)

    def unlisted_ids(self) -> list[StoredId]:
        """Return nothing: the database refuses items without a row in the table of sessions."""
        return []

    def _ids(self, statement: str, *values: object) -> list[StoredId]:
        with self._converted_errors():
            return [session_id for (session_id,) in query(self._alias, statement, *values)]

    def count(self) -> int:
        """Count the sessions."""
        with self._converted_errors():
            ((sessions,),) = query(self._alias, "SELECT count(*) FROM agent_sessions")
        return int(sessions)

    def add_session_row(self, session_id: str) -> None:
        """Do nothing: the database refuses items without such a row."""

    def free_space(self) -> Generator[int, None, None]:
        """Yield nothing: autovacuum frees the space."""
        yield from ()

    def size_on_disk(self) -> int:
        """Return the size of the tables and their indexes in bytes."""
        with self._converted_errors():
            ((size,),) = query(self._alias, SIZE_ON_DISK, list(TABLES))
        return int(size)

    @property
    def _tables(self) -> DatabaseTables:
        return DatabaseTables(self._alias)

    @contextmanager
    def _converted_errors(self) -> Iterator[None]:
        try:
            database_tables.ensure_tables(self._alias)
            # So that the caller's transaction can be used after an error.
            with transaction.atomic(using=self._alias):
                yield
        except Error as error:
            raise unavailable(error) from error

    def _transaction(self, *, is_write: bool) -> AbstractContextManager[object]:
        return transaction.atomic(using=self._alias)

    def _read(self, session_ids: Sequence[str]) -> dict[str, Stored]:
        return database_tables.read(self._alias, session_ids)

    def _listed(self, session_ids: Sequence[str]) -> set[str]:
        statement = "SELECT session_id FROM agent_sessions WHERE session_id = ANY(%s)"
        return {session_id for (session_id,) in query(self._alias, statement, list(session_ids))}

    def _commit(self, writes: Sequence[Write]) -> Sequence[Item | Exception | None]:
        return database_tables.commit(self._alias, writes)
