"""A client that floods the server, or reads nothing, costs little memory and does not delay others."""

import asyncio
import os
import time
import uuid
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

import psutil
import pytest

from chat.tests.live import Person, open_socket, sign_in
from chat.tests.raw_socket import CONTINUATION, PING, TEXT, RawSocket, raw_socket, text, wire
from config.tests.support import LiveDatabase, ServerProcess, database

pytestmark = pytest.mark.service
MEGABYTE = 2**20


@pytest.fixture(scope="module")
def server(_migrated_template: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """Start a server with the default limits that closes a client after a second without reading."""
    with database(os.environ["DATABASE_URL"], template=_migrated_template) as (_, url):
        folder = tmp_path_factory.mktemp("floods")
        process = ServerProcess(LiveDatabase(url), folder, program="chat.tests.short_timeout_server")
        yield process
        process.kill9()


@pytest.fixture(scope="module")
def attacker(server: ServerProcess) -> Person:
    return sign_in(server, "villain")


@dataclass
class Effect:
    """The effect of an attack: the server's growth in bytes, and another user's longest wait for a pong in seconds."""

    grown: int = 0
    longest: float = 0.0


@asynccontextmanager
async def attack(server: ServerProcess) -> AsyncIterator[Effect]:
    """Measure the effect of the block on the server."""
    effect, stop = Effect(), asyncio.Event()
    process = psutil.Process(server.process.pid)
    async with open_socket(server, sign_in(server), uuid.uuid4()) as good:
        await good.ready()

        async def ping_regularly() -> None:
            while not stop.is_set():
                begun = time.monotonic()
                await good.pong()
                effect.longest = max(effect.longest, time.monotonic() - begun)
                await asyncio.wait([stopping], timeout=0.05)

        stopping = asyncio.create_task(stop.wait())
        before = process.memory_info().rss
        pinging = asyncio.create_task(ping_regularly())
        try:
            yield effect
        finally:
            effect.grown = process.memory_info().rss - before
            stop.set()
            await pinging
    assert "Traceback" not in server.output, server.output[-3000:]


UNKNOWN_ID = uuid.UUID(int=7)
FLOODS = {
    "pings": text({"type": "ping", "n": 1}),
    "pings of the websocket": wire(PING, b"x" * 125),
    "empty frames": wire(TEXT),
    "a message in fragments": wire(CONTINUATION, b"x", fin=False),
    "frames of a megabyte": wire(TEXT, b"x" * 2**20),
    "acknowledgements": text({"type": "log.ack", "turn_id": UNKNOWN_ID, "attempt": 1, "n": 1}),
    "follows": text({"type": "log.follow", "turn_id": UNKNOWN_ID, "attempt": 0, "after": 0}),
    "stops": text({"type": "turn.stop", "turn_id": UNKNOWN_ID}),
}
LONG_ONLY = frozenset({"pings of the websocket", "a message in fragments", "stops"})


# Only the long tests play floods that cost the server as much as another one.
@pytest.mark.parametrize(
    "kind", [pytest.param(kind, marks=[pytest.mark.long] if kind in LONG_ONLY else []) for kind in FLOODS]
)
async def test_flood_is_throttled_and_does_not_delay_other_users(
    server: ServerProcess, attacker: Person, kind: str
) -> None:
    flood = FLOODS[kind] * (8 * MEGABYTE // len(FLOODS[kind]))
    if kind == "a message in fragments":
        flood = wire(TEXT, b"x", fin=False) + flood
    async with attack(server) as effect, AsyncExitStack() as stack:
        sockets = [await stack.enter_async_context(raw_socket(server, attacker)) for _ in range(5)]
        taken = await asyncio.gather(*[socket.send(flood) for socket in sockets])

    if kind != "frames of a megabyte":  # these are few
        assert max(taken) < len(flood), "TCP applies backpressure"
    assert effect.longest < 10, f"another user waited {effect.longest:.1f} s"
    assert effect.grown < 20 * MEGABYTE, f"{effect.grown / MEGABYTE:.1f} MiB more"


async def test_reading_client_gets_every_pong(server: ServerProcess, attacker: Person) -> None:
    async with open_socket(server, attacker, uuid.uuid4()) as socket:
        await socket.ready()
        sending = [socket.send("ping", n=n) for n in range(1_200)]
        await asyncio.gather(*sending, socket.until(lambda frame: frame == {"type": "pong", "n": 1_199}))
    assert [frame["n"] for frame in socket.frames if frame["type"] == "pong"] == list(range(1_200))


async def test_client_that_reads_nothing_is_closed(server: ServerProcess, attacker: Person) -> None:
    message = {"type": "message.send", "client_id": uuid.uuid4(), "text": "漢" * 10_000}
    async with raw_socket(server, attacker) as socket:
        await socket.send(text(message) + text({**message, "text": "again"}) * 50)
        async with asyncio.timeout(30):
            while is_open(server, socket):
                await asyncio.sleep(0.05)
        # Unsent data is lost with the connection, and the close frame may be part of it.
        assert await socket.closed() in (4408, 1006)


def is_open(server: ServerProcess, socket: RawSocket) -> bool:
    """Return whether the server still holds its end of a connection."""
    port = socket.socket.getsockname()[1]
    connections = psutil.Process(server.process.pid).net_connections("tcp")
    return any(one.raddr and one.raddr.port == port for one in connections)


@pytest.mark.parametrize(
    ("sent", "code"),
    [
        (wire(TEXT, b"x", rsv=4), 1002),  # compressed without negotiation
        (wire(CONTINUATION, b"x"), 1002),
        (wire(TEXT, b"x", fin=False) + wire(TEXT, b"x"), 1002),
        (wire(TEXT, b"\xff"), 1007),
        (wire(PING, b"x" * 126), 1002),
        (wire(TEXT, b"x", fin=False) + wire(CONTINUATION, b"x", fin=False) * 1_000, 1009),
        (b"\x81\xff" + b"\x7f" + b"\xff" * 7 + bytes(4), 1009),
        (b"GET / HTTP/1.1\r\n\r\n", 1002),
    ],
)
async def test_protocol_violation_closes_the_socket(
    server: ServerProcess, attacker: Person, sent: bytes, code: int
) -> None:
    async with raw_socket(server, attacker, headers="Sec-WebSocket-Extensions: permessage-deflate\r\n") as socket:
        await socket.until("ready")
        await socket.send(sent)
        async with asyncio.timeout(20):
            assert await socket.closed() == code
    assert "Traceback" not in server.output
