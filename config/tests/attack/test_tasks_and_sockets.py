"""Many tasks, many sockets, and sockets that never read."""

import asyncio
import contextlib
import json
import re
import uuid

import httpx
import pytest
from websockets.asyncio.client import ClientConnection
from websockets.exceptions import ConnectionClosed, InvalidStatus

from config.tests.attack.clients import Person, connect_socket, new_person, open_socket
from config.tests.attack.marks import on_product, quick
from config.tests.attack.product import Product, Watch, private_memory
from config.tests.support import eventually

pytestmark = on_product


def add_tasks(person: Person, count: int) -> None:
    """Give somebody so many tasks, with texts of 1,000 characters."""
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
    """Somebody with 5,000 tasks."""
    person = new_person(product, "busy")
    add_tasks(person, 5_000)
    return person


@quick
async def test_a_change_among_5000_tasks_is_sent_as_a_change(product: Product, busy_person: Person) -> None:
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


@quick
def test_the_page_of_somebody_with_5000_tasks_is_bounded(busy_person: Person) -> None:
    page = busy_person.browser.get("/")
    shown = len(re.findall(r'data-testid="task"', page.text))
    assert shown <= 100
    assert "4,900" in page.text or "4900" in page.text, "it says how many more there are"


def test_nobody_has_more_tasks_than_allowed(product: Product) -> None:
    person = new_person(product, "collector")
    add_tasks(person, 10_000)
    with person.program() as program:
        answer = program.post("/api/tasks", json={"title": "One more"})
        assert 400 <= answer.status_code < 500, answer.text
        listed = program.get("/api/tasks?limit=100").json()
        assert listed["has_more"]


def test_races_at_the_limit_of_tasks_add_none(product: Product) -> None:
    person = new_person(product, "racer")
    add_tasks(person, 9_999)

    async def race() -> list[httpx.Response]:
        async with person.many_programs() as program:
            return await asyncio.gather(*(program.post("/api/tasks", json={"title": "x"}) for _ in range(12)))

    answers = asyncio.run(race())
    assert [answer.status_code for answer in answers].count(201) == 1
    ((count,),) = product.database.query("SELECT count(*) FROM chat_task WHERE user_id = %s", person.id)
    assert count == 10_000


# Sockets that never read.


async def flood(connection: ClientConnection, frames: list[str], seconds: float) -> int:
    """Send frames again and again without reading, for a time or until the socket is closed; return how many."""
    sent = 0
    with contextlib.suppress(ConnectionClosed, TimeoutError):
        async with asyncio.timeout(seconds):
            while True:
                await connection.send(frames[sent % len(frames)])
                sent += 1
    return sent


@contextlib.asynccontextmanager
async def unread(person: Person, conversation_id: uuid.UUID | None = None):  # type: ignore[no-untyped-def]
    """Open a socket of whose frames none is taken from the machine's buffers."""
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
        connections = [await stack.enter_async_context(unread(person)) for _ in range(sockets)]
        with Watch(lambda: private_memory([server]), every=0.2) as memory:
            sent = await asyncio.gather(*(flood(one, frames, seconds) for one in connections))
            assert await asyncio.to_thread(product.answers, timeout=20)
    assert sum(sent), "something was sent"
    return memory


async def test_pings_from_sockets_that_never_read(person: Person) -> None:
    memory = await flood_unread(person, ['{"type": "ping", "n": 1}'], sockets=5, seconds=6)
    assert memory.growth < 40, f"{memory.growth:.0f} MB"


async def test_repeated_messages_from_sockets_that_never_read(product: Product, person: Person) -> None:
    text = "a" * 9_000
    frame = json.dumps({"type": "message.send", "client_id": str(uuid.uuid4()), "text": text})
    memory = await flood_unread(person, [frame], sockets=4, seconds=10)
    assert memory.growth < 40, f"{memory.growth:.0f} MB"
    product.await_works(30)
    server = product.server
    eventually(lambda: private_memory([server]) - memory.before < 20, what="the memory is returned")


async def test_errors_from_sockets_that_never_read(person: Person) -> None:
    frames = ['{"type": "nonsense"}', "{", '{"type": "log.follow", "turn_id": 1}']
    memory = await flood_unread(person, frames, sockets=5, seconds=6)
    assert memory.growth < 40, f"{memory.growth:.0f} MB"


async def test_a_repeated_message_counts_against_the_rate_limit(person: Person) -> None:
    client_id = uuid.uuid4()
    async with open_socket(person) as socket:
        for _ in range(80):
            await socket.message("Add a task to buy milk", client_id)
        error = await socket.until(lambda frame: frame["type"] == "error")
    assert error["code"] == "rate_limited"


# Too many at once.


async def test_150_sockets_opened_at_once(person: Person) -> None:
    async def open_one(stack: contextlib.AsyncExitStack) -> bool:
        with contextlib.suppress(ConnectionClosed, InvalidStatus):
            connection = await stack.enter_async_context(connect_socket(person, open_timeout=60))
            return "ready" in str(await connection.recv())
        return False

    async with contextlib.AsyncExitStack() as stack:
        opened = await asyncio.gather(*(open_one(stack) for _ in range(150)))
    assert sum(opened) <= 20, f"{sum(opened)} sockets"


async def test_150_streams_opened_at_once(person: Person) -> None:
    thread = await asyncio.to_thread(person.new_thread)
    turn_id, last_event = await _waiting_turn(person, thread)
    path = f"/api/chatkit/threads/{thread}/turns/{turn_id}/events"

    async def open_one(stack: contextlib.AsyncExitStack, program: httpx.AsyncClient) -> int:
        answer = await stack.enter_async_context(
            # Behind the last event a stream stays open until somebody decides.
            program.stream("GET", path, headers={"Last-Event-ID": last_event}, timeout=60)
        )
        return answer.status_code

    async with person.many_programs() as program, contextlib.AsyncExitStack() as stack:
        statuses = await asyncio.gather(*(open_one(stack, program) for _ in range(150)))
    assert set(statuses) <= {200, 429}
    assert statuses.count(200) <= 20, f"{statuses.count(200)} streams"


async def _waiting_turn(person: Person, thread: str) -> tuple[str, str]:
    """Have the assistant ask for an approval; return the id of the turn that waits, and that of its last event."""
    async with open_socket(person, thread) as socket:
        await socket.reply("Add a task to buy milk")
        await socket.reply("Add a task to buy bread")
        accepted = await socket.accepted(await socket.message("Delete all my tasks"))
        asked = await socket.until(lambda frame: frame["type"] == "approval.requested")
    return str(accepted["turn"]["id"]), f"{asked['attempt']}-{asked['n']}"
