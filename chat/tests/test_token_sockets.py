"""A program's websocket: opened with a token, ended with it."""

import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
import pytest

from chat.tests.api import shown
from chat.tests.live import LiveSocket, Person, open_socket, sign_in
from config.tests.support import ServerProcess

pytestmark = pytest.mark.service


@pytest.fixture(scope="module")
def person(shared_server: ServerProcess) -> Person:
    return sign_in(shared_server, "program")


def call(server: ServerProcess, person: Person, method: str, path: str, body: object = None) -> httpx.Response:
    """Call the API with the person's login, as a page would."""
    cookies = dict(part.split("=", 1) for part in person.cookie.split("; "))
    headers = {"Cookie": person.cookie, "X-CSRFToken": cookies["csrftoken"]}
    return httpx.request(method, f"{server.url}/api/auth/{path}", json=body, headers=headers, timeout=30)


def make_token(server: ServerProcess, person: Person, *scopes: str) -> tuple[str, str]:
    """Make a token; return its id and its key."""
    made = call(server, person, "POST", "tokens", {"name": "program", "scopes": scopes or ["chat"]})
    assert made.status_code == 201, made.text
    return made.json()["token_id"], made.json()["access_token"]


@asynccontextmanager
async def program(
    server: ServerProcess, key: str, conversation_id: uuid.UUID | None = None, *, beside: Person | None = None
) -> AsyncIterator[LiveSocket]:
    """Open the websocket of a conversation as a program does: with a token, and from no page."""
    headers = shown(key)
    async with open_socket(server, beside, conversation_id or uuid.uuid4(), origin=None, headers=headers) as socket:
        yield socket


async def test_a_program_talks_with_a_token_and_from_no_page(shared_server: ServerProcess, person: Person) -> None:
    _, key = make_token(shared_server, person)
    async with program(shared_server, key) as socket:
        await socket.ready()
        assert await socket.reply("Add a task to water the plants")
    theirs = shared_server.database.query("SELECT title FROM chat_task WHERE user_id = %s", person.id)
    assert theirs == [("Water the plants",)]


async def test_somebody_elses_conversation_is_not_opened_by_a_token(
    shared_server: ServerProcess, person: Person
) -> None:
    conversation_id = uuid.uuid4()
    async with open_socket(shared_server, person, conversation_id) as socket:
        await socket.say("Add a task to buy milk")
    _, key = make_token(shared_server, sign_in(shared_server, "outsider"))
    # Nor by the owner's cookie beside it.
    async with program(shared_server, key, conversation_id, beside=person) as socket:
        assert await socket.closed() == 4404


@pytest.mark.parametrize(("key", "code"), [("tk_never_given_out", 4401), ("", 4401), ("tasks", 4403)])
async def test_a_token_that_is_not_good_for_it_opens_nothing(
    shared_server: ServerProcess, person: Person, key: str, code: int
) -> None:
    if key == "tasks":
        _, key = make_token(shared_server, person, "tasks")
    async with program(shared_server, key, beside=person) as socket:
        assert await socket.closed() == code
        assert socket.frames == []


async def test_a_revoked_token_ends_its_sockets_at_once_and_no_others(
    shared_server: ServerProcess, person: Person
) -> None:
    token_id, key = make_token(shared_server, person)
    _, other = make_token(shared_server, person)
    async with (
        program(shared_server, key) as ended,
        program(shared_server, other) as stays,
        open_socket(shared_server, person, uuid.uuid4()) as page,
    ):
        for socket in (ended, stays, page):
            await socket.ready()
        assert call(shared_server, person, "DELETE", f"tokens/{token_id}").status_code == 204
        assert await ended.closed() == 4401
        for socket in (stays, page):
            await socket.pong()


async def test_a_token_that_ended_anywhere_ends_a_socket_that_only_listens(
    shared_server: ServerProcess, person: Person
) -> None:
    token_id, key = make_token(shared_server, person)
    async with program(shared_server, key) as socket:
        await socket.ready()
        shared_server.database.query("DELETE FROM chat_apitoken WHERE id = %s", token_id)
        assert await socket.closed() == 4401


async def test_a_token_that_ended_accepts_nothing_more(shared_server: ServerProcess, person: Person) -> None:
    token_id, key = make_token(shared_server, person)
    conversation_id = uuid.uuid4()
    async with program(shared_server, key, conversation_id) as socket:
        await socket.ready()
        shared_server.database.query("UPDATE chat_apitoken SET expires_at = now() WHERE id = %s", token_id)
        await socket.message("Add a task to buy milk")
        assert await socket.closed() == 4401
    found = shared_server.database.query("SELECT 1 FROM chat_conversation WHERE id = %s", conversation_id)
    assert found == []
