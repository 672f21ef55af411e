"""Users cannot reach the data of other users at any endpoint, with any of its ids."""

import asyncio
import contextlib
import re
import uuid
from dataclasses import dataclass, field, replace
from typing import Any

import httpx
import pytest

from config.tests.attack.clients import Browser, Person, new_person, new_token, open_socket
from config.tests.attack.marks import product_group
from config.tests.attack.product import Product

pytestmark = product_group

PARAMETER = re.compile(r"\{(\w+)\}")
METHODS = ("get", "post", "put", "patch", "delete")
MCP = {"Accept": "application/json, text/event-stream", "Content-Type": "application/json"}
# Status codes that do not reveal whether the object exists.
DENIED = (401, 403, 404, 405, 422)


@dataclass
class Belongings:
    """A user with a conversation, a task, a token and a turn that waits for an approval, and the ids of all these."""

    owner: Person
    ids: dict[str, str] = field(default_factory=dict)
    before: list[Any] = field(default_factory=list)

    def rows(self) -> list[Any]:
        """Return all rows of the owner, to detect changes."""
        return [self.owner.product.database.query(query, self.owner.id) for query in ROWS_OF_OWNER]


ROWS_OF_OWNER = [
    "SELECT * FROM chat_conversation WHERE user_id = %s ORDER BY id",
    "SELECT m.* FROM chat_message m JOIN chat_conversation c ON c.id = conversation_id WHERE user_id = %s ORDER BY 1",
    "SELECT * FROM chat_task WHERE user_id = %s ORDER BY id",
    "SELECT * FROM chat_turn WHERE user_id = %s ORDER BY id",
    "SELECT id, revoked_at FROM chat_apitoken WHERE user_id = %s ORDER BY id",
]


@pytest.fixture(scope="module")
def belongings(product: Product) -> Belongings:
    return asyncio.run(_create_belongings(new_person(product, "owner")))


async def _create_belongings(owner: Person) -> Belongings:
    thread = owner.new_thread()
    async with open_socket(owner, thread) as socket:
        for title in ("buy rhubarb", "water the rhubarb"):
            await socket.reply(f"Add a task to {title}")
        accepted = await socket.accepted(await socket.message("Delete all my tasks"))
        requested = await socket.until(lambda frame: frame["type"] == "approval.requested")
    with owner.program() as program:
        task = program.get("/api/tasks").json()["items"][0]
        changed = program.patch(f"/api/tasks/{task['task_id']}", json={"priority": "high"})
    token_id, _ = new_token(owner.browser, "chat")
    ids = {
        "thread_id": thread,
        "turn_id": accepted["turn"]["id"],
        "message_id": accepted["message"]["id"],
        "call_id": requested["call_id"],
        "task_id": task["task_id"],
        "token_id": token_id,
        "change_id": changed.headers["Task-Change"],
        "session_id": f"user_{owner.id}_conv_{thread}",
        "run_id": str(uuid.uuid4()),
        "number": str(task["number"]),
    }
    belongings = Belongings(owner, ids)
    belongings.before = belongings.rows()
    return belongings


@pytest.fixture(autouse=True)
def data_is_unchanged(belongings: Belongings) -> Any:
    """Check after each attack that the owner's data is unchanged."""
    yield
    assert belongings.rows() == belongings.before


def operations(program: httpx.Client) -> list[tuple[str, str]]:
    """Return the method and path of every operation that the API describes."""
    paths = program.get("/api/openapi.json").raise_for_status().json()["paths"]
    return [(method, path) for path, item in paths.items() for method in METHODS if method in item]


BODIES: list[dict[str, Any]] = [
    {},
    {"text": "Hello", "title": "x", "approve": True, "reason": "x", "name": "x", "scopes": ["chat"]},
]


def test_api_response_for_foreign_id_equals_that_for_unknown_id(belongings: Belongings, person: Person) -> None:
    with person.program() as program:
        for method, path in operations(program):
            names = PARAMETER.findall(path)
            if not names:
                continue
            url = PARAMETER.sub(lambda match: belongings.ids[match[1]], path)
            for body in BODIES:
                response = program.request(method, url, json=None if method == "get" else body)
                assert response.status_code in DENIED, (method, path, response.status_code)
                assert "rhubarb" not in response.text
                # The same response as for an id that does not exist.
                other = PARAMETER.sub(lambda match: _unknown_id(belongings.ids[match[1]]), path)
                unknown = program.request(method, other, json=None if method == "get" else body)
                assert (unknown.status_code, unknown.text) == (response.status_code, response.text), (method, path)


def _unknown_id(known: str) -> str:
    return re.sub(r"[0-9a-f]{8}-[0-9a-f-]{27}", lambda _: str(uuid.uuid4()), known)


def test_own_thread_does_not_give_access_to_foreign_turn_or_message(belongings: Belongings, person: Person) -> None:
    """The path has a thread of the user, and a turn, message or call of another user."""
    ids = belongings.ids | {"thread_id": person.new_thread()}
    with person.program() as program:
        for method, path in operations(program):
            if len(PARAMETER.findall(path)) < 2:
                continue
            url = PARAMETER.sub(lambda match: ids[match[1]], path)
            for body in BODIES:
                response = program.request(method, url, json=None if method == "get" else body)
                assert response.status_code in DENIED, (method, path, response.status_code)


def test_page_with_foreign_id_returns_404(belongings: Belongings, person: Person) -> None:
    ids, browser = belongings.ids, person.browser
    thread, turn = ids["thread_id"], ids["turn_id"]
    for path in [f"/c/{thread}/state/", f"/c/{thread}/versions/{turn}/", f"/trash/{thread}/"]:
        response = browser.get(path)
        assert response.status_code == 404, (path, response.status_code)
    # The page does not reveal whether the chat exists.
    response = browser.get(f"/c/{thread}/")
    assert response.status_code == 404
    assert response.text == browser.get(f"/c/{uuid.uuid4()}/").text
    token = browser.cookies["csrftoken"]
    headers = {"Referer": str(browser.base_url)}
    for verb in ("pin", "unpin", "archive", "unarchive", "trash", "restore", "keep", "purge"):
        data = {"csrfmiddlewaretoken": token, "do": verb}
        assert browser.post(f"/c/{thread}/shelf/", data=data, headers=headers).status_code == 404, verb
    data = {"csrfmiddlewaretoken": token}
    assert browser.post(f"/settings/tokens/{ids['token_id']}/revoke/", data=data, headers=headers).status_code == 404


def test_chatkit_request_with_foreign_id_is_refused(belongings: Belongings, person: Person) -> None:
    ids = belongings.ids
    thread = {"thread_id": ids["thread_id"]}
    message = {"content": [{"type": "input_text", "text": "Hello"}], "attachments": [], "inference_options": {}}
    action = {
        "type": "approval.decide",
        "payload": {"turn_id": ids["turn_id"], "call_id": ids["call_id"], "approve": True},
    }
    requests: list[tuple[str, dict[str, Any]]] = [
        ("threads.get_by_id", thread),
        ("threads.delete", thread),
        ("threads.update", thread | {"title": "x"}),
        ("items.list", thread | {"limit": 20, "order": "asc"}),
        ("threads.add_user_message", thread | {"input": message}),
        ("threads.retry_after_item", thread | {"item_id": ids["message_id"]}),
        ("threads.custom_action", thread | {"item_id": f"{ids['turn_id']}:{ids['call_id']}", "action": action}),
        ("threads.custom_action", thread | {"action": {"type": "turn.stop", "payload": {}}}),
        ("items.feedback", thread | {"item_ids": [ids["message_id"]], "kind": "positive"}),
    ]
    for kind, params in requests:
        with person.program() as program:
            response = program.post("/api/chatkit", json={"type": kind, "params": params})
            assert response.status_code == 404 or response.status_code == 400, (
                kind,
                response.status_code,
                response.text,
            )
            assert "rhubarb" not in response.text
        own = {**params, "thread_id": person.new_thread()}
        with person.program() as program:
            response = program.post("/api/chatkit", json={"type": kind, "params": own})
            assert response.status_code < 500, (kind, response.status_code)
            assert "rhubarb" not in response.text


def call(program: httpx.Client, tool: str, arguments: dict[str, Any]) -> httpx.Response:
    """Call a tool of the MCP server."""
    params = {"name": tool, "arguments": arguments}
    return program.post("/mcp", json={"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params}, headers=MCP)


# Tokens.


def test_token_gives_access_only_within_its_scopes(person: Person) -> None:
    tokens = {scope: new_token(person.browser, scope)[1] for scope in ("chat", "tasks")}
    staff_scopes = {"name": "Program", "scopes": ["chat", "sessions"]}
    assert person.browser.request_api("POST", "/api/auth/tokens", json=staff_scopes).status_code == 400
    path_by_scope = {"chat": "/api/chatkit/threads", "tasks": "/api/tasks"}
    paths = [*path_by_scope.values(), "/api/search?q=x", "/api/auth/tokens", "/api/sessions"]
    for scope, key in tokens.items():
        with Browser(person.product, headers={"Authorization": f"Bearer {key}"} | MCP) as program:
            for path in paths:
                allowed = path == path_by_scope.get(scope) or (scope == "chat" and "search" in path)
                assert program.get(path).status_code == (200 if allowed else 403), (scope, path)
            # A scope grants no permission that the user lacks.
            assert program.post("/api/cleanup-runs", json={"dry_run": True}).status_code == 403
            assert program.post("/api/auth/tokens", json={"name": "y", "scopes": ["tasks"]}).status_code == 403
            assert call(program, "list_tasks", {}).status_code == (200 if scope == "tasks" else 403)
    key = tokens["chat"]
    for bad in ["", "Bearer", f"bearer  {key} x", f"Basic {key}", "Bearer tk_" + "a" * 9_000]:
        with Browser(person.product) as program:
            assert program.get("/api/tasks", headers={"Authorization": bad}).status_code == 401, bad[:40]


async def test_revoking_token_closes_its_sockets_and_streams(person: Person) -> None:
    thread = await asyncio.to_thread(person.new_thread)
    async with open_socket(person, thread) as socket:
        await socket.reply("Add a task to buy milk")
        await socket.reply("Add a task to buy bread")
        turn = (await socket.accepted(await socket.message("Delete all my tasks")))["turn"]["id"]
        await socket.until(lambda frame: frame["type"] == "approval.requested")
    token_id, token = new_token(person.browser, "chat")
    own = replace(person, token=token)
    events = f"/api/chatkit/threads/{thread}/turns/{turn}/events"
    async with open_socket(own, thread, origin=None, bearer=True) as socket, own.many_programs() as program:
        await socket.ready()
        async with program.stream("GET", events, headers={"Last-Event-ID": "1-1000"}) as stream:
            assert stream.status_code == 200
            person.browser.request_api("DELETE", f"/api/auth/tokens/{token_id}").raise_for_status()
            assert await socket.closed(within=15) == 4401
            async with asyncio.timeout(30):
                with contextlib.suppress(httpx.TransportError):
                    await stream.aread()
