"""The sessions that benchmarks of clean-ups and of the admin begin with: their metadata, and their items in a store."""

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
AT_ONCE = 1000  # conversations that go on at the same time: their items are interleaved in the store
PEOPLE = 500
DAYS = 14  # of last activity, with as many sessions each; half of them are older than the retention
NEWEST, OLDEST = 0.05, 0.95  # of a day: a cutoff of whole days is far from every session

ITEM = {
    "role": "user",
    "content": "Add a task to call Ada about the party on Friday, and another to buy the cake. " * 2,
}
TEXT = json.dumps(ITEM)


@dataclass(frozen=True)
class Given:
    """The ids of the sessions, those that are inactive for longest first."""

    ids: list[str]

    @property
    def expired(self) -> int:
        """How many are older than the retention."""
        return len(self.ids) // 2

    def last_activity(self, n: int, now: datetime) -> datetime:
        """Return when the n-th session was last used."""
        day, share = divmod(n * DAYS / len(self.ids), 1)
        return now - timedelta(days=DAYS - 1 - day + OLDEST - share * (OLDEST - NEWEST))


def given_sessions(count: int) -> Given:
    """Choose ids, of conversations of random people."""
    users = [uuid.UUID(int=n, version=4) for n in range(PEOPLE)]
    chosen = random.Random(1)
    return Given(
        [f"user_{chosen.choice(users)}_conv_{uuid.UUID(int=chosen.getrandbits(128), version=4)}" for _ in range(count)]
    )


def fill_record(given: Given, url: str) -> None:
    """Write the users, the conversations, and the metadata of the sessions."""
    now = datetime.now(UTC)
    size = ITEMS * len(TEXT)
    with psycopg.connect(url) as connection, connection.cursor() as cursor:
        cursor.execute("TRUNCATE chat_user CASCADE")
        cursor.execute(
            "INSERT INTO chat_user (id, email, password, time_zone, is_active, is_staff, is_superuser, created_at)"
            " SELECT id::uuid, id || '@example.com', '', 'UTC', true, false, false, now()"
            " FROM unnest(%s::text[]) AS id",
            [list({one[5:41] for one in given.ids})],
        )
        with cursor.copy(
            "COPY chat_conversation (id, user_id, title, created_at, updated_at, last_seq, last_position) FROM STDIN"
        ) as rows:
            for n, one in enumerate(given.ids):
                then = given.last_activity(n, now)
                rows.write_row((one[47:], one[5:41], "Party", then, then, 1, 0))
        with cursor.copy(
            "COPY chat_agentsession (conversation_id, user_id, session_id, item_count, byte_count, pruned_count,"
            " first_activity_at, last_activity_at, last_error) FROM STDIN"
        ) as rows:
            for n, one in enumerate(given.ids):
                then = given.last_activity(n, now)
                rows.write_row((one[47:], one[5:41], one, ITEMS, size, 0, then, then, ""))
        cursor.execute("ANALYZE chat_conversation")
        cursor.execute("ANALYZE chat_agentsession")


def _batches(given: Given) -> Iterator[tuple[list[str], list[str]]]:
    """Yield sessions that go on at the same time, and the session of each item, in the order in which people write."""
    chosen = random.Random(2)
    for start in range(0, len(given.ids), AT_ONCE):
        crowd = given.ids[start : start + AT_ONCE]
        order = list(crowd)
        rows: list[str] = []
        for _ in range(TURNS):
            chosen.shuffle(order)
            rows += [one for one in order for _ in range(ITEMS // TURNS)]
        yield crowd, rows


def fill_file(given: Given, path: Path) -> None:
    """Write the items into a session file."""
    from chat.memory import digest
    from chat.memory.file import connect

    seal = digest.extended(digest.EMPTY, [TEXT.encode()] * ITEMS)
    with closing(connect(path, busy_ms=1000)) as file:
        file.execute("PRAGMA synchronous=OFF")
        for crowd, rows in _batches(given):
            file.execute("BEGIN")
            file.executemany("INSERT INTO agent_sessions (session_id) VALUES (?)", [(one,) for one in crowd])
            file.executemany("INSERT INTO threadkeeper_turns VALUES (?, 1, 1, 0)", [(one,) for one in crowd])
            file.executemany("INSERT INTO threadkeeper_digests VALUES (?, ?, ?)", [(one, *seal) for one in crowd])
            items = [(one, TEXT) for one in rows]
            file.executemany("INSERT INTO agent_messages (session_id, message_data) VALUES (?, ?)", items)
            file.execute("COMMIT")
    with path.open("rb") as written:
        os.fsync(written.fileno())


def fill_database(given: Given, url: str) -> None:
    """Write the items into the tables of PostgreSQL."""
    from chat.memory import digest

    crc, adler = digest.extended(digest.EMPTY, [TEXT.encode()] * ITEMS)
    with psycopg.connect(url, autocommit=True) as connection:
        # Neither the reference of each row is checked, nor an index extended by each row.
        connection.execute("SET session_replication_role = replica")
        ((index,),) = connection.execute(
            "SELECT indexdef FROM pg_indexes WHERE indexname = 'idx_agent_messages_session_time'"
        ).fetchall()
        connection.execute("DROP INDEX idx_agent_messages_session_time")
        _copy(connection, "agent_sessions (session_id)", given, lambda crowd, _: crowd)
        _copy(connection, "threadkeeper_turns", given, lambda crowd, _: [f"{one}\t1\t1\t0" for one in crowd])
        seals = f"{crc}\t{adler}"
        _copy(connection, "threadkeeper_digests", given, lambda crowd, _: [f"{one}\t{seals}" for one in crowd])
        items = "agent_messages (session_id, message_data)"
        _copy(connection, items, given, lambda _, rows: [f"{one}\t{TEXT}" for one in rows])
        connection.execute(str(index).encode())
        for table in ("agent_sessions", "agent_messages", "threadkeeper_turns", "threadkeeper_digests"):
            connection.execute(f"VACUUM ANALYZE {table}".encode())


def _copy(
    connection: "psycopg.Connection[tuple[object, ...]]",
    table: str,
    given: Given,
    lines: Callable[[list[str], list[str]], list[str]],
) -> None:
    with connection.cursor() as cursor, cursor.copy(f"COPY {table} FROM STDIN".encode()) as rows:
        for crowd, items in _batches(given):
            text = io.StringIO()
            text.writelines(f"{line}\n" for line in lines(crowd, items))
            rows.write(text.getvalue())
