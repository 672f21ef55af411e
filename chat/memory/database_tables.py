"""The tables of the session store in PostgreSQL: those of the SDK's `SQLAlchemySession`, and two side tables.

Each function runs in a transaction of its own, or within the caller's. The SDK's class locks a session's row in
`agent_sessions` before it writes; so do the functions here, in one order for all processes.
"""

from collections.abc import Collection, Mapping, Sequence
from functools import cache
from typing import Any

from django.db import DEFAULT_DB_ALIAS, DataError, Error, IntegrityError, OperationalError, connections, transaction
from psycopg.errors import DeadlockDetected, LockNotAvailable, UndefinedTable

from chat.memory import digest
from chat.memory.apply import Digests, RawRow, Tables, apply
from chat.memory.digest import Digest
from chat.memory.items import Item
from chat.memory.statements import (
    TABLES,
    Append,
    Begin,
    Fence,
    Replace,
    Size,
    Stored,
    Write,
    decode_joined,
    decode_rows,
    last_fence,
)
from chat.models.sql import ENDS_WHEN_IDLE

SCHEMA = """
CREATE TABLE IF NOT EXISTS agent_sessions (
    session_id VARCHAR NOT NULL PRIMARY KEY,
    created_at TIMESTAMP WITHOUT TIME ZONE DEFAULT CURRENT_TIMESTAMP NOT NULL,
    updated_at TIMESTAMP WITHOUT TIME ZONE DEFAULT CURRENT_TIMESTAMP NOT NULL
);
CREATE TABLE IF NOT EXISTS agent_messages (
    id BIGSERIAL NOT NULL PRIMARY KEY,
    session_id VARCHAR NOT NULL REFERENCES agent_sessions (session_id) ON DELETE CASCADE,
    message_data TEXT NOT NULL,
    created_at TIMESTAMP WITHOUT TIME ZONE DEFAULT CURRENT_TIMESTAMP NOT NULL
);
CREATE INDEX IF NOT EXISTS idx_agent_messages_session_time ON agent_messages (session_id, created_at);
CREATE TABLE IF NOT EXISTS threadkeeper_turns (
    session_id VARCHAR NOT NULL PRIMARY KEY,
    turn INTEGER NOT NULL,
    attempt INTEGER NOT NULL,
    base BIGINT NOT NULL
);
CREATE TABLE IF NOT EXISTS threadkeeper_digests (
    session_id VARCHAR NOT NULL PRIMARY KEY,
    crc BIGINT NOT NULL,
    adler BIGINT NOT NULL
);
"""
# For tables of 0.12.0, or of the SDK.
WIDEN = """
ALTER TABLE agent_messages ALTER COLUMN id TYPE bigint;
ALTER SEQUENCE agent_messages_id_seq AS bigint;
ALTER TABLE threadkeeper_turns ALTER COLUMN base TYPE bigint;
"""
# Errors that a single write of a batch may cause; all others concern the database.
WRITE_ERRORS = (IntegrityError, DataError, TypeError, ValueError)
# Errors of a session that another program has locked, and how long its write waits: in a batch, others wait with it.
LOCK_ERRORS = (DeadlockDetected, LockNotAvailable)
BATCH_LOCK_TIMEOUT, LOCK_TIMEOUT = "200ms", "1s"

_JOINED = """
SELECT wanted.session_id, turn, attempt, base, crc, adler, ids, texts
FROM unnest(%s::varchar[]) AS wanted (session_id)
LEFT JOIN threadkeeper_turns USING (session_id)
LEFT JOIN threadkeeper_digests USING (session_id)
LEFT JOIN LATERAL (
    SELECT array_agg(id ORDER BY id) AS ids, array_agg(message_data ORDER BY id) AS texts
    FROM agent_messages m WHERE m.session_id = wanted.session_id
) messages ON true
"""
_DIGESTS_OF = """
SELECT wanted.session_id, crc, adler, texts
FROM unnest(%s::varchar[]) AS wanted (session_id)
LEFT JOIN threadkeeper_digests USING (session_id)
LEFT JOIN LATERAL (
    SELECT string_agg(message_data, ',' ORDER BY id) AS texts
    FROM agent_messages m WHERE m.session_id = wanted.session_id
) messages ON true
"""
_ROWS = "SELECT id, message_data FROM agent_messages WHERE session_id = %s ORDER BY id"
_MEASURE = """
SELECT session_id, count(*), sum(octet_length(message_data)) FROM agent_messages
WHERE session_id = ANY(%s) GROUP BY session_id
"""
_CREATE_LOCKED = f"""
INSERT INTO agent_sessions AS s (session_id) SELECT unnest(%s::varchar[])
ON CONFLICT (session_id) DO UPDATE SET updated_at = CURRENT_TIMESTAMP RETURNING {ENDS_WHEN_IDLE}
"""
_LOCK = f"""
SELECT {ENDS_WHEN_IDLE} FROM agent_sessions WHERE session_id = ANY(%s)
ORDER BY session_id COLLATE "C" FOR NO KEY UPDATE
"""  # noqa: S608 - our own words
_WRITE_FENCES = """
INSERT INTO threadkeeper_turns AS t (session_id, turn, attempt, base)
SELECT f.session_id, f.turn, f.attempt,
    coalesce((SELECT max(m.id) FROM agent_messages m WHERE m.session_id = f.session_id), 0)
FROM unnest(%s::varchar[], %s::int[], %s::int[]) AS f (session_id, turn, attempt)
ON CONFLICT (session_id) DO UPDATE SET turn = excluded.turn, attempt = excluded.attempt,
    base = CASE WHEN excluded.turn > t.turn THEN excluded.base ELSE t.base END
WHERE (excluded.turn, excluded.attempt) > (t.turn, t.attempt)
"""
_WRITE_SEALS = """
INSERT INTO threadkeeper_digests (session_id, crc, adler)
SELECT * FROM unnest(%s::varchar[], %s::bigint[], %s::bigint[])
ON CONFLICT (session_id) DO UPDATE SET crc = excluded.crc, adler = excluded.adler
"""
# The SDK orders rows by their time, then by their id. A transaction that waited for a lock began before rows that are
# already there.
_ADD = """
WITH listed AS (
    INSERT INTO agent_sessions (session_id) SELECT DISTINCT unnest(%(sessions)s::varchar[]) ON CONFLICT DO NOTHING
)
INSERT INTO agent_messages (session_id, message_data, created_at)
SELECT r.session_id, r.data, greatest(statement_timestamp()::timestamp,
    (SELECT max(m.created_at) FROM agent_messages m WHERE m.session_id = r.session_id))
FROM unnest(%(sessions)s::varchar[], %(texts)s::text[]) WITH ORDINALITY AS r (session_id, data, n) ORDER BY r.n
"""
_MESSAGES, _SESSIONS, _TURNS, _DIGESTS = TABLES


@cache
def ensure_tables(alias: str) -> None:
    """Create the missing tables of a database that only has sessions; a migration creates those of the record's.

    Existing ones need no right to create any. Call `ensure_tables.cache_clear()` if a table turns out to be missing.
    """
    if alias == DEFAULT_DB_ALIAS:
        return
    missing = "SELECT count(*) FROM unnest(%s::text[]) AS name WHERE to_regclass(name) IS NULL"
    if query(alias, missing, list(TABLES)) == [(0,)]:
        return
    with transaction.atomic(using=alias), connections[alias].cursor() as cursor:
        # Another process may create them at the same moment, and IF NOT EXISTS would not wait for it.
        cursor.execute("SELECT pg_advisory_xact_lock(hashtext('threadkeeper_sessions'), 0)")
        cursor.execute(SCHEMA)


def look_again(error: Error) -> None:
    """Look for the tables again if one was missing, as in a database that was created again."""
    if isinstance(error.__cause__, UndefinedTable):
        ensure_tables.cache_clear()


def query(alias: str, statement: str, *values: Any) -> list[tuple[Any, ...]]:
    """Return the rows of a statement."""
    with connections[alias].cursor() as cursor:
        cursor.execute(statement, values)
        return list(cursor.fetchall())


def read(alias: str, session_ids: Sequence[str]) -> dict[str, Stored]:
    """Return sessions by id; missing ones are empty."""
    found = {session_id: Stored() for session_id in session_ids}
    for session_id, turn, attempt, base, crc, adler, ids, texts in query(alias, _JOINED, list(found)):
        last, seal = last_fence(turn, attempt, base), None if crc is None else (crc, adler)
        if ids is None:
            found[session_id] = decode_rows([], last, seal, digest.EMPTY)
            continue
        joined = ",".join(texts)
        stored = decode_joined(ids, joined, last, seal)
        found[session_id] = stored or decode_rows(
            zip(ids, texts, strict=True), last, seal, digest.of_joined(joined.encode())
        )
    return found


def measure(alias: str, session_ids: Sequence[str]) -> dict[str, Size]:
    """Return the size of each session; a missing one is empty."""
    sizes = {row[0]: Size(*row[1:]) for row in query(alias, _MEASURE, list(session_ids))}
    return {session_id: sizes.get(session_id, Size(0, 0)) for session_id in session_ids}


def commit(alias: str, writes: Sequence[Write]) -> list[Item | Exception | None]:
    """Apply writes in one transaction, or each in its own if they fail together. Raise django.db.Error."""
    if len(writes) == 1:
        return _commit_one(alias, writes[0])
    try:
        with transaction.atomic(using=alias):
            _limit_wait(alias, BATCH_LOCK_TIMEOUT)
            return apply(DatabaseTables(alias), writes)
    except OperationalError as error:
        if not isinstance(error.__cause__, LOCK_ERRORS):
            raise
    except WRITE_ERRORS:
        pass
    return [result for write in writes for result in _commit_one(alias, write, LOCK_TIMEOUT)]


def _commit_one(alias: str, write: Write, lock_timeout: str = "") -> list[Item | Exception | None]:
    try:
        with transaction.atomic(using=alias):
            if lock_timeout:
                _limit_wait(alias, lock_timeout)
            return apply(DatabaseTables(alias), [write])
    except OperationalError as error:
        if not isinstance(error.__cause__, LOCK_ERRORS):
            raise
        return [error]
    except WRITE_ERRORS as error:
        return [error]


def _limit_wait(alias: str, lock_timeout: str) -> None:
    """Limit how long a transaction waits for another program that has locked a session."""
    with connections[alias].cursor() as cursor:
        cursor.execute("SELECT set_config('lock_timeout', %s, true)", [lock_timeout])


def remove(alias: str, session_ids: Sequence[str], tables: Sequence[str] = TABLES) -> None:
    """Remove the rows of sessions from tables."""
    with connections[alias].cursor() as cursor:
        cursor.execute(_LOCK, [list(session_ids)])
        for table in tables:
            cursor.execute(f"DELETE FROM {table} WHERE session_id = ANY(%s)", [list(session_ids)])  # noqa: S608


class DatabaseTables(Tables):
    """The tables in a database."""

    def __init__(self, alias: str) -> None:
        self._alias = alias

    def lock(self, writes: Sequence[Write]) -> None:
        """Lock the sessions until the transaction ends, in the order of their ids."""
        created = {write.session_id for write in writes if isinstance(write, Append | Begin | Replace)}
        if created:
            self._execute(_CREATE_LOCKED, sorted(created))
        if others := {write.session_id for write in writes} - created:
            self._execute(_LOCK, list(others))

    def fences(self, session_ids: Collection[str]) -> dict[str, Fence]:
        """Return the last fences of the sessions that have one."""
        # Not together with the locks: a statement that waits for a lock sees other tables as they were before.
        statement = "SELECT session_id, turn, attempt FROM threadkeeper_turns WHERE session_id = ANY(%s)"
        return {row[0]: Fence(row[1], row[2]) for row in query(self._alias, statement, list(session_ids))}

    def seals(self, session_ids: Collection[str]) -> dict[str, Digest]:
        """Return the stored digests of the sessions that have one."""
        statement = "SELECT session_id, crc, adler FROM threadkeeper_digests WHERE session_id = ANY(%s)"
        return {row[0]: (row[1], row[2]) for row in query(self._alias, statement, list(session_ids))}

    def digests(self, session_ids: Sequence[str]) -> list[Digests]:
        """Return the digests of each session, by one query."""
        return [
            Digests(
                session_id,
                None if crc is None else (crc, adler),
                digest.of_joined(None if texts is None else texts.encode()),
            )
            for session_id, crc, adler, texts in query(self._alias, _DIGESTS_OF, list(session_ids))
        ]

    def rows(self, session_id: str) -> list[RawRow]:
        """Return the rows of a session in order."""
        return [RawRow(row_id, text.encode()) for row_id, text in query(self._alias, _ROWS, session_id)]

    def has_rows(self, session_id: str) -> bool:
        """Return whether a session has rows."""
        return bool(query(self._alias, "SELECT FROM agent_messages WHERE session_id = %s LIMIT 1", session_id))

    def base(self, session_id: str) -> tuple[int, int] | None:
        """Return the last turn that wrote to a session, and the last row before it."""
        found = query(self._alias, "SELECT turn, base FROM threadkeeper_turns WHERE session_id = %s", session_id)
        return (found[0][0], found[0][1]) if found else None

    def write_fences(self, fences: Sequence[tuple[str, Fence]]) -> None:
        """Store later fences."""
        names = [session_id for session_id, _ in fences]
        turns, attempts = [fence.turn for _, fence in fences], [fence.attempt for _, fence in fences]
        self._execute(_WRITE_FENCES, names, turns, attempts)

    def write_seals(self, seals: Mapping[str, Digest]) -> None:
        """Store digests."""
        values = [seal[0] for seal in seals.values()], [seal[1] for seal in seals.values()]
        self._execute(_WRITE_SEALS, list(seals), *values)

    def remove_seal(self, session_id: str) -> None:
        """Remove the digest of a session."""
        self._execute("DELETE FROM threadkeeper_digests WHERE session_id = %s", session_id)

    def add(self, rows: Sequence[tuple[str, str]]) -> None:
        """Add rows at the end of sessions, which are created if they are missing."""
        values = {"sessions": [row[0] for row in rows], "texts": [row[1] for row in rows]}
        with connections[self._alias].cursor() as cursor:
            cursor.execute(_ADD, values)

    def delete(self, session_id: str, row_ids: Sequence[int]) -> None:
        """Delete rows of a session."""
        statement = "DELETE FROM agent_messages WHERE session_id = %s AND id = ANY(%s)"
        self._execute(statement, session_id, list(row_ids))

    def remove(self, session_id: str, *, keep_listed: bool = False) -> None:
        """Remove everything of a session, but its row in the table of sessions if `keep_listed`."""
        remove(self._alias, [session_id], (_MESSAGES, _TURNS, _DIGESTS) if keep_listed else TABLES)

    def _execute(self, statement: str, *values: Any) -> None:
        with connections[self._alias].cursor() as cursor:
            cursor.execute(statement, values)
