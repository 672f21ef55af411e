"""Copy the record and the memory together while the site is in use, and verify the copy.

The record is copied in one transaction with a consistent snapshot; the memory at nearly the same moment. A turn that
ends in between is in only one of them. That is harmless: the memory is a copy of the record, and the next turn repairs
a session that is behind or ahead of it.
"""

import errno
import sqlite3
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
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

from chat.exceptions import BadInput, Conflict, MemoryUnavailable
from chat.memory import sync_file
from chat.memory.configured import database_alias, opened_to_read
from chat.memory.copying import copy_all
from chat.memory.file import connect
from chat.models import AttemptCount, IdempotentRequest, MessageVector, PendingDeletion, TitleVector
from config.versions import unknown_migrations
from sessions_admin import audit
from sessions_admin.models import Action, ClockReference, WorkerHeartbeat
from sessions_admin.reports import OnProgress, Report, ignore_progress
from sessions_admin.stores import archive
from sessions_admin.stores.archive import MEMORY, TABLES, Manifest, Table, Writer
from sessions_admin.stores.files import new_file
from sessions_admin.stores.places import Folder, new_name, place_of
from sessions_admin.stores.temporary import temporary_folder

# Short-lived rows: logins, the worker's queue, sign-in attempts; rows about the machine; and the search index, which a
# restore rebuilds.
LEFT_OUT: tuple[type[Model], ...] = (
    *(Session, OrmQ, QueueTask),
    *(AccessAttempt, AccessAttemptExpiration, AccessFailureLog, AccessLog, AttemptCount, IdempotentRequest),
    *(WorkerHeartbeat, ClockReference),
    *(MessageVector, TitleVector),
    PendingDeletion,  # about the current file; the copy in a backup has no log
)
LOCK_BUDGET = 10_000  # ms


@dataclass(frozen=True, slots=True)
class Backup(Report):
    """The counts of a backup."""

    file: str
    bytes: int
    tables: int
    rows: int
    sessions: int
    items: int


def backup(path: Path, *, actor: str, force: bool = False, on_progress: OnProgress = ignore_progress) -> Backup:
    """Write a backup, and verify it. Raise Conflict if the file exists, BadInput, MemoryUnavailable."""
    return _recorded(_make(path, force=force, on_progress=on_progress), actor)


def backup_to(
    text: str,
    *,
    actor: str,
    force: bool = False,
    keep: int | None = None,
    on_progress: OnProgress = ignore_progress,
) -> Backup:
    """Write a backup into a file, a folder or a bucket, where it gets a name; delete all but the newest `keep` there.

    Raise what `backup` raises.
    """
    place, name = place_of(text)
    arguments: dict[str, Any] = {"force": force, "on_progress": on_progress}
    if isinstance(place, Folder):
        made = _make(place.path / (name or new_name()), **arguments)
    else:
        with temporary_folder("backup", settings.DATA_DIR) as folder:
            made = _make(file := folder / "backup.zip", **arguments)
            made = replace(made, file=place.put(file, name or new_name(), force=force))
    _recorded(made, actor)
    for old in place.names()[:-keep] if keep else ():
        place.delete(old)
    return made


def _recorded(made: Backup, actor: str) -> Backup:
    counts = {name: count for name, count in made.as_json().items() if name != "file"}
    audit.record(Action.BACKUP, actor=actor, counts=counts)
    return made


def _make(path: Path, *, force: bool, on_progress: OnProgress) -> Backup:
    executor = MigrationExecutor(connection)
    is_behind = executor.migration_plan(executor.loader.graph.leaf_nodes())
    if is_behind or unknown_migrations(executor.loader.applied_migrations):
        raise Conflict("The database has another version than this program; run `up` once.")
    migrations = sorted([app, name] for app, name in executor.loader.applied_migrations)
    manifest = Manifest(settings.VERSION, timezone.now().isoformat(), migrations)
    with new_file(path, force=force) as file:
        with temporary_folder("backup", path.parent) as folder:
            with archive.create(file, manifest) as writer:
                _copy(writer, folder, on_progress)
            with archive.opened(file, limit=sys.maxsize) as written:
                (check := folder / "check").mkdir()
                written.check(check)
        size = file.seek(0, 2)
        sessions, items = manifest.memory["agent_sessions"], manifest.memory["agent_messages"]
    return Backup(str(path), size, len(manifest.tables), manifest.rows, sessions, items)


def tables() -> list[str]:
    """Return the existing tables that a backup includes."""
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
        while piece := source.read(archive.CHUNK_SIZE):
            member.write(piece)
    on_progress(len(names) + 1, len(names) + 1)


@contextmanager
def _snapshot() -> Iterator[Any]:
    """Read a consistent snapshot of the record, without locks."""
    with transaction.atomic(durable=True), connection.cursor() as cursor:
        cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
        cursor.execute("SELECT 1")  # takes the snapshot
        yield cursor


def _copy_memory(path: Path) -> None:
    """Write the memory into a file, whichever store has it, so that a backup can be restored into either."""
    try:
        if database_alias() is None:
            _copy_file(path)
        else:
            with opened_to_read() as source, sync_file.opened(path) as target:
                copy_all(source, target)
        with closing(sqlite3.connect(path)) as copy:
            copy.execute("PRAGMA journal_mode=DELETE")  # so that it is a single file
    except (sqlite3.Error, OSError, MemoryUnavailable) as error:
        if _is_disk_full(error) or _is_disk_full(error.__cause__):
            raise BadInput(f"There is no space left in {path.parent.parent}.") from error
        if isinstance(error, MemoryUnavailable):
            raise
        raise MemoryUnavailable(f"The session store cannot be copied: {error}") from error


def _is_disk_full(error: BaseException | None) -> bool:
    if isinstance(error, sqlite3.Error):
        return getattr(error, "sqlite_errorcode", None) == sqlite3.SQLITE_FULL
    return isinstance(error, OSError) and error.errno == errno.ENOSPC


def _copy_file(path: Path) -> None:
    with (
        closing(connect(settings.AGENT_SESSION_DB_PATH, busy_ms=LOCK_BUDGET)) as source,
        closing(sqlite3.connect(path)) as target,
    ):
        source.backup(target)


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
