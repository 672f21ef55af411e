"""A page without a browser: resends unacknowledged messages, resumes logs, reconnects when cut off."""

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

# Seconds between two attempts to connect; a real page waits longer, with jitter.
RECONNECT_DELAY = 0.1
# All the ways in which a connection to a killed server fails.
CUT_OFF = (ConnectionClosed, InvalidHandshake, InvalidMessage, OSError, EOFError, TimeoutError)


@dataclass
class TurnView:
    """One turn as the page shows it."""

    attempt: int = 0
    n: int = 0
    text: str = ""
    status: str = ""
    reply: str | None = None
    text_at_start: dict[int, str] = field(default_factory=dict)  # by attempt: the text after its first frame

    @property
    def ended(self) -> bool:
        """Whether the page has received the turn's end."""
        return self.status in ENDED

    def take(self, frame: Frame) -> None:
        """Apply an entry of the log; one that was received already changes nothing."""
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
        self.text_at_start.setdefault(frame["attempt"], self.text)
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
    """One person's page of a conversation; an async context manager."""

    def __init__(self, ws_url: str, origin: str, person: Person, conversation_id: uuid.UUID) -> None:
        self.person = person
        self.conversation_id = conversation_id
        self.outbox: dict[str, str] = {}
        self.accepted: dict[str, str] = {}  # the turn of each acknowledged message, by client id
        self.turns: dict[str, TurnView] = {}
        self.connected = 0
        self.refusals: list[Frame] = []
        self.wrong: list[str] = []
        self._url = f"{ws_url}/ws/chat/{conversation_id}/"
        self._origin = Origin(origin)
        self._connection: ClientConnection | None = None
        self._connection_task: asyncio.Task[None] | None = None
        self._changed = asyncio.Event()
        self._send_lock = asyncio.Lock()  # a reconnect resends messages before new ones are sent

    async def __aenter__(self) -> "Page":
        self._connection_task = asyncio.create_task(self._keep_connected())
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._connection_task is not None
        self._connection_task.cancel()
        with suppress(asyncio.CancelledError):
            await self._connection_task

    # -- actions of the person

    async def send(self, text: str) -> str:
        """Send a message, now or as soon as there is a connection; return its client id."""
        client_id = str(uuid.uuid4())
        self.outbox[client_id] = text
        async with self._send_lock:
            await self._send_frame({"type": "message.send", "client_id": client_id, "text": text})
        return client_id

    @property
    def is_connected(self) -> bool:
        """Whether the socket is connected."""
        return self._connection is not None

    def follow_turn(self, turn_id: str) -> None:
        """Follow a turn from its first entry, as soon as there is a connection."""
        assert self._connection is None
        self.turns[turn_id] = TurnView()

    def cut(self) -> None:
        """Lose the network."""
        assert self._connection is not None
        self._connection.transport.abort()
        self._connection = None

    async def wait_until_settled(self, messages: int, *, within: float) -> None:
        """Wait until so many messages are acknowledged and all turns have ended."""
        try:
            async with asyncio.timeout(within):
                while len(self.accepted) < messages or not all(view.ended for view in self.turns.values()):
                    assert not self.wrong, self.wrong
                    await self._changed.wait()
        except TimeoutError:
            unfinished = {turn_id: view for turn_id, view in self.turns.items() if not view.ended}
            raise AssertionError(f"{self.conversation_id} waits for {self.outbox} and {unfinished}"[:3000]) from None
        assert not self.wrong, self.wrong

    async def text_kept_at_attempt(self, *, attempt: int) -> str:
        """Wait for an attempt of the page's only turn; return the text that the page kept at its start."""
        (view,) = self.turns.values()
        async with asyncio.timeout(10):
            while attempt not in view.text_at_start:
                await self._changed.wait()
        return view.text_at_start[attempt]

    # -- the connection

    async def _keep_connected(self) -> None:
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
            await asyncio.sleep(RECONNECT_DELAY)

    async def _read(self, connection: ClientConnection) -> None:
        async for data in connection:
            frame = json.loads(data)
            try:
                await self._take(frame, connection)
            except AssertionError as error:
                self.wrong.append(str(error))
            changed, self._changed = self._changed, asyncio.Event()
            changed.set()

    async def _take(self, frame: Frame, connection: ClientConnection) -> None:
        kind = frame["type"]
        if kind == "ready":
            self._connection = connection
            self.connected += 1
            async with self._send_lock:
                await self._resume(frame)
        elif kind == "message.accepted":
            turn_id, client_id = frame["turn"]["id"], frame["client_id"]
            known_turn_id = self.accepted.setdefault(client_id, turn_id)
            assert known_turn_id == turn_id, f"{client_id} was accepted as {known_turn_id} and as {turn_id}"
            self.outbox.pop(client_id, None)
            self.turns.setdefault(turn_id, TurnView())
        elif kind == "error":
            self.refusals.append(frame)
        elif "turn_id" in frame and "n" in frame:
            self.turns.setdefault(frame["turn_id"], TurnView()).take(frame)
            await self._send_frame(
                {"type": "log.ack", "turn_id": frame["turn_id"], "attempt": frame["attempt"], "n": frame["n"]}
            )

    async def _resume(self, ready: Frame) -> None:
        """Resend unacknowledged messages, and follow unfinished turns."""
        for turn_id, view in self.turns.items():
            if not view.ended:
                await self._send_frame(
                    {"type": "log.follow", "turn_id": turn_id, "attempt": view.attempt, "after": view.n}
                )
        for turn in ready["turns"]:
            self.turns.setdefault(turn["id"], TurnView())
        for client_id, text in list(self.outbox.items()):
            await self._send_frame({"type": "message.send", "client_id": client_id, "text": text})

    async def _send_frame(self, frame: dict[str, Any]) -> None:
        """Send a frame if there is a connection; a broken one is detected by the reader."""
        if self._connection is not None:
            with suppress(*CUT_OFF):
                await self._connection.send(json.dumps(frame))
