"""Is the process alive, and can it do its work?"""

import asyncio
import json
import os
import sqlite3
import time
from collections.abc import Awaitable, Callable
from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

from django.conf import settings
from django.db import Error, connection

from chat.infra.db_threads import in_database
from chat.memory.file import connect_to_read
from sessions_admin.heartbeat import workers

T = TypeVar("T")

PROBES = ("/healthz", "/readyz")
# How long a probe waits for the answer, which is used again for the next ones; in seconds.
ANSWER_WITHIN, FRESH = 3.0, 1.0
# What a turn needs of the session file.
COLUMNS = {
    "agent_sessions": "session_id, updated_at",
    "agent_messages": "id, session_id, message_data",
    "threadkeeper_turns": "session_id, turn, attempt, base",
    "threadkeeper_digests": "session_id, crc, adler",
}
NO_WORKER = "No worker is running: clean-ups and everything else that is left to it wait."
NO_SCHEDULE = "The worker runs, but nothing in its schedule gets into the queue; its log says why."


@dataclass(frozen=True)
class Health:
    """What works: the record, the sessions' file, a worker somewhere, and its schedule."""

    database: bool
    sessions: bool
    worker: bool
    schedule: bool

    @property
    def ready(self) -> bool:
        """Whether all of it works."""
        return self.database and self.sessions and self.worker and self.schedule

    @property
    def problems(self) -> list[str]:
        """What does not work, a sentence each."""
        said = [] if self.database else ["The database does not answer."]
        said += [] if self.sessions else ["The session store cannot be opened."]
        # Where the database is away, nothing is known of the worker.
        if self.database and not self.schedule:
            said.append(NO_SCHEDULE if self.worker else NO_WORKER)
        return said


def health() -> Health:
    """Try everything that a turn and a clean-up need."""
    database, worker, schedule = _look_at_database()
    return Health(database=database, sessions=_works(_open_sessions), worker=worker, schedule=schedule)


def _look_at_database() -> tuple[bool, bool, bool]:
    """Return whether the database answers, and whether a worker runs and keeps its schedule."""
    try:
        found = workers()
    except Error:
        return _works(_ask_database), False, False
    return True, any(worker.is_alive for worker in found), any(worker.keeps_schedule for worker in found)


def _works(attempt: Callable[[], bool]) -> bool:
    try:
        return attempt()
    except (Error, sqlite3.Error, OSError):
        return False


def _ask_database() -> bool:
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1")
    return True


def _open_sessions() -> bool:
    path = Path(settings.AGENT_SESSION_DB_PATH).resolve()
    if not path.exists():
        # The first message creates it.
        return os.access(path.parent, os.W_OK)
    if not path.is_file():
        return False  # opening a pipe would block
    with closing(connect_to_read(path, busy_ms=1000)) as file:
        kinds = dict(file.execute("SELECT name, type FROM sqlite_schema").fetchall())
        for table, columns in COLUMNS.items():
            if kinds.get(table, "table") != "table":
                return False
            if table in kinds:
                file.execute(f"SELECT {columns} FROM {table} LIMIT 0")  # noqa: S608 - our own names
    return True


class _StoredSnapshot(Generic[T]):
    """A question that may hang: asked once at a time, and its answer is used for a second."""

    def __init__(self, ask: Callable[[], Awaitable[T]], *, unanswered: T) -> None:
        self._ask = ask
        self._unanswered = unanswered
        self._asked: asyncio.Future[T] | None = None
        self._fresh_until = 0.0

    async def answer(self) -> T:
        """Return the answer, or what counts as one while there is none."""
        now = time.monotonic()
        if self._asked is None or (self._asked.done() and now > self._fresh_until):
            self._asked, self._fresh_until = asyncio.ensure_future(self._ask()), now + FRESH
        done, _ = await asyncio.wait({self._asked}, timeout=ANSWER_WITHIN)
        return self._asked.result() if done else self._unanswered


class Probes:
    """Answers at `/healthz` and `/readyz`, for any Host, without Django: whatever keeps its threads busy."""

    def __init__(self) -> None:
        self._database = _StoredSnapshot(lambda: in_database(_look_at_database), unanswered=(False, False, False))
        self._sessions = _StoredSnapshot(lambda: asyncio.to_thread(_works, _open_sessions), unanswered=False)

    async def __call__(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        """Answer a request."""
        if scope["method"] not in ("GET", "HEAD"):
            await _send(send, 405, {"status": "method not allowed"}, (b"allow", b"GET, HEAD"))
        elif scope["path"] == "/healthz":
            await _send(send, 200, {"status": "ok"})
        else:
            found = await self._health()
            detail = {} if found.ready else {"detail": " ".join(found.problems)}
            status = "ready" if found.ready else "not ready"
            await _send(send, 200 if found.ready else 503, {"status": status, **asdict(found), **detail})

    async def _health(self) -> Health:
        (database, worker, schedule), sessions = await asyncio.gather(self._database.answer(), self._sessions.answer())
        return Health(database=database, sessions=sessions, worker=worker, schedule=schedule)


async def _send(send: Any, status: int, content: dict[str, object], *headers: tuple[bytes, bytes]) -> None:
    body = json.dumps(content).encode()
    own = [
        (b"content-type", b"application/json"),
        (b"content-length", str(len(body)).encode()),
        (b"cache-control", b"no-store"),
    ]
    await send({"type": "http.response.start", "status": status, "headers": [*own, *headers]})
    await send({"type": "http.response.body", "body": body})
