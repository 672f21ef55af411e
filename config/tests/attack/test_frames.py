"""Odd websocket frames: the socket answers with an error or is closed, and nobody else notices."""

import asyncio
import contextlib
import json
import os
import struct
import uuid

from websockets.exceptions import ConnectionClosed, InvalidHandshake

from config.tests.attack.clients import Person, connect_socket, open_socket
from config.tests.attack.marks import with_much
from config.tests.attack.product import Product, Watch, private_memory

pytestmark = with_much

ID = "00000000-0000-0000-0000-000000000000"
ODD = [
    "",
    " ",
    "null",
    "[]",
    "{}",
    "1",
    '"ping"',
    "{",
    '{"type": null}',
    '{"type": []}',
    '{"type": "ping"}',
    '{"type": "ping", "n": null}',
    '{"type": "ping", "n": 1e400}',
    '{"type": "ping", "n": NaN}',
    '{"type": "ping", "n": ' + "9" * 5_000 + "}",
    '{"type": "ping", "n": -9223372036854775809}',
    '{"type": "ping", "n": 1, "more": ' + "[" * 5_000 + "]" * 5_000 + "}",
    '{"type": "ping", "type": "turn.stop"}',
    '{"type": "message.send"}',
    '{"type": "message.send", "client_id": 1, "text": "x"}',
    f'{{"type": "message.send", "client_id": "{ID}", "text": null}}',
    f'{{"type": "message.send", "client_id": "{ID}", "text": ["x"]}}',
    f'{{"type": "message.send", "client_id": "{ID}", "text": "\\u0000"}}',
    f'{{"type": "message.send", "client_id": "{ID}", "text": "\\ud800"}}',
    f'{{"type": "message.send", "client_id": "{ID}", "text": "{"a" * 10_001}"}}',
    f'{{"type": "message.send", "client_id": "{ID}", "text": "  \\n "}}',
    f'{{"type": "message.send", "client_id": "\\u0000{ID[1:]}", "text": "x"}}',
    f'{{"type": "message.edit", "client_id": "{ID}", "message_id": "{ID}", "text": "x"}}',
    f'{{"type": "turn.retry", "client_id": "{ID}", "turn_id": "{ID}"}}',
    f'{{"type": "turn.stop", "turn_id": "{ID}"}}',
    f'{{"type": "approval.decide", "turn_id": "{ID}", "call_id": "\\u0000", "approve": true}}',
    f'{{"type": "approval.decide", "turn_id": "{ID}", "call_id": "{"x" * 9_000}", "approve": true}}',
    f'{{"type": "approval.decide", "turn_id": "{ID}", "call_id": "x", "approve": "yes"}}',
    f'{{"type": "log.follow", "turn_id": "{ID}", "attempt": -1, "after": -1}}',
    f'{{"type": "log.follow", "turn_id": "{ID}", "attempt": 1e30, "after": 1}}',
    f'{{"type": "log.follow", "turn_id": "{ID}", "attempt": 99999999999, "after": 99999999999}}',
    '{"type": "log.follow", "turn_id": "x", "attempt": 0, "after": 0}',
    '{"type": "ready"}',
    '{"type": "websocket.close"}',
    '{"type": "tasks.changed", "tasks": []}',
    '{"type": "turn_accepted", "conversation_id": "x"}',
    '{"type": "__class__"}',
    '{"type": "\\u0000"}',
    "\ufeff" + '{"type": "ping", "n": 1}',
]


async def test_no_frame_breaks_a_socket(person: Person) -> None:
    async with open_socket(person) as socket:
        await socket.ready()
        for frame in ODD:
            await socket.connection.send(frame)
            await socket.pong()
        errors = [frame for frame in socket.frames if frame["type"] == "error"]
    assert len(errors) >= len(ODD) - 4
    assert {error["code"] for error in errors} <= {
        "bad_frame",
        "bad_input",
        "empty",
        "too_long",
        "not_found",
        "conflict",
    }


async def test_acknowledgements_of_what_was_never_sent_are_nothing(person: Person) -> None:
    async with open_socket(person) as socket:
        await socket.ready()
        for n in (0, -1, 2**31, 2**63, 2**64):
            await socket.connection.send(
                json.dumps({"type": "log.ack", "turn_id": str(uuid.uuid4()), "attempt": n, "n": n})
            )
        assert "milk" in await socket.reply("Add a task to buy milk")


async def test_what_is_no_text_closes_a_socket(product: Product, person: Person) -> None:
    async with connect_socket(person) as connection:
        await connection.recv()
        await connection.send(b"\x00\x01")
        await connection.wait_closed()
        assert connection.close_code == 4400
    assert await raw_close(person, frame(0x1, b"\xff\xfe\xfd")) == 1007
    assert await raw_close(person, frame(0x3, b"x")) == 1002
    assert await raw_close(person, frame(0x1, b"x", reserved=0x40)) == 1002
    assert await raw_close(person, frame(0x9, b"p" * 200)) == 1002
    assert await raw_close(person, frame(0x0, b"x")) == 1002
    assert product.answers("/healthz")


def frame(opcode: int, payload: bytes, *, reserved: int = 0, final: bool = True) -> bytes:
    """Return a masked frame, as odd as is asked for."""
    first = (0x80 if final else 0) | reserved | opcode
    size = len(payload)
    length = struct.pack("!B", 0x80 | size) if size < 126 else struct.pack("!BQ", 0x80 | 127, size)
    mask = os.urandom(4)
    masked = bytes(byte ^ mask[n % 4] for n, byte in enumerate(payload)) if size < 100_000 else payload
    return bytes([first]) + length + mask + masked


async def raw_close(person: Person, *frames: bytes) -> int | None:
    """Send frames as they are, and return the code with which the socket is closed."""
    async with connect_socket(person, ping_interval=None) as connection:
        await connection.recv()
        for one in frames:
            connection.transport.write(one)
        with contextlib.suppress(ConnectionClosed, TimeoutError):
            async with asyncio.timeout(15):
                while True:
                    await connection.recv()
        return connection.close_code


async def test_long_messages_are_refused_however_they_are_cut(product: Product, person: Person) -> None:
    server = product.server
    with Watch(lambda: private_memory([server]), every=0.1) as memory:
        async with connect_socket(person) as connection:
            await connection.recv()
            with contextlib.suppress(ConnectionClosed):
                await connection.send("x" * (3 * 1024 * 1024))
            await connection.wait_closed()
            assert connection.close_code == 1009
        # In pieces, without an end.
        piece = frame(0x1, b"x" * 65_536, final=False)
        more = frame(0x0, b"x" * 65_536, final=False)
        assert await raw_close(person, piece, *[more] * 40) == 1009
        # Announced and not sent.
        head = struct.pack("!BBQ", 0x81, 0x80 | 127, 2**40) + b"mask"
        assert await raw_close(person, head + b"x" * 1_000) in (1009, 1002)
    assert memory.growth < 60, f"{memory.growth:.0f} MB"


async def test_a_compressed_bomb_stays_small(product: Product, person: Person) -> None:
    server = product.server
    with Watch(lambda: private_memory([server]), every=0.1) as memory:
        async with connect_socket(person, compression="deflate") as connection:
            await connection.recv()
            with contextlib.suppress(ConnectionClosed):
                await connection.send("0" * (64 * 1024 * 1024))
            async with asyncio.timeout(20):
                await connection.wait_closed()
    assert memory.growth < 60, f"{memory.growth:.0f} MB"
    assert product.answers()


async def test_thousands_of_small_frames_hold_up_nobody(product: Product, person: Person, victim: Person) -> None:
    """Empty pieces, control frames, and frames that are looked up in the database."""
    empty = frame(0x1, b"", final=False) + frame(0x0, b"", final=False) * 5_000
    pings = frame(0x9, b"p") * 5_000
    follow = json.dumps({"type": "log.follow", "turn_id": str(uuid.uuid4()), "attempt": 0, "after": 0})
    async with contextlib.AsyncExitStack() as stack:
        attackers = [await stack.enter_async_context(connect_socket(person, ping_interval=None)) for _ in range(3)]
        with Watch(product.healthz_seconds) as health:
            attackers[0].transport.write(empty)
            attackers[1].transport.write(pings)
            attackers[2].transport.write(frame(0x1, follow.encode()) * 3_000)
            async with open_socket(victim) as socket:
                accepted = await socket.accepted(await socket.message("Add a task to buy milk"), within=60)
                await socket.end_of(accepted["turn"]["id"], within=60)
    health.check_latency()


async def test_other_addresses_take_no_socket(person: Person) -> None:
    opened = []
    for path in [
        "/ws/",
        "/ws/chat/",
        "/ws/chat/x/",
        f"/ws/chat/{ID}",
        f"/ws/chat/{ID}/x",
        "/ws/chat/%00/",
        "/",
        "/mcp",
    ]:
        connecting = connect_socket(person, open_timeout=30)
        connecting.uri = connecting.uri.rsplit("/ws/", 1)[0] + path
        with contextlib.suppress(InvalidHandshake):
            async with connecting:
                opened.append(path)
    assert opened == []
