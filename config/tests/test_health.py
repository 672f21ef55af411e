"""Whether the process lives, and whether it can do its work."""

import sqlite3
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
from django.core.cache import cache
from django.db import DatabaseError, connection
from django.test import Client
from django_q.brokers import get_broker
from django_q.conf import Conf
from django_q.signing import SignedPackage
from pytest_django.fixtures import Settings


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


def test_the_process_lives_whatever_the_database_does(client: Client) -> None:
    # No database is allowed in this test.
    assert client.get("/healthz").json() == {"status": "ok"}


def test_all_of_it_works(client: Client, worker: None) -> None:
    answer = client.get("/readyz")
    assert answer.status_code == 200
    assert answer.json() == {"status": "ready", "database": True, "sessions": True, "worker": True}


def test_no_worker(client: Client, db: None) -> None:
    answer = client.get("/readyz")
    assert answer.status_code == 503
    assert answer.json() == {
        "status": "not ready",
        "database": True,
        "sessions": True,
        "worker": False,
        "detail": "No worker is running: clean-ups and everything else that is left to it wait.",
    }


def test_a_session_file_that_is_none(client: Client, worker: None, session_file: Path) -> None:
    session_file.write_text("this is no database, and long enough to be seen as none" * 20)
    answer = client.get("/readyz").json()
    assert (answer["sessions"], answer["detail"]) == (False, "The session store cannot be opened.")


def test_a_session_file_that_is_one(client: Client, worker: None, session_file: Path) -> None:
    sqlite3.connect(session_file).close()
    assert client.get("/readyz").json()["sessions"] is True


def test_a_session_folder_that_is_missing(client: Client, worker: None, settings: Settings) -> None:
    settings.AGENT_SESSION_DB_PATH = settings.AGENT_SESSION_DB_PATH / "missing" / "agent_sessions.db"
    assert client.get("/readyz").json()["sessions"] is False


def test_a_database_that_is_gone(client: Client, worker: None) -> None:
    def fail(*args: object) -> None:
        raise DatabaseError("gone")

    with connection.execute_wrapper(fail):
        answer = client.get("/readyz")
    assert answer.status_code == 503
    assert answer.json()["database"] is False
    assert answer.json()["worker"] is False
    assert answer.json()["detail"] == "The database does not answer.", "and of the worker nothing is known"


def test_only_questions_are_answered(client: Client) -> None:
    assert client.post("/healthz").status_code == 405
    assert client.post("/readyz").status_code == 405
