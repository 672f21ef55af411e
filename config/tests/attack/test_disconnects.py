"""Requests return their threads and database connections even when their clients disconnect early."""

import asyncio
import contextlib
import uuid
from collections.abc import Iterator
from typing import Any

import httpx
import psycopg
import pytest

from config.tests.attack.clients import Person, connect_socket, many_clients, new_person, open_socket
from config.tests.attack.marks import connection_group
from config.tests.attack.product import Product
from config.tests.support import eventually

pytestmark = connection_group

Request = dict[str, Any]

# A quiet machine needs less than five seconds.
RECOVERY_SECONDS = 40.0
MCP = {"Accept": "application/json, text/event-stream"}
LIST_THREADS = {"type": "threads.list", "params": {"limit": 10}}
LIST_TASKS = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": "list_tasks", "arguments": {}}}


@contextlib.contextmanager
def locked_tables(product: Product) -> Iterator[None]:
    """Lock the tables of conversations and tasks, so that queries on them wait."""
    with psycopg.connect(product.database.url) as connection:
        connection.execute("LOCK TABLE chat_conversation, chat_task IN ACCESS EXCLUSIVE MODE")
        yield


def sync_requests(person: Person, thread: str) -> list[Request]:
    """Return requests to synchronous views, each of which uses a thread and a database connection of its own."""
    with_cookie, with_token = {"Cookie": person.browser.cookie}, person.bearer
    return [
        {"method": "GET", "url": "/", "headers": with_cookie},
        {"method": "GET", "url": "/trash/", "headers": with_cookie},
        {"method": "GET", "url": "/api/tasks", "headers": with_token},
        {"method": "GET", "url": "/api/search?q=groceries", "headers": with_token},
        {"method": "GET", "url": f"/api/chatkit/threads/{thread}", "headers": with_token},
        {"method": "GET", "url": "/api/chatkit/threads", "headers": with_token},
    ]


def async_requests(person: Person, thread: str) -> list[Request]:
    """Return requests to asynchronous views, which run in the event loop."""
    headers = person.bearer | MCP
    message = {"text": "What do I have to do?"}
    return [
        {"method": "POST", "url": f"/api/chatkit/threads/{thread}/messages", "headers": headers, "json": message},
        {"method": "POST", "url": "/api/chatkit", "headers": headers, "json": LIST_THREADS},
        {"method": "POST", "url": "/mcp", "headers": headers, "json": LIST_TASKS},
    ]


async def request_and_disconnect(person: Person, thread: str, *, after: float) -> None:
    """Send requests of every kind and open sockets, and disconnect all clients after this many seconds."""
    threads = [_send_request(person, request, after) for request in sync_requests(person, thread) * 5]
    await asyncio.gather(*threads)
    loop = [_send_request(person, request, after) for request in async_requests(person, thread) * 3]
    await asyncio.gather(*loop, *(_use_socket(person, after) for _ in range(4)))


async def _send_request(person: Person, request: Request, after: float) -> None:
    async with many_clients(person.product, timeout=after) as client:
        with contextlib.suppress(httpx.TransportError):
            await client.request(**request)


async def _use_socket(person: Person, after: float) -> None:
    with contextlib.suppress(TimeoutError, OSError):
        async with asyncio.timeout(after), connect_socket(person) as connection:
            await connection.send(f'{{"type": "message.send", "client_id": "{uuid.uuid4()}", "text": "Hello"}}')
            await connection.wait_closed()


async def check_chat(person: Person) -> None:
    """Check that a message in a new chat gets a reply."""
    async with open_socket(person) as socket:
        assert await socket.reply("Add a task to water the plants")


@pytest.mark.parametrize("rounds", [1, pytest.param(20, marks=pytest.mark.long)])
async def test_product_recovers_after_clients_of_slow_requests_disconnect(bare_product: Product, rounds: int) -> None:
    leaver, other = new_person(bare_product, "leaver"), new_person(bare_product)
    thread = leaver.new_thread()
    restarts = bare_product.output.count("restarted")
    for _ in range(rounds):
        await check_chat(other)
        with locked_tables(bare_product):
            await request_and_disconnect(leaver, thread, after=1)
            await asyncio.sleep(17)
        await asyncio.to_thread(bare_product.await_works, RECOVERY_SECONDS)
        await check_chat(other)
    assert bare_product.output.count("restarted") == restarts, "no service was restarted"


@pytest.mark.parametrize("rounds", [1, pytest.param(20, marks=pytest.mark.long)])
async def test_turns_are_answered_after_disconnects_during_postgres_suspension(
    bare_product: Product, rounds: int
) -> None:
    leaver, other = new_person(bare_product, "leaver"), new_person(bare_product)
    thread = leaver.new_thread()
    for _ in range(rounds):
        async with contextlib.AsyncExitStack() as stack:
            sockets = [await stack.enter_async_context(open_socket(other)) for _ in range(8)]
            await asyncio.gather(*(socket.ready() for socket in sockets))
            await asyncio.gather(*(socket.message("Add a task to buy milk") for socket in sockets))
            with bare_product.suspended_postgres():
                await request_and_disconnect(leaver, thread, after=1)
                await asyncio.sleep(16)
            await asyncio.to_thread(bare_product.await_works, RECOVERY_SECONDS)
            accepted = [frame for socket in sockets for frame in socket.frames if frame["type"] == "message.accepted"]
        await asyncio.to_thread(eventually, lambda: not unfinished_turns(bare_product), within=RECOVERY_SECONDS)
        assert {frame["turn"]["id"] for frame in accepted} <= answered_turns(bare_product)
        await check_chat(other)


def unfinished_turns(product: Product) -> int:
    """Return the number of turns that have not ended."""
    ((count,),) = product.database.query(
        "SELECT count(*) FROM chat_turn WHERE status NOT IN ('done', 'failed', 'stopped')"
    )
    return int(count)


def answered_turns(product: Product) -> set[str]:
    """Return the ids of the turns whose reply is stored."""
    rows = product.database.query("SELECT DISTINCT turn_id::text FROM chat_message WHERE role = 'assistant'")
    return {turn_id for (turn_id,) in rows}
