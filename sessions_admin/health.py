"""Liveness, readiness and metrics of the process."""

import asyncio
import hmac
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
from django.db import Error, connection, connections, transaction
from prometheus_client import CONTENT_TYPE_LATEST

from chat.infra import bus
from chat.infra.db_threads import in_database
from chat.infra.root_path import within_site
from chat.memory import database_tables
from chat.memory.configured import database_alias, label
from chat.memory.file import connect_to_read
from sessions_admin.heartbeat import workers

T = TypeVar("T")

PROBES = ("/healthz", "/readyz", "/metrics")
# The timeout of a probe, and the time for which its result is cached, in seconds.
PROBE_TIMEOUT, CACHE_SECONDS = 3.0, 1.0
# The columns that a turn needs in the session store.
COLUMNS = {
    "agent_sessions": "session_id, updated_at",
    "agent_messages": "id, session_id, message_data",
    "threadkeeper_turns": "session_id, turn, attempt, base",
    "threadkeeper_digests": "session_id, crc, adler",
}
NO_WORKER = "No worker is running: clean-ups and everything else that is left to it wait."
NO_SCHEDULE = "The worker is running, but does not queue its scheduled tasks; see its log."


@dataclass(frozen=True)
class Health:
    """The health of the database, the session file, the worker, and its schedule."""

    database: bool
    sessions: bool
    worker: bool
    schedule: bool

    @property
    def ready(self) -> bool:
        """Whether everything works."""
        return self.database and self.sessions and self.worker and self.schedule

    @property
    def problems(self) -> list[str]:
        """The failures, as sentences."""
        problems = [] if self.database else ["The database does not respond."]
        problems += [] if self.sessions else ["The session store cannot be opened."]
        # Without the database, the state of the worker is unknown.
        if self.database and not self.schedule:
            problems.append(NO_SCHEDULE if self.worker else NO_WORKER)
        return problems


def health() -> Health:
    """Check everything that turns and clean-ups need."""
    database, worker, schedule = _database_state()
    return Health(database=database, sessions=_succeeds(_sessions_open), worker=worker, schedule=schedule)


def _database_state() -> tuple[bool, bool, bool]:
    """Return whether the database responds, a worker runs, and it queues due tasks."""
    try:
        found = workers()
    except Error:
        return _succeeds(_query_database), False, False
    return True, any(worker.is_alive for worker in found), any(worker.keeps_schedule for worker in found)


def _succeeds(probe: Callable[[], bool]) -> bool:
    try:
        return probe()
    except (Error, sqlite3.Error, OSError):
        return False


def _query_database() -> bool:
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1")
    return True


def _sessions_open() -> bool:
    alias = database_alias()
    return _session_file_opens() if alias is None else _session_tables_open(alias)


def _session_tables_open(alias: str) -> bool:
    database_tables.ensure_tables(alias)
    with transaction.atomic(using=alias), connections[alias].cursor() as cursor:
        for table, columns in COLUMNS.items():
            cursor.execute(f"SELECT {columns} FROM {table} LIMIT 0")  # noqa: S608 - our own names
    return True


def _session_file_opens() -> bool:
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


class _CachedProbe(Generic[T]):
    """A probe that may hang: it runs once at a time, and its result is cached for a second."""

    def __init__(self, probe: Callable[[], Awaitable[T]], *, timeout_result: T) -> None:
        self._probe = probe
        self._timeout_result = timeout_result
        self._pending: asyncio.Future[T] | None = None
        self._fresh_until = 0.0

    async def result(self) -> T:
        """Return the result, or the timeout's result if there is none in time."""
        now = time.monotonic()
        if self._pending is None or (self._pending.done() and now > self._fresh_until):
            self._pending, self._fresh_until = asyncio.ensure_future(self._probe()), now + CACHE_SECONDS
        done, _ = await asyncio.wait({self._pending}, timeout=PROBE_TIMEOUT)
        return self._pending.result() if done else self._timeout_result


class Probes:
    """Serves `/healthz`, `/readyz` and `/metrics` for any Host without Django, even when all its threads are busy."""

    def __init__(self, exposition: Callable[[], bytes]) -> None:
        self._database = _CachedProbe(lambda: in_database(_database_state), timeout_result=(False, False, False))
        self._metrics = _CachedProbe(lambda: in_database(_or_none, exposition), timeout_result=None)
        self._sessions = _CachedProbe(_sessions_state, timeout_result=False)

    async def __call__(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        """Respond to a request."""
        path = within_site(scope["path"])
        if scope["method"] not in ("GET", "HEAD"):
            await _send(send, 405, {"status": "method not allowed"}, (b"allow", b"GET, HEAD"))
        elif path == "/healthz":
            await _send(send, 200, {"status": "ok"})
        elif path == "/metrics":
            await self._send_metrics(scope, send)
        else:
            found = await self._health()
            detail = {} if found.ready else {"detail": " ".join(found.problems)}
            redis = {"redis": bus.is_connected()} if settings.REDIS_URL else {}  # turns work without it
            status = "ready" if found.ready else "not ready"
            state: dict[str, object] = {"status": status, **asdict(found), "store": label(), **redis, **detail}
            await _send(send, 200 if found.ready else 503, state)

    async def _send_metrics(self, scope: dict[str, Any], send: Any) -> None:
        """Send the metrics to a client that has METRICS_TOKEN; without one there are none."""
        expected = f"Bearer {settings.METRICS_TOKEN}".encode()
        given = dict(scope["headers"]).get(b"authorization", b"")
        if not settings.METRICS_TOKEN:
            await _send(send, 404, {"status": "not found", "detail": "Set METRICS_TOKEN to serve metrics."})
        elif not hmac.compare_digest(given, expected):
            await _send(send, 401, {"status": "not authenticated"}, (b"www-authenticate", b"Bearer"))
        elif (body := await self._metrics.result()) is None:
            await _send(send, 503, {"status": "not ready", "detail": "The database does not respond."})
        else:
            await _send_body(send, 200, body, CONTENT_TYPE_LATEST.encode())

    async def _health(self) -> Health:
        (database, worker, schedule), sessions = await asyncio.gather(self._database.result(), self._sessions.result())
        return Health(database=database, sessions=sessions, worker=worker, schedule=schedule)


async def _sessions_state() -> bool:
    if database_alias() is None:
        # Not in a database thread: a file system that hangs would occupy it.
        return await asyncio.to_thread(_succeeds, _sessions_open)
    return await in_database(_succeeds, _sessions_open)


def _or_none(exposition: Callable[[], bytes]) -> bytes | None:
    try:
        return exposition()
    except Error:
        return None


async def _send(send: Any, status: int, content: dict[str, object], *headers: tuple[bytes, bytes]) -> None:
    await _send_body(send, status, json.dumps(content).encode(), b"application/json", *headers)


async def _send_body(send: Any, status: int, body: bytes, kind: bytes, *headers: tuple[bytes, bytes]) -> None:
    own = [(b"content-type", kind), (b"content-length", str(len(body)).encode()), (b"cache-control", b"no-store")]
    await send({"type": "http.response.start", "status": status, "headers": [*own, *headers]})
    await send({"type": "http.response.body", "body": body})
