"""The pages of `benchmarks.turns`: each speaks its product's protocol as that one's own page does, over one library."""

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

AWAY = 0.3  # seconds that a cut takes
SILENCE = 5.0  # after a cut, when nothing more is expected
PATIENCE = 60.0
ACKNOWLEDGE_EVERY = 0.25


@dataclass(frozen=True, slots=True)
class Said:
    """What a page saw of one reply; times on the machine's one clock, 0 for what never came."""

    sent: float
    first: float
    end: float
    text: str  # as it stands on the page at the end
    streamed: int  # characters that came piece by piece

    @property
    def to_first(self) -> float:
        """Seconds from sending to the first piece."""
        return self.first - self.sent

    @property
    def to_end(self) -> float:
        """Seconds from sending to the product's word that the reply is whole."""
        return self.end - self.sent


class Page(ABC):
    """One person's window on one conversation, read while a reply is expected."""

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
        """Connect, and wait until the product says that it is ready."""
        self._socket = await connect(
            f"ws{self._url.removeprefix('http')}{self.address()}",
            additional_headers={"Cookie": self._cookie},
            origin=Origin(self._url),
            # The cheapest for both: no compression, no signs of life of the library's own.
            compression=None,
            ping_interval=None,
            open_timeout=PATIENCE,
            max_size=None,
            proxy=None,
        )
        async with asyncio.timeout(PATIENCE):
            await self.greet()

    async def close(self) -> None:
        """Go away as a page that is closed."""
        await self.socket.close()

    async def say(self, text: str, *, cut_after: float | None = None) -> Said:
        """Send a message and read until the reply is whole; cut the connection so long after the first piece."""
        self.first = self.end = 0.0
        self.text, self.streamed = "", 0
        sent = time.perf_counter()
        await self.send_message(text)
        patience = PATIENCE
        with suppress(TimeoutError):
            while not self.end:
                if cut_after is not None and self.first and time.perf_counter() - self.first >= cut_after:
                    cut_after, patience = None, SILENCE
                    await self._lose_connection()
                async with asyncio.timeout(patience):
                    await self.take(await self._receive())
        return Said(sent, self.first, self.end, self.text, self.streamed)

    async def _lose_connection(self) -> None:
        self.socket.transport.abort()
        await self.socket.wait_closed()
        await asyncio.sleep(AWAY)
        await self.open()
        await self.come_back()

    async def _receive(self) -> str:
        data = await self.socket.recv()
        assert isinstance(data, str)
        return data

    def saw(self, pieces: str) -> None:
        """Note that a piece of the reply was streamed."""
        self.first = self.first or time.perf_counter()
        self.streamed += len(pieces)

    @abstractmethod
    def address(self) -> str:
        """Return where the websocket is."""

    @abstractmethod
    async def greet(self) -> None:
        """Do what comes before the first message."""

    @abstractmethod
    async def come_back(self) -> None:
        """Do what the product's page does once it is connected again."""

    @abstractmethod
    async def send_message(self, text: str) -> None:
        """Send a message."""

    @abstractmethod
    async def take(self, data: str) -> None:
        """Read one frame."""


class OurPage(Page):
    """A client by docs/reference/websocket.md: acknowledges what it reads, and resumes after the last number."""

    name = "Threadkeeper"

    def __init__(self, url: str, cookie: str) -> None:
        super().__init__(url, cookie)
        self.conversation = uuid.uuid4()
        self._seen: tuple[str, int, int] | None = None
        self._acknowledged = 0.0

    def address(self) -> str:
        return f"/ws/chat/{self.conversation}/"

    async def greet(self) -> None:
        while json.loads(await self._receive())["type"] != "ready":
            pass

    async def come_back(self) -> None:
        if self._seen is not None:
            turn_id, attempt, n = self._seen
            await self._send("log.follow", turn_id=turn_id, attempt=attempt, after=n)

    async def send_message(self, text: str) -> None:
        self._seen = None
        await self._send("message.send", client_id=str(uuid.uuid4()), text=text)

    async def take(self, data: str) -> None:
        frame = json.loads(data)
        kind = frame["type"]
        if "n" not in frame or "turn_id" not in frame:
            assert kind != "error", frame
            return
        await self._acknowledge(frame)
        if kind == "text.delta":
            self.saw(frame["text"][max(0, len(self.text) - frame["at"]) :])
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
    """As Chainlit's own script does over socket.io (protocol 5 on engine.io 4), over a websocket from the beginning."""

    name = "Chainlit"

    def __init__(self, url: str, cookie: str) -> None:
        super().__init__(url, cookie)
        self._session = str(uuid.uuid4())
        self._thread = ""
        self._reply = ""

    def address(self) -> str:
        return "/ws/socket.io/?EIO=4&transport=websocket"

    async def greet(self) -> None:
        auth = {
            "clientType": "webapp",
            "sessionId": self._session,
            "threadId": self._thread,
            "userEnv": "{}",
            "chatProfile": "",
        }
        assert (await self._receive()).startswith("0")
        await self.socket.send(f"40{json.dumps(auth)}")
        early = []  # a reply that goes on does not wait for the handshake
        while not (data := await self._receive()).startswith("40"):
            early.append(data)
        await self._emit("connection_successful")
        # The first of the events with which it is answered.
        while not data.startswith("42"):
            early.append(data := await self._receive())
        for data in early:
            await self.take(data)

    async def come_back(self) -> None:
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

    async def take(self, data: str) -> None:
        if data == "2":
            await self.socket.send("3")
        if not data.startswith("42"):
            return
        event, *rest = json.loads(data[2:])
        given = rest[0] if rest else {}
        if event == "first_interaction":
            self._thread = given["thread_id"]
        elif event == "stream_start":
            self._reply, self.text = given["id"], given["output"]
            self.saw(self.text)
        elif event == "stream_token" and given["id"] == self._reply:
            self.text += given["token"]
            self.saw(given["token"])
        elif event in ("new_message", "update_message") and given["type"] == "assistant_message":
            assert not given["isError"], given
            self.text = given["output"]
            self.end = time.perf_counter()

    async def _emit(self, event: str, *given: Any) -> None:
        await self.socket.send(f"42{json.dumps([event, *given])}")


PAGES: dict[str, type[Page]] = {page.name: page for page in (OurPage, ChainlitPage)}
