"""The session store that the settings name: a file, or tables in PostgreSQL."""

from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from django.conf import settings
from django.db import DEFAULT_DB_ALIAS, connections

from chat.exceptions import MemoryUnavailable
from chat.memory import file, sync_file
from chat.memory.database_store import DatabaseStore
from chat.memory.file_store import FileStore
from chat.memory.store import SessionStore
from chat.memory.sync_database import DatabaseSessions
from chat.memory.sync_store import SyncStore
from config import url_settings
from config.runtime.database import connection_settings

FILE, DATABASE = "file", "database"
SESSIONS_ALIAS = "sessions"  # of a database that only has sessions
OTHER_ALIAS = "other_sessions"  # of such a database that the settings do not name


def database_alias(name: str | None = None) -> str | None:
    """Return the alias of the database with the sessions, or None if they are in a file.

    `name` is `file`, `database` or a URL, by default that of the settings.
    """
    configured = settings.AGENT_SESSION_STORE
    name = name or configured
    if name in (FILE, DATABASE):
        return None if name == FILE else DEFAULT_DB_ALIAS
    if name == configured:
        return SESSIONS_ALIAS
    other = {OTHER_ALIAS: connection_settings(url_settings.database(name))}
    connections.databases[OTHER_ALIAS] = connections.configure_settings(settings.DATABASES | other)[OTHER_ALIAS]
    return OTHER_ALIAS


def label(name: str | None = None) -> str:
    """Return the name of a store without a password."""
    name = name or settings.AGENT_SESSION_STORE
    return name if name in (FILE, DATABASE) else "another PostgreSQL"


def session_store(*, on_set_aside: Callable[[Path], Awaitable[None]] | None = None) -> SessionStore:
    """Return the store for turns; `on_set_aside` is called if a file is corrupt."""
    alias = database_alias()
    if alias is None:
        return FileStore(settings.AGENT_SESSION_DB_PATH, on_set_aside=on_set_aside)
    return DatabaseStore(alias)


@contextmanager
def opened(name: str | None = None) -> Iterator[SyncStore]:
    """Open the store for a block. Raise MemoryUnavailable if it cannot be used, or is locked for too long."""
    alias = database_alias(name)
    if alias is None:
        with sync_file.opened(settings.AGENT_SESSION_DB_PATH) as store:
            yield store
    else:
        yield DatabaseSessions(alias)


@contextmanager
def opened_to_read(name: str | None = None) -> Iterator[SyncStore]:
    """Open the store for a block that changes nothing. Raise MemoryUnavailable if that fails."""
    alias = database_alias(name)
    if alias is None:
        with sync_file.opened_to_read(settings.AGENT_SESSION_DB_PATH) as store:
            yield store
    else:
        yield DatabaseSessions(alias)


def is_configured(name: str) -> bool:
    """Return whether a name is that of the store in the settings, or another one of the same tables.

    Raise MemoryUnavailable.
    """
    if name == settings.AGENT_SESSION_STORE:
        return True
    configured, other = database_alias(), database_alias(name)
    if configured is None or other is None:
        return False
    return DatabaseSessions(configured).is_same(DatabaseSessions(other))


@contextmanager
def unused() -> Iterator[list[SyncStore]]:
    """Open the stores that the settings do not name, and that may have copies of sessions, as after a migration.

    Raise MemoryUnavailable.
    """
    alias, path = database_alias(), settings.AGENT_SESSION_DB_PATH
    stores: list[SyncStore] = [] if is_configured(DATABASE) else [DatabaseSessions(DEFAULT_DB_ALIAS)]
    if alias is None or not path.exists():
        yield stores
    else:
        with sync_file.opened(path) as old:
            yield [*stores, old]


def size_on_disk() -> int:
    """Return how many bytes the store takes on the disk; 0 if it cannot be used."""
    alias = database_alias()
    if alias is None:
        return file.size_on_disk(settings.AGENT_SESSION_DB_PATH)
    with suppress(MemoryUnavailable):
        return DatabaseSessions(alias).size_on_disk()
    return 0
