"""A page without a browser: sends until it is acknowledged, follows from what it has seen, comes back when cut."""

import asyncio
import json
import uuid
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidMessage
from websockets.typing import Origin

from chat.tests.live import ENDED, ENDS, Frame, Person

# Between two tries to connect; a page waits longer, and never in step with others.
AGAIN_AFTER = 0.1
# Of the clients of one process, as a server that died refuses them in several ways.
CUT_OFF = (ConnectionClosed, InvalidHandshake, InvalidMessage, OSError, EOFError, TimeoutError)


@dataclass
class Shown:
    """What the page shows of one turn."""

    attempt: int = 0
    n: int = 0
    text: str = ""
    status: str = ""
    reply: str | None = None
    begun_with: dict[int, str] = field(default_factory=dict)  # the text that stood there when an attempt was first seen

    @property
    def ended(self) -> bool:
        """Whether the page has been told how the turn ended."""
        return self.status in ENDED

    def take(self, frame: Frame) -> None:
        """Take an entry of the log into account; one that was seen already changes nothing."""
        if self.ended and frame["attempt"] <= self.attempt:
            return
        if frame["type"] != "turn.snapshot":
            if (frame["attempt"], frame["n"]) <= (self.attempt, self.n):
                return
            before = self.n if frame["attempt"] == self.attempt else 0
            assert frame["type"].endswith(".delta") or frame["n"] == before + 1, f"{self} misses entries before {frame}"
        elif frame["attempt"] < self.attempt:
            return
        self._show(frame)
        self.begun_with.setdefault(frame["attempt"], self.text)
        self.attempt, self.n = frame["attempt"], frame["n"]

    def _show(self, frame: Frame) -> None:
        kind = frame["type"]
        if kind == "text.delta":
            assert frame["at"] <= len(self.text), f"{self} misses text before {frame}"
            if not self.text[frame["at"] :].startswith(frame["text"]) or not frame["text"]:
                self.text = self.text[: frame["at"]] + frame["text"]
        elif kind == "turn.resumed":
            self.text = frame["text"]
        elif kind == "turn.snapshot":
            self.text, self.status = frame["text"], frame["status"]
            self.reply = (frame.get("message") or {}).get("text")
        elif kind in ENDS:
            self.status = {"turn.finished": "done", "turn.stopped": "stopped", "turn.failed": "failed"}[kind]
            self.reply = (frame.get("message") or {}).get("text")
        elif kind in ("turn.queued", "turn.started"):
            self.status = kind.removeprefix("turn.")


class Page:
    """One person's page on a conversation; `async with` it."""

    def __init__(self, ws_url: str, origin: str, person: Person, conversation_id: uuid.UUID) -> None:
        self.person = person
        self.conversation_id = conversation_id
        self.outbox: dict[str, str] = {}
        self.accepted: dict[str, str] = {}  # the turn of each message that was acknowledged, by the client's id of it
        self.turns: dict[str, Shown] = {}
        self.connected = 0
        self.refusals: list[Frame] = []
        self.wrong: list[str] = []
        self._url = f"{ws_url}/ws/chat/{conversation_id}/"
        self._origin = Origin(origin)
        self._connection: ClientConnection | None = None
        self._living: asyncio.Task[None] | None = None
        self._news = asyncio.Event()
        self._line = asyncio.Lock()  # what is sent again after a reconnect goes before what is sent meanwhile

    async def __aenter__(self) -> "Page":
        self._living = asyncio.create_task(self._live())
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._living is not None
        self._living.cancel()
        with suppress(asyncio.CancelledError):
            await self._living

    # -- what a person does

    async def send(self, text: str) -> str:
        """Send a message, at once or as soon as there is a connection; return the client's id of it."""
        client_id = str(uuid.uuid4())
        self.outbox[client_id] = text
        async with self._line:
            await self._say({"type": "message.send", "client_id": client_id, "text": text})
        return client_id

    @property
    def is_connected(self) -> bool:
        """Whether there is a connection."""
        return self._connection is not None

    def look_at(self, turn_id: str) -> None:
        """Follow a turn from its beginning, as soon as there is a connection."""
        assert self._connection is None
        self.turns[turn_id] = Shown()

    def cut(self) -> None:
        """Lose the network."""
        assert self._connection is not None
        self._connection.transport.abort()
        self._connection = None

    async def settled(self, messages: int, *, within: float) -> None:
        """Wait until so many messages are acknowledged, and the ends of all turns shown."""
        try:
            async with asyncio.timeout(within):
                while len(self.accepted) < messages or not all(shown.ended for shown in self.turns.values()):
                    assert not self.wrong, self.wrong
                    await self._news.wait()
        except TimeoutError:
            left = {turn_id: shown for turn_id, shown in self.turns.items() if not shown.ended}
            raise AssertionError(f"{self.conversation_id} waits for {self.outbox} and {left}"[:3000]) from None
        assert not self.wrong, self.wrong

    async def kept(self, *, attempt: int) -> str:
        """Wait for another attempt at the one turn there is; return the text that stayed on the page."""
        (shown,) = self.turns.values()
        async with asyncio.timeout(10):
            while attempt not in shown.begun_with:
                await self._news.wait()
        return shown.begun_with[attempt]

    # -- the connection

    async def _live(self) -> None:
        while True:
            headers = {"Cookie": self.person.cookie}
            with suppress(*CUT_OFF):
                async with connect(
                    self._url,
                    additional_headers=headers,
                    origin=self._origin,
                    max_size=None,
                    proxy=None,
                    close_timeout=1,
                ) as connection:
                    await self._read(connection)
            self._connection = None
            await asyncio.sleep(AGAIN_AFTER)

    async def _read(self, connection: ClientConnection) -> None:
        async for data in connection:
            frame = json.loads(data)
            try:
                await self._take(frame, connection)
            except AssertionError as error:
                self.wrong.append(str(error))
            news, self._news = self._news, asyncio.Event()
            news.set()

    async def _take(self, frame: Frame, connection: ClientConnection) -> None:
        kind = frame["type"]
        if kind == "ready":
            self._connection = connection
            self.connected += 1
            async with self._line:
                await self._come_back(frame)
        elif kind == "message.accepted":
            turn_id, client_id = frame["turn"]["id"], frame["client_id"]
            known = self.accepted.setdefault(client_id, turn_id)
            assert known == turn_id, f"{client_id} was accepted as {known} and as {turn_id}"
            self.outbox.pop(client_id, None)
            self.turns.setdefault(turn_id, Shown())
        elif kind == "error":
            self.refusals.append(frame)
        elif "turn_id" in frame and "n" in frame:
            self.turns.setdefault(frame["turn_id"], Shown()).take(frame)
            await self._say(
                {"type": "log.ack", "turn_id": frame["turn_id"], "attempt": frame["attempt"], "n": frame["n"]}
            )

    async def _come_back(self, ready: Frame) -> None:
        """Send again what was not acknowledged, and follow what was not seen to its end."""
        for turn_id, shown in self.turns.items():
            if not shown.ended:
                await self._say({"type": "log.follow", "turn_id": turn_id, "attempt": shown.attempt, "after": shown.n})
        for turn in ready["turns"]:
            self.turns.setdefault(turn["id"], Shown())
        for client_id, text in list(self.outbox.items()):
            await self._say({"type": "message.send", "client_id": client_id, "text": text})

    async def _say(self, frame: dict[str, Any]) -> None:
        """Send a frame if there is a connection; whoever cannot learns it by reading."""
        if self._connection is not None:
            with suppress(*CUT_OFF):
                await self._connection.send(json.dumps(frame))
