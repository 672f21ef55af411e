"""Every request returns its database connection, however it ends."""

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
from config.tests.support import LiveDatabase, ServerProcess, create_tables, eventually, with_name

RETURNED_WITHIN = 5.0  # seconds


@contextmanager
def blocked_pages(database: LiveDatabase) -> Iterator[None]:
    """Block every page, by locking the table of login sessions."""
    with psycopg.connect(database.url) as lock:
        lock.execute("LOCK TABLE django_session")
        yield


# In this process: daphne cancels the application of a client that has disconnected.


# Django leaves the file with the body of such a request to the garbage collector.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
async def test_cancelled_request_returns_its_connection(
    transactional_db: None, owner: User, async_owner_client: AsyncClient
) -> None:
    database = LiveDatabase(with_name(os.environ["DATABASE_URL"], connection.settings_dict["NAME"]))
    threads = DatabaseThreads(2, "test")
    context = contextvars.copy_context()
    context.run(use_for_async_code, threads)
    cookie = f"sessionid={async_owner_client.cookies['sessionid'].value}"
    before = _connections(database)
    with blocked_pages(database):
        # More requests than threads: some have not started when they are cancelled.
        requests = [context.run(asyncio.ensure_future, _request("/", cookie)) for _ in range(5)]
        while not _is_waiting_for_lock(database):
            await asyncio.sleep(0.02)
        # Daphne cancels an application every second until it has ended.
        while not all(request.done() for request in requests):
            for request in requests:
                request.cancel()
            await asyncio.sleep(0.05)
    # In a thread, since a database thread may wait for the event loop.
    await asyncio.to_thread(threads.shutdown)
    # A backend exits a moment after its connection is closed.
    await asyncio.to_thread(eventually, lambda: _connections(database) <= before, what="the end of all connections")
    # Collect the request in this test, not in a later one.
    requests.clear()
    del request
    gc.collect()


def _connections(database: LiveDatabase) -> set[int]:
    """Return the backends that serve this database, without that of this query."""
    backends = "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
    return {pid for (pid,) in database.query(backends)}


def _is_waiting_for_lock(database: LiveDatabase) -> bool:
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


# With a real server.


@dataclass
class Attacked:
    """A server with a PostgreSQL of its own, and a person who chats during the attack."""

    server: ServerProcess
    postgres: EmbeddedPostgres
    pool: Path
    person: Person

    @contextmanager
    def slow(self) -> Iterator[None]:
        """Block pages for longer than clients wait."""
        with blocked_pages(self.server.database):
            yield

    @contextmanager
    def suspended(self) -> Iterator[None]:
        """Suspend all processes of PostgreSQL."""
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
        """Request a page with many clients at once, which disconnect after a second."""
        with ThreadPoolExecutor(clients) as threads:
            for future in [threads.submit(self._request_and_disconnect) for _ in range(clients)]:
                future.result()

    def _request_and_disconnect(self) -> None:
        with socket.create_connection(("127.0.0.1", self.server.port)) as client:
            head = f"GET / HTTP/1.1\r\nHost: localhost\r\nCookie: {self.person.cookie}\r\n\r\n"
            client.sendall(head.encode())
            time.sleep(1)

    def works(self) -> bool:
        """Return whether pages respond and all connections are returned."""
        headers = {"Cookie": self.person.cookie}
        page = httpx.get(f"{self.server.url}/", headers=headers, timeout=RETURNED_WITHIN)
        stats = json.loads(self.pool.read_text())
        return page.status_code == 200 and stats["pool_available"] == stats["pool_size"]


@pytest.fixture
def attacked(tmp_path: Path) -> Iterator[Attacked]:
    postgres = start(tmp_path / "postgres", durable=False)
    try:
        create_tables(postgres.url, tmp_path)
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


async def run_attack(attacked: Attacked, name: str, *, rounds: int, seconds: float) -> None:
    """Run an attack; check that the server works seconds after each round, and that each message gets a reply."""
    fault, clients = ATTACKS[name]
    async with Page(attacked.server.ws_url, attacked.server.url, attacked.person, uuid.uuid4()) as page:
        for number in range(1, rounds + 1):
            await page.send(f"remind me to water plant {number}")
            with fault(attacked):
                started = time.monotonic()
                await asyncio.to_thread(attacked.disconnect, clients)
                await asyncio.sleep(seconds - (time.monotonic() - started))
            await asyncio.to_thread(
                eventually, attacked.works, within=RETURNED_WITHIN, what=f"round {number} of {name}"
            )
            await page.wait_until_settled(number, within=30)
    turns = attacked.server.database.query("SELECT status, count(*) FROM chat_turn GROUP BY status")
    assert turns == [("done", rounds)]
    assert attacked.server.process.poll() is None


@pytest.mark.service
async def test_connections_are_returned_after_clients_of_slow_requests_disconnect(attacked: Attacked) -> None:
    await run_attack(attacked, "24 clients ask for something slow", rounds=1, seconds=2)


@pytest.mark.long
@pytest.mark.service
@pytest.mark.parametrize("name", ATTACKS)
async def test_connections_are_returned_after_twenty_attacks(attacked: Attacked, name: str) -> None:
    # Longer than daphne waits for an application whose client has disconnected.
    await run_attack(attacked, name, rounds=20, seconds=17)
