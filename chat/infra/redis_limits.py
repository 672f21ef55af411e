"""Limits that all server processes count together, in Redis. Without an answer of Redis, each counts for itself."""

import time
from collections.abc import Callable, Collection
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from django.utils.crypto import salted_hmac

from chat.infra.redis import ERRORS, key, request_client

T = TypeVar("T")

RETRY_AFTER = 5.0  # seconds after a failure: requests do not wait for a Redis that is down
SLOT_SECONDS = 20  # for which a slot is taken unless it is renewed: the process may die

# A token bucket: how many seconds to wait, or 0.
_TAKE = """
local time = redis.call('TIME')
local now, most = time[1] + time[2] / 1000000, tonumber(ARGV[1])
local bucket = redis.call('HMGET', KEYS[1], 'left', 'at')
local left = math.min(most, (tonumber(bucket[1]) or most) + (now - (tonumber(bucket[2]) or now)) * most / 60)
if left < 1 then return tostring((1 - left) * 60 / most) end
redis.call('HSET', KEYS[1], 'left', tostring(left - 1), 'at', tostring(now))
redis.call('EXPIRE', KEYS[1], 60)
return '0'
"""
# A slot of a number of them: whether it is reserved, perhaps already by the same command.
_RESERVE = """
local now = tonumber(redis.call('TIME')[1])
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now)
local is_new = not redis.call('ZSCORE', KEYS[1], ARGV[1])
if is_new and redis.call('ZCARD', KEYS[1]) >= tonumber(ARGV[2]) then return 0 end
redis.call('ZADD', KEYS[1], now + ARGV[3], ARGV[1])
redis.call('EXPIRE', KEYS[1], ARGV[3])
return 1
"""
_RENEW = """
redis.call('ZADD', KEYS[1], redis.call('TIME')[1] + ARGV[2], ARGV[1])
redis.call('EXPIRE', KEYS[1], ARGV[2])
"""

_down_until = 0.0
# Runs commands in the background, in order.
_later = ThreadPoolExecutor(1, "redis limits")


def take(name: str, client: str, most: int) -> float | None:
    """Count a request of a client; return the seconds that it has to wait, or None if Redis does not answer.

    A client may be an address, of which Redis gets a keyed hash.
    """
    hashed = salted_hmac(__name__, client, algorithm="sha256").hexdigest()[:32]
    waits = _try(lambda: request_client().eval(_TAKE, 1, key("rate", name, hashed), str(most)))
    return None if waits is None else float(waits)


def reserve(kind: str, user: object, slot: str, most: int) -> bool:
    """Reserve one of a user's slots for a connection; return whether there was one, or Redis does not answer."""
    arguments = (key("slots", kind, user), slot, str(most), str(SLOT_SECONDS))
    return _try(lambda: request_client().eval(_RESERVE, 1, *arguments)) != 0


def release(kind: str, user: object, slot: str) -> None:
    """Release a slot soon."""
    _later.submit(_try, lambda: request_client().zrem(key("slots", kind, user), slot))


def renew(kind: str, slots: Collection[tuple[object, str]]) -> None:
    """Renew slots soon: pairs of a user and a slot."""

    def renewed() -> list[Any]:
        pipeline = request_client().pipeline(transaction=False)
        for user, slot in slots:
            pipeline.eval(_RENEW, 1, key("slots", kind, user), slot, str(SLOT_SECONDS))
        return pipeline.execute()

    _later.submit(_try, renewed)


def _try(command: Callable[[], T]) -> T | None:
    global _down_until  # of the process
    if time.monotonic() < _down_until:
        return None
    try:
        return command()
    except ERRORS:
        _down_until = time.monotonic() + RETRY_AFTER
        return None
