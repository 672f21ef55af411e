"""The limit of sockets and streams per user, with many opened at once, and after every kind of end."""

import asyncio
import gc
import uuid
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import httpx
import pytest
from django.conf import LazySettings

from chat.api.streams import OpenStream
from chat.exceptions import RateLimited
from chat.models import User
from chat.realtime.connections import Connections, Credential
from chat.tests.live import ScriptedServer, endpoint, open_socket, sign_in
from chat.tests.model_server import ModelServer, text_reply
from chat.tests.test_api_streams_live import ApiClient, api_client_of

__all__ = ["endpoint"]

LIMIT, AT_ONCE = 20, 60
MESSAGE = {"content": [{"type": "input_text", "text": "hi"}], "attachments": [], "inference_options": {}}


class Streams:
    """An API client that opens streams and keeps them open."""

    def __init__(self, api: ApiClient, client: httpx.AsyncClient) -> None:
        self.client = client
        self.thread = f"/api/chatkit/threads/{api.thread_id}"
        self.open: list[httpx.Response] = []

    async def open_one(self, path: str, body: object = None) -> int:
        """Open a stream; return the status."""
        request = self.client.build_request("POST" if body else "GET", path, json=body)
        response = await self.client.send(request, stream=True)
        self.open.append(response)
        return response.status_code

    async def open_many(self, path: str, body: object = None) -> Counter[int]:
        """Open many streams at once; return how often each status came."""
        return Counter(await asyncio.gather(*[self.open_one(path, body) for _ in range(AT_ONCE)]))

    async def begin(self) -> str:
        """Send a message; return the URL of its turn's events."""
        async with self.client.stream("POST", f"{self.thread}/messages", json={"text": "hi"}) as response:
            return str(response.headers["Content-Location"])

    async def close(self) -> None:
        """Close all streams."""
        await asyncio.gather(*[response.aclose() for response in self.open])
        self.open.clear()


@pytest.fixture
async def streams(scripted_server: ScriptedServer, endpoint: ModelServer) -> AsyncIterator[Streams]:
    """An API client of a server whose model has not answered yet."""
    endpoint.play(*[text_reply("so far", ".")] * 50)
    endpoint.pause()
    api = api_client_of(scripted_server.server)
    headers = {"Authorization": f"Bearer {api.key}"}
    limits = httpx.Limits(max_connections=None, max_keepalive_connections=0)
    async with httpx.AsyncClient(base_url=api.server.url, headers=headers, limits=limits, timeout=60) as client:
        streams_of_client = Streams(api, client)
        yield streams_of_client
        endpoint.release()
        await streams_of_client.close()


@pytest.mark.service
async def test_concurrent_messages_open_streams_up_to_the_limit(streams: Streams) -> None:
    assert await streams.open_many(f"{streams.thread}/messages", {"text": "hi"}) == {200: LIMIT, 429: AT_ONCE - LIMIT}


@pytest.mark.service
async def test_concurrent_chatkit_threads_open_streams_up_to_the_limit(streams: Streams) -> None:
    create_thread = {"type": "threads.create", "params": {"input": MESSAGE}}
    assert await streams.open_many("/api/chatkit", create_thread) == {200: LIMIT, 429: AT_ONCE - LIMIT}


@pytest.mark.service
async def test_streams_release_their_slots_however_they_end(streams: Streams) -> None:
    events = await streams.begin()
    for _ in range(2):
        assert await streams.open_many(events) == {200: LIMIT, 429: AT_ONCE - LIMIT}
        await streams.close()
        # Clients that disconnect before the response.
        for delay in range(40):
            opening = asyncio.create_task(streams.open_one(events))
            await asyncio.sleep(delay / 2_000)
            opening.cancel()
        await streams.close()
        async with asyncio.timeout(20):
            while await streams.open_one(events) != 200 or len(streams.open) < LIMIT:
                streams.open = [response for response in streams.open if response.status_code == 200]
                await asyncio.sleep(0.01)
        assert await streams.open_one(events) == 429
        await streams.close()
        async with asyncio.timeout(20):
            while await streams.open_one(events) != 200:
                await asyncio.sleep(0.01)
        await streams.close()


@pytest.mark.service
async def test_concurrent_sockets_are_opened_up_to_the_limit(scripted_server: ScriptedServer) -> None:
    person = sign_in(scripted_server.server)
    async with AsyncExitStack() as stack:

        async def is_open() -> bool:
            socket = await stack.enter_async_context(open_socket(scripted_server.server, person, uuid.uuid4()))
            outcomes = [asyncio.create_task(socket.ready()), asyncio.create_task(socket.closed())]
            await asyncio.wait(outcomes, return_when=asyncio.FIRST_COMPLETED)
            for outcome in outcomes:
                outcome.cancel()
            await asyncio.gather(*outcomes, return_exceptions=True)
            assert socket.code in (None, 4429)
            return socket.code is None

        results = await asyncio.gather(*[is_open() for _ in range(AT_ONCE)])
    assert results.count(True) == LIMIT


# In this process.


class FakeConnection:
    """A connection whose login never ends."""

    async def login_ended(self) -> None: ...


def credential(user: User) -> Credential:
    return Credential(user, "cookie", None)


def test_slot_is_released_once(settings: LazySettings) -> None:
    settings.SOCKETS_PER_USER = 2
    connections: Connections[FakeConnection] = Connections("sockets")
    first_user, other_user = User(email="1"), User(email="2")
    first, second = connections.reserve(credential(first_user)), connections.reserve(credential(first_user))
    with pytest.raises(RateLimited):
        connections.reserve(credential(first_user))
    connections.reserve(credential(other_user))
    first.release()
    first.release()
    connections.reserve(credential(first_user))
    with pytest.raises(RateLimited):
        connections.reserve(credential(first_user))
    connections.reserve(credential(first_user), spare=1)
    second.release()


async def test_slot_is_released_when_opening_fails(settings: LazySettings) -> None:
    settings.SOCKETS_PER_USER = 1
    connections: Connections[FakeConnection] = Connections("sockets")
    first_user = User(email="1")
    for _ in range(2):
        with pytest.raises(KeyError):
            async with connections.reserved(credential(first_user)):
                raise KeyError


async def test_unread_stream_releases_its_slot(settings: LazySettings) -> None:
    settings.SOCKETS_PER_USER = 1
    streams: Connections[OpenStream] = Connections("streams")
    first_user = User(email="1")

    async def parts() -> AsyncIterator[bytes]:
        yield b""

    for end in ("closed", "dropped"):
        stream = OpenStream(streams.reserve(credential(first_user)), parts())  # type: ignore[arg-type]
        if end == "closed":
            stream.close()
        del stream
        gc.collect()
    assert streams.reserve(credential(first_user))
