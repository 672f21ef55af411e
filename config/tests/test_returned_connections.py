"""Whichever way a request ends, its database connection is returned."""

import asyncio
import contextvars
import gc
import json
import os
import socket
import time
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import psutil
import psycopg
import pytest
from django.db import connection
from django.test import AsyncClient

from chat.infra.thread_pool import DatabaseThreads, use_for_async_code
from chat.models import User
from chat.tests.live import Person, sign_in
from chat.tests.page import Page
from config import asgi
from config.runtime.embedded_postgres import EmbeddedPostgres, start
from config.tests.support import LiveDatabase, ServerProcess, eventually, prepare, with_name

BACK_WITHIN = 5.0  # seconds


@contextmanager
def pages_wait(database: LiveDatabase) -> Iterator[None]:
    """Make every page slow: none is there before the table of logins can be read."""
    with psycopg.connect(database.url) as lock:
        lock.execute("LOCK TABLE django_session")
        yield


# In this process: what daphne does to the application of a client that has left.


# Django leaves the file that held the body of such a request to the garbage collector.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
async def test_a_cancelled_request_returns_its_connection(
    transactional_db: None, owner: User, async_owner_client: AsyncClient
) -> None:
    database = LiveDatabase(with_name(os.environ["DATABASE_URL"], connection.settings_dict["NAME"]))
    threads = DatabaseThreads(2, "test")
    context = contextvars.copy_context()
    context.run(use_for_async_code, threads)
    cookie = f"sessionid={async_owner_client.cookies['sessionid'].value}"
    before = _connections(database)
    with pages_wait(database):
        # More requests than threads: some have not begun when they are cancelled.
        requests = [context.run(asyncio.ensure_future, _request("/", cookie)) for _ in range(5)]
        while not _waiting(database):
            await asyncio.sleep(0.02)
        # Daphne cancels an application every second until it has ended.
        while not all(request.done() for request in requests):
            for request in requests:
                request.cancel()
            await asyncio.sleep(0.05)
    # Not here: a thread may wait for the event loop.
    await asyncio.to_thread(threads.shutdown)
    # A backend ends a moment after its connection was closed.
    await asyncio.to_thread(eventually, lambda: _connections(database) <= before, what="all connections closed")
    # Here, and not in a later test.
    requests.clear()
    del request
    gc.collect()


def _connections(database: LiveDatabase) -> set[int]:
    """Return the backends that serve this database, this question's left out."""
    backends = "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
    return {pid for (pid,) in database.query(backends)}


def _waiting(database: LiveDatabase) -> bool:
    waiting = "SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
    return bool(database.query(waiting))


async def _request(path: str, cookie: str) -> list[dict[str, Any]]:
    application: Any = asgi.application
    scope = {
        "type": "http",
        "http_version": "1.1",
        "method": "GET",
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "headers": [(b"host", b"localhost"), (b"cookie", cookie.encode())],
        "client": ["127.0.0.1", 1],
        "server": ["127.0.0.1", 2],
        "scheme": "http",
        "root_path": "",
    }
    sent: list[dict[str, Any]] = []
    received = iter([{"type": "http.request", "body": b"", "more_body": False}])

    async def receive() -> dict[str, Any]:
        for message in received:
            return message
        await asyncio.Event().wait()
        raise AssertionError

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    await application(scope, receive, send)
    return sent


# At a real server.


@dataclass
class Attacked:
    """A server with a PostgreSQL of its own, and a person who chats at it meanwhile."""

    server: ServerProcess
    postgres: EmbeddedPostgres
    pool: Path
    person: Person

    @contextmanager
    def slow(self) -> Iterator[None]:
        """Let clients wait for what takes longer than they do."""
        with pages_wait(self.server.database):
            yield

    @contextmanager
    def suspended(self) -> Iterator[None]:
        """Suspend PostgreSQL as a whole."""
        assert self.postgres.process
        postmaster = psutil.Process(self.postgres.process.pid)
        processes = [postmaster, *postmaster.children(recursive=True)]
        for process in processes:
            with suppress(psutil.NoSuchProcess):
                process.suspend()
        try:
            yield
        finally:
            for process in processes:
                with suppress(psutil.NoSuchProcess):
                    process.resume()

    def disconnect(self, clients: int) -> None:
        """Ask for a page as many clients at once, all of whom leave after a second."""
        with ThreadPoolExecutor(clients) as threads:
            for left in [threads.submit(self._ask_and_leave) for _ in range(clients)]:
                left.result()

    def _ask_and_leave(self) -> None:
        with socket.create_connection(("127.0.0.1", self.server.port)) as client:
            head = f"GET / HTTP/1.1\r\nHost: localhost\r\nCookie: {self.person.cookie}\r\n\r\n"
            client.sendall(head.encode())
            time.sleep(1)

    def works(self) -> bool:
        """Return whether a page is there and all connections are back."""
        headers = {"Cookie": self.person.cookie}
        page = httpx.get(f"{self.server.url}/", headers=headers, timeout=BACK_WITHIN)
        stats = json.loads(self.pool.read_text())
        return page.status_code == 200 and stats["pool_available"] == stats["pool_size"]


@pytest.fixture
def attacked(tmp_path: Path) -> Iterator[Attacked]:
    postgres = start(tmp_path / "postgres", durable=False)
    try:
        prepare(postgres.url, tmp_path)
        pool = tmp_path / "pool.json"
        server = ServerProcess(
            LiveDatabase(postgres.url), tmp_path, program="config.tests.tuned_server", POOL_FILE=str(pool)
        )
        try:
            yield Attacked(server, postgres, pool, sign_in(server))
        finally:
            server.kill9()
    finally:
        postgres.stop()


ATTACKS: dict[str, tuple[Callable[[Attacked], AbstractContextManager[None]], int]] = {
    "24 clients ask for something slow": (Attacked.slow, 24),
    "40 ordinary clients while PostgreSQL is suspended": (Attacked.suspended, 40),
}


async def play(attacked: Attacked, name: str, *, rounds: int, seconds: float) -> None:
    """Play an attack; all works seconds after each round, and whatever was said meanwhile is answered."""
    trouble, clients = ATTACKS[name]
    async with Page(attacked.server.ws_url, attacked.server.url, attacked.person, uuid.uuid4()) as page:
        for number in range(1, rounds + 1):
            await page.send(f"remind me to water plant {number}")
            with trouble(attacked):
                began = time.monotonic()
                await asyncio.to_thread(attacked.disconnect, clients)
                await asyncio.sleep(seconds - (time.monotonic() - began))
            await asyncio.to_thread(eventually, attacked.works, within=BACK_WITHIN, what=f"round {number} of {name}")
            await page.settled(number, within=30)
    ended = attacked.server.database.query("SELECT status, count(*) FROM chat_turn GROUP BY status")
    assert ended == [("done", rounds)]
    assert attacked.server.process.poll() is None


@pytest.mark.service
async def test_what_slow_requests_borrowed_is_back_seconds_after_their_clients_left(attacked: Attacked) -> None:
    await play(attacked, "24 clients ask for something slow", rounds=1, seconds=2)


@pytest.mark.long
@pytest.mark.service
@pytest.mark.parametrize("name", ATTACKS)
async def test_attacks_twenty_times(attacked: Attacked, name: str) -> None:
    # Longer than daphne waits for an application whose client has left.
    await play(attacked, name, rounds=20, seconds=17)
