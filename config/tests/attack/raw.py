"""Clients that speak HTTP by hand, in ways that no library would."""

import socket
import time
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass

from config.tests.attack.product import Product


@dataclass
class Outcome:
    """How the product ended a request: the status, or 0 where it only closed; how much it took, and how long."""

    status: int
    sent: int
    seconds: float


def connect(product: Product, timeout: float = 60) -> socket.socket:
    """Open a connection to the product."""
    return socket.create_connection(("127.0.0.1", product.port), timeout=timeout)


def send(product: Product, head: str, parts: Iterable[bytes], *, patience: float = 60) -> Outcome:
    """Send a head and a body in parts, until the product answers or closes."""
    begun = time.monotonic()
    sent = 0
    with connect(product, patience) as connection:
        answer = b""
        try:
            connection.sendall(head.encode())
            for part in parts:
                connection.sendall(part)
                sent += len(part)
                if answer := _received(connection):
                    break
            else:
                connection.settimeout(patience)
                answer = connection.recv(65536)
        except OSError:
            # Closed by the product; what it answered before may have arrived.
            answer = answer or _received(connection)
    return Outcome(_status(answer), sent, time.monotonic() - begun)


def _received(connection: socket.socket) -> bytes:
    connection.setblocking(False)
    try:
        with suppress(OSError):
            return connection.recv(65536)
        return b""
    finally:
        connection.settimeout(60)


def _status(answer: bytes) -> int:
    words = answer.split(b" ", 2)
    return int(words[1]) if len(words) > 2 and words[1].isdigit() else 0


def chunks(count: int, size: int) -> Iterable[bytes]:
    """Yield so many chunks of a body without a length, never the last one."""
    part = f"{size:x}\r\n".encode() + b"x" * size + b"\r\n"
    for _ in range(count):
        yield part


def head(method: str, path: str, *lines: str) -> str:
    """Return the head of a request."""
    return "\r\n".join([f"{method} {path} HTTP/1.1", "Host: localhost", *lines, "", ""])


def drip(product: Product, beginning: bytes, *, chunked: bool, most: float) -> float:
    """Send a beginning, then a byte every two seconds; return after how many the product ended it, at most so many."""
    begun = time.monotonic()
    drop = b"1\r\nx\r\n" if chunked else b"x"
    with connect(product, 2) as connection, suppress(ConnectionError):
        connection.sendall(beginning)
        while time.monotonic() - begun < most:
            with suppress(TimeoutError):
                if not connection.recv(65536):
                    break
            if beginning:
                connection.sendall(drop)
    return time.monotonic() - begun
