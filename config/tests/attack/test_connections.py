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
from config.tests.attack.marks import on_processes
from config.tests.attack.product import Product
from config.tests.support import eventually

pytestmark = on_processes

# A quiet machine needs less than five seconds.
AFTERWARDS = 40.0
MCP = {"Accept": "application/json, text/event-stream"}
LIST_TASKS = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": "list_tasks", "arguments": {}}}


@contextlib.contextmanager
def slow_tables(product: Product) -> Iterator[None]:
    """Lock conversations and tasks: whatever reads them waits."""
    with psycopg.connect(product.database.url) as connection:
        connection.execute("LOCK TABLE chat_conversation, chat_task IN ACCESS EXCLUSIVE MODE")
        yield


def slow_requests(person: Person, thread: str) -> list[dict[str, Any]]:
    """Return a request of every kind that reads the locked tables."""
    by_page = {"headers": {"Cookie": person.browser.cookie}, "method": "GET"}
    by_program = {"headers": person.bearer, "method": "GET"}
    posted = {"headers": person.bearer | MCP, "method": "POST"}
    return [
        {**by_page, "url": "/"},
        {**by_page, "url": "/trash/"},
        {**by_program, "url": "/api/tasks"},
        {**by_program, "url": f"/api/chatkit/threads/{thread}"},
        {**by_program, "url": "/api/search?q=groceries"},
        {**by_program, "url": "/api/chatkit/threads"},
        {**posted, "url": f"/api/chatkit/threads/{thread}/messages", "json": {"text": "What do I have to do?"}},
        {**posted, "url": "/api/chatkit", "json": {"type": "threads.list", "params": {"limit": 10}}},
        {**posted, "url": "/mcp", "json": LIST_TASKS},
    ]


async def request_and_leave(person: Person, thread: str, clients: int, *, after: float) -> None:
    """Let clients make requests of every kind, and open sockets, and disconnect after so many seconds."""
    requests = slow_requests(person, thread)
    await asyncio.gather(
        *(_one_request(person, requests[n % len(requests)], after) for n in range(clients)),
        *(_one_socket(person, after) for _ in range(clients // 8)),
    )


async def _one_request(person: Person, request: dict[str, Any], after: float) -> None:
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
    restarts = bare_product.output.count("started again")
    for _ in range(rounds):
        await check_chat(other)
        with slow_tables(bare_product):
            await request_and_leave(leaver, thread, 36, after=1)
            await asyncio.sleep(17)
        await asyncio.to_thread(bare_product.await_works, AFTERWARDS)
        await check_chat(other)
    assert bare_product.output.count("started again") == restarts, "nothing had to be restarted for it"


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
                await request_and_leave(leaver, thread, 40, after=1)
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
