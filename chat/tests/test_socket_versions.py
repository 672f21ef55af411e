"""Approvals, edits and regenerated replies reach two tabs over the websocket of a real server."""

import asyncio
import uuid
from collections.abc import AsyncIterator

import httpx
import pytest

from chat.tests.live import Frame, LiveSocket, Person, open_socket, sign_in
from config.tests.support import ServerProcess

pytestmark = pytest.mark.service


@pytest.fixture
def person(shared_server: ServerProcess) -> Person:
    return sign_in(shared_server)


@pytest.fixture
async def tabs(shared_server: ServerProcess, person: Person) -> AsyncIterator[tuple[LiveSocket, LiveSocket]]:
    """Open two tabs with the conversation of a user who has two tasks."""
    conversation_id = uuid.uuid4()
    async with (
        open_socket(shared_server, person, conversation_id) as one,
        open_socket(shared_server, person, conversation_id) as other,
    ):
        await one.ready()
        await other.ready()
        await one.send_and_wait("Add two tasks: buy milk, call Mum")
        yield one, other


def titles(server: ServerProcess, person: Person) -> list[str]:
    rows = server.database.query("SELECT title FROM chat_task WHERE user_id = %s ORDER BY number", person.id)
    return [title for (title,) in rows]


async def approval_request(socket: LiveSocket, text: str = "Delete everything") -> Frame:
    accepted = await socket.accepted(await socket.message(text))
    turn_id = accepted["turn"]["id"]
    return await socket.until(lambda frame: frame["type"] == "approval.requested" and frame["turn_id"] == turn_id)


async def test_approval_is_requested_in_every_tab_and_decided_in_any(
    shared_server: ServerProcess, person: Person, tabs: tuple[LiveSocket, LiveSocket]
) -> None:
    one, other = tabs
    question = await approval_request(one)
    assert set(question) == {"type", "turn_id", "attempt", "n", "call_id", "name", "arguments"}
    assert (question["name"], question["arguments"]) == ("delete_tasks", {"numbers": [1, 2]})
    ids = {"turn_id": question["turn_id"], "call_id": question["call_id"]}
    assert (await other.until(lambda frame: frame["type"] == "approval.requested"))["call_id"] == ids["call_id"]
    assert titles(shared_server, person) == ["Buy milk", "Call Mum"]

    await other.send("approval.decide", **ids, approve=True)
    for tab in tabs:
        decided = await tab.until(lambda frame: frame["type"] == "approval.decided")
        assert (decided["approved"], decided["by"], decided["n"]) == (True, str(person.id), 1)
        assert decided["attempt"] == question["attempt"] + 1
        resumed = await tab.until(lambda frame: frame["type"] == "turn.resumed")
        assert resumed["tools"][-1]["approval"] == "approved"
        end = await tab.end_of(ids["turn_id"])
        assert (end["type"], "Buy milk" in end["message"]["text"]) == ("turn.finished", True)
    assert titles(shared_server, person) == []

    before = len(one.frames)
    await one.send("approval.decide", **ids, approve=False)
    rejected = await one.until(lambda frame: frame["type"] == "error", after=before)
    assert (rejected["code"], rejected["detail"]) == ("conflict", "This was decided already.")


async def test_socket_opened_later_gets_the_pending_approval(
    shared_server: ServerProcess, person: Person, tabs: tuple[LiveSocket, LiveSocket]
) -> None:
    one, _ = tabs
    question = await approval_request(one)
    async with open_socket(shared_server, person, one.conversation_id) as late:
        (turn,) = (await late.ready())["turns"]
        assert (turn["id"], turn["status"]) == (question["turn_id"], "waiting")
        await late.until(lambda frame: frame["type"] == "approval.requested")
        await late.send("approval.decide", turn_id=turn["id"], call_id=question["call_id"], approve=False)
        end = await late.end_of(turn["id"])
        assert "stay on your list" in end["message"]["text"]
    with httpx.Client(base_url=shared_server.url, headers={"cookie": person.cookie}) as browser:
        state = browser.get(f"/c/{one.conversation_id}/state/").json()
    call = state["turns"][-1]["tools"][-1]
    assert (call["approval"], call["by"]) == ("declined", str(person.id))
    assert titles(shared_server, person) == ["Buy milk", "Call Mum"]


async def test_edit_replaces_the_message_in_every_tab(tabs: tuple[LiveSocket, LiveSocket]) -> None:
    one, other = tabs
    first = await one.accepted(await one.message("What is task 1?"))
    await one.end_of(first["turn"]["id"])
    client_id = str(uuid.uuid4())
    edit = {"message_id": first["message"]["id"], "client_id": client_id, "text": "What is task 2?"}
    await one.send("message.edit", **edit)
    for tab in tabs:
        accepted = await tab.accepted(client_id)
        assert accepted["turn"]["replaces"] == first["turn"]["id"]
        assert accepted["message"]["position"] == first["message"]["position"] == 3
        assert accepted["message"]["text"] == "What is task 2?"
        assert "Call Mum" in (await tab.end_of(accepted["turn"]["id"]))["message"]["text"]

    before = len(other.frames)
    await other.send("message.edit", **edit | {"client_id": uuid.uuid4()})
    rejected = await other.until(lambda frame: frame["type"] == "error", after=before)
    assert rejected["code"] == "conflict"


async def test_finished_reply_is_regenerated_in_every_tab(tabs: tuple[LiveSocket, LiveSocket]) -> None:
    one, other = tabs
    first = await one.accepted(await one.message("What is task 1?"))
    await one.end_of(first["turn"]["id"])
    client_id = str(uuid.uuid4())
    await other.send("turn.retry", turn_id=first["turn"]["id"], client_id=client_id)
    for tab in tabs:
        accepted = await tab.accepted(client_id)
        assert accepted["turn"]["replaces"] == first["turn"]["id"]
        assert accepted["message"] == first["message"]
        end = await tab.end_of(accepted["turn"]["id"])
        assert (end["type"], end["message"]["position"]) == ("turn.finished", 4)


async def test_trashing_a_conversation_declines_its_pending_approval_and_stops_its_turn(
    shared_server: ServerProcess,
) -> None:
    person = await asyncio.to_thread(sign_in, shared_server)
    conversation_id = uuid.uuid4()
    async with open_socket(shared_server, person, conversation_id) as socket:
        await socket.ready()
        await socket.send_and_wait("Add three tasks: tea, milk, bread")
        await socket.message("Delete all my tasks")
        approval_request = await socket.until(lambda frame: frame["type"] == "approval.requested")
        cookies = dict(part.split("=", 1) for part in person.cookie.split("; "))
        headers = {"Cookie": person.cookie, "X-CSRFToken": cookies["csrftoken"]}
        async with httpx.AsyncClient(base_url=shared_server.url, headers=headers) as client:
            assert (await client.delete(f"/api/chatkit/threads/{conversation_id}")).status_code == 204
        decided = await socket.until(lambda frame: frame["type"] == "approval.decided")
        stopped = await socket.until(lambda frame: frame["type"] == "turn.stopped")
        assert decided["turn_id"] == stopped["turn_id"] == approval_request["turn_id"]
