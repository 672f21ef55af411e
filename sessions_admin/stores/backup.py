"""Copy the record and the memory together while people chat, and read the copy back before it counts as one.

The record is copied in one transaction that sees it as it was at its first moment; the memory at that same moment, as
far as two databases can. A turn that ends in between is in one and not in the other. That does no harm: the memory is
a copy of what the record says, and the next turn of a session that is behind it or ahead of it fills it again.
"""

import sqlite3
import sys
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from axes.models import AccessAttempt, AccessAttemptExpiration, AccessFailureLog, AccessLog
from django.conf import settings
from django.contrib.sessions.models import Session
from django.db import connection, transaction
from django.db.migrations.executor import MigrationExecutor
from django.db.models import Model
from django.utils import timezone
from django_q.models import OrmQ
from django_q.models import Task as QueueTask
from psycopg import sql

from chat.exceptions import Conflict, MemoryUnavailable
from chat.memory.file import connect
from chat.models import AttemptCount, IdempotentRequest, MessageVector, PendingDeletion, TitleVector
from config.versions import unknown_migrations
from sessions_admin import audit
from sessions_admin.models import Action, ClockReference, WorkerHeartbeat
from sessions_admin.stores import archive
from sessions_admin.stores.archive import MEMORY, TABLES, Manifest, Table, Writer
from sessions_admin.stores.files import new_file
from sessions_admin.stores.temporary import temporary_folder

# What lives for a while only: logins (whoever comes back signs in again), the worker's queue, attempts at signing in;
# what belongs to the machine; and the search index, which a restore makes again.
LEFT_OUT: tuple[type[Model], ...] = (
    *(Session, OrmQ, QueueTask),
    *(AccessAttempt, AccessAttemptExpiration, AccessFailureLog, AccessLog, AttemptCount, IdempotentRequest),
    *(WorkerHeartbeat, ClockReference),
    *(MessageVector, TitleVector),
    PendingDeletion,  # of the file as it is, of which a backup has a copy without a log
)
LOCK_BUDGET = 10_000  # ms

OnProgress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class Backup:
    """What was copied."""

    file: str
    bytes: int
    tables: int
    rows: int
    sessions: int
    items: int

    def as_json(self) -> dict[str, object]:
        """Give it as a plain dict."""
        return asdict(self)


def backup(
    path: Path, *, actor: str, force: bool = False, on_progress: OnProgress = lambda done, total: None
) -> Backup:
    """Write a backup, and read it back. Raise Conflict where there is such a file, BadInput, MemoryUnavailable."""
    executor = MigrationExecutor(connection)
    is_behind = executor.migration_plan(executor.loader.graph.leaf_nodes())
    if is_behind or unknown_migrations(executor.loader.applied_migrations):
        raise Conflict("The database is of another version than this program; start it once with `up`.")
    migrations = sorted([app, name] for app, name in executor.loader.applied_migrations)
    manifest = Manifest(settings.VERSION, timezone.now().isoformat(), migrations)
    with new_file(path, force=force) as file:
        with temporary_folder("backup", path.parent) as folder:
            with archive.written(file, manifest) as writer:
                _copy(writer, folder, on_progress)
            with archive.opened(file, limit=sys.maxsize) as written:
                (check := folder / "check").mkdir()
                written.check(check)
        size = file.seek(0, 2)
        sessions, items = manifest.memory["agent_sessions"], manifest.memory["agent_messages"]
        made = Backup(str(path), size, len(manifest.tables), manifest.rows, sessions, items)
        counts = {name: count for name, count in made.as_json().items() if name != "file"}
        audit.record(Action.BACKUP, actor=actor, counts=counts)
    return made


def tables() -> list[str]:
    """Return the tables that a backup has, of those that are there."""
    left_out = {model._meta.db_table for model in LEFT_OUT}
    return sorted(set(connection.introspection.django_table_names(only_existing=True)) - left_out)


def _copy(writer: Writer, folder: Path, on_progress: OnProgress) -> None:
    with _snapshot() as cursor:
        copy = folder / MEMORY
        _copy_memory(copy)
        names = tables()
        for done, name in enumerate(names, 1):
            writer.manifest.tables[name] = _copy_table(cursor, writer, name)
            on_progress(done, len(names) + 1)
    writer.manifest.memory = archive.count_memory(copy)
    with open(copy, "rb") as source, writer.member(MEMORY) as member:
        while piece := source.read(archive.CHUNK):
            member.write(piece)
    on_progress(len(names) + 1, len(names) + 1)


@contextmanager
def _snapshot() -> Iterator[Any]:
    """Read the record as of one moment, without locks."""
    with transaction.atomic(durable=True), connection.cursor() as cursor:
        cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
        cursor.execute("SELECT 1")  # the moment
        yield cursor


def _copy_memory(path: Path) -> None:
    try:
        with (
            closing(connect(settings.AGENT_SESSION_DB_PATH, busy_ms=LOCK_BUDGET)) as source,
            closing(sqlite3.connect(path)) as target,
        ):
            source.backup(target)
            target.execute("PRAGMA journal_mode=DELETE")  # all of it in the one file
    except (sqlite3.Error, OSError) as error:
        raise MemoryUnavailable(f"The session store cannot be copied: {error}") from error


def _copy_table(cursor: Any, writer: Writer, name: str) -> Table:
    cursor.execute(
        "SELECT attname FROM pg_attribute WHERE attrelid = %s::regclass AND attnum > 0 AND NOT attisdropped"
        " AND attgenerated = '' ORDER BY attnum",
        [connection.ops.quote_name(name)],
    )
    columns = [column for (column,) in cursor.fetchall()]
    rows = 0
    with writer.member(TABLES + name) as member, cursor.copy(copy_statement(name, columns, "TO STDOUT")) as copied:
        for row in copied:
            member.write(row)
            rows += 1
    return Table(columns, rows)


def copy_statement(table: str, columns: list[str], how: str) -> sql.Composed:
    """Return the statement that copies a table's columns."""
    names = sql.SQL(", ").join(map(sql.Identifier, columns))
    return sql.SQL("COPY {} ({}) {}").format(sql.Identifier(table), names, sql.SQL(how))
