"""The probes: `/healthz` reports a live process, `/readyz` working components."""

import asyncio
import os
import sqlite3
import uuid
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest
import time_machine
from django.db import DatabaseError, connection
from django.db.models import F
from pytest_django.fixtures import Settings

from config import asgi
from config.tests.support import LiveDatabase, with_name
from sessions_admin import health, heartbeat
from sessions_admin.health import Probes
from sessions_admin.models import WorkerHeartbeat
from sessions_admin.prometheus import exposition


@pytest.fixture(autouse=True)
def session_file(settings: Settings, tmp_path: Path) -> Path:
    path = tmp_path / "agent_sessions.db"
    settings.AGENT_SESSION_DB_PATH = path
    return path


@pytest.fixture
def worker(db: None) -> None:
    """A worker with a recent heartbeat."""
    heartbeat.beat(uuid.uuid4(), pid=os.getpid(), passed=True)


async def probe(path: str, method: str = "GET", **headers: str) -> httpx.Response:
    """Send a request as a load balancer does."""
    application: Any = asgi.application
    transport = httpx.ASGITransport(application)
    async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
        return await client.request(method, path, headers=headers)


@pytest.fixture(autouse=True)
def _new_probes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(asgi, "probes", Probes(exposition))


async def test_healthz_does_not_use_the_database() -> None:
    # No database is allowed in this test.
    assert (await probe("/healthz", Host="10.0.0.1:8000")).json() == {"status": "ok"}


@pytest.mark.parametrize("store", ["file", "database"])
async def test_readyz_returns_200_when_all_components_work(
    transactional_db: None, worker: None, settings: Settings, store: str
) -> None:
    settings.AGENT_SESSION_STORE = store
    response = await probe("/readyz", Host="10.0.0.1:8000")
    assert response.status_code == 200
    components = {"database": True, "sessions": True, "worker": True, "schedule": True}
    assert response.json() == {"status": "ready", **components, "store": store}
    assert response.headers["Cache-Control"] == "no-store"


async def test_readyz_reports_missing_worker(transactional_db: None) -> None:
    response = await probe("/readyz")
    assert response.status_code == 503
    assert response.json() == {
        "status": "not ready",
        "database": True,
        "sessions": True,
        "worker": False,
        "schedule": False,
        "store": "file",
        "detail": "No worker is running: clean-ups and everything else that is left to it wait.",
    }


async def test_concurrent_probes_query_blocked_database_once_and_time_out(
    transactional_db: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(health, "PROBE_TIMEOUT", 0.2)
    database = LiveDatabase(with_name(os.environ["DATABASE_URL"], connection.settings_dict["NAME"]))
    with psycopg.connect(database.url) as lock:
        lock.execute("LOCK TABLE sessions_admin_workerheartbeat")
        responses = await asyncio.gather(*(probe("/readyz") for _ in range(30)))
        assert {(response.status_code, response.json()["database"]) for response in responses} == {(503, False)}
        waiting = (
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
        )
        assert database.query(waiting) == [(1,)]


@pytest.mark.parametrize("path", ["/healthz", "/readyz"])
async def test_probes_accept_only_get_and_head(path: str) -> None:
    response = await probe(path, "POST")
    assert (response.status_code, response.headers["Allow"]) == (405, "GET, HEAD")


@pytest.mark.parametrize("kind", ["missing folder", "dangling link", "pipe", "other tables", "view", "encrypted"])
def test_unusable_session_file_is_reported(worker: None, session_file: Path, settings: Settings, kind: str) -> None:
    if kind == "missing folder":
        settings.AGENT_SESSION_DB_PATH = session_file / "missing" / "agent_sessions.db"
    elif kind == "dangling link":
        session_file.symlink_to(session_file.parent / "missing" / "agent_sessions.db")
    elif kind == "pipe":
        os.mkfifo(session_file)
    elif kind == "other tables":
        with closing(sqlite3.connect(session_file)) as file:
            file.execute("CREATE TABLE agent_messages (mine TEXT)")
    elif kind == "view":
        with closing(sqlite3.connect(session_file)) as file:
            file.execute("CREATE VIEW agent_messages AS SELECT 1 AS id, 'a' AS session_id, '{}' AS message_data")
    else:
        session_file.write_bytes(os.urandom(8192))
    found = health.health()
    assert (found.sessions, found.problems) == (False, ["The session store cannot be opened."])


def test_session_store_with_wrong_columns_is_reported(worker: None, settings: Settings) -> None:
    settings.AGENT_SESSION_STORE = "database"
    assert health.health().sessions
    with connection.cursor() as cursor:
        cursor.execute("ALTER TABLE agent_messages RENAME message_data TO mine")
    assert not health.health().sessions


def test_valid_session_file_is_healthy(worker: None, session_file: Path) -> None:
    sqlite3.connect(session_file).close()
    assert health.health().sessions


def test_database_error_is_reported(worker: None) -> None:
    def fail(*args: object) -> None:
        raise DatabaseError("gone")

    with connection.execute_wrapper(fail):
        found = health.health()
    assert found == health.Health(database=False, sessions=True, worker=False, schedule=False)
    assert found.problems == ["The database does not respond."], "the state of the worker is unknown"


@pytest.mark.parametrize(
    ("is_local", "beat", "passed", "expected"),
    [
        (True, 6, 40, []),
        (True, 30, 40, [health.NO_WORKER]),
        (True, 6, 130, [health.NO_SCHEDULE]),
        (False, 6, 40, []),
        (False, 30, 40, [health.NO_WORKER]),
        (False, -3600, 40, [health.NO_WORKER]),
        (False, 6, 130, [health.NO_SCHEDULE]),
    ],
)
def test_worker_health_depends_on_age_of_heartbeat_and_pass(
    worker: None, is_local: bool, beat: int, passed: int, expected: list[str]
) -> None:
    # A worker on this machine is judged by the monotonic clock, one on another machine by the clock of the database. A
    # step of this process's wall clock affects neither.
    ago = {
        "beat_seconds": F("beat_seconds") - beat,
        "pass_seconds": F("pass_seconds") - passed,
        "beat_at": F("beat_at") - timedelta(seconds=beat),
        "pass_at": F("pass_at") - timedelta(seconds=passed),
    }
    age_fields = ("beat_seconds", "pass_seconds") if is_local else ("beat_at", "pass_at")
    WorkerHeartbeat.objects.update(**{name: ago[name] for name in age_fields})
    if not is_local:
        WorkerHeartbeat.objects.update(clock="of another machine", pid_space="")

    with time_machine.travel(datetime.now(UTC) + timedelta(days=8)):
        assert health.health().problems == expected
