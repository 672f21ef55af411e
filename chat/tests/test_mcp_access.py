"""Access to `/mcp`: a request needs a valid token with the right scope, which is checked before anything else."""

import asyncio
import json
from collections.abc import Iterator
from contextlib import suppress
from datetime import timedelta
from typing import Any

import httpx2
import psycopg
import pytest
import time_machine
from django.db import connection
from django.utils import timezone
from mcp.shared.exceptions import MCPError
from pytest_django import Settings

from chat.accounts import tokens
from chat.infra.db_threads import in_database
from chat.mcp import service, tools
from chat.mcp.application import prefers_events
from chat.models import User
from chat.tasks import services as tasks
from chat.tests.api import auth_header, bearer
from chat.tests.mcp_client import http_client, key, mcp_client, running_service, tool_error
from config.tests.support import eventually

__all__ = ["key", "running_service"]

LIST = {"jsonrpc": "2.0", "id": 1, "method": "tools/list", "params": {}}
BOTH = {"Accept": "application/json, text/event-stream"}


async def request_mcp(headers: dict[str, str], *, method: str = "POST", body: Any = LIST) -> httpx2.Response:
    """Send a request to the application in this process."""
    async with http_client({}) as http:
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        return await http.request(
            method, "/mcp", content=content, headers={"Content-Type": "application/json", **BOTH, **headers}
        )


def error_of(response: httpx2.Response, status: int) -> str:
    """Check the response to a refused request, and return its error code."""
    assert response.status_code == status, response.text
    assert response.headers["Cache-Control"] == "no-store"
    error = response.json()["error"]
    assert error["detail"].endswith(".")
    return str(error["code"])


# Authentication.


@pytest.mark.parametrize(
    ("headers", "challenge"),
    [
        ({}, 'Bearer scope="tasks"'),
        ({"Authorization": "Basic dTpw"}, 'Bearer scope="tasks"'),
        ({"Authorization": "Bearer"}, 'Bearer scope="tasks"'),
        ({"Authorization": "Bearer tk_wrong"}, 'Bearer scope="tasks", error="invalid_token"'),
        (
            {"Authorization": "Bearer tk_wrong", "Host": "elsewhere.example"},
            'Bearer scope="tasks", error="invalid_token"',
        ),
    ],
)
async def test_request_without_a_valid_token_gets_401_before_other_checks(
    running_service: None, headers: dict[str, str], challenge: str
) -> None:
    response = await request_mcp(headers, body=b"{")

    assert error_of(response, 401) == "not_signed_in"
    assert response.headers["WWW-Authenticate"] == challenge


async def test_session_cookie_is_no_token(running_service: None, owner_client: Any) -> None:
    cookies = "; ".join(f"{name}={morsel.value}" for name, morsel in owner_client.cookies.items())
    assert error_of(await request_mcp({"Cookie": cookies}), 401) == "not_signed_in"


async def test_expired_or_revoked_token_or_inactive_user_gets_401(running_service: None, owner: User) -> None:
    soon = timezone.now() + timedelta(hours=1)
    created = await in_database(tokens.make, user=owner, name="one", scopes=["tasks"], expires_at=soon)
    assert (await request_mcp(auth_header(created.key))).status_code == 200
    with time_machine.travel(soon + timedelta(seconds=1)):
        assert error_of(await request_mcp(auth_header(created.key)), 401) == "not_signed_in"
    await in_database(tokens.revoke, user_id=owner.pk, token_id=created.token.pk)
    assert error_of(await request_mcp(auth_header(created.key)), 401) == "not_signed_in"

    inactive = await in_database(bearer, owner, "tasks")
    await in_database(User.objects.filter(pk=owner.pk).update, is_active=False)
    assert error_of(await request_mcp(inactive), 401) == "not_signed_in"


async def test_client_with_a_revoked_token_cannot_call_tools(running_service: None, owner: User) -> None:
    created = await in_database(tokens.make, user=owner, name="one", scopes=["tasks"])
    async with mcp_client(auth_header(created.key)) as client:
        await client.call_tool("create_task", {"title": "Buy milk"})
        await in_database(tokens.revoke, user_id=owner.pk, token_id=created.token.pk)
        with pytest.raises(MCPError):
            await client.call_tool("create_task", {"title": "Buy more milk"})
    assert (await in_database(tasks.list_tasks, user_id=owner.pk)).total == 1


async def test_token_of_another_scope_gets_403(running_service: None, owner: User) -> None:
    response = await request_mcp(await in_database(bearer, owner, "chat"))

    assert error_of(response, 403) == "forbidden"
    assert response.headers["WWW-Authenticate"] == 'Bearer error="insufficient_scope", scope="tasks"'


async def test_rate_limited_client_gets_retry_after(key: dict[str, str], settings: Settings) -> None:
    settings.API_REQUESTS_PER_MINUTE = settings.API_ANONYMOUS_PER_MINUTE = 1
    for headers, first in ((key, 200), ({}, 401)):
        assert (await request_mcp(headers)).status_code == first
        response = await request_mcp(headers)
        assert error_of(response, 429) == "rate_limited"
        assert int(response.headers["Retry-After"]) > 0


# Hosts, origins and request formats.


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Host": "localhost:8000"}, 200),
        ({"Host": "elsewhere.example"}, 421),
        ({"Host": "localhost.elsewhere.example"}, 421),
        ({"Host": "tasks.example:8443"}, 200),
        ({"Origin": "http://localhost"}, 200),
        ({"Origin": "https://tasks.example"}, 200),
        ({"Origin": "https://elsewhere.example"}, 403),
        ({"Origin": "http://localhost:3000"}, 403),
        ({"Origin": "null"}, 403),
    ],
)
async def test_only_allowed_hosts_and_origins_are_accepted(
    key: dict[str, str], settings: Settings, headers: dict[str, str], status: int
) -> None:
    settings.ALLOWED_HOSTS = ["localhost", ".tasks.example"]
    settings.CSRF_TRUSTED_ORIGINS = ["https://tasks.example"]

    response = await request_mcp({**key, **headers})

    assert response.status_code == status, response.text
    if status != 200:
        assert error_of(response, status) == {403: "forbidden", 421: "bad_request"}[status]


@pytest.mark.parametrize("method", ["GET", "DELETE", "PUT", "OPTIONS"])
async def test_methods_other_than_post_get_405(key: dict[str, str], method: str) -> None:
    response = await request_mcp(key, method=method)

    assert error_of(response, 405) == "method_not_allowed"
    assert response.headers["Allow"] == "POST"


@pytest.mark.parametrize(
    ("accept", "kind"),
    [
        ("application/json, text/event-stream", "application/json"),
        ("application/json", "application/json"),
        ("*/*", "application/json"),
        ("text/event-stream, application/json", "text/event-stream"),
        ("application/json;q=0.5, text/event-stream", "text/event-stream"),
    ],
)
async def test_accept_header_chooses_between_json_and_events(key: dict[str, str], accept: str, kind: str) -> None:
    response = await request_mcp({**key, "Accept": accept})

    assert (response.status_code, response.headers["Content-Type"].partition(";")[0]) == (200, kind)
    text = response.text if kind == "application/json" else response.text.partition("data: ")[2]
    assert len(json.loads(text)["result"]["tools"]) == len(tools.SERVED)
    assert "no-" in response.headers["Cache-Control"]


def test_invalid_accept_weight_is_ignored() -> None:
    assert not prefers_events("text/event-stream;q=high, application/json")
    assert not prefers_events("")
    assert prefers_events("text/event-stream;level=1;q=0.9, application/json;q=0.8")


@pytest.mark.parametrize(
    ("headers", "body", "status"),
    [
        ({"Content-Type": "text/plain"}, LIST, 400),
        ({"Accept": "text/html"}, LIST, 406),
        ({"MCP-Protocol-Version": "1999-01-01"}, LIST, 400),
        ({}, b" " * 300_000, 413),
    ],
)
async def test_invalid_request_is_refused(key: dict[str, str], headers: dict[str, str], body: Any, status: int) -> None:
    assert (await request_mcp({**key, **headers}, body=body)).status_code == status


@pytest.mark.parametrize(
    ("body", "code", "sentence"),
    [
        (
            b"{",
            -32700,
            "This is not valid JSON at line 1, column 2: Expecting property name enclosed in double quotes.",
        ),
        (b"", -32700, "This is not valid JSON at line 1, column 1: Expecting value."),
        (b'{"\xff"', -32700, "This is not text in UTF-8: the byte at offset 2 is invalid."),
        ([], -32600, "A message needs to be one JSON object; there are no batches."),
        ([LIST], -32600, "A message needs to be one JSON object; there are no batches."),
        ("x", -32600, "A message needs to be one JSON object; there are no batches."),
        (None, -32600, "A message needs to be one JSON object; there are no batches."),
        ({}, -32600, 'The member “jsonrpc” needs to be "2.0".'),
        ({**LIST, "jsonrpc": 2}, -32600, 'The member “jsonrpc” needs to be "2.0".'),
        ({**LIST, "id": {}}, -32600, "The member “id” needs to be a text or a whole number."),
        ({**LIST, "id": None}, -32600, "The member “id” needs to be a text or a whole number."),
        ({**LIST, "id": 1.5}, -32600, "The member “id” needs to be a text or a whole number."),
        ({"jsonrpc": "2.0", "id": 1}, -32600, "The member “method” is missing."),
        ({**LIST, "method": 5}, -32600, "The member “method” needs to be a text."),
        ({**LIST, "id": "\ud83d", "method": 5}, -32600, "The member “method” needs to be a text."),
        ({**LIST, "params": []}, -32600, "The member “params” needs to be an object."),
        ({"jsonrpc": "2.0", "id": 1, "error": 5}, -32600, "This is no JSON-RPC request, notification or response."),
    ],
)
async def test_invalid_message_is_refused_with_a_json_rpc_error(
    key: dict[str, str], body: Any, code: int, sentence: str
) -> None:
    response = await request_mcp(key, body=body)

    assert response.status_code == 400
    content = response.json()
    assert content.pop("id") in (None, 1, "\ud83d")
    assert content == {"jsonrpc": "2.0", "error": {"code": code, "message": sentence}}


# Start and stop.


async def test_request_before_start_or_after_stop_gets_503(transactional_db: None, owner: User) -> None:
    key = await in_database(bearer, owner, "tasks")
    for _ in range(2):  # a process may start it again
        assert error_of(await request_mcp(key), 503) == "unavailable"
        await service.start()
        assert (await request_mcp(key)).status_code == 200
        await service.stop(5)
    assert (await request_mcp(key)).headers["Retry-After"] == "1"


@pytest.fixture
def table_lock(transactional_db: None) -> Iterator[psycopg.Connection[Any]]:
    """Another connection, which locks the table of tasks until it commits."""
    db = connection.settings_dict
    with psycopg.connect(
        dbname=db["NAME"], user=db["USER"], password=db["PASSWORD"], host=db["HOST"], port=db["PORT"]
    ) as other:
        other.execute("LOCK TABLE chat_task")
        yield other
        other.rollback()


async def start_blocked_call(lock: psycopg.Connection[Any], key: dict[str, str]) -> "asyncio.Task[httpx2.Response]":
    """Call a tool, and return its request once it waits for the lock."""
    call = {**LIST, "method": "tools/call", "params": {"name": "list_tasks", "arguments": {}}}
    request = asyncio.create_task(request_mcp(key, body=call))
    # The databases of other test processes are copies, so that their tables have the same OIDs.
    here = "database = (SELECT oid FROM pg_database WHERE datname = current_database())"
    waiting = f"SELECT 1 FROM pg_locks WHERE NOT granted AND {here} AND relation = 'chat_task'::regclass"  # noqa: S608
    await asyncio.to_thread(eventually, lambda: lock.execute(waiting).fetchone(), what="the wait for the lock")
    return request


async def test_request_in_progress_is_answered_during_stop(owner: User, table_lock: psycopg.Connection[Any]) -> None:
    key = await in_database(bearer, owner, "tasks")
    await service.start()
    request = await start_blocked_call(table_lock, key)
    async with asyncio.timeout(60):
        stopping = asyncio.create_task(service.stop(60))
        await asyncio.sleep(0)
        assert error_of(await request_mcp(key), 503) == "unavailable"
        assert not stopping.done()
        table_lock.commit()
        assert (await request).json()["result"]["structuredContent"]["total"] == 0
        await stopping


async def test_stop_does_not_wait_beyond_its_timeout(owner: User, table_lock: psycopg.Connection[Any]) -> None:
    key = await in_database(bearer, owner, "tasks")
    await service.start()
    running = service.current()
    assert running is not None and running._task is not None
    request = await start_blocked_call(table_lock, key)
    async with asyncio.timeout(60):
        await service.stop(0.01)
        assert not running._task.done()
        table_lock.commit()
        with suppress(Exception):  # it gets no response, and the in-process client raises its own error
            await request
        await asyncio.wait({running._task})


async def test_database_error_hides_the_arguments(key: dict[str, str], caplog: pytest.LogCaptureFixture) -> None:
    def rename(old: str, new: str) -> None:
        with connection.cursor() as cursor:
            cursor.execute(f"ALTER TABLE {old} RENAME TO {new}")

    await in_database(rename, "chat_task", "chat_task_away")
    try:
        async with mcp_client(key) as client:
            result = await client.call_tool("create_task", {"title": "between us"})
    finally:
        await in_database(rename, "chat_task_away", "chat_task")
    assert tool_error(result) == "The service is temporarily unavailable. Please try again."
    assert "The tool create_task failed: ProgrammingError" in caplog.text
    assert "between us" not in caplog.text
