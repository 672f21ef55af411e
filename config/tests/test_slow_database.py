"""A request that waits too long for the database gets an error, and other requests are not affected."""

from collections.abc import Iterator
from contextlib import contextmanager

import httpx
import psycopg
import pytest

from chat.tests.live import sign_in
from config.runtime.database import LIMITS
from config.tests.support import PASSWORD, LiveDatabase, ServerProcess, run

pytestmark = pytest.mark.service

MESSAGE = "The database did not respond in time."


@contextmanager
def locked_tables(database: LiveDatabase) -> Iterator[None]:
    with psycopg.connect(database.url) as lock:
        lock.execute("LOCK TABLE chat_conversation, chat_task, chat_apitoken")
        yield


@pytest.mark.long
def test_request_that_waits_too_long_for_the_database_gets_503(server: ServerProcess) -> None:
    person = sign_in(server)
    signed_in = httpx.post(f"{server.url}/api/auth/login", json={"email": person.email, "password": PASSWORD}).json()
    bearer = {"Authorization": f"Bearer {signed_in['access_token']}"}
    with locked_tables(server.database), httpx.Client(base_url=server.url, timeout=20) as client:
        page = client.get("/", headers={"Cookie": person.cookie})
        reply = client.get("/api/tasks", headers=bearer)
    assert (page.status_code, page.headers["Retry-After"]) == (503, "5")
    assert MESSAGE in page.text
    assert (reply.status_code, reply.headers["Retry-After"]) == (503, "5")
    assert reply.json()["error"]["code"] == "unavailable"
    assert httpx.get(f"{server.url}/", headers={"Cookie": person.cookie}).status_code == 200
    assert "Traceback" not in server.output
    assert "canceling statement due to lock timeout" in server.output


@pytest.mark.long
def test_only_the_server_has_database_timeouts(server: ServerProcess) -> None:
    names = sorted(LIMITS)
    print_limits = f"print([connection.cursor().execute('SHOW ' + name).fetchone()[0] for name in {names}])"
    code = f"from django.db import connection; {print_limits}"
    words = ("manage.py", "shell", "--no-imports", "-c", code)
    command_result = run(*words, **server.variables)
    assert command_result.stdout.strip() == str(["0", "0", "0"]), command_result.stderr
    server_result = run(*words, **server.variables, DATABASE_POOL_SIZE="2")
    assert server_result.stdout.strip() == str([LIMITS[name] for name in names]), server_result.stderr
