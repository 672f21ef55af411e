"""Many tasks, many sockets, and sockets that never read."""

import asyncio
import contextlib
import json
import uuid

import pytest
from websockets.asyncio.client import ClientConnection
from websockets.exceptions import ConnectionClosed

from config.tests.attack.clients import Person, connect_socket, new_person, open_socket
from config.tests.attack.marks import product_group
from config.tests.attack.product import Product, Watch, private_memory
from config.tests.support import eventually

pytestmark = product_group


def add_tasks(person: Person, count: int) -> None:
    """Create this many tasks of a person, with descriptions of 1,000 characters."""
    database = person.product.database
    database.query(
        "INSERT INTO chat_task (id, user_id, number, title, description, priority, created_at, updated_at)"
        " SELECT gen_random_uuid(), %s, n, 'Task number ' || n, repeat('d', 1000), 2, now(), now()"
        " FROM generate_series(1, %s) n",
        person.id,
        count,
    )
    database.query(
        "INSERT INTO chat_taskcounter (user_id, last_number) VALUES (%s, %s)"
        " ON CONFLICT (user_id) DO UPDATE SET last_number = excluded.last_number",
        person.id,
        count,
    )


@pytest.fixture(scope="module")
def busy_person(product: Product) -> Person:
    """A user with 5,000 tasks."""
    person = new_person(product, "busy")
    add_tasks(person, 5_000)
    return person


async def test_task_update_sends_only_the_change_among_5000_tasks(product: Product, busy_person: Person) -> None:
    changes = 5
    async with contextlib.AsyncExitStack() as stack:
        sockets = [await stack.enter_async_context(open_socket(busy_person)) for _ in range(20)]
        await asyncio.gather(*(socket.ready() for socket in sockets))
        before = [len(socket.frames) for socket in sockets]
        async with busy_person.many_programs() as program:
            tasks = (await program.get("/api/tasks?limit=10")).json()["items"]
            with Watch(product.healthz_seconds) as health:
                for task in tasks[:changes]:
                    await program.patch(f"/api/tasks/{task['task_id']}", json={"title": "Changed"})
                    await asyncio.sleep(0.3)
                await asyncio.gather(
                    *(
                        socket.until(lambda frame: frame["type"] == "tasks.changed" and "Changed" in str(frame))
                        for socket in sockets
                    )
                )
        sent = [len(json.dumps(socket.frames[n:])) for socket, n in zip(sockets, before, strict=True)]
    assert max(sent) < 64 * 1024, f"{max(sent) / 1024:.0f} KB to each socket for {changes} changes"
    health.check_latency()


# Sockets that never read.


async def flood(connection: ClientConnection, frames: list[str], seconds: float) -> int:
    """Send frames repeatedly without reading, for a time or until the socket is closed; return the number sent."""
    sent = 0
    with contextlib.suppress(ConnectionClosed, TimeoutError):
        async with asyncio.timeout(seconds):
            while True:
                await connection.send(frames[sent % len(frames)])
                sent += 1
    return sent


@contextlib.asynccontextmanager
async def unread_socket(person: Person, conversation_id: uuid.UUID | None = None):  # type: ignore[no-untyped-def]
    """Open a socket whose client reads no frames from the buffers."""
    connection = await connect_socket(person, conversation_id, max_queue=1, ping_interval=None)
    try:
        yield connection
    finally:
        connection.transport.abort()


async def flood_unread(person: Person, frames: list[str], *, sockets: int, seconds: float) -> Watch:
    """Flood sockets that never read, and measure the server's memory."""
    product = person.product
    server = product.server
    async with contextlib.AsyncExitStack() as stack:
        connections = [await stack.enter_async_context(unread_socket(person)) for _ in range(sockets)]
        with Watch(lambda: private_memory([server]), every=0.2) as memory:
            sent = await asyncio.gather(*(flood(one, frames, seconds) for one in connections))
            assert await asyncio.to_thread(product.responds, timeout=20)
    assert sum(sent), "no frame was sent"
    return memory


async def test_message_flood_from_unread_sockets_uses_bounded_memory(product: Product, person: Person) -> None:
    text = "a" * 9_000
    frame = json.dumps({"type": "message.send", "client_id": str(uuid.uuid4()), "text": text})
    memory = await flood_unread(person, [frame], sockets=4, seconds=10)
    assert memory.growth < 40, f"{memory.growth:.0f} MB"
    product.await_works(30)
    server = product.server
    eventually(lambda: private_memory([server]) - memory.before < 20, what="the release of memory")
