"""A handwritten WebSocket client, for frames that no library sends, and for clients that do not read."""

import asyncio
import json
import socket
import struct
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

from chat.tests.live import Person
from config.tests.support import ServerProcess

TEXT, BINARY, CLOSE, PING, PONG, CONTINUATION = 1, 2, 8, 9, 10, 0


def wire(opcode: int, payload: bytes = b"", *, fin: bool = True, rsv: int = 0) -> bytes:
    """Encode a frame, with a mask of zeros."""
    length = len(payload)
    head = bytes([0x80 * fin | rsv << 4 | opcode])
    if length < 126:
        head += bytes([0x80 | length])
    elif length < 2**16:
        head += b"\xfe" + struct.pack("!H", length)
    else:
        head += b"\xff" + struct.pack("!Q", length)
    return head + bytes(4) + payload


def text(frame: object) -> bytes:
    """Encode a JSON frame of the chat protocol."""
    return wire(TEXT, json.dumps(frame, default=str).encode())


class RawSocket:
    """A connection after its handshake."""

    def __init__(self, connected_socket: socket.socket) -> None:
        self.socket = connected_socket
        self._data = b""

    async def send(self, data: bytes, *, patience: float = 1.0) -> int:
        """Send until the server has read everything, or nothing for a while; return the number of bytes sent."""
        loop, sent = asyncio.get_running_loop(), 0
        with suppress(ConnectionError):
            while sent < len(data):
                try:
                    sent += self.socket.send(data[sent : sent + 65536])
                except BlockingIOError:
                    writable = asyncio.Event()
                    loop.add_writer(self.socket, writable.set)
                    try:
                        await asyncio.wait_for(writable.wait(), patience)
                    except TimeoutError:
                        break
                    finally:
                        loop.remove_writer(self.socket)
        return sent

    async def frame(self) -> tuple[int, bytes]:
        """Return the opcode and payload of the next frame. Raise EOFError at the end."""
        head = await self._take(2)
        length = head[1] & 127
        if length >= 126:
            length = int.from_bytes(await self._take(2 if length == 126 else 8))
        return head[0] & 15, await self._take(length)

    async def frames(self) -> AsyncIterator[dict[str, Any]]:
        """Yield the server's frames until it closes; the last one is `{"close": code}`."""
        with suppress(EOFError, ConnectionError):
            while True:
                opcode, payload = await self.frame()
                if opcode == TEXT:
                    yield json.loads(payload)
                elif opcode == CLOSE:
                    yield {"close": int.from_bytes(payload[:2])}
                    return

    async def until(self, kind: str) -> dict[str, Any]:
        """Return the next frame of a type."""
        async for frame in self.frames():
            if frame.get("type") == kind:
                return frame
        raise EOFError

    async def closed(self) -> int:
        """Read to the end; return the server's close code, or 1006."""
        code = 1006
        async for frame in self.frames():
            code = frame.get("close", code)
        return code

    async def _take(self, size: int) -> bytes:
        while len(self._data) < size:
            data = await asyncio.get_running_loop().sock_recv(self.socket, 65536)
            if not data:
                raise EOFError
            self._data += data
        taken, self._data = self._data[:size], self._data[size:]
        return taken


@asynccontextmanager
async def raw_socket(
    server: ServerProcess,
    person: Person,
    conversation_id: uuid.UUID | None = None,
    *,
    headers: str = "",
) -> AsyncIterator[RawSocket]:
    """Open a socket that reads only on request, with small buffers in the kernel."""
    with socket.socket() as tcp_socket:
        tcp_socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 16 * 1024)
        tcp_socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 16 * 1024)
        tcp_socket.setblocking(False)
        loop = asyncio.get_running_loop()
        await loop.sock_connect(tcp_socket, ("127.0.0.1", server.port))
        request = (
            f"GET /ws/chat/{conversation_id or uuid.uuid4()}/ HTTP/1.1\r\nHost: localhost:{server.port}\r\n"
            f"Origin: http://localhost:{server.port}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
            f"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {'A' * 22}==\r\nCookie: {person.cookie}\r\n{headers}\r\n"
        )
        await loop.sock_sendall(tcp_socket, request.encode())
        opened_socket = RawSocket(tcp_socket)
        response = b""
        while not response.endswith(b"\r\n\r\n"):
            response += await opened_socket._take(1)
        assert response.startswith(b"HTTP/1.1 101 "), response
        yield opened_socket
