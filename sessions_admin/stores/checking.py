"""Is the session file sound: its pages, its tables, and every list of items in it? Nothing is changed."""

import sqlite3
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path

from django.conf import settings

from chat.exceptions import InvalidSessionId, MemoryUnavailable
from chat.memory.identity import SessionId
from chat.memory.items import faults
from chat.memory.maintenance import Kept, SessionFile, opened
from chat.models import Turn
from chat.models.turn import HOLDING

PAGE = 250
TABLES = ("agent_sessions", "agent_messages")
OWN_MODE = 0o600

OnProgress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class Fault:
    """Something that is wrong: with a session, or (without one) with the file."""

    session_id: str
    detail: str


@dataclass(frozen=True, slots=True)
class CheckReport:
    """What was looked at, and what was found. A session that somebody is at work on is not judged."""

    exists: bool
    sessions: int
    items: int
    busy: int
    faults: tuple[Fault, ...]

    @property
    def is_sound(self) -> bool:
        """Whether nothing is wrong."""
        return not self.faults

    def as_json(self) -> dict[str, object]:
        """Give it as a plain dict."""
        return asdict(self) | {"is_sound": self.is_sound}


def check(*, on_progress: OnProgress = lambda done, total: None) -> CheckReport:
    """Check the session file and every list of items in it. Raise MemoryUnavailable where it cannot be opened at all.

    A file that is no database is a fault, and so is one that SQLite finds corrupt; then its items are not looked at.
    """
    path = Path(settings.AGENT_SESSION_DB_PATH)
    if not path.exists():
        return CheckReport(False, 0, 0, 0, ())
    found = [Fault("", detail) for detail in _of_file(path)]
    if any(fault.detail.startswith("SQLite: ") for fault in found):
        return CheckReport(True, 0, 0, 0, tuple(found))
    sessions = items = busy = 0
    with opened(path) as file:
        total = file.count()
        for page in _pages(file):
            wrong = {name: detail for name, kept in page.items() if (detail := _of_items(kept))}
            at_work = _busy(list(wrong)) if wrong else set()
            found += [Fault(name, detail) for name, detail in wrong.items() if name not in at_work]
            busy += len(at_work)
            sessions += len(page)
            items += sum(kept.size.items for kept in page.values())
            on_progress(min(sessions, total), total)
    return CheckReport(True, sessions, items, busy, tuple(found))


def _pages(file: SessionFile) -> Iterator[dict[str, Kept]]:
    after = ""
    while ids := file.next_ids(after, PAGE):
        after = ids[-1]
        yield file.look(ids)


def _of_file(path: Path) -> Iterator[str]:
    """Say what is wrong with the file as a whole."""
    mode = path.stat().st_mode & 0o777
    if mode != OWN_MODE:
        yield f"It can be read by others than its owner: its mode is {mode:04o}."
    try:
        with closing(sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True, timeout=5)) as file:
            for (said,) in file.execute("PRAGMA integrity_check").fetchall():
                if said != "ok":
                    yield f"SQLite: {said}"
            shape = _shape(file)
            headless = file.execute("PRAGMA foreign_key_check(agent_messages)").fetchall()
    except sqlite3.DatabaseError as error:
        if isinstance(error, sqlite3.OperationalError):
            raise MemoryUnavailable(f"The session store cannot be used: {error}") from error
        yield f"SQLite: {error}"
        return
    for table, columns in _sdk_shape().items():
        if shape.get(table) and shape[table] != columns:
            yield f"The table {table} is not the SDK’s: it has {shape[table]} where the SDK has {columns}."
    if headless:
        yield f"{len(headless)} items belong to sessions that have no row in agent_sessions."


def _shape(file: sqlite3.Connection) -> dict[str, list[tuple[str, str, int, int]]]:
    """Return the columns of the SDK's tables: name, type, whether it must be given, place in the key."""
    return {
        table: [
            (name, kind, given, key) for _, name, kind, given, _, key in file.execute(f"PRAGMA table_info({table})")
        ]
        for table in TABLES
    }


@cache
def _sdk_shape() -> dict[str, list[tuple[str, str, int, int]]]:
    """Return the columns of the tables that the SDK's own class makes."""
    from agents import SQLiteSession  # two seconds, for which no other command need wait

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "sdk.db"
        SQLiteSession("one", path).close()
        with closing(sqlite3.connect(path)) as file:
            return _shape(file)


def _of_items(kept: Kept) -> str:
    """Say what is wrong with a session's list of items, or nothing."""
    wrong = faults(kept.stored.items)
    said = [f"row {bad.id} holds no item" for bad in kept.stored.bad]
    said += [f"row {kept.stored.ids[index]} {reason}" for index, reason in sorted(wrong.items())]
    return "; ".join(said[:5] + ([f"and {len(said) - 5} more"] if len(said) > 5 else []))


def _busy(names: Sequence[str]) -> set[str]:
    """Return those of the sessions in whose conversation a turn runs or waits."""
    by_conversation = {}
    for name in names:
        try:
            by_conversation[SessionId.parse(name).conversation_id] = name
        except InvalidSessionId:
            continue
    holding = Turn.objects.filter(conversation__in=by_conversation, status__in=HOLDING)
    return {by_conversation[found] for found in holding.values_list("conversation_id", flat=True)}
