"""Streams of a real server: cut, resumed after a kill, ended by a shutdown, never read."""

import asyncio
import socket as socket_module
import uuid
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

import httpx
import psutil
import pytest

from chat.models.token import hash_of
from chat.tests.live import ScriptedServer, endpoint
from chat.tests.model_server import ModelServer, text_reply
from chat.tests.streams import Reader
from config.tests.support import LiveDatabase, ServerProcess

__all__ = ["endpoint"]

pytestmark = pytest.mark.service
SECONDS = 60


@dataclass
class ApiClient:
    """A client of the API, with a thread of its own."""

    server: ServerProcess
    key: str
    thread_id: str = ""

    @asynccontextmanager
    async def stream(
        self, method: str, path: str, body: object = None, last: str = ""
    ) -> AsyncIterator[AsyncIterator[bytes]]:
        """Open a stream; leaving the block cuts it."""
        headers = {"Authorization": f"Bearer {self.key}"} | ({"Last-Event-ID": last} if last else {})
        url = f"{self.server.url}/api/chatkit/threads/{self.thread_id}{path}"
        async with (
            asyncio.timeout(SECONDS),
            httpx.AsyncClient(timeout=SECONDS) as client,
            client.stream(method, url, json=body, headers=headers) as response,
        ):
            assert response.status_code == 200, await response.aread()
            yield response.aiter_raw()

    async def send_message(self, text: str, reader: Reader) -> None:
        """Send a message and read its stream to the end."""
        async with self.stream("POST", "/messages", {"text": text}) as parts:
            async for part in parts:
                reader.feed(part)

    async def follow(self, turn_id: str, reader: Reader) -> None:
        """Read a turn's stream from the reader's last event to the end."""
        async with self.stream("GET", f"/turns/{turn_id}/events", last=reader.last_id) as parts:
            async for part in parts:
                reader.feed(part)


def api_client_of(server: ServerProcess) -> ApiClient:
    """Create a user, a token and a thread."""
    key = f"tk_{uuid.uuid4().hex}"
    user_id = server.database.add_user(f"{uuid.uuid4().hex}@example.com")
    give_token(server.database, user_id, key)
    api = ApiClient(server, key)
    created = httpx.post(
        f"{server.url}/api/chatkit/threads", json={}, headers={"Authorization": f"Bearer {key}"}, timeout=SECONDS
    )
    api.thread_id = created.json()["thread_id"]
    return api


def give_token(database: LiveDatabase, user_id: uuid.UUID, key: str) -> None:
    database.query(
        "INSERT INTO chat_apitoken (id, user_id, name, scopes, hash, beginning, signed_in_by, created_at)"
        " VALUES (%s, %s, 'test', '{chat}', %s, 'tk_', '', now())",
        uuid.uuid4(),
        user_id,
        hash_of(key),
    )


async def first_turn_id(reader: Reader) -> str:
    """Wait for the first event; return the turn's id."""
    async with asyncio.timeout(SECONDS):
        while not reader.events:
            await asyncio.sleep(0.01)
    return str(reader.events[0].data["turn_id"])


@pytest.mark.long
async def test_stream_resumes_after_the_server_is_killed(
    scripted_server: ScriptedServer, live_database: LiveDatabase, tmp_path: object
) -> None:
    variables = scripted_server.server.variables
    async with ModelServer(port=0) as endpoint:
        model = {"OPENAI_BASE_URL": endpoint.url, "AGENT_GUARDRAIL": variables["AGENT_GUARDRAIL"]}
        server = ServerProcess(live_database, tmp_path, **model)  # type: ignore[arg-type]
        try:
            endpoint.play(text_reply("Half of ", "it", ", and the rest."), text_reply("All ", "anew."))
            endpoint.pause()
            api, reader = api_client_of(server), Reader()
            sending = asyncio.create_task(api.send_message("hi", reader))
            endpoint.release(2)
            turn_id = await first_turn_id(reader)
            async with asyncio.timeout(SECONDS):
                while reader.text != "Half of it":
                    await asyncio.sleep(0.01)
            server.kill9()
            with pytest.raises(httpx.TransportError):
                await sending
            reader.cut()
            assert not reader.ended
            endpoint.release()
            await asyncio.to_thread(server.restart)
            await api.follow(turn_id, reader)
        finally:
            server.kill9()
    assert reader.ended and reader.text == "All anew."
    assert reader.events[-1].data["status"] == "done"


async def test_server_shutdown_ends_streams_cleanly(
    scripted_server: ScriptedServer, live_database: LiveDatabase, tmp_path: object
) -> None:
    async with ModelServer(port=0) as endpoint:
        model = {"OPENAI_BASE_URL": endpoint.url, "AGENT_GUARDRAIL": "off"}
        server = ServerProcess(live_database, tmp_path, **model)  # type: ignore[arg-type]
        try:
            endpoint.play(text_reply("so far", "."))
            endpoint.pause()
            api, reader = api_client_of(server), Reader()
            sending = asyncio.create_task(api.send_message("hi", reader))
            endpoint.release(1)
            await first_turn_id(reader)
            assert await asyncio.to_thread(server.terminate) == 0
            await sending  # raises unless the response is complete
            assert not reader.ended
            assert "Traceback" not in server.output and "never retrieved" not in server.output
        finally:
            server.kill9()


@asynccontextmanager
async def unread_stream(api: ApiClient, turn_id: str) -> AsyncIterator[None]:
    """Open a stream with a small receive buffer and never read it."""
    client_socket = socket_module.socket()
    client_socket.setsockopt(socket_module.SOL_SOCKET, socket_module.SO_RCVBUF, 4096)
    client_socket.setblocking(False)
    loop = asyncio.get_running_loop()
    try:
        await loop.sock_connect(client_socket, ("127.0.0.1", api.server.port))
        request = (
            f"GET /api/chatkit/threads/{api.thread_id}/turns/{turn_id}/events HTTP/1.1\r\nHost: localhost\r\n"
            f"Authorization: Bearer {api.key}\r\n\r\n"
        )
        await loop.sock_sendall(client_socket, request.encode())
        yield
    finally:
        client_socket.close()


@pytest.mark.long
async def test_unread_streams_do_not_grow_the_server(scripted_server: ScriptedServer, endpoint: ModelServer) -> None:
    chunks = ["plain text " * 400] * 600
    endpoint.play(text_reply(*chunks))
    api, reader = api_client_of(scripted_server.server), Reader()
    await api.send_message("tell me everything", reader)
    assert reader.text == "".join(chunks)
    turn_id = str(reader.events[0].data["turn_id"])
    for _ in range(2):  # so that the memory of a repeated read is already allocated
        await api.follow(turn_id, Reader())
    server = psutil.Process(scripted_server.server.process.pid)
    before = server.memory_info().rss
    async with AsyncExitStack() as stack:
        for _ in range(15):
            await stack.enter_async_context(unread_stream(api, turn_id))
        for _ in range(3):  # time for the server to send to the unread streams
            await api.follow(turn_id, Reader())
        growth = server.memory_info().rss - before
    unread = 15 * len(reader.text)
    assert unread > 36 * 2**20
    assert growth < 12 * 2**20, f"{growth / 2**20:.1f} MiB growth, {unread / 2**20:.0f} MiB unread"
