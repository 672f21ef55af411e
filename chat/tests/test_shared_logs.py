"""A turn's log is copied through Redis as it is, and a copy that may be incomplete is not read."""

import asyncio
import gc
import os
import signal
import uuid
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
import redis.asyncio
from django.conf import LazySettings

from chat.infra.redis import TIMEOUT
from chat.tests.redis_server import RedisServer
from chat.turns import streams
from chat.turns.events import Event, TextDelta, ToolStarted, TurnFailed, TurnStarted
from chat.turns.log import TurnLog

pytestmark = pytest.mark.service

BEGINNING: tuple[Event, ...] = (
    TurnStarted(),
    TextDelta("Hél", 0),
    ToolStarted("c", "create_task", {"title": "\ud800"}),
)
END = TurnFailed("model", "It failed.", retryable=True)


@pytest.fixture
def redis_server(tmp_path: Path, settings: LazySettings) -> Iterator[RedisServer]:
    with RedisServer(tmp_path) as server:
        settings.REDIS_URL = server.url
        yield server


@pytest.fixture
async def here(redis_server: RedisServer) -> AsyncIterator[streams.SharedLogs]:
    shared = streams.SharedLogs(uuid.uuid4())
    yield shared
    await shared.stop()


there = here


def begun(*events: Event, turn_id: uuid.UUID | None = None, attempt: int = 1) -> TurnLog:
    """Return the log of a turn that runs in this process."""
    log = TurnLog(turn_id or uuid.uuid4(), attempt)
    log.running = True
    for event in events:
        log.append(event)
    return log


async def until(log: TurnLog, n: int) -> list[Event]:
    """Wait until a copy has so many events, and return them."""
    async with asyncio.timeout(10):
        while log.n < n:
            await log.wait(log.n)
    return log.events(0, n)


async def test_a_log_is_copied_as_it_is_written(here: streams.SharedLogs, there: streams.SharedLogs) -> None:
    log = begun(*BEGINNING)
    here.publish(log)
    copy = await there.follow(log.turn_id)
    assert copy is not None and copy.attempt == 1
    assert await until(copy, 3) == list(BEGINNING)
    log.append(END)
    assert (await until(copy, 4))[-1] == END
    assert copy.ended
    later = await there.follow(log.turn_id)  # its stream expires after a while
    assert later is not None and later.ended
    assert await until(later, 4) == [*BEGINNING, END]


async def test_redis_loses_everything(
    here: streams.SharedLogs, there: streams.SharedLogs, redis_server: RedisServer
) -> None:
    log = begun(*BEGINNING)
    here.publish(log)
    copy = await there.follow(log.turn_id)
    assert copy is not None
    await until(copy, 3)
    redis_server.kill9()
    while copy.is_live:
        await copy.wait(copy.n)
    assert await there.follow(log.turn_id) is None, "nobody waits for a Redis that is down"
    log.append(TextDelta("lo", 3))
    redis_server.start()
    assert (await until(copy, 4))[-1] == TextDelta("lo", 3)
    assert copy.is_live
    newcomer = streams.SharedLogs(uuid.uuid4())
    assert (await newcomer.follow(log.turn_id) or copy).text == "Hello".replace("e", "é")
    await newcomer.stop()


async def test_followers_wait_for_a_redis_that_hangs_once(
    here: streams.SharedLogs, there: streams.SharedLogs, redis_server: RedisServer
) -> None:
    log = begun(*BEGINNING)
    here.publish(log)
    copy = await there.follow(log.turn_id)
    assert copy is not None
    os.kill(redis_server.pid, signal.SIGSTOP)
    async with asyncio.timeout(TIMEOUT + 5):
        while copy.is_live:
            await copy.wait(copy.n)
    async with asyncio.timeout(TIMEOUT / 2):
        for turn_id in (log.turn_id, uuid.uuid4(), uuid.uuid4()):
            assert await there.follow(turn_id) is None
    os.kill(redis_server.pid, signal.SIGCONT)
    log.append(TextDelta("lo", 3))
    assert (await until(copy, 4))[-1] == TextDelta("lo", 3)


async def test_a_later_attempt_replaces_an_earlier_one(here: streams.SharedLogs, there: streams.SharedLogs) -> None:
    log = begun(*BEGINNING)
    here.publish(log)
    copy = await there.follow(log.turn_id)
    assert copy is not None
    await until(copy, 3)
    third = streams.SharedLogs(uuid.uuid4())
    again = begun(TurnStarted(), turn_id=log.turn_id, attempt=2)
    third.publish(again)
    while not copy.is_outdated:
        await copy.wait(copy.n)
    log.append(TextDelta("of a process that was cut off", 3))
    again.append(END)
    second = await there.follow(log.turn_id)
    assert second is not None and second.attempt == 2
    assert await until(second, 2) == [TurnStarted(), END]
    await third.stop()


async def test_a_process_that_is_silent_is_not_waited_for(
    here: streams.SharedLogs, there: streams.SharedLogs, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(streams, "BEAT_LATE", 0.5)
    log = begun(*BEGINNING)
    here.publish(log)
    copy = await there.follow(log.turn_id)
    assert copy is not None
    await until(copy, 3)
    log.running = False  # released, and taken over by a process without Redis
    log.wake()
    while copy.is_live:
        await copy.wait(copy.n)
    assert await there.follow(log.turn_id) is None


async def test_a_stream_without_its_beginning_is_not_read(here: streams.SharedLogs, redis_server: RedisServer) -> None:
    log = begun(*BEGINNING)
    here.publish(log)
    reader = streams.SharedLogs(uuid.uuid4())
    copy = await reader.follow(log.turn_id)
    assert copy is not None
    await until(copy, 3)
    log.append(TextDelta("lo", 3))
    await until(copy, 4)
    async with redis.asyncio.Redis.from_url(redis_server.url) as client:
        await client.xtrim(streams.stream_key(log.turn_id), maxlen=1, approximate=False)
    newcomer = streams.SharedLogs(uuid.uuid4())
    assert await newcomer.follow(log.turn_id) is None
    for shared in (reader, newcomer):
        await shared.stop()


@pytest.mark.parametrize("fields", [{"format": "2"}, {"attempt": "x", "after": "0", "owner": "", "at": "0"}])
async def test_an_entry_of_another_version_ends_one_copy_alone(
    here: streams.SharedLogs, there: streams.SharedLogs, redis_server: RedisServer, fields: dict[Any, Any]
) -> None:
    unknown = uuid.uuid4()
    async with redis.asyncio.Redis.from_url(redis_server.url) as client:
        await client.xadd(streams.stream_key(unknown), fields)
    assert await there.follow(unknown) is None
    log = begun(*BEGINNING)
    here.publish(log)
    copy = await there.follow(log.turn_id)
    assert copy is not None and await until(copy, 3) == list(BEGINNING)


async def reads(client: redis.asyncio.Redis, *logs: TurnLog) -> None:
    """Wait until a reader waits for what is new in the streams of these logs, and of no others."""
    wanted = {streams.stream_key(log.turn_id) for log in logs}
    async with asyncio.timeout(10), client.monitor() as monitor:
        while True:
            command, *arguments = (await monitor.next_command())["command"].split()
            if (
                command == "XREAD"
                and "0" not in arguments
                and {name for name in arguments if ":turn:" in name} == wanted
            ):
                return


async def test_turns_that_have_ended_are_not_read(
    here: streams.SharedLogs, there: streams.SharedLogs, redis_server: RedisServer
) -> None:
    ended, running = [begun(*BEGINNING) for _ in range(5)], begun(*BEGINNING)
    for log in (*ended, running):
        here.publish(log)
    copies = [await there.follow(log.turn_id) for log in (*ended, running)]
    for log in ended:
        log.append(END)
    async with redis.asyncio.Redis.from_url(redis_server.url) as client:
        await reads(client, running)
    running.append(TextDelta("lo", 3))
    assert copies[-1] is not None
    await until(copies[-1], 4)


async def test_a_turn_without_a_follower_is_not_read(
    here: streams.SharedLogs, there: streams.SharedLogs, redis_server: RedisServer
) -> None:
    left, followed = begun(*BEGINNING), begun(*BEGINNING)
    for log in (left, followed):
        here.publish(log)
    copies = [await there.follow(log.turn_id) for log in (left, followed)]
    assert None not in copies
    async with redis.asyncio.Redis.from_url(redis_server.url) as client:
        await reads(client, left, followed)
        del copies[0]
        gc.collect()
        await reads(client, followed)


async def test_a_turn_that_is_silent_is_not_read(
    here: streams.SharedLogs, there: streams.SharedLogs, redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(streams, "FORGET_AFTER", 0.5)
    monkeypatch.setattr(streams, "BEAT_EVERY", 0.1)
    silent, beating = begun(*BEGINNING), begun(*BEGINNING)
    for log in (silent, beating):
        here.publish(log)
    copies = [await there.follow(log.turn_id) for log in (silent, beating)]
    assert None not in copies
    silent.running = False  # released, and taken over by a process without Redis
    silent.wake()
    async with redis.asyncio.Redis.from_url(redis_server.url) as client:
        await reads(client, beating)
