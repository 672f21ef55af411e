"""A user's concurrent requests are limited: a few run, more of them wait, and too many are refused."""

import asyncio
from collections.abc import Iterator
from contextlib import AsyncExitStack

import httpx
import psycopg
import pytest

from chat.exceptions import TooManyAtOnce
from chat.infra.limits import FairQueue
from chat.tests.live import Person, sign_in
from config.tests.support import PASSWORD, ServerProcess, eventually

pytestmark = pytest.mark.service

LIMIT = 2
WAITING = (
    "SELECT count(*) FROM pg_locks WHERE NOT granted AND relation = 'chat_task'::regclass"
    " AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
)
TABS = 24
ACCEPT = {"Accept": "application/json, text/event-stream"}
LIST_TASKS = {
    "jsonrpc": "2.0",
    "id": 1,
    "method": "tools/call",
    "params": {"name": "list_tasks", "arguments": {}},
}


@pytest.fixture(scope="module")
def narrow_server(shared_server: ServerProcess, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """A server with a low limit of concurrent requests per user."""
    server = ServerProcess(shared_server.database, tmp_path_factory.mktemp("narrow"), REQUESTS_PER_USER=str(LIMIT))
    yield server
    server.kill9()


def browser(server: ServerProcess, person: Person) -> httpx.AsyncClient:
    """Return a client with a user's login, and with any number of connections."""
    limits = httpx.Limits(max_connections=None, max_keepalive_connections=0)
    return httpx.AsyncClient(base_url=server.url, headers={"Cookie": person.cookie}, timeout=60, limits=limits)


async def test_requests_above_the_limit_wait_and_other_users_do_not(narrow_server: ServerProcess) -> None:
    user, outsider = sign_in(narrow_server), sign_in(narrow_server, "other")
    credentials = {"email": user.email, "password": PASSWORD}
    async with browser(narrow_server, user) as client, browser(narrow_server, outsider) as outsiders:
        token = (await client.post("/api/auth/login", json=credentials)).json()["access_token"]
        with psycopg.connect(narrow_server.database.url) as lock:
            lock.execute("LOCK TABLE chat_task")
            # Requests with a login, with a token and over MCP are those of one user.
            bearer = {"Authorization": f"Bearer {token}"}
            requests = [client.get("/") for _ in range(8)]
            requests += [client.get("/api/tasks", headers=bearer) for _ in range(8)]
            requests += [client.post("/mcp", headers=bearer | ACCEPT, json=LIST_TASKS) for _ in range(8)]
            sent = [asyncio.create_task(request) for request in requests]
            query = narrow_server.database.query
            await asyncio.to_thread(eventually, lambda: query(WAITING) == [(LIMIT,)], what="requests that wait")
            response = await outsiders.get("/settings/tokens/")
            assert response.status_code == 200
            assert query(WAITING) == [(LIMIT,)]
        assert {response.status_code for response in await asyncio.gather(*sent)} == {200}


@pytest.mark.long
async def test_many_tabs_that_load_at_once_are_answered(narrow_server: ServerProcess) -> None:
    person = sign_in(narrow_server)
    async with browser(narrow_server, person) as client:
        paths = ["/", "/state/", "/api/tasks", "/static/js/chat.js"] * TABS
        statuses = [response.status_code for response in await asyncio.gather(*map(client.get, paths))]
    assert statuses == [200] * len(paths)


async def test_requests_beyond_the_queue_get_429(narrow_server: ServerProcess) -> None:
    person = sign_in(narrow_server)
    async with browser(narrow_server, person) as client:
        await client.get("/settings/")
        with psycopg.connect(narrow_server.database.url) as lock:
            lock.execute("LOCK TABLE chat_task")
            sent = [asyncio.create_task(client.get(path)) for path in ["/", "/api/tasks"] * 60]
            done, _ = await asyncio.wait(sent, return_when=asyncio.FIRST_COMPLETED)
        responses = await asyncio.gather(*sent)
    assert all(task.result().status_code == 429 for task in done), "waiting requests are not refused"
    refused = [response for response in responses if response.status_code == 429]
    assert 0 < len(refused) <= 18
    assert {response.headers["Retry-After"] for response in refused} == {"1"}
    assert all("Too many of your requests" in response.text for response in refused)
    assert "Traceback" not in narrow_server.output


async def test_cancelled_tasks_release_their_places() -> None:
    queue = FairQueue(lambda: 1, 1, "Too many.")
    entered = asyncio.Event()

    async def occupy() -> None:
        async with queue.turn("one"):
            entered.set()
            await asyncio.Event().wait()

    running, waiting = asyncio.create_task(occupy()), asyncio.create_task(occupy())
    await entered.wait()
    with pytest.raises(TooManyAtOnce):
        async with queue.turn("one"):
            pass
    async with queue.turn("another"):
        pass
    for task in (waiting, running):
        task.cancel()
    await asyncio.wait([running, waiting])
    async with AsyncExitStack() as stack, asyncio.timeout(5):
        await stack.enter_async_context(queue.turn("one"))
    assert not queue._places and not queue._counts
