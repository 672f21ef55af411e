"""One server process's connection to the others, by Redis pub/sub (chat.infra.bus)."""

import asyncio
import json
import logging
import uuid
from collections import deque
from collections.abc import Callable
from contextlib import suppress

from channels.layers import get_channel_layer
from redis.asyncio import Redis
from redis.asyncio.client import PubSub

from chat.infra import background
from chat.infra.metrics import redis_connected
from chat.infra.redis import ERRORS, async_client, key

logger = logging.getLogger(__name__)

RECONNECT_AFTER = 1.0  # seconds
PING_EVERY = 5.0  # seconds without a message
MAX_WAITING = 10_000  # notifications: beyond that the oldest are lost

Notice = dict[str, str]


class Bus:
    """The connection of one server process to the others."""

    def __init__(self, on_connect: Callable[[], None]) -> None:
        self.is_connected = False
        self._gauge = redis_connected()
        self._on_connect = on_connect  # notifications before it may have been lost
        self._id = uuid.uuid4().hex
        self._waiting: deque[str] = deque(maxlen=MAX_WAITING)
        self._has_waiting = asyncio.Event()
        self._tasks = background.start(self._receive, self._send)

    async def stop(self) -> None:
        """Send what waits, and disconnect."""
        await background.stop(self._tasks)
        async with async_client() as client:
            await self._send_waiting(client)
        self.is_connected = False

    def send(self, group: str, notice: Notice) -> None:
        """Send a notification to a group in the other processes."""
        self._waiting.append(_encode(self._id, group, notice))
        self._has_waiting.set()

    async def _send(self) -> None:
        async with async_client() as client:
            while True:
                await self._has_waiting.wait()
                self._has_waiting.clear()
                await self._send_waiting(client)

    async def _send_waiting(self, client: Redis) -> None:
        pipeline = client.pipeline(transaction=False)
        while self._waiting:
            pipeline.publish(_channel(), self._waiting.popleft())
        with suppress(*ERRORS):  # `_receive` reports them
            await pipeline.execute()

    async def _receive(self) -> None:
        is_reported = False
        async with async_client() as client:
            while True:
                try:
                    async with client.pubsub() as pubsub:
                        await pubsub.subscribe(_channel())
                        if is_reported:
                            logger.warning("Redis can be reached again.")
                        is_reported = False
                        await self._deliver_from(pubsub)
                except ERRORS as error:
                    if not is_reported:
                        logger.warning("Redis cannot be reached; each server process works alone: %s", error)
                    is_reported = True
                self.is_connected = False
                self._gauge.set(0)
                await asyncio.sleep(RECONNECT_AFTER)

    async def _deliver_from(self, pubsub: PubSub) -> None:
        layer = get_channel_layer()
        assert layer is not None
        is_pinged = False
        while True:
            message = await pubsub.get_message(timeout=PING_EVERY)
            if message is None:
                if is_pinged:
                    raise TimeoutError("no answer to a ping")
                is_pinged = True
                await pubsub.ping()
                continue
            is_pinged = False
            if message["type"] == "subscribe":
                self.is_connected = True
                self._gauge.set(1)
                self._on_connect()
            elif message["type"] == "message":
                sender, group, notice = json.loads(message["data"])
                if sender != self._id:
                    await layer.group_send(group, notice)


async def send_once(group: str, notice: Notice) -> None:
    """Send a notification from a process that receives none."""
    with suppress(*ERRORS):
        async with async_client() as client:
            await client.publish(_channel(), _encode("", group, notice))


def _channel() -> str:
    return key("notifications")


def _encode(sender: str, group: str, notice: Notice) -> str:
    return json.dumps([sender, group, notice])
