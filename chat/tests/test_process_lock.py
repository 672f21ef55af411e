"""A server process acquires its lock again after a lost connection, without blocking."""

import asyncio
import uuid
from collections.abc import AsyncIterator

import psycopg
import pytest
from django.db import connection

from chat.infra.db_threads import in_database
from chat.turns.lease import lock_key
from chat.turns.process_lock import ProcessLock, _conninfo

pytestmark = pytest.mark.django_db(transaction=True)

HOLDERS = "SELECT pid FROM pg_locks WHERE locktype = 'advisory' AND granted AND classid = %s AND objid = %s"


@pytest.fixture
async def lock() -> AsyncIterator[ProcessLock]:
    lock = ProcessLock(uuid.uuid4())
    yield lock
    await lock.release()


async def holders(lock: ProcessLock) -> list[int]:
    """Return the PIDs of the backends that hold the lock of a process."""

    def query() -> list[int]:
        with connection.cursor() as cursor:
            number = lock_key(lock._owner)
            cursor.execute(HOLDERS, [number >> 32, number & 0xFFFFFFFF])
            return [pid for (pid,) in cursor.fetchall()]

    return await in_database(query)


async def test_acquire_does_not_wait_for_a_backend_without_a_client(lock: ProcessLock) -> None:
    # PostgreSQL keeps such a backend after a network interruption, until its keepalive times out.
    async with await psycopg.AsyncConnection.connect(_conninfo(), autocommit=True) as broken:
        pid = broken.info.backend_pid
        await broken.execute("SELECT pg_advisory_lock(%s)", [lock_key(lock._owner)])
        async with asyncio.timeout(5):
            await lock.acquire()
            await lock.acquire()
        assert not lock.is_held and await holders(lock) == [pid]
    async with asyncio.timeout(5):
        while not lock.is_held:
            await lock.acquire()
    (holder,) = await holders(lock)
    assert holder != pid


async def test_lost_connection_is_replaced(lock: ProcessLock) -> None:
    await lock.acquire()
    (holder,) = await holders(lock)
    async with await psycopg.AsyncConnection.connect(_conninfo(), autocommit=True) as other:
        await other.execute("SELECT pg_terminate_backend(%s, 5000)", [holder])
    with pytest.raises(OSError, match="terminat"):
        await lock.acquire()
    await lock.acquire()
    (replacement,) = await holders(lock)
    assert replacement != holder


async def test_released_lock_is_free_at_once(lock: ProcessLock) -> None:
    """`restore` right after a server has stopped must not find its lock."""
    number = lock_key(lock._owner)
    async with await psycopg.AsyncConnection.connect(_conninfo(), autocommit=True) as other:
        for _ in range(50):
            await lock.acquire()
            await lock.release()
            cursor = await other.execute(HOLDERS, [number >> 32, number & 0xFFFFFFFF])
            assert await cursor.fetchall() == []
