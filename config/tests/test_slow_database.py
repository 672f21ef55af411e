"""A database that is too slow costs a request its answer, and nobody else anything."""

from collections.abc import Iterator
from contextlib import contextmanager

import httpx
import psycopg
import pytest

from chat.tests.live import sign_in
from config.runtime.database import LIMITS
from config.tests.support import PASSWORD, LiveDatabase, ServerProcess, run

pytestmark = pytest.mark.service

SENTENCE = "The database did not respond in time."


@contextmanager
def locked(database: LiveDatabase) -> Iterator[None]:
    with psycopg.connect(database.url) as lock:
        lock.execute("LOCK TABLE chat_conversation, chat_task, chat_apitoken")
        yield


def test_a_request_that_waits_for_too_long_is_answered_in_a_sentence(server: ServerProcess) -> None:
    person = sign_in(server)
    signed_in = httpx.post(f"{server.url}/api/auth/login", json={"email": person.email, "password": PASSWORD}).json()
    bearer = {"Authorization": f"Bearer {signed_in['access_token']}"}
    with locked(server.database), httpx.Client(base_url=server.url, timeout=20) as client:
        page = client.get("/", headers={"Cookie": person.cookie})
        reply = client.get("/api/tasks", headers=bearer)
    assert (page.status_code, page.headers["Retry-After"]) == (503, "5")
    assert SENTENCE in page.text
    assert (reply.status_code, reply.headers["Retry-After"]) == (503, "5")
    assert reply.json()["error"]["code"] == "unavailable"
    assert httpx.get(f"{server.url}/", headers={"Cookie": person.cookie}).status_code == 200
    assert "Traceback" not in server.output
    assert "canceling statement due to lock timeout" in server.output


def test_only_the_server_has_limits(server: ServerProcess) -> None:
    names = sorted(LIMITS)
    shown = f"print([connection.cursor().execute('SHOW ' + name).fetchone()[0] for name in {names}])"
    code = f"from django.db import connection; {shown}"
    words = ("manage.py", "shell", "--no-imports", "-c", code)
    of_command = run(*words, **server.variables)
    assert of_command.stdout.strip() == str(["0", "0", "0"]), of_command.stderr
    of_server = run(*words, **server.variables, DATABASE_POOL_SIZE="2")
    assert of_server.stdout.strip() == str([LIMITS[name] for name in names]), of_server.stderr
