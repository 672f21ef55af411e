"""Odd websocket frames: the socket answers with an error or is closed, and nobody else notices."""

import asyncio
import contextlib
import json
import uuid

from websockets.exceptions import ConnectionClosed, InvalidHandshake

from config.tests.attack.clients import Person, connect_socket, open_socket
from config.tests.attack.marks import with_much
from config.tests.attack.product import Product, Watch, private_memory

pytestmark = with_much

ID = "00000000-0000-0000-0000-000000000000"


async def test_acknowledgements_of_what_was_never_sent_are_nothing(person: Person) -> None:
    async with open_socket(person) as socket:
        await socket.ready()
        for n in (0, -1, 2**31, 2**63, 2**64):
            await socket.connection.send(
                json.dumps({"type": "log.ack", "turn_id": str(uuid.uuid4()), "attempt": n, "n": n})
            )
        assert "milk" in await socket.reply("Add a task to buy milk")


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
