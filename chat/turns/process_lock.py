"""Prove that a server process lives: by an advisory lock on a connection of its own."""

import asyncio
import uuid
from contextlib import suppress

import psycopg
from django.db import connection
from psycopg.conninfo import make_conninfo

from chat.turns.lease import lock_key

RELEASE_SECONDS = 1.0


class ProcessLock:
    """Holds the lock of a process; the next `acquire` replaces a broken connection."""

    def __init__(self, owner: uuid.UUID) -> None:
        self._owner = owner
        self._connection: psycopg.AsyncConnection | None = None
        self.is_held = False

    async def acquire(self) -> None:
        """Take the lock if it is free, or make sure that it is still held. Raise OSError without the database.

        After an interruption of the network PostgreSQL may keep the lock for the broken connection, for hours. It then
        shows that this process lives, as it should: the leases are renewed, and the next `acquire` tries again.
        """
        try:
            if self._connection is None:
                self._connection = await psycopg.AsyncConnection.connect(_conninfo(), autocommit=True)
            if self.is_held:
                await self._connection.execute("SELECT 1")
            else:
                cursor = await self._connection.execute("SELECT pg_try_advisory_lock(%s)", [lock_key(self._owner)])
                self.is_held = await cursor.fetchone() == (True,)
        except psycopg.Error as error:
            await self.release()
            raise ConnectionError(str(error)) from error

    async def release(self) -> None:
        """Release the lock, at once if PostgreSQL responds: it frees the lock of a closed connection only later."""
        held, self._connection, self.is_held = self._connection, None, False
        if held is not None:
            with suppress(psycopg.Error, TimeoutError):
                async with asyncio.timeout(RELEASE_SECONDS):
                    await held.execute("SELECT pg_advisory_unlock_all()")
            await held.close()


def _conninfo() -> str:
    given = connection.settings_dict
    named = {
        "dbname": given["NAME"],
        "user": given["USER"],
        "password": given["PASSWORD"],
        "host": given["HOST"],
        "port": given["PORT"],
    }
    options = {key: value for key, value in given["OPTIONS"].items() if key != "pool"}
    return make_conninfo("", **{key: str(value) for key, value in (named | options).items() if value})
