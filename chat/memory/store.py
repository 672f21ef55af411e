"""The session store: one a process and file, two connections, however many sessions are live.

Writes that wait at the same moment become one transaction (group commit), so that a hundred turns share one fsync.
A batch that fails is done again write by write, so that one bad write fails alone. Reads that wait together are one
query.
"""

import asyncio
import json
import random
import sqlite3
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Generic, TypeVar

import aiosqlite

from chat.bridge import outcome
from chat.exceptions import MemoryUnavailable, OutdatedAttempt
from chat.memory import file
from chat.memory.items import Item

T = TypeVar("T")

BUSY_MS = 100
LOCK_BUDGET = 5.0  # seconds
READS_TOGETHER = 64


@dataclass(frozen=True, slots=True, order=True)
class Fence:
    """A turn's place in its conversation, and which attempt at it: a write by an earlier one is refused."""

    turn: int
    attempt: int


@dataclass(frozen=True, slots=True)
class Row:
    """One stored item, by the id that orders it."""

    id: int
    item: Item


@dataclass(frozen=True, slots=True)
class Size:
    """How much a session holds."""

    items: int
    bytes: int


@dataclass(slots=True)
class Append:
    """Add items at the end."""

    session_id: str
    fence: Fence | None
    items: Sequence[Item]


@dataclass(slots=True)
class Begin:
    """Cut the session back to where a turn began and add items there.

    `replaces` names an earlier turn: when that was the last to write, the cut goes back to where it began.
    """

    session_id: str
    fence: Fence
    items: Sequence[Item] = ()
    replaces: int | None = None


@dataclass(slots=True)
class Delete:
    """Remove rows by id; with no ids, the newest one (and return it)."""

    session_id: str
    ids: Sequence[int] | None


@dataclass(slots=True)
class Clear:
    """Remove the session."""

    session_id: str


Write = Append | Begin | Delete | Clear


@dataclass(slots=True)
class _Waiting(Generic[T]):
    what: T
    done: asyncio.Future[Any] = field(default_factory=lambda: asyncio.get_running_loop().create_future())


class SessionStore:
    """Reads and writes sessions of one file. Opened at first use; `close()` can be called more than once."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._connections: tuple[aiosqlite.Connection, aiosqlite.Connection] | None = None
        self._opening = asyncio.Lock()
        self._writes: list[_Waiting[Write]] = []
        self._reads: list[_Waiting[str]] = []
        self._workers: dict[str, asyncio.Task[None]] = {}
        self._closed = False

    # -- what callers use

    async def rows(self, session_id: str) -> list[Row]:
        """Return a session's items in order, with their row ids. Rows that hold no JSON object are passed over."""
        self._check_open()
        waiting = _Waiting(session_id)
        self._reads.append(waiting)
        self._work("reads", self._serve_reads)
        return _decoded(await waiting.done)

    async def size(self, session_id: str) -> Size:
        """Return how many items a session holds, and their bytes."""
        self._check_open()
        async with _failures_named():
            _, reader = await self._opened()
            query = (
                "SELECT count(*), coalesce(sum(length(CAST(message_data AS BLOB))), 0)"
                " FROM agent_messages WHERE session_id = ?"
            )
            ((items, size),) = await reader.execute_fetchall(query, (session_id,))
        return Size(items, size)

    async def write(self, what: Write) -> Item | None:
        """Do one write durably. A cancellation waits for the outcome.

        Raise OutdatedAttempt where a later attempt has written, MemoryUnavailable where the file cannot be used.
        """
        self._check_open()
        waiting = _Waiting(what)
        self._writes.append(waiting)
        self._work("writes", self._serve_writes)
        result: Item | None = await outcome(waiting.done)
        return result

    async def close(self) -> None:
        """Finish what was asked for, then close the file."""
        self._closed = True
        await asyncio.gather(*self._workers.values(), return_exceptions=True)
        connections, self._connections = self._connections, None
        for connection in connections or ():
            await connection.close()

    # -- how it works

    def _check_open(self) -> None:
        if self._closed:
            raise MemoryUnavailable("The session store is closed.")

    def _work(self, name: str, serve: Callable[[], Any]) -> None:
        task = self._workers.get(name)
        if task is None or task.done():
            self._workers[name] = asyncio.get_running_loop().create_task(serve())

    async def _opened(self) -> tuple[aiosqlite.Connection, aiosqlite.Connection]:
        async with self._opening:
            if self._connections is None:
                writer = await self._connect()
                try:
                    self._connections = writer, await self._connect()
                except BaseException:
                    await writer.close()
                    raise
            return self._connections

    async def _connect(self) -> aiosqlite.Connection:
        # Opened first: a connection that fails to open would leave aiosqlite's thread behind for a while.
        raw = await outcome(asyncio.to_thread(file.connect, self.path, busy_ms=BUSY_MS))
        return await aiosqlite.Connection(lambda: raw, 64)

    async def _serve_reads(self) -> None:
        while self._reads:
            batch, self._reads = self._reads[:READS_TOGETHER], self._reads[READS_TOGETHER:]
            try:
                async with _failures_named():
                    _, reader = await self._opened()
                    found = await _read(reader, [waiting.what for waiting in batch])
            except Exception as error:  # noqa: BLE001 - handed to those who asked
                _fail(batch, error)
                continue
            for waiting in batch:
                _settle(waiting, found[waiting.what])

    async def _serve_writes(self) -> None:
        while self._writes:
            batch, self._writes = self._writes, []
            try:
                async with _failures_named():
                    writer, _ = await self._opened()
                    await self._commit(writer, batch)
            except Exception as error:  # noqa: BLE001 - handed to those who asked
                _fail(batch, error)

    async def _commit(self, writer: aiosqlite.Connection, batch: list[_Waiting[Write]]) -> None:
        await _begin(writer)
        results: list[Item | Exception | None]
        try:
            try:
                results = await _apply(writer, [waiting.what for waiting in batch])
            except (sqlite3.IntegrityError, sqlite3.DataError, sqlite3.InterfaceError, TypeError, ValueError):
                await writer.rollback()
                await _begin(writer)
                results = await _one_by_one(writer, batch)
            await writer.commit()
        except BaseException:
            await writer.rollback()
            raise
        for waiting, result in zip(batch, results, strict=True):
            _settle(waiting, result)


def _settle(waiting: _Waiting[Any], result: object) -> None:
    if waiting.done.done():
        return
    if isinstance(result, Exception):
        waiting.done.set_exception(result)
    else:
        waiting.done.set_result(result)


def _fail(batch: Sequence[_Waiting[Any]], error: Exception) -> None:
    for waiting in batch:
        _settle(waiting, error)


class _failures_named:  # noqa: N801 - reads as a phrase
    """Turn what SQLite and the file system raise into MemoryUnavailable."""

    async def __aenter__(self) -> None:
        return None

    async def __aexit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, sqlite3.Error | OSError):
            raise MemoryUnavailable(f"The session store cannot be used: {error}") from error


async def _begin(writer: aiosqlite.Connection) -> None:
    """Take the write lock, waiting with jitter while another process holds it."""
    deadline = time.monotonic() + LOCK_BUDGET
    while True:
        try:
            await writer.execute("BEGIN IMMEDIATE")
            return
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or time.monotonic() > deadline:
                raise
            await asyncio.sleep(random.uniform(0.001, 0.02))  # noqa: S311 - jitter


async def _read(reader: aiosqlite.Connection, session_ids: list[str]) -> dict[str, list[tuple[int, str]]]:
    found: dict[str, list[tuple[int, str]]] = {session_id: [] for session_id in session_ids}
    marks = ",".join("?" * len(found))
    query = (
        f"SELECT session_id, id, message_data FROM agent_messages WHERE session_id IN ({marks}) ORDER BY session_id, id"  # noqa: S608
    )
    for session_id, row_id, data in await reader.execute_fetchall(query, list(found)):
        found[session_id].append((row_id, data))
    return found


def _decoded(rows: list[tuple[int, str]]) -> list[Row]:
    decoded = []
    for row_id, data in rows:
        try:
            item = json.loads(data)
        except (ValueError, TypeError):
            continue
        if isinstance(item, dict):
            decoded.append(Row(row_id, item))
    return decoded


async def _one_by_one(writer: aiosqlite.Connection, batch: list[_Waiting[Write]]) -> list[Item | Exception | None]:
    results: list[Item | Exception | None] = []
    for waiting in batch:
        await writer.execute("SAVEPOINT one")
        try:
            results += await _apply(writer, [waiting.what])
        except (sqlite3.Error, TypeError, ValueError) as error:
            await writer.execute("ROLLBACK TO one")
            results.append(error)
        await writer.execute("RELEASE one")
    return results


async def _apply(writer: aiosqlite.Connection, writes: Sequence[Write]) -> list[Item | Exception | None]:
    """Carry out writes in their order inside the open transaction; runs of appends share their statements."""
    fences = await _fences(writer, [write.session_id for write in writes])
    results: list[Item | Exception | None] = []
    appends: list[Append] = []
    for write in writes:
        fence = getattr(write, "fence", None)
        last = fences.get(write.session_id)
        if fence is not None and last is not None and fence < last:
            results.append(OutdatedAttempt("A later attempt has written to this session."))
            continue
        if fence is not None:
            fences[write.session_id] = fence
        if isinstance(write, Append):
            appends.append(write)
            results.append(None)
            continue
        await _append(writer, appends)
        appends = []
        results.append(await _apply_one(writer, write))
    await _append(writer, appends)
    return results


async def _apply_one(writer: aiosqlite.Connection, write: Begin | Delete | Clear) -> Item | None:
    if isinstance(write, Clear):
        for table in ("agent_messages", "agent_sessions", "threadkeeper_turns"):
            await writer.execute(f"DELETE FROM {table} WHERE session_id = ?", (write.session_id,))  # noqa: S608
        return None
    if isinstance(write, Delete):
        return await _delete(writer, write)
    await writer.execute(
        "DELETE FROM agent_messages WHERE session_id = ?1 AND id > ("
        " SELECT base FROM threadkeeper_turns WHERE session_id = ?1 AND turn IN (?2, ?3))",
        (write.session_id, write.fence.turn, write.replaces),
    )
    await _append(writer, [Append(write.session_id, write.fence, write.items)])
    return None


async def _delete(writer: aiosqlite.Connection, write: Delete) -> Item | None:
    if write.ids is not None:
        ids = [(write.session_id, row_id) for row_id in write.ids]
        await writer.executemany("DELETE FROM agent_messages WHERE session_id = ? AND id = ?", ids)
        return None
    query = "SELECT id, message_data FROM agent_messages WHERE session_id = ? ORDER BY id DESC"
    for row_id, data in await writer.execute_fetchall(query, (write.session_id,)):
        await writer.execute("DELETE FROM agent_messages WHERE id = ?", (row_id,))
        if rows := _decoded([(row_id, data)]):
            return rows[0].item
    return None


async def _fences(writer: aiosqlite.Connection, session_ids: list[str]) -> dict[str, Fence]:
    marks = ",".join("?" * len(session_ids))
    query = f"SELECT session_id, turn, attempt FROM threadkeeper_turns WHERE session_id IN ({marks})"  # noqa: S608
    return {row[0]: Fence(row[1], row[2]) for row in await writer.execute_fetchall(query, session_ids)}


async def _append(writer: aiosqlite.Connection, appends: Sequence[Append]) -> None:
    if not appends:
        return
    fences = [(a.session_id, a.fence.turn, a.fence.attempt) for a in appends if a.fence is not None]
    if fences:
        # A new turn begins after the newest row there is; a new attempt at the same turn keeps where it began.
        await writer.executemany(
            "INSERT INTO threadkeeper_turns AS t (session_id, turn, attempt, base) VALUES (?1, ?2, ?3,"
            " coalesce((SELECT max(id) FROM agent_messages WHERE session_id = ?1), 0))"
            " ON CONFLICT (session_id) DO UPDATE SET turn = excluded.turn, attempt = excluded.attempt,"
            " base = CASE WHEN excluded.turn > t.turn THEN excluded.base ELSE t.base END"
            " WHERE (excluded.turn, excluded.attempt) > (t.turn, t.attempt)",
            fences,
        )
    rows = [(append.session_id, json.dumps(item)) for append in appends for item in append.items]
    if rows:
        await writer.executemany(
            "INSERT INTO agent_sessions (session_id) VALUES (?)"
            " ON CONFLICT (session_id) DO UPDATE SET updated_at = CURRENT_TIMESTAMP",
            [(append.session_id,) for append in appends if append.items],
        )
        await writer.executemany("INSERT INTO agent_messages (session_id, message_data) VALUES (?, ?)", rows)
