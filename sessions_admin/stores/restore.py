"""Restore a backup atomically, while no server runs.

One transaction includes the tables and migrations, and replaces the session file as its last step; a failure leaves
both stores as they were. Sessions in a PostgreSQL of their own are replaced just before it ends: if it fails then, they
are those of the backup, and differing ones are rebuilt from the record.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
from django.apps import apps
from django.conf import settings
from django.contrib.contenttypes.models import ContentType
from django.core.management import call_command
from django.core.management.color import no_style
from django.db import DEFAULT_DB_ALIAS, DatabaseError, connection, transaction
from django.db.migrations.executor import MigrationExecutor
from psycopg import sql

from chat.exceptions import BadInput, Conflict
from chat.memory import sync_file
from chat.memory.configured import database_alias, label, opened, opened_to_read
from chat.memory.copying import copy_sessions, own_ids, pages
from config.exceptions import CannotStart
from config.runtime.single_instance import SingleInstance
from config.versions import unknown_migrations
from sessions_admin import audit
from sessions_admin.models import Action, AuditRecord
from sessions_admin.reports import OnProgress, Report, ignore_progress
from sessions_admin.stores import archive
from sessions_admin.stores.archive import TABLES, Archive, Manifest
from sessions_admin.stores.backup import copy_statement
from sessions_admin.stores.leftovers import remove_leftovers
from sessions_admin.stores.swap import swapping
from sessions_admin.stores.temporary import temporary_folder

_IS_SERVED = """
SELECT EXISTS (
    SELECT FROM pg_locks WHERE locktype = 'advisory' AND granted AND objsubid = 1 AND pid <> pg_backend_pid()
        AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
)
"""
_IS_LEASED = "SELECT EXISTS (SELECT FROM chat_turn WHERE status = 'running' AND lease_until > now())"


@dataclass(frozen=True, slots=True)
class Restored(Report):
    """What was restored, or could be in a dry run."""

    made_at: str
    version: str
    dry_run: bool
    tables: int
    rows: int
    sessions: int
    items: int
    erased_since: tuple[str, ...]  # ids of users who were erased after the backup was made


def restore(
    path: Path,
    *,
    actor: str,
    force: bool = False,
    dry_run: bool = False,
    limit: int | None = None,
    on_progress: OnProgress = ignore_progress,
) -> Restored:
    """Restore a backup; `force` replaces existing data. The restored audit gets a record of this.

    The backup may unpack to `limit` bytes, by default to what is plausible for its size. Raise BadInput if it is
    damaged or too large, Conflict if a server runs, the backup is newer than this program, or the database is not
    empty.
    """
    target = settings.AGENT_SESSION_DB_PATH
    with _without_server(), archive.opened(path, limit=limit) as backup:
        manifest = backup.manifest
        unknown = unknown_migrations((app, name) for app, name in manifest.migrations)
        if unknown or _numbers(manifest.version) > _numbers(settings.VERSION):
            raise Conflict(
                f"This backup was made by Threadkeeper {manifest.version}, and this is {settings.VERSION}: "
                "restore it with that version or a later one."
            )
        if not force and not _is_empty():
            raise Conflict("This database already has users; --force replaces all data.")
        if not force and _has_sessions():
            raise Conflict(f"The session store ({label()}) already has sessions; --force replaces all data.")
        erased_since = _erased_since(manifest.made_at)  # before the audit is replaced
        if not dry_run:
            remove_leftovers(is_alone=True)  # before the audit, which tells which restores were committed, is replaced
        with temporary_folder("restore", target.parent) as folder:
            memory = backup.check(folder)
            if not dry_run:
                _replace_stores(backup, memory, actor=actor, on_progress=on_progress)
    return Restored(
        made_at=manifest.made_at,
        version=manifest.version,
        dry_run=dry_run,
        tables=len(manifest.tables),
        rows=manifest.rows,
        sessions=manifest.memory["agent_sessions"],
        items=manifest.memory["agent_messages"],
        erased_since=erased_since,
    )


# Preconditions.


@contextmanager
def _without_server() -> Iterator[None]:
    """Lock the data folder, so that `up` cannot start; raise Conflict if a server runs, here or elsewhere."""
    try:
        claim = SingleInstance(settings.DATA_DIR)
    except CannotStart as error:
        raise Conflict(f"{error} Stop it first.") from error
    try:
        with connection.cursor() as cursor:
            cursor.execute(_IS_SERVED)
            served = cursor.fetchone()[0]
            if _has_table(cursor, "chat_turn"):
                cursor.execute(_IS_LEASED)
                served |= cursor.fetchone()[0]
        if served:
            raise Conflict("A server uses this database; stop it first (a killed server's lease ends within 20 s).")
        yield
    finally:
        claim.release()


def _numbers(version: str) -> list[int]:
    return [int(part) for part in version.split(".") if part.isdigit()]


def _is_empty() -> bool:
    with connection.cursor() as cursor:
        if not _has_table(cursor, "chat_user"):
            return True
        cursor.execute("SELECT EXISTS (SELECT FROM chat_user)")
        return not cursor.fetchone()[0]


def _has_sessions() -> bool:
    """Return whether the store has sessions of this application. Raise MemoryUnavailable."""
    if database_alias() == DEFAULT_DB_ALIAS:
        return False  # there are no tables yet, or sessions without users, which are of no use
    if database_alias() is None and not settings.AGENT_SESSION_DB_PATH.exists():
        return False
    with opened_to_read() as store:
        return any(own_ids(ids) for ids in pages(store))


def _erased_since(made_at: str) -> tuple[str, ...]:
    """Return the ids of the users who were erased after this time, as far as the audit goes back."""
    table = AuditRecord._meta.db_table
    with connection.cursor() as cursor:
        if not _has_table(cursor, table):
            return ()
        columns = {column.name for column in connection.introspection.get_table_description(cursor, table)}
    if "person" not in columns:
        return ()  # from a version without erasures
    erased = audit.successful_records().filter(action=Action.ERASE, at__gt=made_at).order_by("person")
    return tuple(erased.values_list("person", flat=True).distinct())


def _has_table(cursor: Any, name: str) -> bool:
    return name in connection.introspection.table_names(cursor)


# Steps.


def _replace_stores(backup: Archive, memory: Path, *, actor: str, on_progress: OnProgress) -> None:
    manifest = backup.manifest
    made: dict[str, object] = {"made_at": manifest.made_at, "version": manifest.version, "rows": manifest.rows}
    made["folder"] = memory.parent.name  # shows later whether an interrupted restore was committed
    try:
        with (
            _replacing_memory(aside=memory.parent) as replace_memory,
            transaction.atomic(durable=True),
            connection.cursor() as cursor,
        ):
            cursor.execute("SET LOCAL lock_timeout = '10s'")
            _empty(cursor)
            _migrate_to(manifest)
            cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
            _empty(cursor)  # rows that migrations have created
            _load(cursor, backup, on_progress)
            ContentType.objects.clear_cache()
            executor = _executor()
            executor.migrate(executor.loader.graph.leaf_nodes())
            call_command("migrate", interactive=False, verbosity=0)  # runs the handlers of post_migrate
            models = apps.get_models(include_auto_created=True)
            for statement in connection.ops.sequence_reset_sql(no_style(), models):
                cursor.execute(statement)
            audit.record(Action.RESTORE, actor=actor, backup=made)
            replace_memory(memory)
    except (DatabaseError, psycopg.Error) as error:  # raised by COPY
        raise Conflict(f"The backup cannot be restored, and nothing was changed: {_first_line(error)}") from error
    finally:
        ContentType.objects.clear_cache()


@contextmanager
def _replacing_memory(*, aside: Path) -> Iterator[Callable[[Path], None]]:
    """Yield a function that replaces the memory by that of a backup; if the block fails, the old file is restored."""
    if database_alias() is None:
        with swapping(settings.AGENT_SESSION_DB_PATH, aside=aside) as swap:
            yield swap
    else:
        yield _fill_tables


def _fill_tables(memory: Path) -> None:
    """Replace the sessions of this application; those of other programs are added where there are none."""
    with (
        transaction.atomic(using=database_alias()),
        opened() as target,
        sync_file.opened_to_read(memory) as source,
    ):
        for ids in pages(target):
            target.secure_delete(own_ids(ids))
        for ids in pages(source):
            there = target.load([name for name in ids if isinstance(name, str)])
            copy_sessions(source, target, [name for name in ids if name not in there or not there[name].has_rows])


def _empty(cursor: Any) -> None:
    for name in connection.introspection.django_table_names(only_existing=True):
        table = sql.Identifier(name)
        # The audit's trigger would refuse.
        cursor.execute(sql.SQL("ALTER TABLE {} DISABLE TRIGGER USER").format(table))
        cursor.execute(sql.SQL("TRUNCATE {} RESTART IDENTITY CASCADE").format(table))
        cursor.execute(sql.SQL("ALTER TABLE {} ENABLE TRIGGER USER").format(table))


def _migrate_to(manifest: Manifest) -> None:
    """Migrate forwards or backwards to the migrations of the backup."""
    executor = _executor()
    if executor.loader.applied_migrations:
        executor.migrate(executor.loader.graph.leaf_nodes())  # so that all further migrations are backwards
        executor = _executor()
    wanted = {(app, name) for app, name in manifest.migrations}
    targets: list[tuple[str, str | None]] = [key for key in sorted(wanted) if not _has_later(executor, key, wanted)]
    new_apps = {app for app, _ in executor.loader.applied_migrations} - {app for app, _ in wanted}
    targets += [(app, None) for app in sorted(new_apps)]
    executor.migrate(targets)


def _executor() -> MigrationExecutor:
    """Return an executor for one transaction: deferred constraints are checked after each migration."""

    def check_constraints(*_: object) -> None:
        with connection.cursor() as cursor:
            cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")

    return MigrationExecutor(connection, check_constraints)


def _has_later(executor: MigrationExecutor, key: tuple[str, str], wanted: set[tuple[str, str]]) -> bool:
    """Return whether a later migration of the same app is needed, too."""
    node = executor.loader.graph.node_map[key]
    return any(child.key in wanted and child.key[0] == key[0] for child in node.children)


def _load(cursor: Any, backup: Archive, on_progress: OnProgress) -> None:
    tables = backup.manifest.tables
    known = set(connection.introspection.table_names(cursor))
    cursor.execute("SET CONSTRAINTS ALL DEFERRED")  # migrations have changed some of them
    for done, (name, table) in enumerate(tables.items(), 1):
        if name not in known:
            raise BadInput(f"This backup is damaged: no version had a table {name}.")
        with cursor.copy(copy_statement(name, table.columns, "FROM STDIN")) as copy:
            for piece in backup.pieces(TABLES + name):
                copy.write(piece)
        on_progress(done, len(tables))
    # All rows are loaded: check the constraints.
    cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
    cursor.execute("SET CONSTRAINTS ALL DEFERRED")


def _first_line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0].rstrip(".") + "."
