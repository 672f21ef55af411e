"""Initial sessions for the benchmarks of clean-ups and of the admin: their metadata, and their items in a store."""

import io
import json
import os
import random
import uuid
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psycopg

ITEMS, TURNS = 30, 6
CONCURRENT = 1000  # concurrent conversations: their items are interleaved in the store
USERS = 500
DAYS = 14  # of last activity, with equally many sessions per day; half of them are older than the retention
NEWEST, OLDEST = 0.05, 0.95  # of a day: every session is far from a cutoff of whole days

ITEM = {
    "role": "user",
    "content": "Add a task to call Ada about the party on Friday, and another to buy the cake. " * 2,
}
TEXT = json.dumps(ITEM)


@dataclass(frozen=True)
class SessionSet:
    """The ids of the sessions, the longest inactive first."""

    ids: list[str]

    @property
    def expired(self) -> int:
        """The number of sessions older than the retention."""
        return len(self.ids) // 2

    def last_activity(self, n: int, now: datetime) -> datetime:
        """Return when the n-th session was last used."""
        day, share = divmod(n * DAYS / len(self.ids), 1)
        return now - timedelta(days=DAYS - 1 - day + OLDEST - share * (OLDEST - NEWEST))


def make_sessions(count: int) -> SessionSet:
    """Generate ids of conversations of random users."""
    users = [uuid.UUID(int=n, version=4) for n in range(USERS)]
    rng = random.Random(1)
    return SessionSet(
        [f"user_{rng.choice(users)}_conv_{uuid.UUID(int=rng.getrandbits(128), version=4)}" for _ in range(count)]
    )


def fill_metadata(sessions: SessionSet, url: str) -> None:
    """Write the users, the conversations, and the metadata of the sessions."""
    now = datetime.now(UTC)
    size = ITEMS * len(TEXT)
    with psycopg.connect(url) as connection, connection.cursor() as cursor:
        cursor.execute("TRUNCATE chat_user CASCADE")
        cursor.execute(
            "INSERT INTO chat_user (id, email, password, time_zone, is_active, is_staff, is_superuser, created_at)"
            " SELECT id::uuid, id || '@example.com', '', 'UTC', true, false, false, now()"
            " FROM unnest(%s::text[]) AS id",
            [list({session_id[5:41] for session_id in sessions.ids})],
        )
        with cursor.copy(
            "COPY chat_conversation (id, user_id, title, created_at, updated_at, last_seq, last_position) FROM STDIN"
        ) as rows:
            for n, session_id in enumerate(sessions.ids):
                last_activity = sessions.last_activity(n, now)
                rows.write_row((session_id[47:], session_id[5:41], "Party", last_activity, last_activity, 1, 0))
        with cursor.copy(
            "COPY chat_agentsession (conversation_id, user_id, session_id, item_count, byte_count, pruned_count,"
            " first_activity_at, last_activity_at, last_error) FROM STDIN"
        ) as rows:
            for n, session_id in enumerate(sessions.ids):
                last_activity = sessions.last_activity(n, now)
                rows.write_row(
                    (session_id[47:], session_id[5:41], session_id, ITEMS, size, 0, last_activity, last_activity, "")
                )
        cursor.execute("ANALYZE chat_conversation")
        cursor.execute("ANALYZE chat_agentsession")


def _batches(sessions: SessionSet) -> Iterator[tuple[list[str], list[str]]]:
    """Yield batches of concurrent sessions, with the session id of each item in the order of writing."""
    rng = random.Random(2)
    for start in range(0, len(sessions.ids), CONCURRENT):
        batch = sessions.ids[start : start + CONCURRENT]
        order = list(batch)
        rows: list[str] = []
        for _ in range(TURNS):
            rng.shuffle(order)
            rows += [session_id for session_id in order for _ in range(ITEMS // TURNS)]
        yield batch, rows


def fill_file(sessions: SessionSet, path: Path) -> None:
    """Write the items into a session file."""
    from chat.memory import digest
    from chat.memory.file import connect

    digests = digest.extended(digest.EMPTY, [TEXT.encode()] * ITEMS)
    with closing(connect(path, busy_ms=1000)) as file:
        file.execute("PRAGMA synchronous=OFF")
        for batch, rows in _batches(sessions):
            file.execute("BEGIN")
            file.executemany(
                "INSERT INTO agent_sessions (session_id) VALUES (?)", [(session_id,) for session_id in batch]
            )
            file.executemany(
                "INSERT INTO threadkeeper_turns VALUES (?, 1, 1, 0)", [(session_id,) for session_id in batch]
            )
            file.executemany(
                "INSERT INTO threadkeeper_digests VALUES (?, ?, ?)", [(session_id, *digests) for session_id in batch]
            )
            items = [(session_id, TEXT) for session_id in rows]
            file.executemany("INSERT INTO agent_messages (session_id, message_data) VALUES (?, ?)", items)
            file.execute("COMMIT")
    with path.open("rb") as file_to_sync:
        os.fsync(file_to_sync.fileno())


def fill_database(sessions: SessionSet, url: str) -> None:
    """Write the items into the tables of PostgreSQL."""
    from chat.memory import digest

    crc, adler = digest.extended(digest.EMPTY, [TEXT.encode()] * ITEMS)
    with psycopg.connect(url, autocommit=True) as connection:
        # Without foreign key checks and index updates for each row.
        connection.execute("SET session_replication_role = replica")
        ((index,),) = connection.execute(
            "SELECT indexdef FROM pg_indexes WHERE indexname = 'idx_agent_messages_session_time'"
        ).fetchall()
        connection.execute("DROP INDEX idx_agent_messages_session_time")
        _copy(connection, "agent_sessions (session_id)", sessions, lambda batch, _: batch)
        _copy(
            connection,
            "threadkeeper_turns",
            sessions,
            lambda batch, _: [f"{session_id}\t1\t1\t0" for session_id in batch],
        )
        digest_columns = f"{crc}\t{adler}"
        _copy(
            connection,
            "threadkeeper_digests",
            sessions,
            lambda batch, _: [f"{session_id}\t{digest_columns}" for session_id in batch],
        )
        items = "agent_messages (session_id, message_data)"
        _copy(connection, items, sessions, lambda _, rows: [f"{session_id}\t{TEXT}" for session_id in rows])
        connection.execute(str(index).encode())
        for table in ("agent_sessions", "agent_messages", "threadkeeper_turns", "threadkeeper_digests"):
            connection.execute(f"VACUUM ANALYZE {table}".encode())


def _copy(
    connection: "psycopg.Connection[tuple[object, ...]]",
    table: str,
    sessions: SessionSet,
    lines: Callable[[list[str], list[str]], list[str]],
) -> None:
    with connection.cursor() as cursor, cursor.copy(f"COPY {table} FROM STDIN".encode()) as rows:
        for batch, items in _batches(sessions):
            text = io.StringIO()
            text.writelines(f"{line}\n" for line in lines(batch, items))
            rows.write(text.getvalue())
