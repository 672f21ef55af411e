"""Many identical requests at the same moment take effect once."""

import asyncio
import uuid
from typing import Any

import httpx

from config.tests.attack.clients import Person, many_clients, new_person, open_socket
from config.tests.attack.marks import load_group
from config.tests.attack.product import Product

pytestmark = load_group


async def send_at_once(person: Person, count: int, method: str, path: str, **options: Any) -> list[int]:
    """Send a request many times at once and return the status codes."""
    async with person.many_programs() as program:
        responses = await asyncio.gather(*(program.request(method, path, **options) for _ in range(count)))
        return [response.status_code for response in responses]


async def test_approval_is_decided_once(person: Person) -> None:
    thread = await asyncio.to_thread(person.new_thread)
    async with open_socket(person, thread) as socket:
        for title in ("buy milk", "buy bread", "buy salt"):
            await socket.reply(f"Add a task to {title}")
        turn = (await socket.accepted(await socket.message("Delete all my tasks")))["turn"]["id"]
        call = (await socket.until(lambda frame: frame["type"] == "approval.requested"))["call_id"]
        path = f"/api/chatkit/threads/{thread}/turns/{turn}/approvals/{call}"
        async with person.many_programs() as program:
            posts = (program.post(path, json={"approve": n % 2 == 0}) for n in range(16))
            statuses = [response.status_code for response in await asyncio.gather(*posts)]
        end = await socket.end_of(turn)
    assert sorted(statuses) == [200, *[409] * 15]
    assert end["type"] == "turn.finished"
    deleted = person.product.database.query("SELECT count(*) FROM chat_task WHERE user_id = %s", person.id) == [(0,)]
    decided = [frame for frame in socket.frames if frame["type"] == "approval.decided"]
    assert len({frame["approved"] for frame in decided}) == 1
    assert deleted == decided[0]["approved"]


async def test_message_with_repeated_idempotency_key_is_stored_once(person: Person) -> None:
    thread, key = await asyncio.to_thread(person.new_thread), str(uuid.uuid4())
    options: dict[str, Any] = {"json": {"text": "Add a task to buy milk"}, "headers": {"Idempotency-Key": key}}
    statuses = await send_at_once(person, 12, "POST", f"/api/chatkit/threads/{thread}/messages", **options)
    assert set(statuses) <= {200, 429}
    query = person.product.database.query
    assert query("SELECT count(*) FROM chat_task WHERE user_id = %s", person.id) == [(1,)]
    assert query("SELECT count(*) FROM chat_turn WHERE conversation_id = %s", thread) == [(1,)]


async def test_task_is_completed_once(person: Person) -> None:
    with person.program() as program:
        task = program.post("/api/tasks", json={"title": "x"}).json()["task_id"]
    statuses = await send_at_once(person, 12, "POST", f"/api/tasks/{task}/complete")
    assert sorted(statuses) == [200, *[409] * 11]


async def test_limits_hold_for_concurrent_requests(product: Product) -> None:
    person = new_person(product)
    thread = person.new_thread()
    statuses = await send_at_once(person, 80, "POST", f"/api/chatkit/threads/{thread}/messages", json={"text": "Hello"})
    assert set(statuses) <= {200, 429}
    assert statuses.count(200) <= 30
    body = {"name": "x", "scopes": ["chat"]}
    csrf = {"X-CSRFToken": person.browser.cookies["csrftoken"], "Referer": f"{product.origin}/"}
    async with many_clients(product, headers=csrf | {"Cookie": person.browser.cookie}) as client:
        posts = (client.post("/api/auth/tokens", json=body) for _ in range(130))
        created = [response.status_code for response in await asyncio.gather(*posts)]
    assert 0 < created.count(201) < 100, "the person's first token counts towards the limit of 100"
    assert set(created) <= {201, 409, 429}


async def test_deleting_conversation_in_use_causes_no_server_error(person: Person) -> None:
    thread = await asyncio.to_thread(person.new_thread)
    path = f"/api/chatkit/threads/{thread}"
    async with person.many_programs() as program:
        work: list[Any] = []
        for n in range(8):
            work += [
                program.post(f"{path}/messages", json={"text": f"Add a task to buy apple {n}"}),
                program.delete(path),
                program.post(f"{path}/restore"),
                program.patch(path, json={"title": "x"}),
                program.get(path),
                program.post(f"{path}/archive"),
            ]
        responses: list[httpx.Response] = await asyncio.gather(*work)
    assert max(response.status_code for response in responses) < 500, [
        response.text for response in responses if response.is_server_error
    ]


async def test_concurrent_edits_keep_message_positions_consecutive(person: Person) -> None:
    async with open_socket(person) as socket:
        log = await socket.send_and_wait("Add a task to buy milk")
        conversation = socket.conversation_id
        with person.program() as program:
            (message, *_) = program.get(f"/api/chatkit/threads/{conversation}").json()["messages"]
        for n in range(10):
            await socket.send(
                "message.edit", message_id=message["message_id"], client_id=uuid.uuid4(), text=f"Add a task to buy {n}"
            )
        await socket.pong()
        assert log
        await socket.until(
            lambda frame: frame["type"] == "message.accepted" and frame["turn"]["id"] != log[0]["turn_id"]
        )
    with person.program() as program:
        messages = program.get(f"/api/chatkit/threads/{conversation}").json()["messages"]
    assert [entry["position"] for entry in messages] == list(range(1, len(messages) + 1))
