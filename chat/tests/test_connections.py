"""A user has only so many sockets and streams, however many are opened at once and however they end."""

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
from chat.tests.model_server import ModelServer, says
from chat.tests.test_api_streams_live import Program, program_at

__all__ = ["endpoint"]

LIMIT, AT_ONCE = 20, 60
SAID = {"content": [{"type": "input_text", "text": "hi"}], "attachments": [], "inference_options": {}}


class Streams:
    """A program that opens streams and keeps them open."""

    def __init__(self, program: Program, client: httpx.AsyncClient) -> None:
        self.client = client
        self.thread = f"/api/chatkit/threads/{program.thread_id}"
        self.open: list[httpx.Response] = []

    async def ask(self, path: str, body: object = None) -> int:
        """Open a stream; return the status."""
        request = self.client.build_request("POST" if body else "GET", path, json=body)
        answer = await self.client.send(request, stream=True)
        self.open.append(answer)
        return answer.status_code

    async def at_once(self, path: str, body: object = None) -> Counter[int]:
        """Ask for many streams at once."""
        return Counter(await asyncio.gather(*[self.ask(path, body) for _ in range(AT_ONCE)]))

    async def begin(self) -> str:
        """Say something; return where its turn is followed."""
        async with self.client.stream("POST", f"{self.thread}/messages", json={"text": "hi"}) as answer:
            return str(answer.headers["Content-Location"])

    async def close(self) -> None:
        """Go away."""
        await asyncio.gather(*[answer.aclose() for answer in self.open])
        self.open.clear()


@pytest.fixture
async def streams(scripted_server: ScriptedServer, endpoint: ModelServer) -> AsyncIterator[Streams]:
    """A program at a server whose model says nothing yet."""
    endpoint.play(*[says("so far", ".")] * 50)
    endpoint.hold()
    program = program_at(scripted_server.server)
    headers = {"Authorization": f"Bearer {program.key}"}
    limits = httpx.Limits(max_connections=None, max_keepalive_connections=0)
    async with httpx.AsyncClient(base_url=program.server.url, headers=headers, limits=limits, timeout=60) as client:
        opened = Streams(program, client)
        yield opened
        endpoint.release()
        await opened.close()


@pytest.mark.service
async def test_60_messages_sent_at_once_open_no_more_streams_than_allowed(streams: Streams) -> None:
    assert await streams.at_once(f"{streams.thread}/messages", {"text": "hi"}) == {200: LIMIT, 429: AT_ONCE - LIMIT}


@pytest.mark.service
async def test_60_chatkit_threads_begun_at_once_open_no_more_streams_than_allowed(streams: Streams) -> None:
    asked = {"type": "threads.create", "params": {"input": SAID}}
    assert await streams.at_once("/api/chatkit", asked) == {200: LIMIT, 429: AT_ONCE - LIMIT}


@pytest.mark.service
async def test_places_come_back_however_streams_end(streams: Streams) -> None:
    events = await streams.begin()
    for _ in range(2):
        assert await streams.at_once(events) == {200: LIMIT, 429: AT_ONCE - LIMIT}
        await streams.close()
        # Clients that are gone before there is an answer.
        for patience in range(40):
            asking = asyncio.create_task(streams.ask(events))
            await asyncio.sleep(patience / 2_000)
            asking.cancel()
        await streams.close()
        async with asyncio.timeout(20):
            while await streams.ask(events) != 200 or len(streams.open) < LIMIT:
                streams.open = [answer for answer in streams.open if answer.status_code == 200]
                await asyncio.sleep(0.01)
        assert await streams.ask(events) == 429
        await streams.close()
        async with asyncio.timeout(20):
            while await streams.ask(events) != 200:
                await asyncio.sleep(0.01)
        await streams.close()


@pytest.mark.service
async def test_60_sockets_opened_at_once(scripted_server: ScriptedServer) -> None:
    person = sign_in(scripted_server.server)
    async with AsyncExitStack() as stack:

        async def is_open() -> bool:
            socket = await stack.enter_async_context(open_socket(scripted_server.server, person, uuid.uuid4()))
            ways = [asyncio.create_task(socket.ready()), asyncio.create_task(socket.closed())]
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
            for way in ways:
                way.cancel()
            await asyncio.gather(*ways, return_exceptions=True)
            assert socket.code in (None, 4429)
            return socket.code is None

        answers = await asyncio.gather(*[is_open() for _ in range(AT_ONCE)])
    assert answers.count(True) == LIMIT


# In this process.


class Line:
    """A connection."""

    async def login_ended(self) -> None: ...


def credential(user: User) -> Credential:
    return Credential(user, "cookie", None)


def test_a_place_is_released_once(settings: LazySettings) -> None:
    settings.SOCKETS_PER_USER = 2
    lines: Connections[Line] = Connections("sockets")
    one, two = User(email="1"), User(email="2")
    first, second = lines.reserve(credential(one)), lines.reserve(credential(one))
    with pytest.raises(RateLimited):
        lines.reserve(credential(one))
    lines.reserve(credential(two))
    first.release()
    first.release()
    lines.reserve(credential(one))
    with pytest.raises(RateLimited):
        lines.reserve(credential(one))
    lines.reserve(credential(one), spare=1)
    second.release()


async def test_a_place_is_released_where_no_connection_is_made(settings: LazySettings) -> None:
    settings.SOCKETS_PER_USER = 1
    lines: Connections[Line] = Connections("sockets")
    one = User(email="1")
    for _ in range(2):
        with pytest.raises(KeyError):
            async with lines.reserved(credential(one)):
                raise KeyError


async def test_a_stream_that_is_never_read_gives_its_place_back(settings: LazySettings) -> None:
    settings.SOCKETS_PER_USER = 1
    streams: Connections[OpenStream] = Connections("streams")
    one = User(email="1")

    async def parts() -> AsyncIterator[bytes]:
        yield b""

    for end in ("closed", "dropped"):
        stream = OpenStream(streams.reserve(credential(one)), parts())  # type: ignore[arg-type]
        if end == "closed":
            stream.close()
        del stream
        gc.collect()
    assert streams.reserve(credential(one))
