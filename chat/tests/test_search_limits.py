"""Searches over HTTP are limited in number per user and in duration."""

import asyncio
import uuid
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager

import httpx
import psycopg
import pytest

from chat.tests.live import open_socket, sign_in
from config.tests.support import LiveDatabase, ServerProcess, eventually

pytestmark = pytest.mark.service

WAITING = (
    "SELECT count(*) FROM pg_locks WHERE NOT granted AND relation = 'chat_messagevector'::regclass"
    " AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
)


@contextmanager
def slow_searches(database: LiveDatabase) -> Iterator[None]:
    """Make every search wait while the block runs."""
    with psycopg.connect(database.url) as lock:
        lock.execute("LOCK TABLE chat_messagevector")
        yield


@pytest.fixture
async def searcher(shared_server: ServerProcess) -> AsyncIterator[httpx.AsyncClient]:
    """Return the client of a user who has a message that a search finds."""
    person = sign_in(shared_server)
    async with open_socket(shared_server, person, uuid.uuid4()) as socket:
        await socket.send_and_wait("Add a task to buy milk")
    async with httpx.AsyncClient(base_url=shared_server.url, headers={"Cookie": person.cookie}, timeout=30) as client:
        yield client


async def test_third_concurrent_search_gets_429_with_retry_after(
    shared_server: ServerProcess, searcher: httpx.AsyncClient
) -> None:
    with slow_searches(shared_server.database):
        first = [asyncio.create_task(searcher.get("/api/search?q=milk")) for _ in range(2)]
        waiting = shared_server.database.query
        await asyncio.to_thread(eventually, lambda: waiting(WAITING) == [(2,)], what="two searches")
        third = await searcher.get("/api/search?q=milk")
    assert (third.status_code, third.headers["Retry-After"]) == (429, "1")
    assert third.json()["error"]["code"] == "rate_limited"
    # The slow searches may have timed out; afterwards a search is accepted again.
    assert {response.status_code for response in await asyncio.gather(*first)} <= {200, 503}
    found = await searcher.get("/api/search?q=milk")
    assert (found.status_code, len(found.json()["items"])) == (200, 1)


async def test_slow_search_gets_503_with_an_explanation(
    shared_server: ServerProcess, searcher: httpx.AsyncClient
) -> None:
    with slow_searches(shared_server.database):
        response = await searcher.get("/api/search?q=milk")
    assert response.status_code == 503
    assert response.json()["error"]["code"] == "timed_out"
    assert response.json()["error"]["detail"].startswith("This search takes too long")
    assert (await searcher.get("/api/search?q=milk")).status_code == 200
