"""Whether the process lives, and whether it can do its work."""

import asyncio
import os
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import psycopg
import pytest
from django.core.cache import cache
from django.db import DatabaseError, connection
from django_q.brokers import get_broker
from django_q.conf import Conf
from django_q.signing import SignedPackage
from pytest_django.fixtures import Settings

from config import asgi, health
from config.health import Probes
from config.tests.support import LiveDatabase, with_name


@pytest.fixture(autouse=True)
def session_file(settings: Settings, tmp_path: Path) -> Path:
    path = tmp_path / "agent_sessions.db"
    settings.AGENT_SESSION_DB_PATH = path
    return path


@pytest.fixture
def worker(db: None) -> Iterator[None]:
    """The sign of life that a cluster leaves in the cache."""
    get_broker().set_stat(f"{Conf.Q_STAT}:a", SignedPackage.dumps(SimpleNamespace(pid=1), True), 60)
    yield
    cache.clear()


async def probe(path: str, method: str = "GET", **headers: str) -> httpx.Response:
    """Ask as a load balancer does."""
    application: Any = asgi.application
    transport = httpx.ASGITransport(application)
    async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
        return await client.request(method, path, headers=headers)


@pytest.fixture(autouse=True)
def _nothing_is_known_yet(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(asgi, "probes", Probes())


async def test_the_process_lives_whatever_the_database_does() -> None:
    # No database is allowed in this test.
    assert (await probe("/healthz", Host="10.0.0.1:8000")).json() == {"status": "ok"}


async def test_all_of_it_works(transactional_db: None, worker: None) -> None:
    answer = await probe("/readyz", Host="10.0.0.1:8000")
    assert answer.status_code == 200
    assert answer.json() == {"status": "ready", "database": True, "sessions": True, "worker": True}
    assert answer.headers["Cache-Control"] == "no-store"


async def test_no_worker(transactional_db: None) -> None:
    answer = await probe("/readyz")
    assert answer.status_code == 503
    assert answer.json() == {
        "status": "not ready",
        "database": True,
        "sessions": True,
        "worker": False,
        "detail": "No worker is running: clean-ups and everything else that is left to it wait.",
    }


async def test_a_database_that_hangs_is_asked_once_and_not_waited_for(
    transactional_db: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(health, "ANSWER_WITHIN", 0.2)
    database = LiveDatabase(with_name(os.environ["DATABASE_URL"], connection.settings_dict["NAME"]))
    with psycopg.connect(database.url) as lock:
        lock.execute("LOCK TABLE django_cache")
        answers = await asyncio.gather(*(probe("/readyz") for _ in range(30)))
        assert {(answer.status_code, answer.json()["database"]) for answer in answers} == {(503, False)}
        waiting = (
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
        )
        assert database.query(waiting) == [(1,)]


@pytest.mark.parametrize("path", ["/healthz", "/readyz"])
async def test_only_questions_are_answered(path: str) -> None:
    answer = await probe(path, "POST")
    assert (answer.status_code, answer.headers["Allow"]) == (405, "GET, HEAD")


def test_a_session_file_that_is_none(worker: None, session_file: Path) -> None:
    session_file.write_text("this is no database, and long enough to be seen as none" * 20)
    found = health.health()
    assert (found.sessions, found.problems) == (False, ["The session store cannot be opened."])


def test_a_session_file_that_is_one(worker: None, session_file: Path) -> None:
    sqlite3.connect(session_file).close()
    assert health.health().sessions


def test_a_session_folder_that_is_missing(worker: None, settings: Settings) -> None:
    settings.AGENT_SESSION_DB_PATH = settings.AGENT_SESSION_DB_PATH / "missing" / "agent_sessions.db"
    assert not health.health().sessions


def test_a_database_that_is_gone(worker: None) -> None:
    def fail(*args: object) -> None:
        raise DatabaseError("gone")

    with connection.execute_wrapper(fail):
        found = health.health()
    assert found == health.Health(database=False, sessions=True, worker=False)
    assert found.problems == ["The database does not answer."], "and of the worker nothing is known"
