"""Malformed websocket frames: the socket sends an error or is closed, and other clients are not affected."""

import asyncio
import contextlib
import json
import uuid

from websockets.exceptions import ConnectionClosed, InvalidHandshake

from config.tests.attack.clients import Person, connect_socket, open_socket
from config.tests.attack.marks import load_group
from config.tests.attack.product import Product, Watch, private_memory

pytestmark = load_group

ID = "00000000-0000-0000-0000-000000000000"
ODD_FRAMES = [
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


async def test_malformed_frame_gets_error_and_keeps_socket_open(person: Person) -> None:
    async with open_socket(person) as socket:
        await socket.ready()
        for frame in ODD_FRAMES:
            await socket.connection.send(frame)
            await socket.pong()
        errors = [frame for frame in socket.frames if frame["type"] == "error"]
    assert len(errors) >= len(ODD_FRAMES) - 4
    assert {error["code"] for error in errors} <= {
        "bad_frame",
        "bad_input",
        "empty",
        "too_long",
        "not_found",
        "conflict",
    }


async def test_acknowledgement_of_unsent_frame_is_ignored(person: Person) -> None:
    async with open_socket(person) as socket:
        await socket.ready()
        for n in (0, -1, 2**31, 2**63, 2**64):
            await socket.connection.send(
                json.dumps({"type": "log.ack", "turn_id": str(uuid.uuid4()), "attempt": n, "n": n})
            )
        assert "milk" in await socket.reply("Add a task to buy milk")


async def test_compressed_bomb_closes_socket_without_memory_growth(product: Product, person: Person) -> None:
    server = product.server
    with Watch(lambda: private_memory([server]), every=0.1) as memory:
        async with connect_socket(person, compression="deflate") as connection:
            await connection.recv()
            with contextlib.suppress(ConnectionClosed):
                await connection.send("0" * (64 * 1024 * 1024))
            async with asyncio.timeout(20):
                await connection.wait_closed()
    assert memory.growth < 60, f"{memory.growth:.0f} MB"
    assert product.responds()


async def test_websocket_at_other_url_is_refused(person: Person) -> None:
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
