"""Searches over HTTP: how many one person may run at once, and how long one may take."""

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
    """Let every search wait for as long as the block runs."""
    with psycopg.connect(database.url) as lock:
        lock.execute("LOCK TABLE chat_messagevector")
        yield


@pytest.fixture
async def searcher(shared_server: ServerProcess) -> AsyncIterator[httpx.AsyncClient]:
    """Somebody who has said something that can be found."""
    person = sign_in(shared_server)
    async with open_socket(shared_server, person, uuid.uuid4()) as socket:
        await socket.say("Add a task to buy milk")
    async with httpx.AsyncClient(base_url=shared_server.url, headers={"Cookie": person.cookie}, timeout=30) as client:
        yield client


async def test_a_third_search_at_once_is_asked_to_come_again(
    shared_server: ServerProcess, searcher: httpx.AsyncClient
) -> None:
    with slow_searches(shared_server.database):
        first = [asyncio.create_task(searcher.get("/api/search?q=milk")) for _ in range(2)]
        waiting = shared_server.database.query
        await asyncio.to_thread(eventually, lambda: waiting(WAITING) == [(2,)], what="two searches")
        third = await searcher.get("/api/search?q=milk")
    assert (third.status_code, third.headers["Retry-After"]) == (429, "1")
    assert third.json()["error"]["code"] == "rate_limited"
    # They were slow, and may have been ended for it; there is room again.
    assert {answer.status_code for answer in await asyncio.gather(*first)} <= {200, 503}
    found = await searcher.get("/api/search?q=milk")
    assert (found.status_code, len(found.json()["items"])) == (200, 1)


async def test_a_search_that_takes_too_long_ends_with_a_sentence(
    shared_server: ServerProcess, searcher: httpx.AsyncClient
) -> None:
    with slow_searches(shared_server.database):
        answer = await searcher.get("/api/search?q=milk")
    assert answer.status_code == 503
    assert answer.json()["error"]["code"] == "timed_out"
    assert answer.json()["error"]["detail"].startswith("This search takes too long")
    assert (await searcher.get("/api/search?q=milk")).status_code == 200
