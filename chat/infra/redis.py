"""Connections to Redis, through which server processes share what need not last: nothing durable is stored there.

Any command may fail: catch `ERRORS`, and do without. A command that finds its connection closed, as after a failover or
an idle timeout, is repeated once on a new connection. So it may be carried out twice, which no caller minds.
"""

from functools import cache
from typing import Any

import redis
import redis.asyncio
from django.conf import settings
from django.utils.crypto import salted_hmac
from redis.asyncio.retry import Retry as AsyncRetry
from redis.backoff import NoBackoff
from redis.driver_info import DriverInfo
from redis.retry import Retry

ERRORS = (redis.RedisError, OSError, TimeoutError)
CONNECT_TIMEOUT = 2.0  # seconds
# Seconds for one command; a caller in a thread of a request waits less.
TIMEOUT, REQUEST_TIMEOUT = 5.0, 0.25
# The name of a library, not of a client: if Redis refuses it, as to a user without CLIENT commands, nothing fails.
NAME: dict[str, Any] = {"driver_info": DriverInfo("threadkeeper", lib_version=None)}


def key(*parts: object) -> str:
    """Return a key, or the name of a channel, which no other installation on the same Redis uses."""
    return ":".join(("threadkeeper", _installation(), *map(str, parts)))


def async_client(**options: Any) -> redis.asyncio.Redis:
    """Return a client for an event loop; the caller closes it."""
    retry = AsyncRetry(NoBackoff(), 1, (redis.ConnectionError,))
    timeouts = {"socket_connect_timeout": CONNECT_TIMEOUT, "socket_timeout": TIMEOUT}
    return redis.asyncio.Redis.from_url(settings.REDIS_URL, retry=retry, **NAME, **(timeouts | options))


@cache
def request_client() -> redis.Redis:
    """Return this process's client for threads, with short timeouts."""
    retry = Retry(NoBackoff(), 1, (redis.ConnectionError,))
    timeouts = {"socket_connect_timeout": REQUEST_TIMEOUT, "socket_timeout": REQUEST_TIMEOUT}
    return redis.Redis.from_url(settings.REDIS_URL, retry=retry, **NAME, **timeouts)


@cache
def _installation() -> str:
    return salted_hmac(__name__, "installation", algorithm="sha256").hexdigest()[:12]
