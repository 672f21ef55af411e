"""Whatever a client sends is answered by an error frame or a close code, and moves the server not at all."""

import asyncio
import json
import random
import time
import uuid
from collections.abc import Callable
from contextlib import suppress

import psutil
import pytest
from websockets.exceptions import ConnectionClosed

from chat.tests.live import LiveSocket, Person, open_socket, sign_in
from config.tests.support import ServerProcess

pytestmark = pytest.mark.service

MEGABYTE = 2**20
CODES = {"bad_frame", "empty", "too_long", "not_found", "conflict", "rate_limited"}
CLOSED = {4400, 1007, 1009}
FIELDS = ["client_id", "turn_id", "message_id", "call_id", "text", "attempt", "after", "n", "approve", "type"]


def rubbish(chance: random.Random) -> object:
    """Return a value that belongs nowhere."""
    return chance.choice(
        [
            None,
            True,
            -1,
            2**31 + 1,
            10**30,
            1.5,
            1e308,
            "",
            " ",
            "x",
            "🧵" * 50,
            [],
            {},
            [[]],
            {"text": "x"},
            "\x00",
            "0",
        ]
    )


def wrong_fields(chance: random.Random) -> str:
    """A frame of a known type whose fields are missing or of the wrong kind."""
    kind = chance.choice(["message.send", "turn.stop", "turn.retry", "log.follow"])
    return json.dumps({**{name: rubbish(chance) for name in chance.sample(FIELDS, 4)}, "type": kind})


def nothing_there(chance: random.Random) -> str:
    """A frame that is well made, about something that is not there: out of order."""
    ids = {"turn_id": str(uuid.UUID(int=chance.getrandbits(128))), "client_id": str(uuid.UUID(int=1))}
    kind = chance.choice(["turn.stop", "turn.retry", "log.follow"])
    return json.dumps({"type": kind, **ids, "attempt": chance.randrange(5), "after": chance.randrange(2**31)})


def later_releases(chance: random.Random) -> str:
    """A frame of the contract that this release does not take yet."""
    return json.dumps({"type": chance.choice(["message.edit", "approval.decide"]), "client_id": str(uuid.uuid4())})


def unknown_type(chance: random.Random) -> str:
    """A frame of a type that there is not, some of them the server's own."""
    return json.dumps({"type": chance.choice(["ready", "turn.finished", "tasks.changed", "x" * 5000, "__class__"])})


def no_object(chance: random.Random) -> str:
    """JSON that is no object."""
    return json.dumps(chance.choice([[], [1, 2], "x", 7, None, True, [{"type": "ping"}]]))


def broken_json(chance: random.Random) -> str:
    """A frame that breaks off, or has a character changed into one that cannot stand there."""
    whole = json.dumps({"type": "message.send", "client_id": str(uuid.uuid4()), "text": "Add a task"})
    return whole[: chance.randrange(len(whole))]


def noise(chance: random.Random) -> str:
    """Any characters at all."""
    return "".join(chr(chance.choice([chance.randrange(32, 127), chance.randrange(0x4E00, 0x9000)])) for _ in range(50))


def deep(chance: random.Random) -> str:
    """Nested as deep as a frame may be long."""
    depth = chance.choice([100, 1000, 20_000, 60_000])
    return chance.choice(["[" * depth, "[" * depth + "]" * depth, '{"a":' * (depth // 3) + "1" + "}" * (depth // 3)])


def nested_field(chance: random.Random) -> str:
    """A known frame with a field that is nested deep."""
    depth = chance.choice([100, 1000, 20_000])
    return '{"type":"message.send","client_id":' + "[" * depth + "]" * depth + ',"text":"x"}'


def long_number(chance: random.Random) -> str:
    """A number with more digits than anybody reads."""
    return '{"type":"log.follow","turn_id":1,"attempt":' + "9" * chance.choice([50, 5000, 100_000]) + ',"after":0}'


def too_long(chance: random.Random) -> str:
    """A frame over the length that is read, but not over what is taken in."""
    text = "x" * chance.randrange(130_000, 900_000)
    return json.dumps({"type": "message.send", "client_id": str(uuid.uuid4()), "text": text})


def too_long_message(chance: random.Random) -> str:
    """A message over 10,000 characters, or one without any."""
    text = chance.choice([" " * 50, "", "y" * 10_001, "🧵" * 10_001])
    return json.dumps({"type": "message.send", "client_id": str(uuid.uuid4()), "text": text})


ANSWERED: list[Callable[[random.Random], str]] = [
    wrong_fields, nothing_there, later_releases, unknown_type, no_object, broken_json, noise, deep, nested_field,
    long_number, too_long, too_long_message,
]  # fmt: skip


def fatal(chance: random.Random) -> str | bytes:
    """Return a frame that no socket survives."""
    frames: list[str | bytes] = [
        b"",
        b"\x00\xff" * 100,
        b'{"type":"ping"}',
        "x" * (MEGABYTE + 1),
        b"x" * (3 * MEGABYTE),
    ]
    return chance.choice(frames)


async def behaves(socket: LiveSocket, stop: asyncio.Event) -> float:
    """Ping as long as the others misbehave, and return the longest wait for an answer."""
    longest = 0.0
    while not stop.is_set():
        begun = time.monotonic()
        await socket.pong()
        longest = max(longest, time.monotonic() - begun)
    return longest


async def check_answered(server: ServerProcess, person: Person, frames: list[str]) -> None:
    """Send frames that a socket survives, and check that each is answered by one error, in order."""
    async with open_socket(server, person, uuid.uuid4()) as socket:
        await socket.ready()
        for frame in frames:
            before = len(socket.frames)
            await socket.connection.send(frame)
            answer = await socket.until(lambda _: True, after=before)
            assert answer["type"] == "error" and answer["code"] in CODES, (frame[:200], answer)
            assert 0 < len(answer["detail"]) < 400
        await socket.pong()


async def check_closed(server: ServerProcess, person: Person, frame: str | bytes) -> None:
    async with open_socket(server, person, uuid.uuid4()) as socket:
        await socket.ready()
        with suppress(ConnectionClosed):
            await socket.connection.send(frame)
        assert await socket.closed() in CLOSED, frame[:50]


async def misbehave(server: ServerProcess, person: Person, seed: int, frames: int) -> None:
    """Send so many frames over several sockets at once."""
    chance = random.Random(seed)
    deadly = frames // 25
    lists = [[chance.choice(ANSWERED)(chance) for _ in range((frames - deadly) // 4)] for _ in range(4)]
    await asyncio.gather(*[check_answered(server, person, part) for part in lists])
    for _ in range(deadly):
        await check_closed(server, person, fatal(chance))


async def check_unmoved(server: ServerProcess, seed: int, frames: int) -> None:
    print(f"seed {seed}")  # noqa: T201 - to play it again
    villain, person = sign_in(server, "villain"), sign_in(server)
    process = psutil.Process(server.process.pid)
    async with open_socket(server, person, uuid.uuid4()) as good:
        await good.say("hello")
        await misbehave(server, villain, seed, 100)  # so that what is made once is there
        before, stop = process.memory_info().rss, asyncio.Event()
        behaving = asyncio.create_task(behaves(good, stop))
        await misbehave(server, villain, seed + 1, frames)
        stop.set()
        longest = await behaving
        grown = process.memory_info().rss - before
        assert (await good.reply("Add a task to buy bread")).startswith("Added")

    assert longest < 5, f"a well-behaved socket waited {longest:.1f} s"
    assert grown < 24 * MEGABYTE, f"{grown / MEGABYTE:.0f} MiB more"
    ((stored,),) = server.database.query("SELECT count(*) FROM chat_conversation WHERE user_id = %s", villain.id)
    assert stored == 0
    assert "Traceback" not in server.output, server.output[-3000:]


async def test_1000_frames_that_are_none(shared_server: ServerProcess) -> None:
    await check_unmoved(shared_server, seed=20, frames=1000)


@pytest.mark.long
async def test_20000_frames_that_are_none(shared_server: ServerProcess) -> None:
    await check_unmoved(shared_server, seed=random.randrange(10**6), frames=20_000)
