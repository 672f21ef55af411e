"""Every request returns what it borrowed: clients leave in the midst, and afterwards everything works."""

import asyncio
import contextlib
import uuid
from collections.abc import Iterator
from typing import Any

import httpx
import psycopg
import pytest

from config.tests.attack.clients import Person, connect_socket, many_clients, new_person, open_socket
from config.tests.attack.marks import on_connections
from config.tests.attack.product import Product
from config.tests.support import eventually

pytestmark = on_connections

Request = dict[str, Any]

# A quiet machine needs less than five seconds.
AFTERWARDS = 40.0
MCP = {"Accept": "application/json, text/event-stream"}
LIST_THREADS = {"type": "threads.list", "params": {"limit": 10}}
LIST_TASKS = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": "list_tasks", "arguments": {}}}


@contextlib.contextmanager
def slow_tables(product: Product) -> Iterator[None]:
    """Lock conversations and tasks: whatever reads them waits."""
    with psycopg.connect(product.database.url) as connection:
        connection.execute("LOCK TABLE chat_conversation, chat_task IN ACCESS EXCLUSIVE MODE")
        yield


def in_threads(person: Person, thread: str) -> list[Request]:
    """Return requests that synchronous views answer, each in a thread and with a connection of its own."""
    by_login, by_program = {"Cookie": person.browser.cookie}, person.bearer
    return [
        {"method": "GET", "url": "/", "headers": by_login},
        {"method": "GET", "url": "/trash/", "headers": by_login},
        {"method": "GET", "url": "/api/tasks", "headers": by_program},
        {"method": "GET", "url": "/api/search?q=groceries", "headers": by_program},
        {"method": "GET", "url": f"/api/chatkit/threads/{thread}", "headers": by_program},
        {"method": "GET", "url": "/api/chatkit/threads", "headers": by_program},
    ]


def in_the_loop(person: Person, thread: str) -> list[Request]:
    """Return requests of which the event loop takes care."""
    headers = person.bearer | MCP
    message = {"text": "What do I have to do?"}
    return [
        {"method": "POST", "url": f"/api/chatkit/threads/{thread}/messages", "headers": headers, "json": message},
        {"method": "POST", "url": "/api/chatkit", "headers": headers, "json": LIST_THREADS},
        {"method": "POST", "url": "/mcp", "headers": headers, "json": LIST_TASKS},
    ]


async def request_and_leave(person: Person, thread: str, *, after: float) -> None:
    """Let clients make requests of every kind, and open sockets, and disconnect after so many seconds."""
    threads = [_one_request(person, request, after) for request in in_threads(person, thread) * 5]
    await asyncio.gather(*threads)
    loop = [_one_request(person, request, after) for request in in_the_loop(person, thread) * 3]
    await asyncio.gather(*loop, *(_one_socket(person, after) for _ in range(4)))


async def _one_request(person: Person, request: Request, after: float) -> None:
    async with many_clients(person.product, timeout=after) as client:
        with contextlib.suppress(httpx.TransportError):
            await client.request(**request)


async def _one_socket(person: Person, after: float) -> None:
    with contextlib.suppress(TimeoutError, OSError):
        async with asyncio.timeout(after), connect_socket(person) as connection:
            await connection.send(f'{{"type": "message.send", "client_id": "{uuid.uuid4()}", "text": "Hello"}}')
            await connection.wait_closed()


async def check_chat(person: Person) -> None:
    """Check that a new chat is answered."""
    async with open_socket(person) as socket:
        assert await socket.reply("Add a task to water the plants")


@pytest.mark.parametrize("rounds", [1, pytest.param(20, marks=pytest.mark.long)])
async def test_clients_that_leave_slow_requests(bare_product: Product, rounds: int) -> None:
    leaver, other = new_person(bare_product, "leaver"), new_person(bare_product)
    thread = leaver.new_thread()
    restarts = bare_product.output.count("restarted")
    for _ in range(rounds):
        await check_chat(other)
        with slow_tables(bare_product):
            await request_and_leave(leaver, thread, after=1)
            await asyncio.sleep(17)
        await asyncio.to_thread(bare_product.await_works, AFTERWARDS)
        await check_chat(other)
    assert bare_product.output.count("restarted") == restarts, "nothing had to be restarted for it"


@pytest.mark.parametrize("rounds", [1, pytest.param(20, marks=pytest.mark.long)])
async def test_clients_that_leave_while_postgres_is_suspended(bare_product: Product, rounds: int) -> None:
    leaver, other = new_person(bare_product, "leaver"), new_person(bare_product)
    thread = leaver.new_thread()
    for _ in range(rounds):
        async with contextlib.AsyncExitStack() as stack:
            sockets = [await stack.enter_async_context(open_socket(other)) for _ in range(8)]
            await asyncio.gather(*(socket.ready() for socket in sockets))
            await asyncio.gather(*(socket.message("Add a task to buy milk") for socket in sockets))
            with bare_product.suspended_postgres():
                await request_and_leave(leaver, thread, after=1)
                await asyncio.sleep(16)
            await asyncio.to_thread(bare_product.await_works, AFTERWARDS)
            accepted = [frame for socket in sockets for frame in socket.frames if frame["type"] == "message.accepted"]
        await asyncio.to_thread(eventually, lambda: not unfinished_turns(bare_product), within=AFTERWARDS)
        assert {frame["turn"]["id"] for frame in accepted} <= answered_turns(bare_product)
        await check_chat(other)


def unfinished_turns(product: Product) -> int:
    """Count the turns that have not ended."""
    ((count,),) = product.database.query(
        "SELECT count(*) FROM chat_turn WHERE status NOT IN ('done', 'failed', 'stopped')"
    )
    return int(count)


def answered_turns(product: Product) -> set[str]:
    """Return the ids of the turns whose reply is stored."""
    rows = product.database.query("SELECT DISTINCT turn_id::text FROM chat_message WHERE role = 'assistant'")
    return {turn_id for (turn_id,) in rows}
