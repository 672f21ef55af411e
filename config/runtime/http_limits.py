"""Limits of a connection before the application sees its request: bytes, time and syntax.

Twisted reads a request of any size and at any speed, and stores its body on disk, before it passes it on. Here a
request is refused as soon as it is known to be invalid. The refusal is sent, the rest of the request is discarded for a
moment so that the client can read it, and the connection is closed.
"""

import json
from http import HTTPStatus
from io import BytesIO
from typing import Any

from daphne.http_protocol import HTTPFactory, WebRequest
from twisted.internet.interfaces import IDelayedCall
from twisted.web import http

from chat.infra.root_path import within_site
from config.runtime.security_headers import DEFAULTS

KIB = 1024
BODY_LIMIT = 64 * KIB
# By the beginning of the path. A message of 10,000 characters takes 120 KiB as JSON in ASCII; staff choose up to 1,000
# rows of a list.
LARGER_BODIES = {"/api/chatkit": 256 * KIB, "/mcp": 256 * KIB, "/admin/": 256 * KIB}
# The bodies of all requests together.
TOTAL_BODY_LIMIT = 64 * KIB * KIB
REQUEST_TIMEOUT = 30.0  # seconds, from the first byte of a request to its last
# Longer than proxies keep a connection (60), so that the proxy closes it first.
IDLE_TIMEOUT = 75.0  # seconds
# The time, and the bytes, for which the rest of a refused request is read.
LINGER, LINGER_BYTES = 1.0, KIB * KIB
MAX_HEADERS = 100
MAX_CONNECTIONS = 2000

METHODS = frozenset({b"GET", b"HEAD", b"POST", b"PUT", b"PATCH", b"DELETE", b"OPTIONS"})
JSON_PATHS = ("/api/", "/mcp")
REFUSALS = {
    400: ("bad_request", "This request cannot be read."),
    408: ("timeout", "The request was not complete within 30 seconds."),
    413: ("too_large", "This request is too large."),
    414: ("too_large", "This URL is too long."),
    431: ("too_large", "The headers of this request are too large."),
    500: ("server_error", "Something went wrong here. Please try again."),
    501: ("method_not_allowed", "This server does not support this method."),
    503: ("unavailable", "The server is busy. Please try again in a few seconds."),
}


def body_limit(path: bytes) -> int:
    """Return the maximum body size in bytes of a request to a path."""
    text = within_site(path.decode("latin1"))
    return next((limit for beginning, limit in LARGER_BODIES.items() if text.startswith(beginning)), BODY_LIMIT)


def refusal(status: int, path: bytes) -> bytes:
    """Return a complete response that refuses a request, in JSON for the API and MCP; then the connection closes."""
    code, detail = REFUSALS.get(status, REFUSALS[400])
    if within_site(path.decode("latin1")).startswith(JSON_PATHS):
        kind, body = "application/json", json.dumps({"error": {"code": code, "detail": detail}})
    else:
        kind, body = "text/plain; charset=utf-8", f"{detail}\n"
    head = [
        f"HTTP/1.1 {status} {HTTPStatus(status).phrase}",
        f"Content-Type: {kind}",
        f"Content-Length: {len(body.encode())}",
        "Cache-Control: no-store",
        "Connection: close",
        *(f"{name.decode()}: {value.decode()}" for name, value in DEFAULTS),
    ]
    return "\r\n".join([*head, "", body]).encode()


def origin_form(target: bytes) -> tuple[bytes, bytes]:
    """Return the path and query of a request target, and its host if the target names one.

    Raise ValueError if it is neither a path nor a URL, and for a NUL, which neither files nor PostgreSQL can hold.
    """
    host = b""
    scheme, separator, rest = target.partition(b"://")
    if separator and scheme.lower() in (b"http", b"https"):
        host, slash, path = rest.partition(b"/")
        if not host:
            raise ValueError("no host")
        target = slash + path or b"/"
    if not target.startswith(b"/") or not target.isascii() or b"%00" in target:
        raise ValueError("not a path")
    return target, host


class Request(WebRequest):  # type: ignore[misc]
    """Daphne's request, with its body in memory."""

    def __init__(self, channel: "Channel", queued: object = None) -> None:
        super().__init__(channel, parsePOSTFormSubmission=False)
        self._factory = channel.factory
        self._size = 0

    def gotLength(self, length: int | None) -> None:
        """Start the body."""
        self.content = BytesIO()

    def handleContentChunk(self, data: bytes) -> None:
        """Store a chunk of the body unless the body becomes too large."""
        if self.channel is not None and self.channel.accepts(self._size + len(data)):
            self._size += len(data)
            self._factory.stored += len(data)
            self.content.write(data)

    def requestReceived(self, command: bytes, path: bytes, version: bytes) -> None:
        """Pass the complete request on."""
        # Headers that are for the ASGI server itself, which any client could send.
        self.requestHeaders.removeHeader(b"Daphne-Root-Path")
        if command not in METHODS:
            self.channel.refuse(501, path)
            return
        try:
            path, host = origin_form(path)
        except ValueError:
            self.channel.refuse(400, path)
            return
        # Daphne decodes it as ASCII, and autobahn reports the error to the client.
        if not all(value.isascii() for value in self.requestHeaders.getRawHeaders(b"Sec-WebSocket-Protocol", [])):
            self.channel.refuse(400, path)
            return
        if host:
            self.requestHeaders.setRawHeaders(b"Host", [host])
        super().requestReceived(command, path, version)

    def process(self) -> Any:
        """Pass the request to the application, or the connection to a websocket."""
        processing = super().process()
        if self.transport is None:
            self._release()
            self._factory.closed(self.channel)
        return processing

    def handle_reply(self, message: dict[str, Any]) -> None:
        """Send a part of the response. Daphne would send the second part of a body to a HEAD request."""
        is_body = message.get("type") == "http.response.body"
        super().handle_reply({**message, "body": b""} if is_body and self.method == b"HEAD" else message)

    def basic_error(self, status: int, status_text: bytes, body: str) -> None:
        """Answer instead of the application; if it has begun to answer, close the connection so that the client
        notices.
        """
        channel = None if self.finished else self.channel
        if channel is not None and self._response_started:
            channel.transport.abortConnection()
        elif channel is not None:
            channel.refuse(status, self.path or b"/")

    def finish(self) -> None:
        """End the response."""
        self._release()
        super().finish()

    def connectionLost(self, reason: Any) -> None:
        """Release the memory of the request."""
        self._release()
        super().connectionLost(reason)

    def _release(self) -> None:
        self._factory.stored -= self._size
        self._size = 0


class Channel(http.HTTPChannel):  # type: ignore[misc]
    """A connection that carries requests one after another."""

    factory: "Factory"
    maxHeaders = MAX_HEADERS

    def __init__(self) -> None:
        super().__init__()
        self.refused = False
        self._has_received = False
        self._discarded = 0
        self._deadline: IDelayedCall | None = None

    @property
    def is_busy(self) -> bool:
        """Whether a request is being answered."""
        return self._handlingRequest and not self.refused

    def connectionMade(self) -> None:
        """Accept the connection, unless the server is full."""
        super().connectionMade()
        self._start_clock()
        self.factory.opened(self)

    def connectionLost(self, reason: Any = None) -> None:
        """Release the connection."""
        self._stop_clock()
        self.factory.closed(self)
        super().connectionLost(reason)

    # -- reading

    def dataReceived(self, data: bytes) -> None:
        """Read; the first byte of a request starts its timer."""
        self._has_received = True
        if self.refused:
            self._discard(len(data))
            return
        if not self._handlingRequest:
            self._start_clock()
        super().dataReceived(data)

    def lineReceived(self, line: bytes) -> None:
        """Read a line of the request head."""
        if line[:1] in (b" ", b"\t"):  # a folded header, which RFC 9112 lets a server refuse
            self.refuse(400)
        if not self.refused:
            super().lineReceived(line)

    def rawDataReceived(self, data: bytes) -> None:
        """Read a part of the body."""
        if not self.refused:
            super().rawDataReceived(data)

    def headerReceived(self, line: bytes) -> bool:
        """Read a header."""
        if self.refused:
            return False
        try:
            return bool(super().headerReceived(line))
        except ValueError:  # a length of thousands of digits
            self.refuse(400)
            return False

    def allHeadersReceived(self) -> None:
        """Refuse a body of ambiguous or excessive length before it is sent."""
        headers = self.requests[-1].requestHeaders
        if len(headers.getRawHeaders(b"Transfer-Encoding", [])) > 1:
            self.refuse(400)
            return
        if self.length is not None and not self.accepts(self.length):
            return
        super().allHeadersReceived()

    def allContentReceived(self) -> None:
        """Stop the timer: the request is complete."""
        if not self.refused:
            self._stop_clock()
            super().allContentReceived()

    def requestDone(self, request: Any) -> None:
        """Continue with what was received meanwhile."""
        if self._dataBuffer and self.persistent:
            self._start_clock()
        super().requestDone(request)

    # -- refusing

    def accepts(self, size: int) -> bool:
        """Return whether a body of that many bytes is allowed; refuse the request if not."""
        if size > body_limit(self._target):
            self.refuse(413)
        elif self.factory.stored + size > TOTAL_BODY_LIMIT:
            self.refuse(503)
        return not self.refused

    def refuse(self, status: int, target: bytes = b"") -> None:
        """Send a refusal, and close the connection."""
        if self.refused:
            return
        self.refused = True
        self._stop_clock()
        self.setTimeout(None)
        self.transport.write(refusal(status, target or self._target))
        self.transport.loseWriteConnection()
        self.callLater(LINGER, self.transport.loseConnection)

    def _discard(self, size: int) -> None:
        self._discarded += size
        if self._discarded > LINGER_BYTES:
            self.transport.loseConnection()

    def lineLengthExceeded(self, line: bytes) -> None:
        """Refuse a line that is too long."""
        self.refuse(431 if self.requests else 414)

    def _respondToBadRequestAndDisconnect(self) -> None:
        is_too_large = self._receivedHeaderSize > self.totalHeadersSize or self._receivedHeaderCount > self.maxHeaders
        self.refuse(431 if is_too_large else 400)

    @property
    def _target(self) -> bytes:
        """The path of the request that is being read, as far as it is known."""
        try:
            return origin_form(getattr(self, "_path", b"/"))[0]
        except ValueError:
            return b"/"

    def _start_clock(self) -> None:
        if self._deadline is None:
            self._deadline = self.callLater(REQUEST_TIMEOUT, self._time_out)

    def _stop_clock(self) -> None:
        deadline, self._deadline = self._deadline, None
        if deadline is not None and deadline.active():
            deadline.cancel()

    def _time_out(self) -> None:
        self._deadline = None
        if self._has_received:
            self.refuse(408)
        else:
            # A browser may have opened the connection in advance, and would take a response for that of its next
            # request.
            self.transport.loseConnection()


class Factory(HTTPFactory):  # type: ignore[misc]
    """All connections of the server."""

    protocol = Channel

    def __init__(self, server: Any) -> None:
        super().__init__(server)
        self.timeOut = IDLE_TIMEOUT
        self.stored = 0  # bytes of bodies
        self._channels: dict[Channel, None] = {}  # the oldest first

    def buildProtocol(self, addr: Any) -> Any:
        """Return the protocol of a new connection."""
        channel = super().buildProtocol(addr)
        channel.requestFactory = Request
        return channel

    def opened(self, channel: Channel) -> None:
        """Count a connection; if there are too many, close the oldest that waits for its client."""
        if len(self._channels) >= MAX_CONNECTIONS:
            waiting = next((one for one in self._channels if not one.is_busy), channel)
            waiting.transport.abortConnection()
        self._channels[channel] = None

    def closed(self, channel: Channel) -> None:
        """Stop counting a connection: it is closed, or has become a websocket."""
        self._channels.pop(channel, None)
