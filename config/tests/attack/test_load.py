"""Large accounts and floods of requests do not slow down other users."""

import asyncio
import contextlib
import io
import zipfile

import httpx
import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus

from config.tests.attack.clients import Browser, Person, connect_socket, many_clients, new_person, open_socket
from config.tests.attack.marks import load_group
from config.tests.attack.product import Product, Watch, deleted_open_files_mb, private_memory
from config.tests.attack.test_tasks_and_sockets import add_tasks

pytestmark = load_group


@pytest.fixture(scope="module")
def heavy_user(product: Product) -> Person:
    """A user with 20,000 conversations."""
    return new_heavy_user(product, 20_000)


def new_heavy_user(product: Product, conversations: int) -> Person:
    """Create a user with this many conversations."""
    person = new_person(product, "hoarder")
    thread = person.new_thread()
    with person.program() as program:
        path = f"/api/chatkit/threads/{thread}/messages"
        program.post(path, json={"text": "Add a task to buy milk"}).raise_for_status()
    copy = (
        "INSERT INTO chat_conversation SELECT (jsonb_populate_record(c, jsonb_build_object("
        "'id', gen_random_uuid(), 'title', '../' || n || repeat(' long title', 8), 'last_seq', 0))).*"
        " FROM chat_conversation c, generate_series(1, %s) n WHERE c.id = %s"
    )
    product.database.query(copy, conversations, thread)
    return person


def test_page_size_is_bounded_with_many_conversations(product: Product, heavy_user: Person) -> None:
    with Watch(product.healthz_seconds) as health:
        for path in ("/", "/state/", "/archive/", "/trash/"):
            page = heavy_user.browser.get(path)
            assert page.status_code == 200
            assert len(page.content) < 400_000, f"{path}: {len(page.content) / 1000:.0f} kB"
    health.check_latency()


def test_concurrent_exports_do_not_block_other_users(product: Product, victim: Person) -> None:
    server, heavy_user = product.server, new_heavy_user(product, 4_000)

    # One export runs at a time; the other requests get 429, and every request gets a response.
    async def export() -> list[int]:
        async with many_clients(product, timeout=300) as client:
            headers = {"Cookie": heavy_user.browser.cookie, "Referer": product.origin + "/"}
            data = {"csrfmiddlewaretoken": heavy_user.browser.cookies["csrftoken"]}
            posts = (client.post("/settings/data/export/", data=data, headers=headers) for _ in range(24))
            return [response.status_code for response in await asyncio.gather(*posts)]

    async def measure_other_user() -> list[float]:
        loop, seconds = asyncio.get_running_loop(), []
        await asyncio.sleep(1)
        async with many_clients(product, timeout=60) as client:
            for _ in range(5):
                started = loop.time()
                assert (await client.get("/api/tasks", headers=victim.bearer)).status_code == 200
                seconds.append(loop.time() - started)
        return seconds

    async def both() -> tuple[list[int], list[float]]:
        return await asyncio.gather(export(), measure_other_user())

    with Watch(lambda: private_memory([server]) + deleted_open_files_mb(server), every=0.2) as memory:
        statuses, seconds = asyncio.run(both())
    assert 200 in statuses and set(statuses) <= {200, 429}, statuses
    assert sorted(seconds)[2] < 8, seconds
    assert memory.growth < 400, f"{memory.growth:.0f} MB"


def test_export_archive_has_only_safe_unique_names(product: Product) -> None:
    person = new_person(product, "exporter")
    with person.program() as program:
        for title in ("../../evil", "/etc/passwd", "..\\..\\evil", "a\u0000b", "CON", "." * 50, "x" * 100):
            title = title.replace("\x00", "")
            thread = program.post("/api/chatkit/threads", json={"title": title}).json()["thread_id"]
            program.post(f"/api/chatkit/threads/{thread}/messages", json={"text": "Hello"})
    response = person.browser.post(
        "/settings/data/export/",
        data={"csrfmiddlewaretoken": person.browser.cookies["csrftoken"]},
        headers={"Referer": product.origin + "/"},
    )
    assert response.status_code == 200
    names = zipfile.ZipFile(io.BytesIO(response.content)).namelist()
    assert [name for name in names if ".." in name or name.startswith("/") or "\\" in name] == []
    assert len(names) == len(set(names))


async def test_anonymous_sockets_do_not_block_other_users(product: Product, victim: Person) -> None:
    anonymous = Person(product, victim.id, "", Browser(product), "")

    async def open_anonymous_socket() -> None:
        with contextlib.suppress(ConnectionClosed, InvalidStatus, OSError, TimeoutError):
            async with connect_socket(anonymous, open_timeout=60) as connection:
                await connection.wait_closed()

    async with asyncio.TaskGroup() as group:
        for _ in range(300):
            group.create_task(open_anonymous_socket())
        async with open_socket(victim, open_timeout=60) as socket:
            accepted = await socket.accepted(await socket.message("Add a task to buy milk"), within=60)
            await socket.end_of(accepted["turn"]["id"], within=60)


async def test_page_flood_of_one_user_does_not_block_other_users(
    product: Product, person: Person, victim: Person
) -> None:
    add_tasks(person, 2_000)
    finished = asyncio.Event()

    async def flood(client: httpx.AsyncClient) -> None:
        while not finished.is_set():
            with contextlib.suppress(httpx.TransportError):
                await client.get("/", headers={"Cookie": person.browser.cookie})

    async with many_clients(product, timeout=60) as client, asyncio.TaskGroup() as group:
        for _ in range(40):
            group.create_task(flood(client))
        await asyncio.sleep(2)
        started = asyncio.get_running_loop().time()
        async with many_clients(product, timeout=60) as other:
            response = await other.get("/", headers={"Cookie": victim.browser.cookie})
        seconds = asyncio.get_running_loop().time() - started
        finished.set()
    assert response.status_code == 200
    assert seconds < 15, f"{seconds:.1f} s"


async def test_repeated_follow_frames_do_not_block_other_users(
    product: Product, person: Person, victim: Person
) -> None:
    async with open_socket(person) as socket:
        turns = []
        for n in range(12):
            accepted = await socket.accepted(await socket.message(f"Add a task to buy apple {n}"))
            turns.append(accepted["turn"]["id"])
        await socket.end_of(turns[-1])
        conversation_id = socket.conversation_id
    async with contextlib.AsyncExitStack() as stack:
        for _ in range(4):
            connection = await stack.enter_async_context(connect_socket(person, conversation_id, ping_interval=None))
            for n in range(2_000):
                frame = f'{{"type": "log.follow", "turn_id": "{turns[n % len(turns)]}", "attempt": 0, "after": 0}}'
                connection.transport.write(b"")
                await connection.send(frame)
        async with open_socket(victim, open_timeout=60) as socket:
            accepted = await socket.accepted(await socket.message("Add a task to buy milk"), within=60)
            await socket.end_of(accepted["turn"]["id"], within=60)
    assert await asyncio.to_thread(product.responds, timeout=20)
