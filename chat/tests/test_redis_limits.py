"""Server processes share their limits through Redis, and each counts its own while Redis is down."""

import asyncio
from collections.abc import Iterator
from pathlib import Path
from time import monotonic

import pytest
from django.conf import LazySettings

from chat.exceptions import RateLimited
from chat.infra import redis, redis_limits
from chat.infra.throttle import Throttle
from chat.models import User
from chat.realtime.connections import Connections, Credential
from chat.realtime.consumer import ChatSocket
from chat.tests.redis_server import RedisServer
from config.tests.support import eventually

pytestmark = pytest.mark.service


@pytest.fixture
def redis_server(tmp_path: Path, settings: LazySettings) -> Iterator[RedisServer]:
    server = RedisServer(tmp_path)
    settings.REDIS_URL = server.url
    redis.request_client.cache_clear()
    eventually(lambda: redis_limits.take("test", "nobody", 600) is not None, what="the first response of Redis")
    yield server
    redis.request_client().close()
    server.kill9()


async def test_rate_limit_is_shared(redis_server: RedisServer) -> None:
    first, second = (Throttle(lambda: 3, name="test") for _ in range(2))
    first.count("somebody")
    await second.count_async("somebody")
    first.count("somebody")
    with pytest.raises(RateLimited) as limited:
        second.count("somebody")
    assert limited.value.retry_after == 20
    second.count("somebody else")


async def test_connection_slots_are_shared(redis_server: RedisServer, settings: LazySettings) -> None:
    settings.SOCKETS_PER_USER = 2
    here: Connections[ChatSocket] = Connections("sockets")
    there: Connections[ChatSocket] = Connections("sockets")
    credential = Credential(User(email="one@example.com"), "cookie", None)
    slot = await here.reserve_in_all(credential)
    await there.reserve_in_all(credential)
    with pytest.raises(RateLimited):
        await here.reserve_in_all(credential)
    slot.release()
    slots = redis.key("slots", "sockets", credential.user.pk)
    await asyncio.to_thread(eventually, lambda: redis.request_client().zcard(slots) == 1, what="the release")
    await there.reserve_in_all(credential)
    with pytest.raises(RateLimited):
        await here.reserve_in_all(credential)


async def test_repeated_reservation_of_a_slot_succeeds(redis_server: RedisServer) -> None:
    assert [redis_limits.reserve("sockets", "user", slot, 1) for slot in ("a", "a", "b")] == [True, True, False]


async def test_process_counts_alone_while_redis_is_down(redis_server: RedisServer) -> None:
    limit = Throttle(lambda: 3, name="test")
    redis_server.kill9()
    started = monotonic()
    for _ in range(3):
        limit.count("somebody")
    with pytest.raises(RateLimited):
        limit.count("somebody")
    assert monotonic() - started < 1, "no call waits for a Redis server that is down"


async def test_redis_user_without_connection_commands_can_connect(
    redis_server: RedisServer, settings: LazySettings
) -> None:
    async with redis.async_client() as client:
        await client.acl_setuser(
            "app",
            enabled=True,
            passwords=["+secret"],
            keys=["*"],
            channels=["*"],
            categories=["+@all", "-@admin", "-@connection"],
            commands=["+auth", "+select", "+ping", "+acl|whoami"],
        )
    settings.REDIS_URL = redis_server.url.replace("redis://", "redis://app:secret@")
    redis.request_client.cache_clear()
    assert redis.request_client().ping()
    async with redis.async_client() as client:
        assert await client.acl_whoami() == "app"
