"""Daphne's websocket with bounds in both directions.

Daphne writes whatever an application sends, and queues whatever a client sends. Here an application waits while the
client does not read, and a client waits while the application does not keep up: TCP passes the wait on.
"""

import asyncio
import socket
import time
from collections.abc import Callable
from typing import Any

from daphne.server import twisted_loop
from daphne.ws_protocol import WebSocketProtocol

TOO_SLOW = 4408
# Seconds in which a client must read something of what it was sent.
READ_WITHIN = 60.0
# The kernel's part of what one client may leave unread, in bytes; Linux doubles it.
KERNEL_BUFFER = 128 * 1024

# What waits for the application, of one client.
MOST_MESSAGES, MOST_CHARACTERS = 64, 256 * 1024
# Frames a second from one client, once so many came at once. A large frame counts as several.
FRAMES_PER_SECOND, FRAMES_AT_ONCE = 100, 1_000
FRAME_UNIT = 16 * 1024  # bytes
# Frames of one client that are processed before the event loop runs others.
FRAMES_PER_STEP = 32
# A longer message is refused by its size; this bounds one that comes byte by byte.
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
        return self.qsize() >= MOST_MESSAGES or self._characters >= MOST_CHARACTERS

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


class Allowance:
    """A number of frames that may come at once, and grows again with time."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._left = float(FRAMES_AT_ONCE)
        self._at = clock()

    def spend(self, size: int) -> None:
        """Count a frame of a size in bytes."""
        now = self._clock()
        self._left = min(self._left + (now - self._at) * FRAMES_PER_SECOND, FRAMES_AT_ONCE) - 1 - size // FRAME_UNIT
        self._at = now

    def wait(self) -> float:
        """Return the seconds until another frame may come; 0 for now."""
        left = self._left + (self._clock() - self._at) * FRAMES_PER_SECOND
        return max(-left / FRAMES_PER_SECOND, 0.0)


class BoundedWebSocket(WebSocketProtocol):  # type: ignore[misc]
    """A websocket that holds no more than a bounded amount for a client, and from one."""

    maxMessagePayloadSize: int
    autoPingTimeoutCall: Any
    autoPingPending: bytes | None

    def connectionMade(self) -> None:  # noqa: N802 - twisted's name
        """Register for the transport's full buffer."""
        super().connectionMade()
        self.inbox = Inbox(self._continue_soon)
        self._allowance = Allowance()
        self._frames_in_step = self._frames_in_message = 0
        self._is_asked = self._is_held = False
        self._timer: asyncio.TimerHandle | None = None
        self._watching: asyncio.TimerHandle | None = None
        self._sending = asyncio.Lock()
        self._writable = asyncio.Event()
        self._writable.set()
        self.transport.unregisterProducer()  # the HTTP channel before this
        self.transport.registerProducer(self, True)
        self.transport.getHandle().setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, KERNEL_BUFFER)

    def onConnect(self, request: Any) -> Any:  # noqa: N802 - autobahn's name
        """Ask the application whether it accepts the socket."""
        self._is_asked = True
        return super().onConnect(request)

    def onClose(self, *args: Any) -> None:  # noqa: N802 - autobahn's name
        """Report the closed socket to the application, if it was opened there."""
        if self._is_asked:
            super().onClose(*args)

    def serverAccept(self, subprotocol: str | None = None) -> None:  # noqa: N802 - daphne's name
        """Accept the socket, and process what the client has sent already."""
        super().serverAccept(subprotocol)
        self._continue_soon()

    def serverClose(self, code: int | None = None) -> None:  # noqa: N802 - daphne's name
        """Close the socket with any code; autobahn reserves 1011, the server's failure, for itself."""
        self.sendCloseFrame(code=1000 if code is None else code)

    # -- to the client

    async def deliver(self, message: Message) -> None:
        """Send a message once the client has read most of what is before it; drop it where the client is gone."""
        async with self._sending:
            await self._writable.wait()
            self.handle_reply(message)

    def sendMessage(self, payload: bytes, *args: Any, **kwargs: Any) -> None:  # noqa: N802 - autobahn's name
        """Send a message, also one longer than is accepted from the client; drop it on a socket that is closing."""
        if self.state != self.STATE_OPEN:
            return
        accepted, self.maxMessagePayloadSize = self.maxMessagePayloadSize, 0
        try:
            super().sendMessage(payload, *args, **kwargs)
        finally:
            self.maxMessagePayloadSize = accepted

    def pauseProducing(self) -> None:  # noqa: N802 - twisted's name
        """Let the application wait, and watch whether the client reads: the transport's buffer is full."""
        self._writable.clear()
        self._watch()

    def resumeProducing(self) -> None:  # noqa: N802 - twisted's name
        """Let the application and the client go on: the transport's buffer is empty."""
        self.stopProducing()
        self._continue_soon()

    def stopProducing(self) -> None:  # noqa: N802 - twisted's name
        """Let the application go on."""
        self._writable.set()
        if self._watching is not None:
            self._watching.cancel()

    def _watch(self, before: tuple[int, int] | None = None) -> None:
        """Close the socket where the client reads nothing for a while."""
        # These two change whenever the transport passes something on.
        buffer = len(self.transport.dataBuffer), self.transport.offset
        if buffer == before:
            self.sendClose(code=TOO_SLOW)  # a second later the connection is cut
        else:
            self._watching = twisted_loop.call_later(READ_WITHIN, self._watch, buffer)

    # -- from the client

    def consumeData(self) -> None:  # noqa: N802 - autobahn's name
        """Process what has arrived, in steps; before the application has accepted the socket, nothing."""
        if self.state == self.STATE_CONNECTING and self._is_asked:
            self._hold()
            return
        self._frames_in_step = 0
        super().consumeData()

    def processData(self) -> bool:  # noqa: N802 - autobahn's name
        """Process a piece of what has arrived; return whether there is more to process now."""
        if self.state == self.STATE_OPEN and self.current_frame is None:
            if self.inbox.is_full or not self._writable.is_set():
                self._hold()
                return False
            wait = self._allowance.wait()
            if wait or self._frames_in_step >= FRAMES_PER_STEP:
                self._hold()
                self._continue_in(wait)
                return False
        more: bool = super().processData()
        return more

    def onFrameBegin(self) -> None:  # noqa: N802 - autobahn's name
        """Count a frame, of data or control."""
        self._frames_in_step += 1
        self._allowance.spend(self.current_frame.length)
        if self.current_frame.opcode <= 7:
            self._frames_in_message = self._frames_in_message + 1 if self.inside_message else 1
        super().onFrameBegin()
        if self._frames_in_message > FRAMES_PER_MESSAGE and not self.failedByMe:
            self._fail_connection(self.CLOSE_STATUS_CODE_MESSAGE_TOO_BIG, "too many fragments")

    def _hold(self) -> None:
        """Stop reading; the client's TCP stops when its buffers are full."""
        self._is_held = True
        self.transport.pauseProducing()
        if self.autoPingTimeoutCall:
            # The answer cannot be read meanwhile.
            self.autoPingTimeoutCall.cancel()
            self.autoPingTimeoutCall = self.autoPingPending = None

    def _continue_soon(self) -> None:
        if self._is_held:
            self._continue_in(0)

    def _continue_in(self, seconds: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = twisted_loop.call_later(seconds, self._continue)

    def _continue(self) -> None:
        """Read on, unless there is another reason to wait."""
        if not self._is_held or self.state == self.STATE_CLOSED:
            return
        self._is_held = False
        self.consumeData()
        if not self._is_held:
            self.transport.resumeProducing()

    def check_timeouts(self) -> None:
        """Check whether the client answers, unless its answer could not be read."""
        if self._is_held:
            self.last_ping = time.time()
        super().check_timeouts()
