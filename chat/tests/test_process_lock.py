"""The lock of a server process is taken again after its connection broke, and nothing waits for it."""

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
    """Return the backends that hold the lock of a process."""

    def query() -> list[int]:
        with connection.cursor() as cursor:
            number = lock_key(lock._owner)
            cursor.execute(HOLDERS, [number >> 32, number & 0xFFFFFFFF])
            return [pid for (pid,) in cursor.fetchall()]

    return await in_database(query)


async def test_a_backend_that_survives_its_client_is_not_waited_for(lock: ProcessLock) -> None:
    # As PostgreSQL keeps one after an interruption of the network, until its keepalive gives up.
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


async def test_a_lost_connection_is_replaced(lock: ProcessLock) -> None:
    await lock.acquire()
    (holder,) = await holders(lock)
    async with await psycopg.AsyncConnection.connect(_conninfo(), autocommit=True) as other:
        await other.execute("SELECT pg_terminate_backend(%s, 5000)", [holder])
    with pytest.raises(OSError, match="terminat"):
        await lock.acquire()
    await lock.acquire()
    (again,) = await holders(lock)
    assert again != holder
