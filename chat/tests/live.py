"""Users of real servers: signed in through the page, connected by WebSocket."""

import asyncio
import json
import os
import uuid
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed
from websockets.typing import Origin

from chat.tests.model_server import ModelServer, text_reply
from config.tests.support import LiveDatabase, ServerProcess, database, eventually, free_port

Frame = dict[str, Any]

SECONDS = 20.0
ENDS = frozenset({"turn.finished", "turn.stopped", "turn.failed"})
ENDED = frozenset({"done", "stopped", "failed"})


@dataclass(frozen=True)
class Person:
    """A user who is signed in at a server."""

    id: uuid.UUID
    email: str
    cookie: str


def sign_in(server: ServerProcess, name: str = "person") -> Person:
    """Create a user and a login session."""
    email = f"{name}-{uuid.uuid4().hex[:8]}@example.com"
    return Person(server.database.add_user(email), email, server.cookie(email))


@pytest.fixture(scope="session")
def shared_server(_migrated_template: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """A server for tests that neither kill it nor reach its limits; each test creates its own users."""
    with database(os.environ["DATABASE_URL"], template=_migrated_template) as (_, url):
        limits = {"MESSAGES_PER_MINUTE": "100000", "SOCKETS_PER_USER": "1000", "QUEUE_PER_CONVERSATION": "1000"}
        server = ServerProcess(LiveDatabase(url), tmp_path_factory.mktemp("shared"), **limits)
        yield server
        server.kill9()


@dataclass(frozen=True)
class ScriptedServer:
    """A server whose model endpoint is a port that the test listens on."""

    server: ServerProcess
    endpoint_port: int


@pytest.fixture(scope="session")
def scripted_server(_migrated_template: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ScriptedServer]:
    """A server for tests that control the model's responses and their timing."""
    with database(os.environ["DATABASE_URL"], template=_migrated_template) as (_, url):
        port = free_port()
        model = {"OPENAI_BASE_URL": f"http://127.0.0.1:{port}/v1", "AGENT_GUARDRAIL": "off"}
        server = ServerProcess(LiveDatabase(url), tmp_path_factory.mktemp("scripted"), **model)
        yield ScriptedServer(server, port)
        server.kill9()


@pytest.fixture
async def endpoint(scripted_server: ScriptedServer) -> AsyncIterator[ModelServer]:
    """The model endpoint of the scripted server; the test writes its script."""
    async with ModelServer(port=scripted_server.endpoint_port) as model:
        yield model
        # Finish the running turns, which the script of the next test would answer otherwise.
        model.play(*[text_reply("Over.")] * 20)
        model.release()
        active = "SELECT 1 FROM chat_turn WHERE status IN ('queued', 'running')"
        wait_for_turns = partial(
            eventually, lambda: not scripted_server.server.database.query(active), what="all turns to end"
        )
        await asyncio.to_thread(wait_for_turns)


@dataclass
class LiveSocket:
    """A WebSocket client that keeps all received frames, and acknowledges them as the page does."""

    connection: ClientConnection
    acknowledges: bool = True
    frames: list[Frame] = field(default_factory=list)
    code: int | None = None
    _changed: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def conversation_id(self) -> uuid.UUID:
        """The conversation of this socket."""
        assert self.connection.request is not None
        return uuid.UUID(self.connection.request.path.split("/")[3])

    # -- sending

    async def send(self, kind: str, **fields: Any) -> None:
        """Send a frame; UUIDs are converted to text."""
        await self.connection.send(json.dumps({"type": kind, **fields}, default=str))

    async def message(self, text: str, client_id: uuid.UUID | None = None) -> str:
        """Send a message without waiting for its acknowledgement; return its client id."""
        client_id = client_id or uuid.uuid4()
        await self.send("message.send", client_id=client_id, text=text)
        return str(client_id)

    # -- receiving

    async def read(self) -> None:
        """Receive frames until the socket is closed."""
        try:
            async for data in self.connection:
                frame = json.loads(data)
                self.frames.append(frame)
                self._notify()
                if self.acknowledges and "n" in frame and "turn_id" in frame:
                    await self.send("log.ack", turn_id=frame["turn_id"], attempt=frame["attempt"], n=frame["n"])
        except ConnectionClosed:
            pass
        self.code = self.connection.close_code
        self._notify()

    async def until(self, matches: Callable[[Frame], object], *, after: int = 0, within: float = SECONDS) -> Frame:
        """Return the first matching frame after the first `after` ones, received already or to come."""
        last = after
        try:
            async with asyncio.timeout(within):
                while True:
                    for frame in self.frames[last:]:
                        if matches(frame):
                            return frame
                    last = len(self.frames)
                    assert self.code is None, f"closed with {self.code}; last: {str(self.frames[-3:])[:1000]}"
                    await self._changed.wait()
        except TimeoutError:
            raise AssertionError(f"no such frame within {within} s; last: {str(self.frames[-3:])[:2000]}") from None

    async def closed(self, *, within: float = SECONDS) -> int:
        """Wait until the server closes the socket; return the close code."""
        async with asyncio.timeout(within):
            while self.code is None:
                await self._changed.wait()
        return self.code

    async def ready(self) -> Frame:
        """Return the `ready` frame, the first one of every socket."""
        return await self.until(lambda frame: frame["type"] == "ready")

    async def accepted(self, client_id: str, *, within: float = SECONDS) -> Frame:
        """Return the acknowledgement of a message."""
        return await self.until(
            lambda frame: frame["type"] == "message.accepted" and frame["client_id"] == client_id, within=within
        )

    async def error(self, after: int = 0) -> Frame:
        """Return the first error after the first `after` frames."""
        return await self.until(lambda frame: frame["type"] == "error", after=after)

    async def end_of(self, turn_id: str, *, within: float = SECONDS) -> Frame:
        """Return the frame that ends a turn: the last event of its log, or a snapshot of an ended turn."""
        return await self.until(lambda frame: frame.get("turn_id") == turn_id and is_end(frame), within=within)

    async def send_and_wait(self, text: str) -> list[Frame]:
        """Send a message, wait for the end of its turn, and return the frames of the turn's log."""
        accepted = await self.accepted(await self.message(text))
        await self.end_of(accepted["turn"]["id"])
        return self.log_of(accepted["turn"]["id"])

    async def reply(self, text: str) -> str:
        """Send a message and return the reply."""
        return str((await self.send_and_wait(text))[-1]["message"]["text"])

    async def pong(self) -> None:
        """Wait until the server has handled everything sent so far."""
        n = uuid.uuid4().int % 2**31
        await self.send("ping", n=n)
        await self.until(lambda frame: frame == {"type": "pong", "n": n})

    def log_of(self, turn_id: str) -> list[Frame]:
        """Return the received frames of a turn's log."""
        return [frame for frame in self.frames if frame.get("turn_id") == turn_id]

    def kinds(self) -> list[str]:
        """Return the types of the received frames."""
        return [frame["type"] for frame in self.frames]

    def _notify(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()


def is_end(frame: Frame) -> bool:
    """Return whether a log frame ends its turn."""
    return frame["type"] in ENDS or (frame["type"] == "turn.snapshot" and frame["status"] in ENDED)


@asynccontextmanager
async def open_socket(
    server: ServerProcess,
    person: Person | None,
    conversation_id: uuid.UUID,
    *,
    origin: str | None = "",
    acknowledges: bool = True,
    headers: Mapping[str, str] | None = None,
) -> AsyncIterator[LiveSocket]:
    """Open the WebSocket of a conversation as the person's page does, and read it until the block ends."""
    headers = {**(headers or {}), **({"Cookie": person.cookie} if person else {})}
    url = f"{server.ws_url}/ws/chat/{conversation_id}/"
    origin_header = server.url if origin == "" else origin
    sent_origin = None if origin_header is None else Origin(origin_header)
    async with connect(url, additional_headers=headers, origin=sent_origin, max_size=None, proxy=None) as connection:
        socket = LiveSocket(connection, acknowledges)
        reading = asyncio.create_task(socket.read())
        try:
            yield socket
        finally:
            reading.cancel()
            with suppress(asyncio.CancelledError):
                await reading


def check_log(frames: list[Frame]) -> str:
    """Check that a log is complete, from its first entry to exactly one end; return its text."""
    last, text = 0, ""
    for frame in frames:
        covers_one = not frame["type"].endswith(".delta")
        assert frame["n"] == last + 1 if covers_one else frame["n"] > last, (last, frame)
        last = frame["n"]
        if frame["type"] == "text.delta":
            assert frame["at"] == len(text), frame
            text += frame["text"]
    assert [is_end(frame) for frame in frames] == [False] * (len(frames) - 1) + [True], frames
    assert len({(frame["turn_id"], frame["attempt"]) for frame in frames}) == 1
    return text
