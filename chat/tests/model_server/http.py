"""The part of HTTP/1.1 that a model's endpoint needs, over asyncio streams, so that every byte can be delayed."""

import asyncio
import json
from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus

LARGEST_BODY = 32 * 1024 * 1024
_PHRASES = {status.value: status.phrase for status in HTTPStatus}


@dataclass(frozen=True, slots=True)
class RawRequest:
    """A request as received; header names in lower case."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes


class Connection:
    """One client's connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    async def request(self) -> RawRequest | None:
        """Read the next request; return None if the client has disconnected."""
        try:
            head = (await self._reader.readuntil(b"\r\n\r\n")).decode("latin-1")
            first, *lines = head.split("\r\n")
            method, path, _ = first.split(" ", 2)
            pairs = (line.partition(":") for line in lines if line)
            headers = {name.strip().lower(): value.strip() for name, _, value in pairs}
            size = min(int(headers.get("content-length", 0)), LARGEST_BODY)
            return RawRequest(method, path, headers, await self._reader.readexactly(size))
        except (asyncio.IncompleteReadError, ConnectionError, ValueError):
            return None

    async def answer(self, status: int, body: bytes, headers: Mapping[str, str] | None = None) -> None:
        """Send a whole answer."""
        self._head(status, {"content-type": "application/json", "content-length": str(len(body)), **(headers or {})})
        self._writer.write(body)
        await self._writer.drain()

    async def answer_json(self, status: int, body: object, headers: Mapping[str, str] | None = None) -> None:
        """Send a whole answer of JSON."""
        await self.answer(status, json.dumps(body).encode(), headers)

    async def begin_stream(self, status: int = 200, headers: Mapping[str, str] | None = None) -> None:
        """Start a streamed answer: events, unless the headers name another content type."""
        content_type = {"content-type": "text/event-stream; charset=utf-8"}
        self._head(status, {**content_type, **(headers or {}), "transfer-encoding": "chunked"})
        await self._writer.drain()

    async def send(self, data: bytes) -> None:
        """Send a piece of the stream. Raise ConnectionError if the client has disconnected."""
        self._writer.write(b"%x\r\n%s\r\n" % (len(data), data))
        await self._writer.drain()

    async def end_stream(self) -> None:
        """End the stream properly."""
        self._writer.write(b"0\r\n\r\n")
        await self._writer.drain()

    async def pause(self, seconds: float | None) -> None:
        """Wait, without limit for None; raise ConnectionResetError as soon as the client disconnects."""
        try:
            async with asyncio.timeout(seconds):
                await self._reader.read(1)
        except TimeoutError:
            return
        raise ConnectionResetError("The client went away.")

    def cut(self) -> None:
        """Abort the connection."""
        self._writer.transport.abort()

    async def close(self) -> None:
        """Close the connection."""
        self._writer.close()

    def _head(self, status: int, headers: Mapping[str, str]) -> None:
        lines = [
            f"HTTP/1.1 {status} {_PHRASES.get(status, 'Unknown')}",
            *(f"{name}: {value}" for name, value in headers.items()),
        ]
        self._writer.write("\r\n".join([*lines, "", ""]).encode("latin-1"))
