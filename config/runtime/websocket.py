"""Daphne's websocket with flow control in both directions.

Daphne writes everything that an application sends, and queues everything that a client sends. Here the application
waits while the client does not read, and the client waits, through TCP, while the application does not keep up.
"""

import asyncio
import socket
import time
from collections.abc import Callable
from typing import Any

from daphne.server import twisted_loop
from daphne.ws_protocol import WebSocketProtocol

TOO_SLOW = 4408
# Seconds within which a client must read something of what it was sent.
READ_TIMEOUT = 60.0
# The kernel's send buffer of one client, in bytes; Linux doubles it.
KERNEL_BUFFER = 128 * 1024

# The messages of one client that wait for the application.
MAX_MESSAGES, MAX_CHARACTERS = 64, 256 * 1024
# Frames per second from one client, after a burst. A large frame counts as several.
FRAMES_PER_SECOND, FRAME_BURST = 100, 1_000
FRAME_UNIT = 16 * 1024  # bytes
# Frames of one client that are processed before the event loop serves others.
FRAMES_PER_STEP = 32
# A longer message is refused by its size; this limits one that arrives byte by byte.
FRAMES_PER_MESSAGE = 1_000

Message = dict[str, Any]


class Inbox(asyncio.Queue[Message]):
    """The messages that a client has sent and the application has not received."""

    def __init__(self, received: Callable[[], None]) -> None:
        super().__init__()
        self._received = received
        self._characters = 0

    @property
    def is_full(self) -> bool:
        """Whether the client has to wait."""
        return self.qsize() >= MAX_MESSAGES or self._characters >= MAX_CHARACTERS

    def _put(self, message: Message) -> None:
        super()._put(message)
        self._characters += _size(message)

    def _get(self) -> Message:
        message: Message = super()._get()
        self._characters -= _size(message)
        self._received()
        return message


def _size(message: Message) -> int:
    return len(message.get("text") or message.get("bytes") or "")


class FrameRateLimit:
    """A token bucket for frames."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._tokens = float(FRAME_BURST)
        self._at = clock()

    def spend(self, size: int) -> None:
        """Count a frame of a size in bytes."""
        now = self._clock()
        self._tokens = min(self._tokens + (now - self._at) * FRAMES_PER_SECOND, FRAME_BURST) - 1 - size // FRAME_UNIT
        self._at = now

    def wait(self) -> float:
        """Return the seconds until the next frame is allowed, or 0."""
        left = self._tokens + (self._clock() - self._at) * FRAMES_PER_SECOND
        return max(-left / FRAMES_PER_SECOND, 0.0)


class BoundedWebSocket(WebSocketProtocol):  # type: ignore[misc]
    """A websocket that buffers a bounded amount in each direction."""

    maxMessagePayloadSize: int
    autoPingTimeoutCall: Any
    autoPingPending: bytes | None

    def connectionMade(self) -> None:
        """Ask the transport to report when its buffer is full."""
        super().connectionMade()
        self.inbox = Inbox(self._continue_soon)
        self._rate_limit = FrameRateLimit()
        self._frames_in_step = self._frames_in_message = 0
        self._is_announced = self._is_paused = False
        self._timer: asyncio.TimerHandle | None = None
        self._watching: asyncio.TimerHandle | None = None
        self._sending = asyncio.Lock()
        self._writable = asyncio.Event()
        self._writable.set()
        self.transport.unregisterProducer()  # formerly the HTTP channel
        self.transport.registerProducer(self, True)
        self.transport.getHandle().setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, KERNEL_BUFFER)

    def onConnect(self, request: Any) -> Any:
        """Ask the application whether it accepts the connection."""
        self._is_announced = True
        return super().onConnect(request)

    def onClose(self, *args: Any) -> None:
        """Report the end of a connection to an application that has accepted it."""
        if self._is_announced:
            super().onClose(*args)

    def serverAccept(self, subprotocol: str | None = None) -> None:
        """Accept the connection, and process what the client has sent already."""
        super().serverAccept(subprotocol)
        self._continue_soon()

    def serverClose(self, code: int | None = None) -> None:
        """Close the connection with any code; autobahn reserves 1011 for itself."""
        self.sendCloseFrame(code=1000 if code is None else code)

    # -- to the client

    async def deliver(self, message: Message) -> None:
        """Send a message once the client has read most of the previous ones; drop it if the connection is closed."""
        async with self._sending:
            await self._writable.wait()
            self.handle_reply(message)

    def sendMessage(self, payload: bytes, *args: Any, **kwargs: Any) -> None:
        """Send a message, which may be longer than the limit for clients; drop it on a connection that is closing."""
        if self.state != self.STATE_OPEN:
            return
        accepted, self.maxMessagePayloadSize = self.maxMessagePayloadSize, 0
        try:
            super().sendMessage(payload, *args, **kwargs)
        finally:
            self.maxMessagePayloadSize = accepted

    def pauseProducing(self) -> None:
        """Make the application wait, and watch whether the client reads: the transport's buffer is full."""
        self._writable.clear()
        self._watch()

    def resumeProducing(self) -> None:
        """Let the application and the client continue: the transport's buffer is empty."""
        self.stopProducing()
        self._continue_soon()

    def stopProducing(self) -> None:
        """Let the application continue."""
        self._writable.set()
        if self._watching is not None:
            self._watching.cancel()

    def _watch(self, before: tuple[int, int] | None = None) -> None:
        """Close the connection if the client reads nothing for a while."""
        # These two change whenever the transport sends something.
        buffer = len(self.transport.dataBuffer), self.transport.offset
        if buffer == before:
            self.sendClose(code=TOO_SLOW)  # a second later the connection is aborted
        else:
            self._watching = twisted_loop.call_later(READ_TIMEOUT, self._watch, buffer)

    # -- from the client

    def consumeData(self) -> None:
        """Process the received data in steps; nothing before the application has accepted the connection."""
        if self.state == self.STATE_CONNECTING and self._is_announced:
            self._pause_reading()
            return
        self._frames_in_step = 0
        super().consumeData()

    def processData(self) -> bool:
        """Process a part of the received data; return whether to continue now."""
        if self.state == self.STATE_OPEN and self.current_frame is None:
            if self.inbox.is_full or not self._writable.is_set():
                self._pause_reading()
                return False
            wait = self._rate_limit.wait()
            if wait or self._frames_in_step >= FRAMES_PER_STEP:
                self._pause_reading()
                self._continue_in(wait)
                return False
        more: bool = super().processData()
        return more

    def onFrameBegin(self) -> None:
        """Count a frame, of data or control."""
        self._frames_in_step += 1
        self._rate_limit.spend(self.current_frame.length)
        if self.current_frame.opcode <= 7:
            self._frames_in_message = self._frames_in_message + 1 if self.inside_message else 1
        super().onFrameBegin()
        if self._frames_in_message > FRAMES_PER_MESSAGE and not self.failedByMe:
            self._fail_connection(self.CLOSE_STATUS_CODE_MESSAGE_TOO_BIG, "too many fragments")

    def _pause_reading(self) -> None:
        """Stop reading; the client's TCP stops when its buffers are full."""
        self._is_paused = True
        self.transport.pauseProducing()
        if self.autoPingTimeoutCall:
            # The pong cannot be read meanwhile.
            self.autoPingTimeoutCall.cancel()
            self.autoPingTimeoutCall = self.autoPingPending = None

    def _continue_soon(self) -> None:
        if self._is_paused:
            self._continue_in(0)

    def _continue_in(self, seconds: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = twisted_loop.call_later(seconds, self._continue)

    def _continue(self) -> None:
        """Continue reading, unless there is another reason to wait."""
        if not self._is_paused or self.state == self.STATE_CLOSED:
            return
        self._is_paused = False
        self.consumeData()
        if not self._is_paused:
            self.transport.resumeProducing()

    def check_timeouts(self) -> None:
        """Check whether the client answers pings, unless its pong could not be read."""
        if self._is_paused:
            self.last_ping = time.time()
        super().check_timeouts()
