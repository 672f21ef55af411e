"""A client that does not read costs the server at most one window, and is closed after a while."""

import asyncio
import json
import socket as system_socket
import uuid
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import psutil
import pytest
from agents.testing import ScriptedModel, assistant_message
from django.test import Client
from websockets.asyncio.client import ClientConnection, connect
from websockets.typing import Origin

from chat.infra.db_threads import in_database
from chat.models import User
from chat.realtime import consumer, window
from chat.realtime.window import UNACKNOWLEDGED
from chat.tests.conftest import StartRunner
from chat.tests.live import Frame, LiveSocket, Person, ScriptedServer, check_log, endpoint, is_end, open_socket, sign_in
from chat.tests.model_server import ModelServer, text_reply
from chat.turns import process

__all__ = ["endpoint"]

PIECE = "A fairly long piece of text 🧵 " * 130
PIECES = 150
MEGABYTE = 2**20


def size_of(frames: list[Frame]) -> int:
    """Return the total size in bytes of the log frames."""
    logged = [frame for frame in frames if "turn_id" in frame and "n" in frame]
    return sum(len(json.dumps(frame, ensure_ascii=False, separators=(",", ":")).encode()) for frame in logged)


# Over a real server.


@pytest.fixture(scope="module")
def person(scripted_server: ScriptedServer) -> Person:
    return sign_in(scripted_server.server)


@asynccontextmanager
async def open_unread_socket(
    scripted: ScriptedServer, person: Person, conversation_id: uuid.UUID
) -> AsyncIterator[ClientConnection]:
    """Open a socket that is never read, with a very small buffer in the kernel."""
    plain = system_socket.socket()
    plain.setsockopt(system_socket.SOL_SOCKET, system_socket.SO_RCVBUF, 4096)
    plain.setblocking(False)
    await asyncio.get_running_loop().sock_connect(plain, ("127.0.0.1", scripted.server.port))
    async with connect(
        f"{scripted.server.ws_url}/ws/chat/{conversation_id}/",
        additional_headers={"Cookie": person.cookie},
        origin=Origin(scripted.server.url),
        sock=plain,
        max_queue=1,
        close_timeout=0.1,
        proxy=None,
    ) as connection:
        yield connection


@pytest.mark.service
async def test_client_without_acknowledgements_gets_one_window_and_others_everything(
    scripted_server: ScriptedServer, person: Person, endpoint: ModelServer
) -> None:
    conversation_id = uuid.uuid4()
    endpoint.play(text_reply(*[PIECE] * PIECES))
    async with (
        open_socket(scripted_server.server, person, conversation_id) as good,
        open_socket(scripted_server.server, person, conversation_id, acknowledges=False) as slow,
    ):
        await good.ready()
        await slow.ready()
        log = await good.send_and_wait("tell me everything")
        await slow.until(lambda frame: frame["type"] == "text.delta")
        await slow.pong()

        assert check_log(log) == PIECE * PIECES
        received = slow.log_of(log[-1]["turn_id"])
        assert UNACKNOWLEDGED / 2 < size_of(received) <= UNACKNOWLEDGED
        assert slow.code is None

        slow.acknowledges = True
        await slow.send("log.ack", turn_id=received[-1]["turn_id"], attempt=1, n=received[-1]["n"])
        await slow.end_of(log[-1]["turn_id"])
        assert check_log(slow.log_of(log[-1]["turn_id"])) == PIECE * PIECES


@pytest.mark.service
@pytest.mark.parametrize(("readers", "times"), [(1, 24), pytest.param(12, 2, marks=pytest.mark.long)])
async def test_60_unread_megabytes_cost_one_window_per_socket(
    scripted_server: ScriptedServer, person: Person, endpoint: ModelServer, readers: int, times: int
) -> None:
    story = ["plain text " * 400] * 600
    server, conversation_id = psutil.Process(scripted_server.server.process.pid), uuid.uuid4()
    endpoint.play(text_reply(*story))
    async with open_socket(scripted_server.server, person, conversation_id) as good, AsyncExitStack() as stack:
        turn_id = (await good.send_and_wait("tell me everything"))[-1]["turn_id"]
        again = json.dumps({"type": "log.follow", "turn_id": turn_id, "attempt": 1, "after": 0})
        for _ in range(2):  # so that the memory which following it again takes by itself is allocated already
            seen = len(good.frames)
            await good.connection.send(again)
            await good.until(is_end, after=seen)
        others = [
            await stack.enter_async_context(open_unread_socket(scripted_server, person, conversation_id))
            for _ in range(readers)
        ]
        before = server.memory_info().rss
        for other in others * times:
            await other.send(again)
            for _ in range(5):  # gives the server time to send
                await good.pong()
        grown = server.memory_info().rss - before

    undelivered = readers * times * sum(map(len, story))
    assert undelivered > 60 * MEGABYTE
    allowed = 3 * readers * UNACKNOWLEDGED + 4 * MEGABYTE
    assert grown < allowed, f"{grown / MEGABYTE:.1f} MiB more, {undelivered / MEGABYTE:.0f} MiB undelivered"


# In this process: the exact bytes that the application sends, with a shorter timeout.


class Wire:
    """A connection to the application without a network."""

    def __init__(self, cookie: str, conversation_id: uuid.UUID) -> None:
        self.close_code: int | None = None
        self.out: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self._in: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self._in.put_nowait({"type": "websocket.connect"})
        headers = [(b"host", b"localhost"), (b"origin", b"http://localhost"), (b"cookie", cookie.encode())]
        scope = {"type": "websocket", "path": f"/ws/chat/{conversation_id}/", "headers": headers}
        self._running = asyncio.create_task(consumer.application(scope, self._in.get, self.out.put))

    async def send(self, text: str) -> None:
        await self._in.put({"type": "websocket.receive", "text": text})

    async def __aiter__(self) -> AsyncIterator[str]:
        while (message := await self.out.get())["type"] != "websocket.close":
            if "text" in message:
                yield message["text"]
        self.close_code = message["code"]

    async def leave(self) -> None:
        await self._in.put({"type": "websocket.disconnect", "code": 1000})
        await self._running


def _cookie_of(user: User) -> str:
    browser = Client()
    browser.force_login(user, backend="django.contrib.auth.backends.ModelBackend")
    return f"sessionid={browser.cookies['sessionid'].value}"


@pytest.fixture
async def local_socket(
    start_runner: StartRunner, script: ScriptedModel, owner: User, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[LiveSocket]:
    """Open a socket of the owner in this process that acknowledges nothing."""
    monkeypatch.setattr(process, "_runner", await start_runner(script))
    monkeypatch.setattr(window, "ACK_WITHIN", 0.6)
    wire = Wire(await in_database(_cookie_of, owner), uuid.uuid4())
    opened = LiveSocket(wire, acknowledges=False)  # type: ignore[arg-type]
    reading = asyncio.create_task(opened.read())
    await opened.ready()
    yield opened
    await wire.leave()
    reading.cancel()


async def test_client_that_never_acknowledges_is_closed(local_socket: LiveSocket, script: ScriptedModel) -> None:
    script.extend([[assistant_message(PIECE * 15)] for _ in range(4)])
    turns = [(await local_socket.accepted(await local_socket.message("go on")))["turn"]["id"] for _ in range(4)]

    assert await local_socket.closed() == 4408
    assert UNACKNOWLEDGED / 2 < size_of(local_socket.frames) <= UNACKNOWLEDGED
    assert local_socket.log_of(turns[0])


async def test_occasional_acknowledgements_keep_the_socket_open(
    local_socket: LiveSocket, script: ScriptedModel
) -> None:
    script.extend([[assistant_message(PIECE * 15)] for _ in range(4)])
    turns = [(await local_socket.accepted(await local_socket.message("go on")))["turn"]["id"] for _ in range(4)]
    local_socket.acknowledges = True
    for turn_id in turns:
        if seen := local_socket.log_of(turn_id):
            await local_socket.send("log.ack", turn_id=turn_id, attempt=1, n=seen[-1]["n"])

    for turn_id in turns:
        await local_socket.end_of(turn_id)
        assert check_log(local_socket.log_of(turn_id)) == PIECE * 15
    assert local_socket.code is None


async def test_frame_larger_than_the_window_is_sent_alone(local_socket: LiveSocket, script: ScriptedModel) -> None:
    script.extend([[assistant_message("x" * 2 * UNACKNOWLEDGED)]])
    turn_id = (await local_socket.accepted(await local_socket.message("go on")))["turn"]["id"]
    started = await local_socket.until(lambda frame: frame["type"] == "turn.started")
    assert size_of(local_socket.log_of(turn_id)) < 200
    await local_socket.send("log.ack", turn_id=turn_id, attempt=1, n=started["n"])

    delta = await local_socket.until(lambda frame: frame["type"] == "text.delta")
    assert len(delta["text"]) == 2 * UNACKNOWLEDGED
    assert await local_socket.closed() == 4408
