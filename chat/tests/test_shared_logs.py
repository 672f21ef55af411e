"""A turn's log is copied unchanged through Redis, and a copy that may be incomplete is not read."""

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

FIRST_EVENTS: tuple[Event, ...] = (
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
async def publisher(redis_server: RedisServer) -> AsyncIterator[streams.SharedLogs]:
    shared = streams.SharedLogs(uuid.uuid4())
    yield shared
    await shared.stop()


subscriber = publisher


def running_log(*events: Event, turn_id: uuid.UUID | None = None, attempt: int = 1) -> TurnLog:
    """Return the log of a turn that runs in this process."""
    log = TurnLog(turn_id or uuid.uuid4(), attempt)
    log.running = True
    for event in events:
        log.append(event)
    return log


async def events_until(log: TurnLog, n: int) -> list[Event]:
    """Wait until a copy has `n` events, and return them."""
    async with asyncio.timeout(10):
        while log.n < n:
            await log.wait(log.n)
    return log.events(0, n)


async def test_log_is_copied_while_it_is_written(publisher: streams.SharedLogs, subscriber: streams.SharedLogs) -> None:
    log = running_log(*FIRST_EVENTS)
    publisher.publish(log)
    copy = await subscriber.follow(log.turn_id)
    assert copy is not None and copy.attempt == 1
    assert await events_until(copy, 3) == list(FIRST_EVENTS)
    log.append(END)
    assert (await events_until(copy, 4))[-1] == END
    assert copy.ended
    later = await subscriber.follow(log.turn_id)  # its stream expires after a while
    assert later is not None and later.ended
    assert await events_until(later, 4) == [*FIRST_EVENTS, END]


async def test_copy_continues_after_redis_loses_its_data(
    publisher: streams.SharedLogs, subscriber: streams.SharedLogs, redis_server: RedisServer
) -> None:
    log = running_log(*FIRST_EVENTS)
    publisher.publish(log)
    copy = await subscriber.follow(log.turn_id)
    assert copy is not None
    await events_until(copy, 3)
    redis_server.kill9()
    while copy.is_live:
        await copy.wait(copy.n)
    assert await subscriber.follow(log.turn_id) is None, "a Redis that is down is not waited for"
    log.append(TextDelta("lo", 3))
    redis_server.start()
    assert (await events_until(copy, 4))[-1] == TextDelta("lo", 3)
    assert copy.is_live
    newcomer = streams.SharedLogs(uuid.uuid4())
    assert (await newcomer.follow(log.turn_id) or copy).text == "Hello".replace("e", "é")
    await newcomer.stop()


async def test_followers_wait_only_once_for_a_hanging_redis(
    publisher: streams.SharedLogs, subscriber: streams.SharedLogs, redis_server: RedisServer
) -> None:
    log = running_log(*FIRST_EVENTS)
    publisher.publish(log)
    copy = await subscriber.follow(log.turn_id)
    assert copy is not None
    os.kill(redis_server.pid, signal.SIGSTOP)
    async with asyncio.timeout(TIMEOUT + 5):
        while copy.is_live:
            await copy.wait(copy.n)
    async with asyncio.timeout(TIMEOUT / 2):
        for turn_id in (log.turn_id, uuid.uuid4(), uuid.uuid4()):
            assert await subscriber.follow(turn_id) is None
    os.kill(redis_server.pid, signal.SIGCONT)
    log.append(TextDelta("lo", 3))
    assert (await events_until(copy, 4))[-1] == TextDelta("lo", 3)


async def test_later_attempt_replaces_an_earlier_one(
    publisher: streams.SharedLogs, subscriber: streams.SharedLogs
) -> None:
    log = running_log(*FIRST_EVENTS)
    publisher.publish(log)
    copy = await subscriber.follow(log.turn_id)
    assert copy is not None
    await events_until(copy, 3)
    third = streams.SharedLogs(uuid.uuid4())
    again = running_log(TurnStarted(), turn_id=log.turn_id, attempt=2)
    third.publish(again)
    while not copy.is_outdated:
        await copy.wait(copy.n)
    log.append(TextDelta("of a process that was cut off", 3))
    again.append(END)
    second = await subscriber.follow(log.turn_id)
    assert second is not None and second.attempt == 2
    assert await events_until(second, 2) == [TurnStarted(), END]
    await third.stop()


async def test_copy_ends_when_its_process_sends_no_heartbeat(
    publisher: streams.SharedLogs, subscriber: streams.SharedLogs, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(streams, "BEAT_LATE", 0.5)
    log = running_log(*FIRST_EVENTS)
    publisher.publish(log)
    copy = await subscriber.follow(log.turn_id)
    assert copy is not None
    await events_until(copy, 3)
    log.running = False  # released, and taken over by a process without Redis
    log.wake()
    while copy.is_live:
        await copy.wait(copy.n)
    assert await subscriber.follow(log.turn_id) is None


async def test_stream_without_its_first_entries_is_not_read(
    publisher: streams.SharedLogs, redis_server: RedisServer
) -> None:
    log = running_log(*FIRST_EVENTS)
    publisher.publish(log)
    reader = streams.SharedLogs(uuid.uuid4())
    copy = await reader.follow(log.turn_id)
    assert copy is not None
    await events_until(copy, 3)
    log.append(TextDelta("lo", 3))
    await events_until(copy, 4)
    async with redis.asyncio.Redis.from_url(redis_server.url) as client:
        await client.xtrim(streams.stream_key(log.turn_id), maxlen=1, approximate=False)
    newcomer = streams.SharedLogs(uuid.uuid4())
    assert await newcomer.follow(log.turn_id) is None
    for shared in (reader, newcomer):
        await shared.stop()


@pytest.mark.parametrize("fields", [{"format": "2"}, {"attempt": "x", "after": "0", "owner": "", "at": "0"}])
async def test_entry_of_another_version_affects_only_its_own_turn(
    publisher: streams.SharedLogs, subscriber: streams.SharedLogs, redis_server: RedisServer, fields: dict[Any, Any]
) -> None:
    unknown = uuid.uuid4()
    async with redis.asyncio.Redis.from_url(redis_server.url) as client:
        await client.xadd(streams.stream_key(unknown), fields)
    assert await subscriber.follow(unknown) is None
    log = running_log(*FIRST_EVENTS)
    publisher.publish(log)
    copy = await subscriber.follow(log.turn_id)
    assert copy is not None and await events_until(copy, 3) == list(FIRST_EVENTS)


async def wait_for_reads(client: redis.asyncio.Redis, *logs: TurnLog) -> None:
    """Wait until a reader waits for new entries in the streams of exactly these logs."""
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


async def test_streams_of_ended_turns_are_not_read(
    publisher: streams.SharedLogs, subscriber: streams.SharedLogs, redis_server: RedisServer
) -> None:
    ended, running = [running_log(*FIRST_EVENTS) for _ in range(5)], running_log(*FIRST_EVENTS)
    for log in (*ended, running):
        publisher.publish(log)
    copies = [await subscriber.follow(log.turn_id) for log in (*ended, running)]
    for log in ended:
        log.append(END)
    async with redis.asyncio.Redis.from_url(redis_server.url) as client:
        await wait_for_reads(client, running)
    running.append(TextDelta("lo", 3))
    assert copies[-1] is not None
    await events_until(copies[-1], 4)


@pytest.mark.long
async def test_stream_without_a_follower_is_not_read(
    publisher: streams.SharedLogs, subscriber: streams.SharedLogs, redis_server: RedisServer
) -> None:
    unfollowed, followed = running_log(*FIRST_EVENTS), running_log(*FIRST_EVENTS)
    for log in (unfollowed, followed):
        publisher.publish(log)
    copies = [await subscriber.follow(log.turn_id) for log in (unfollowed, followed)]
    assert None not in copies
    async with redis.asyncio.Redis.from_url(redis_server.url) as client:
        await wait_for_reads(client, unfollowed, followed)
        del copies[0]
        gc.collect()
        await wait_for_reads(client, followed)


async def test_stream_without_heartbeats_is_not_read(
    publisher: streams.SharedLogs,
    subscriber: streams.SharedLogs,
    redis_server: RedisServer,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(streams, "FORGET_AFTER", 0.5)
    monkeypatch.setattr(streams, "BEAT_EVERY", 0.1)
    silent, beating = running_log(*FIRST_EVENTS), running_log(*FIRST_EVENTS)
    for log in (silent, beating):
        publisher.publish(log)
    copies = [await subscriber.follow(log.turn_id) for log in (silent, beating)]
    assert None not in copies
    silent.running = False  # released, and taken over by a process without Redis
    silent.wake()
    async with redis.asyncio.Redis.from_url(redis_server.url) as client:
        await wait_for_reads(client, beating)
