"""The official MCP client at a real server, with an open page of the same user."""

import asyncio
import uuid

import httpx
import pytest

from chat.models.token import hash_of
from chat.tests.api import auth_header
from chat.tests.live import Frame, Person, open_socket, sign_in
from chat.tests.mcp_client import MODES, mcp_client, tool_result
from config.tests.support import ServerProcess

pytestmark = pytest.mark.service


def token_of(server: ServerProcess, person: Person) -> dict[str, str]:
    """Create a token for a user of a server, and return its header."""
    key = f"tk_{uuid.uuid4().hex}"
    server.database.query(
        "INSERT INTO chat_apitoken (id, user_id, name, scopes, hash, beginning, signed_in_by, created_at)"
        " VALUES (%s, %s, 'test', '{tasks}', %s, %s, '', now())",
        uuid.uuid4(),
        person.id,
        hash_of(key),
        key[:8],
    )
    return auth_header(key)


def _open_tasks(frame: Frame) -> int | None:
    return frame["counts"]["open"] if frame["type"] == "tasks.changed" else None


def _numbers(frames: list[Frame]) -> set[int]:
    changes = (frame["tasks"] for frame in frames if frame["type"] == "tasks.changed")
    return {task["number"] for tasks in changes for task in tasks}


@pytest.mark.parametrize("mode", MODES)
async def test_changes_of_an_mcp_client_reach_the_page(shared_server: ServerProcess, mode: str) -> None:
    person = await asyncio.to_thread(sign_in, shared_server)
    key = await asyncio.to_thread(token_of, shared_server, person)
    async with open_socket(shared_server, person, uuid.uuid4()) as page:
        await page.ready()
        async with mcp_client(key, server=shared_server.url, mode=mode) as client, asyncio.timeout(120):
            assert len((await client.list_tools()).tools) == 7
            calls = await asyncio.gather(*(client.call_tool("create_task", {"title": f"Task {n}"}) for n in range(50)))
            assert sorted(tool_result(result)["task"]["number"] for result in calls) == list(range(1, 51))
            # A frame may count a task that only the next frame contains.
            await page.until(lambda _: _numbers(page.frames) == set(range(1, 51)), within=60)

            numbers, seen = {"numbers": list(range(1, 50))}, len(page.frames)
            pending = tool_result(await client.call_tool("delete_tasks", numbers))
            await client.call_tool("delete_tasks", {**numbers, "confirmation": pending["confirmation"]})
            last = tool_result(await client.call_tool("get_task", {"number": 50}))["task"]
            left = await page.until(lambda frame: _open_tasks(frame) == 1, after=seen, within=60)
            assert len(left["removed"]) == 49 and last["number"] == 50


async def test_unknown_host_name_is_refused(shared_server: ServerProcess) -> None:
    person = await asyncio.to_thread(sign_in, shared_server)
    key = await asyncio.to_thread(token_of, shared_server, person)
    async with httpx.AsyncClient(base_url=shared_server.url, headers=key, timeout=60) as http:
        call = {"jsonrpc": "2.0", "id": 1, "method": "tools/list"}
        assert (await http.post("/mcp", json=call, headers={"Host": "elsewhere.example"})).status_code == 421
        for path in ("/mcp", "/mcp/"):
            assert (await http.post(path, json=call)).status_code == 200
        assert (await http.post("/mcp", json=call, headers={"Authorization": ""})).status_code == 401
        assert (await http.post("/mcpx", json=call)).status_code == 404
