"""The session store: one per process, for any number of live sessions.

Writes that wait at the same time become one transaction (group commit), so that a hundred turns share one fsync. A
failed batch is repeated write by write, so that one bad write fails alone. Reads that wait together are one query.
"""

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from chat.exceptions import MemoryUnavailable
from chat.infra.db_threads import finish_despite_cancel
from chat.infra.metrics import STORE
from chat.memory.items import Item
from chat.memory.statements import Row, Size, Stored, Write

T = TypeVar("T")

READS_TOGETHER = 64


@dataclass(slots=True)
class _Waiting(Generic[T]):
    what: T
    done: asyncio.Future[Any] = field(default_factory=lambda: asyncio.get_running_loop().create_future())


class SessionStore(ABC):
    """Reads and writes sessions. Opened at first use; `close()` can be called more than once.

    `generation` increases whenever the stored sessions are lost or replaced.
    """

    generation = 0

    def __init__(self) -> None:
        self._writes: list[_Waiting[Write]] = []
        self._reads: list[_Waiting[str]] = []
        self._workers: dict[str, asyncio.Task[None]] = {}
        self._closed = False

    async def rows(self, session_id: str) -> list[Row]:
        """Return a session's items in order, with their row ids, without invalid rows."""
        return (await self.read(session_id)).rows

    async def read(self, session_id: str) -> Stored:
        """Read a session. Raise MemoryUnavailable."""
        self._check_open()
        waiting = _Waiting(session_id)
        self._reads.append(waiting)
        self._work("reads", self._serve_reads)
        stored: Stored = await waiting.done
        return stored

    async def size(self, session_id: str) -> Size:
        """Return how many items a session holds, and their bytes. Raise MemoryUnavailable."""
        self._check_open()
        return await self._measure(session_id)

    async def write(self, what: Write) -> Item | None:
        """Apply one write durably. A cancellation waits for the outcome.

        Raise OutdatedAttempt if a later attempt has written, MemoryUnavailable if the store cannot be used.
        """
        self._check_open()
        waiting = _Waiting(what)
        self._writes.append(waiting)
        self._work("writes", self._serve_writes)
        result: Item | None = await finish_despite_cancel(waiting.done)
        return result

    async def close(self) -> None:
        """Finish pending work, then close the store."""
        self._closed = True
        await asyncio.gather(*self._workers.values(), return_exceptions=True)

    # -- implemented by each store; any exception goes to the callers

    @abstractmethod
    async def _read(self, session_ids: Sequence[str]) -> dict[str, Stored]: ...

    @abstractmethod
    async def _measure(self, session_id: str) -> Size: ...

    @abstractmethod
    async def _commit(self, writes: Sequence[Write]) -> Sequence[Item | Exception | None]:
        """Apply writes in one transaction, or one by one if they fail together; return the result of each."""

    # -- implementation

    def _check_open(self) -> None:
        if self._closed:
            raise MemoryUnavailable("The session store is closed.")

    def _work(self, name: str, serve: Callable[[], Any]) -> None:
        task = self._workers.get(name)
        if task is None or task.done():
            self._workers[name] = asyncio.get_running_loop().create_task(serve())

    async def _serve_reads(self) -> None:
        while self._reads:
            batch, self._reads = self._reads[:READS_TOGETHER], self._reads[READS_TOGETHER:]
            try:
                with STORE.labels(operation="read").time():
                    found = await self._read([waiting.what for waiting in batch])
            except Exception as error:  # noqa: BLE001 - handed to those who asked
                _fail(batch, error)
                continue
            for waiting in batch:
                _set_result(waiting, found[waiting.what])

    async def _serve_writes(self) -> None:
        while self._writes:
            batch, self._writes = self._writes, []
            try:
                with STORE.labels(operation="write").time():
                    results = await self._commit([waiting.what for waiting in batch])
            except Exception as error:  # noqa: BLE001 - handed to those who asked
                _fail(batch, error)
                continue
            for waiting, result in zip(batch, results, strict=True):
                _set_result(waiting, result)


def _set_result(waiting: _Waiting[Any], result: object) -> None:
    if waiting.done.done():
        return
    if isinstance(result, Exception):
        waiting.done.set_exception(result)
    else:
        waiting.done.set_result(result)


def _fail(batch: Sequence[_Waiting[Any]], error: Exception) -> None:
    for waiting in batch:
        _set_result(waiting, error)
