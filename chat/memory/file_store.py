"""The session store in a file: one per process and file, with two connections for any number of live sessions."""

import asyncio
import logging
import os
import random
import sqlite3
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import TypeVar

from chat.exceptions import MemoryUnavailable
from chat.infra.db_threads import finish_despite_cancel
from chat.memory import file, file_tables
from chat.memory.connection import Connection
from chat.memory.file_tables import NotBegun
from chat.memory.items import Item
from chat.memory.statements import Size, Stored, Write
from chat.memory.store import SessionStore

logger = logging.getLogger(__name__)

T = TypeVar("T")

BUSY_MS = 100
# Seconds before the write lock is requested again: most transactions are short, so the first delay is too.
LOCK_ASKED_FIRST, LOCK_ASKED_AT_LAST, LOCK_ASKED_LATER_BY = 0.001, 0.02, 1.2
# Seconds to wait for the write lock; shorter after a timeout, so that turns do not wait one after another.
LOCK_BUDGET = 5.0
LOCK_BUDGET_AFTER_FAILURE = 0.2
CORRUPT = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)


class FileStore(SessionStore):
    """Reads and writes sessions of one file.

    A file that was deleted or replaced is reopened. A corrupt file is set aside, a new one is created, and
    `on_set_aside` gets the new path of the old one.
    """

    def __init__(self, path: Path, *, on_set_aside: Callable[[Path], Awaitable[None]] | None = None) -> None:
        super().__init__()
        self.path = path
        self._on_set_aside = on_set_aside
        self._file: tuple[int, int] | None = None  # device and inode of the open file
        self._log: tuple[int, int] | None = None  # the same of its write-ahead log
        self._lock_budget = LOCK_BUDGET
        self._connections: tuple[Connection, Connection] | None = None
        self._opening = asyncio.Lock()

    async def close(self) -> None:
        """Finish pending work, then close the file."""
        await super().close()
        async with self._opening:
            await self._drop_connections()

    async def _read(self, session_ids: Sequence[str]) -> dict[str, Stored]:
        async def read(writer: Connection, reader: Connection) -> dict[str, Stored]:
            return await reader.run(lambda connection: file_tables.read(connection, session_ids))

        return await self._call(read)

    async def _measure(self, session_id: str) -> Size:
        query = (
            "SELECT count(*), coalesce(sum(length(CAST(message_data AS BLOB))), 0)"
            " FROM agent_messages WHERE session_id = ?"
        )

        async def ask(writer: Connection, reader: Connection) -> Size:
            ((items, size),) = await reader.execute_fetchall(query, (session_id,))
            return Size(items, size)

        return await self._call(ask)

    async def _commit(self, writes: Sequence[Write]) -> Sequence[Item | Exception | None]:
        results = await self._call(partial(self._commit_when_unlocked, writes))
        return [
            MemoryUnavailable(f"The session store cannot be used: {result}")
            if isinstance(result, sqlite3.Error)
            else result
            for result in results
        ]

    async def _call(self, ask: Callable[[Connection, Connection], Awaitable[T]]) -> T:
        """Call a function with the writer and the reader; retry once if the file is corrupt or was closed.

        Raise MemoryUnavailable for any error of SQLite and the file system.
        """
        for last_try in (False, True):
            used = None
            try:
                used = await self._opened()
                return await ask(*used)
            except (sqlite3.Error, OSError, ValueError) as error:
                # Another call found the file missing or corrupt meanwhile, and closed it: aiosqlite's ValueError.
                closed = used is not None and used is not self._connections
                if isinstance(error, ValueError) and not closed:
                    raise
                corrupt = getattr(error, "sqlite_errorcode", 0) & 0xFF in CORRUPT
                await self._reopen_later(used, set_aside=corrupt)
                if last_try or not (corrupt or closed):
                    raise MemoryUnavailable(f"The session store cannot be used: {error}") from error
        raise AssertionError("unreachable")

    async def _opened(self) -> tuple[Connection, Connection]:
        async with self._opening:
            if self._connections is not None and self._file != _identity(self.path):
                logger.warning("The session file was removed or replaced; it is reopened.")
                await self._drop_connections()
                if self._log is not None and self._log == _identity(file.log_of(self.path)):
                    # SQLite would apply the old file's log to the new one.
                    file.remove_log(self.path)
            if self._connections is None:
                made, before = file.create(self.path), self._file
                self._file = _identity(self.path)
                self.generation += made or self._file != before
                writer = await self._connect()
                try:
                    # SQLite itself would retry at growing intervals, however soon the lock is free.
                    await writer.execute("PRAGMA busy_timeout=0")
                    self._connections = writer, await self._connect()
                except BaseException:
                    await writer.close()
                    raise
                self._log = _identity(file.log_of(self.path))
            return self._connections

    async def _connect(self) -> Connection:
        # Opened first: a connection that fails to open would leave aiosqlite's thread running for a while.
        raw = await finish_despite_cancel(asyncio.to_thread(file.connect, self.path, busy_ms=BUSY_MS))
        connection = Connection(lambda: raw, 64)
        await connection
        return connection

    async def _drop_connections(self) -> None:
        connections, self._connections = self._connections, None
        for connection in connections or ():
            with suppress(sqlite3.Error):
                await connection.close()

    async def _reopen_later(self, used: tuple[Connection, Connection] | None, *, set_aside: bool) -> None:
        """Drop connections after a failure; with `set_aside`, rename their file.

        Connections that were opened since, and their file, are kept.
        """
        moved = None
        async with self._opening:
            if used is not self._connections:
                return
            await self._drop_connections()
            if set_aside and self._file is not None and self._file == _identity(self.path):
                moved = file.set_aside(self.path)
        if moved is not None:
            logger.error("The session file is corrupt; it was renamed to %s, and a new one is created.", moved.name)
            if self._on_set_aside is not None:
                await self._on_set_aside(moved)

    async def _commit_when_unlocked(
        self, writes: Sequence[Write], writer: Connection, reader: Connection
    ) -> list[Item | Exception | None]:
        """Commit a batch, waiting with jitter while another process holds the write lock."""
        deadline, pause = time.monotonic() + self._lock_budget, LOCK_ASKED_FIRST
        while True:
            try:
                results = await writer.run(lambda connection: file_tables.commit(connection, writes))
            except NotBegun as error:
                if not error.locked or time.monotonic() > deadline:
                    self._lock_budget = LOCK_BUDGET_AFTER_FAILURE
                    raise
                await asyncio.sleep(random.uniform(0.5, 1.5) * pause)  # noqa: S311 - jitter
                pause = min(pause * LOCK_ASKED_LATER_BY, LOCK_ASKED_AT_LAST)
            except sqlite3.Error:
                self._lock_budget = LOCK_BUDGET  # the lock was acquired
                raise
            else:
                self._lock_budget = LOCK_BUDGET
                return results


def _identity(path: Path) -> tuple[int, int] | None:
    try:
        found = os.stat(path)
    except FileNotFoundError:
        return None
    return found.st_dev, found.st_ino
