"""Every invalid frame is answered by an error frame or a close code, and does not disturb the server."""

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


def random_value(rng: random.Random) -> object:
    """Return a value of any type, most of which are valid in no field."""
    return rng.choice(
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


def wrong_fields(rng: random.Random) -> str:
    """Return a frame of a known type whose fields are missing or of the wrong type."""
    kind = rng.choice(["message.send", "turn.stop", "turn.retry", "log.follow"])
    return json.dumps({**{name: random_value(rng) for name in rng.sample(FIELDS, 4)}, "type": kind})


def unknown_ids(rng: random.Random) -> str:
    """Return a well-formed frame about a turn that does not exist."""
    ids = {"turn_id": str(uuid.UUID(int=rng.getrandbits(128))), "client_id": str(uuid.UUID(int=1))}
    kind = rng.choice(["turn.stop", "turn.retry", "log.follow"])
    return json.dumps({"type": kind, **ids, "attempt": rng.randrange(5), "after": rng.randrange(2**31)})


def incomplete(rng: random.Random) -> str:
    """Return a frame that lacks required fields."""
    return json.dumps({"type": rng.choice(["message.edit", "approval.decide"]), "client_id": str(uuid.uuid4())})


def unknown_type(rng: random.Random) -> str:
    """Return a frame of an unknown type, or of a type that only the server sends."""
    return json.dumps({"type": rng.choice(["ready", "turn.finished", "tasks.changed", "x" * 5000, "__class__"])})


def not_an_object(rng: random.Random) -> str:
    """Return JSON that is not an object."""
    return json.dumps(rng.choice([[], [1, 2], "x", 7, None, True, [{"type": "ping"}]]))


def broken_json(rng: random.Random) -> str:
    """Return a truncated frame."""
    whole = json.dumps({"type": "message.send", "client_id": str(uuid.uuid4()), "text": "Add a task"})
    return whole[: rng.randrange(len(whole))]


def noise(rng: random.Random) -> str:
    """Return random characters."""
    return "".join(chr(rng.choice([rng.randrange(32, 127), rng.randrange(0x4E00, 0x9000)])) for _ in range(50))


def deep(rng: random.Random) -> str:
    """Return JSON that is nested as deep as the length of a frame allows."""
    depth = rng.choice([100, 1000, 20_000, 60_000])
    return rng.choice(["[" * depth, "[" * depth + "]" * depth, '{"a":' * (depth // 3) + "1" + "}" * (depth // 3)])


def nested_field(rng: random.Random) -> str:
    """Return a frame of a known type with a deeply nested field."""
    depth = rng.choice([100, 1000, 20_000])
    return '{"type":"message.send","client_id":' + "[" * depth + "]" * depth + ',"text":"x"}'


def long_number(rng: random.Random) -> str:
    """Return a frame with a very long number."""
    return '{"type":"log.follow","turn_id":1,"attempt":' + "9" * rng.choice([50, 5000, 100_000]) + ',"after":0}'


def too_long(rng: random.Random) -> str:
    """Return a frame over the length that is parsed, but within the length that is received."""
    text = "x" * rng.randrange(130_000, 900_000)
    return json.dumps({"type": "message.send", "client_id": str(uuid.uuid4()), "text": text})


def too_long_message(rng: random.Random) -> str:
    """Return a message over 10,000 characters, or an empty one."""
    text = rng.choice([" " * 50, "", "y" * 10_001, "🧵" * 10_001])
    return json.dumps({"type": "message.send", "client_id": str(uuid.uuid4()), "text": text})


NONFATAL: list[Callable[[random.Random], str]] = [
    wrong_fields, unknown_ids, incomplete, unknown_type, not_an_object, broken_json, noise, deep, nested_field,
    long_number, too_long, too_long_message,
]  # fmt: skip


def fatal(rng: random.Random) -> str | bytes:
    """Return a frame that closes the socket."""
    frames: list[str | bytes] = [
        b"",
        b"\x00\xff" * 100,
        b'{"type":"ping"}',
        "x" * (MEGABYTE + 1),
        b"x" * (3 * MEGABYTE),
    ]
    return rng.choice(frames)


async def ping_until(socket: LiveSocket, stop: asyncio.Event) -> float:
    """Ping until `stop` is set, and return the longest wait for a pong."""
    longest = 0.0
    while not stop.is_set():
        begun = time.monotonic()
        await socket.pong()
        longest = max(longest, time.monotonic() - begun)
    return longest


async def check_answered(server: ServerProcess, person: Person, frames: list[str]) -> None:
    """Send frames that do not close a socket, and check that each is answered by one error, in order."""
    async with open_socket(server, person, uuid.uuid4()) as socket:
        await socket.ready()
        for frame in frames:
            before = len(socket.frames)
            await socket.connection.send(frame)
            response = await socket.until(lambda _: True, after=before)
            assert response["type"] == "error" and response["code"] in CODES, (frame[:200], response)
            assert 0 < len(response["detail"]) < 400
        await socket.pong()


async def check_closed(server: ServerProcess, person: Person, frame: str | bytes) -> None:
    async with open_socket(server, person, uuid.uuid4()) as socket:
        await socket.ready()
        with suppress(ConnectionClosed):
            await socket.connection.send(frame)
        assert await socket.closed() in CLOSED, frame[:50]


async def send_invalid_frames(server: ServerProcess, person: Person, seed: int, frames: int) -> None:
    """Send a number of invalid frames over several sockets at once."""
    rng = random.Random(seed)
    fatal_count = frames // 25
    lists = [[rng.choice(NONFATAL)(rng) for _ in range((frames - fatal_count) // 4)] for _ in range(4)]
    await asyncio.gather(*[check_answered(server, person, part) for part in lists])
    for _ in range(fatal_count):
        await check_closed(server, person, fatal(rng))


async def check_undisturbed(server: ServerProcess, seed: int, frames: int) -> None:
    print(f"seed {seed}")  # noqa: T201 - to reproduce a failure
    attacker, person = sign_in(server, "villain"), sign_in(server)
    process = psutil.Process(server.process.pid)
    async with open_socket(server, person, uuid.uuid4()) as good:
        await good.send_and_wait("hello")
        await send_invalid_frames(server, attacker, seed, 100)  # so that allocations that happen once are not measured
        before, stop = process.memory_info().rss, asyncio.Event()
        pinging = asyncio.create_task(ping_until(good, stop))
        await send_invalid_frames(server, attacker, seed + 1, frames)
        stop.set()
        longest = await pinging
        grown = process.memory_info().rss - before
        assert (await good.reply("Add a task to buy bread")).startswith("Added")

    assert longest < 5, f"a well-behaved socket waited {longest:.1f} s"
    assert grown < 24 * MEGABYTE, f"{grown / MEGABYTE:.0f} MiB more"
    ((stored,),) = server.database.query("SELECT count(*) FROM chat_conversation WHERE user_id = %s", attacker.id)
    assert stored == 0
    assert "Traceback" not in server.output, server.output[-3000:]


@pytest.mark.long
async def test_1000_invalid_frames_do_not_disturb_the_server(shared_server: ServerProcess) -> None:
    await check_undisturbed(shared_server, seed=20, frames=1000)


@pytest.mark.long
async def test_20000_invalid_frames_do_not_disturb_the_server(shared_server: ServerProcess) -> None:
    await check_undisturbed(shared_server, seed=random.randrange(10**6), frames=20_000)
