"""Clients of `benchmarks.turns`: each implements the protocol of its product's own page, with the same library."""

import asyncio
import json
import time
import uuid
from abc import ABC, abstractmethod
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, ClassVar

from websockets.asyncio.client import ClientConnection, connect
from websockets.typing import Origin

CUT_SECONDS = 0.3  # seconds that a cut lasts
TIMEOUT_AFTER_CUT = 5.0  # read timeout after a cut, when no more may come
TIMEOUT = 60.0
ACKNOWLEDGE_EVERY = 0.25


@dataclass(frozen=True, slots=True)
class Reply:
    """What a page received of one reply; times by the machine's clock, 0 for missing events."""

    sent: float
    first: float
    end: float
    text: str  # as the page shows it at the end
    streamed: int  # characters received as deltas

    @property
    def to_first(self) -> float:
        """Seconds from sending to the first delta."""
        return self.first - self.sent

    @property
    def to_end(self) -> float:
        """Seconds from sending to the event that completes the reply."""
        return self.end - self.sent


class Page(ABC):
    """A client of one user on one conversation, read while a reply is expected."""

    name: ClassVar[str]
    path: ClassVar[str]

    def __init__(self, url: str, cookie: str) -> None:
        self._url = url
        self._cookie = cookie
        self._socket: ClientConnection | None = None
        self.first = self.end = 0.0
        self.text = ""
        self.streamed = 0

    @property
    def socket(self) -> ClientConnection:
        """The connection."""
        assert self._socket is not None
        return self._socket

    async def open(self) -> None:
        """Connect, and complete the handshake of the product."""
        self._socket = await connect(
            f"ws{self._url.removeprefix('http')}{self.address()}",
            additional_headers={"Cookie": self._cookie},
            origin=Origin(self._url),
            # The cheapest for both: no compression, no keepalive of the library.
            compression=None,
            ping_interval=None,
            open_timeout=TIMEOUT,
            max_size=None,
            proxy=None,
        )
        async with asyncio.timeout(TIMEOUT):
            await self.handshake()

    async def close(self) -> None:
        """Close the connection as a closed page does."""
        await self.socket.close()

    async def send_and_read(self, text: str, *, cut_after: float | None = None) -> Reply:
        """Send a message and read until the reply is complete; cut the connection so long after the first delta."""
        self.first = self.end = 0.0
        self.text, self.streamed = "", 0
        sent = time.perf_counter()
        await self.send_message(text)
        timeout = TIMEOUT
        with suppress(TimeoutError):
            while not self.end:
                if cut_after is not None and self.first and time.perf_counter() - self.first >= cut_after:
                    cut_after, timeout = None, TIMEOUT_AFTER_CUT
                    await self._lose_connection()
                async with asyncio.timeout(timeout):
                    await self.handle(await self._receive())
        return Reply(sent, self.first, self.end, self.text, self.streamed)

    async def _lose_connection(self) -> None:
        self.socket.transport.abort()
        await self.socket.wait_closed()
        await asyncio.sleep(CUT_SECONDS)
        await self.open()
        await self.resume()

    async def _receive(self) -> str:
        data = await self.socket.recv()
        assert isinstance(data, str)
        return data

    def record_piece(self, pieces: str) -> None:
        """Record a streamed piece of the reply."""
        self.first = self.first or time.perf_counter()
        self.streamed += len(pieces)

    @abstractmethod
    def address(self) -> str:
        """Return the path of the websocket."""

    @abstractmethod
    async def handshake(self) -> None:
        """Complete the handshake before the first message."""

    @abstractmethod
    async def resume(self) -> None:
        """Do what the product's page does after it reconnects."""

    @abstractmethod
    async def send_message(self, text: str) -> None:
        """Send a message."""

    @abstractmethod
    async def handle(self, data: str) -> None:
        """Handle one frame."""


class OurPage(Page):
    """A client as in docs/reference/websocket.md: acknowledges frames, and resumes after the last number."""

    name = "Threadkeeper"

    def __init__(self, url: str, cookie: str) -> None:
        super().__init__(url, cookie)
        self.conversation = uuid.uuid4()
        self._seen: tuple[str, int, int] | None = None
        self._acknowledged = 0.0

    def address(self) -> str:
        return f"/ws/chat/{self.conversation}/"

    async def handshake(self) -> None:
        while json.loads(await self._receive())["type"] != "ready":
            pass

    async def resume(self) -> None:
        if self._seen is not None:
            turn_id, attempt, n = self._seen
            await self._send("log.follow", turn_id=turn_id, attempt=attempt, after=n)

    async def send_message(self, text: str) -> None:
        self._seen = None
        await self._send("message.send", client_id=str(uuid.uuid4()), text=text)

    async def handle(self, data: str) -> None:
        frame = json.loads(data)
        kind = frame["type"]
        if "n" not in frame or "turn_id" not in frame:
            assert kind != "error", frame
            return
        await self._acknowledge(frame)
        if kind == "text.delta":
            self.record_piece(frame["text"][max(0, len(self.text) - frame["at"]) :])
            self.text = self.text[: frame["at"]] + frame["text"]
        elif kind in ("turn.snapshot", "turn.resumed"):
            self.text = frame["text"]
        if kind == "turn.finished" or (kind == "turn.snapshot" and frame["status"] == "done"):
            self.end = time.perf_counter()
        assert kind not in ("turn.failed", "turn.stopped"), frame

    async def _acknowledge(self, frame: Mapping[str, Any]) -> None:
        self._seen = frame["turn_id"], frame["attempt"], frame["n"]
        if (now := time.perf_counter()) - self._acknowledged >= ACKNOWLEDGE_EVERY:
            self._acknowledged = now
            await self._send("log.ack", turn_id=frame["turn_id"], attempt=frame["attempt"], n=frame["n"])

    async def _send(self, kind: str, **fields: Any) -> None:
        await self.socket.send(json.dumps({"type": kind, **fields}))


class ChainlitPage(Page):
    """Uses socket.io (protocol 5 on engine.io 4) as Chainlit's own script does, with a websocket from the start."""

    name = "Chainlit"

    def __init__(self, url: str, cookie: str) -> None:
        super().__init__(url, cookie)
        self._session = str(uuid.uuid4())
        self._thread = ""
        self._reply = ""

    def address(self) -> str:
        return "/ws/socket.io/?EIO=4&transport=websocket"

    async def handshake(self) -> None:
        auth = {
            "clientType": "webapp",
            "sessionId": self._session,
            "threadId": self._thread,
            "userEnv": "{}",
            "chatProfile": "",
        }
        assert (await self._receive()).startswith("0")
        await self.socket.send(f"40{json.dumps(auth)}")
        early = []  # a running reply does not wait for the handshake
        while not (data := await self._receive()).startswith("40"):
            early.append(data)
        await self._emit("connection_successful")
        # The first of the events that follow.
        while not data.startswith("42"):
            early.append(data := await self._receive())
        for data in early:
            await self.handle(data)

    async def resume(self) -> None:
        pass  # the server finds the session by its id

    async def send_message(self, text: str) -> None:
        self._reply = ""
        message = {
            "threadId": self._thread,
            "id": str(uuid.uuid4()),
            "name": "person",
            "type": "user_message",
            "output": text,
            "createdAt": "2026-01-01T00:00:00.000Z",
        }
        await self._emit("client_message", {"message": message, "fileReferences": []})

    async def handle(self, data: str) -> None:
        if data == "2":
            await self.socket.send("3")
        if not data.startswith("42"):
            return
        event, *rest = json.loads(data[2:])
        payload = rest[0] if rest else {}
        if event == "first_interaction":
            self._thread = payload["thread_id"]
        elif event == "stream_start":
            self._reply, self.text = payload["id"], payload["output"]
            self.record_piece(self.text)
        elif event == "stream_token" and payload["id"] == self._reply:
            self.text += payload["token"]
            self.record_piece(payload["token"])
        elif event in ("new_message", "update_message") and payload["type"] == "assistant_message":
            assert not payload["isError"], payload
            self.text = payload["output"]
            self.end = time.perf_counter()

    async def _emit(self, event: str, *payload: Any) -> None:
        await self.socket.send(f"42{json.dumps([event, *payload])}")


PAGES: dict[str, type[Page]] = {page.name: page for page in (OurPage, ChainlitPage)}
