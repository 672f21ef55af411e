"""Check the session store: every list of items in it and, of a file, its pages and tables. Nothing is changed.

Sessions of other programs in the store are counted, but not checked.
"""

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from django.conf import settings

from chat.exceptions import InvalidSessionId, MemoryUnavailable
from chat.memory.configured import database_alias, opened
from chat.memory.identity import SessionId
from chat.memory.items import faults
from chat.memory.sync_store import StoredId, StoredSession, SyncStore
from chat.models import PendingDeletion, Turn
from chat.models.turn import BUSY_STATUSES
from sessions_admin.reports import OnProgress, Report, ignore_progress
from sessions_admin.stores.leftovers import Leftover, find_leftovers
from sessions_admin.stores.temporary import temporary_folder

PAGE_SIZE = 250
TABLES = ("agent_sessions", "agent_messages")
OWN_MODE = 0o600


@dataclass(frozen=True, slots=True)
class Fault:
    """An error in a session or, without one, in the store."""

    session_id: str
    detail: str


@dataclass(frozen=True, slots=True)
class CheckReport(Report):
    """The result of a check. Sessions with an active turn are not checked.

    `foreign` sessions have ids of other programs. `leftovers` are temporary files of killed processes, and
    `pending_deletions` are deletions that wait for a reader of the file.
    """

    exists: bool
    sessions: int
    items: int
    busy: int
    faults: tuple[Fault, ...]
    foreign: int = 0
    leftovers: tuple[Leftover, ...] = ()
    pending_deletions: int = 0

    @property
    def is_sound(self) -> bool:
        """Whether the store has no faults."""
        return not self.faults

    def as_json(self) -> dict[str, object]:
        """Return a dict for JSON."""
        return Report.as_json(self) | {"is_sound": self.is_sound}


def check(*, on_progress: OnProgress = ignore_progress) -> CheckReport:
    """Check the session store and every list of items in it. Raise MemoryUnavailable if it cannot be opened.

    A file that is not a database, or is corrupt, is a fault; then its items are not checked.
    """
    leftovers = tuple(find_leftovers())
    if database_alias() is not None:
        return _check_sessions([], leftovers, on_progress)
    path = Path(settings.AGENT_SESSION_DB_PATH)
    if path.is_symlink() and not path.exists():
        dangling = Fault("", "is a link to a file that does not exist")
        return CheckReport(False, 0, 0, 0, (dangling,), leftovers=leftovers)
    if not path.exists():
        return CheckReport(False, 0, 0, 0, (), leftovers=leftovers)
    found = [Fault("", detail) for detail in _file_faults(path)]
    if any(fault.detail.startswith("SQLite: ") for fault in found):
        return CheckReport(True, 0, 0, 0, tuple(found), leftovers=leftovers)
    return _check_sessions(found, leftovers, on_progress)


def _check_sessions(
    faults_of_file: Sequence[Fault], leftovers: tuple[Leftover, ...], on_progress: OnProgress
) -> CheckReport:
    found = list(faults_of_file)
    sessions = items = busy = foreign = 0
    with opened() as file:
        found += [Fault(str(name), "has items, but no row in agent_sessions") for name in _ours(file.unlisted_ids())]
        total = file.count()
        for ids in _pages(file):
            page = file.load(_ours(ids))
            wrong = {name: detail for name, kept in page.items() if (detail := _item_faults(kept))}
            at_work = _busy(list(wrong)) if wrong else set()
            found += [Fault(name, detail) for name, detail in wrong.items() if name not in at_work]
            busy += len(at_work)
            sessions += len(page)
            foreign += len(ids) - len(page)
            items += sum(kept.size.items for kept in page.values())
            on_progress(min(sessions + foreign, total), total)
    pending = PendingDeletion.objects.filter(finished_at=None).count()
    return CheckReport(True, sessions, items, busy, tuple(found), foreign, leftovers, pending)


def _pages(file: SyncStore) -> Iterator[list[StoredId]]:
    after: StoredId = ""
    while ids := file.next_ids(after, PAGE_SIZE):
        after = ids[-1]
        yield ids


def _ours(ids: Sequence[StoredId]) -> list[str]:
    ours = []
    for name in ids:
        with suppress(InvalidSessionId):
            ours.append(str(SessionId.parse(name)))
    return ours


def _file_faults(path: Path) -> Iterator[str]:
    """Yield the faults of the file as a whole."""
    mode = path.stat().st_mode & 0o777
    if mode != OWN_MODE:
        yield f"It is readable by other users: its mode is {mode:04o}."
    try:
        with closing(sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True, timeout=5)) as file:
            for (result,) in file.execute("PRAGMA integrity_check").fetchall():
                if result != "ok":
                    yield f"SQLite: {result}"
            shape = _read_columns(file)
    except sqlite3.DatabaseError as error:
        if isinstance(error, sqlite3.OperationalError):
            raise MemoryUnavailable(f"The session store cannot be used: {error}") from error
        yield f"SQLite: {error}"
        return
    for table, columns in _sdk_columns().items():
        if shape.get(table) and shape[table] != columns:
            yield f"The table {table} is not the SDK’s: it has {shape[table]} where the SDK has {columns}."


def _read_columns(file: sqlite3.Connection) -> dict[str, list[tuple[str, str, int, int]]]:
    """Return the columns of the SDK's tables: name, type, NOT NULL, position in the key."""
    return {
        table: [
            (name, kind, given, key) for _, name, kind, given, _, key in file.execute(f"PRAGMA table_info({table})")
        ]
        for table in TABLES
    }


@cache
def _sdk_columns() -> dict[str, list[tuple[str, str, int, int]]]:
    """Return the columns of the tables that the SDK creates."""
    from agents import SQLiteSession  # takes two seconds, which other commands need not wait

    with temporary_folder("check", settings.DATA_DIR) as folder:
        path = folder / "sdk.db"
        SQLiteSession("one", path).close()
        with closing(sqlite3.connect(path)) as file:
            return _read_columns(file)


def _item_faults(kept: StoredSession) -> str:
    """Return the fault of a session's list of items, or an empty string."""
    wrong = faults(kept.stored.items)
    details = [f"row {bad.id} holds no item" for bad in kept.stored.bad]
    details += [f"row {kept.stored.ids[index]} {reason}" for index, reason in sorted(wrong.items())]
    return "; ".join(details[:5] + ([f"and {len(details) - 5} more"] if len(details) > 5 else []))


def _busy(names: Sequence[str]) -> set[str]:
    """Return the sessions whose conversations have an active turn."""
    by_conversation = {SessionId.parse(name).conversation_id: name for name in names}
    busy = Turn.objects.filter(conversation__in=by_conversation, status__in=BUSY_STATUSES)
    return {by_conversation[found] for found in busy.values_list("conversation_id", flat=True)}
