"""A program's websocket is opened with an API token and closed when the token ends."""

import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
import pytest

from chat.tests.api import auth_header
from chat.tests.live import LiveSocket, Person, open_socket, sign_in
from config.tests.support import ServerProcess

pytestmark = pytest.mark.service


@pytest.fixture(scope="module")
def person(shared_server: ServerProcess) -> Person:
    return sign_in(shared_server, "program")


def call(server: ServerProcess, person: Person, method: str, path: str, body: object = None) -> httpx.Response:
    """Call the API with the user's login session, as a page does."""
    cookies = dict(part.split("=", 1) for part in person.cookie.split("; "))
    headers = {"Cookie": person.cookie, "X-CSRFToken": cookies["csrftoken"]}
    return httpx.request(method, f"{server.url}/api/auth/{path}", json=body, headers=headers, timeout=30)


def make_token(server: ServerProcess, person: Person, *scopes: str) -> tuple[str, str]:
    """Create a token; return its id and its key."""
    response = call(server, person, "POST", "tokens", {"name": "program", "scopes": scopes or ["chat"]})
    assert response.status_code == 201, response.text
    return response.json()["token_id"], response.json()["access_token"]


@asynccontextmanager
async def program(
    server: ServerProcess, key: str, conversation_id: uuid.UUID | None = None, *, signed_in: Person | None = None
) -> AsyncIterator[LiveSocket]:
    """Open the websocket of a conversation as a program does: with a token, and without an origin."""
    headers = auth_header(key)
    async with open_socket(server, signed_in, conversation_id or uuid.uuid4(), origin=None, headers=headers) as socket:
        yield socket


async def test_program_with_a_token_needs_no_origin(shared_server: ServerProcess, person: Person) -> None:
    _, key = make_token(shared_server, person)
    async with program(shared_server, key) as socket:
        await socket.ready()
        assert await socket.reply("Add a task to water the plants")
    tasks = shared_server.database.query("SELECT title FROM chat_task WHERE user_id = %s", person.id)
    assert tasks == [("Water the plants",)]


async def test_token_does_not_open_a_conversation_of_another_user(shared_server: ServerProcess, person: Person) -> None:
    conversation_id = uuid.uuid4()
    async with open_socket(shared_server, person, conversation_id) as socket:
        await socket.send_and_wait("Add a task to buy milk")
    _, key = make_token(shared_server, sign_in(shared_server, "outsider"))
    # The owner's cookie in the same request does not open it either.
    async with program(shared_server, key, conversation_id, signed_in=person) as socket:
        assert await socket.closed() == 4404


@pytest.mark.parametrize(("key", "code"), [("tk_never_given_out", 4401), ("", 4401), ("tasks", 4403)])
async def test_invalid_token_or_missing_scope_closes_the_socket(
    shared_server: ServerProcess, person: Person, key: str, code: int
) -> None:
    if key == "tasks":
        _, key = make_token(shared_server, person, "tasks")
    async with program(shared_server, key, signed_in=person) as socket:
        assert await socket.closed() == code
        assert socket.frames == []


async def test_revoking_a_token_closes_its_sockets_and_no_others(shared_server: ServerProcess, person: Person) -> None:
    token_id, key = make_token(shared_server, person)
    _, other = make_token(shared_server, person)
    async with (
        program(shared_server, key) as revoked,
        program(shared_server, other) as kept,
        open_socket(shared_server, person, uuid.uuid4()) as page,
    ):
        for socket in (revoked, kept, page):
            await socket.ready()
        assert call(shared_server, person, "DELETE", f"tokens/{token_id}").status_code == 204
        assert await revoked.closed() == 4401
        for socket in (kept, page):
            await socket.pong()


async def test_deleted_token_closes_an_idle_socket(shared_server: ServerProcess, person: Person) -> None:
    token_id, key = make_token(shared_server, person)
    async with program(shared_server, key) as socket:
        await socket.ready()
        shared_server.database.query("DELETE FROM chat_apitoken WHERE id = %s", token_id)
        assert await socket.closed() == 4401


async def test_expired_token_stores_no_message(shared_server: ServerProcess, person: Person) -> None:
    token_id, key = make_token(shared_server, person)
    conversation_id = uuid.uuid4()
    async with program(shared_server, key, conversation_id) as socket:
        await socket.ready()
        shared_server.database.query("UPDATE chat_apitoken SET expires_at = now() WHERE id = %s", token_id)
        await socket.message("Add a task to buy milk")
        assert await socket.closed() == 4401
    found = shared_server.database.query("SELECT 1 FROM chat_conversation WHERE id = %s", conversation_id)
    assert found == []
