"""Keep the leases of a process, and take over the turns of processes that are gone."""

import asyncio
import logging

from django.db import DatabaseError

from chat.infra import background
from chat.infra.db_threads import in_database
from chat.turns.lease import RENEWAL, renew, take_over
from chat.turns.process_lock import ProcessLock
from chat.turns.running import RunningTurns

logger = logging.getLogger(__name__)


class Housekeeping:
    """Renews leases, reads requests to stop from other processes, and begins turns that no process runs."""

    def __init__(self, turns: RunningTurns) -> None:
        self._turns = turns
        self._lock = ProcessLock(turns.owner)
        self._task: list[asyncio.Task[None]] = []
        self._taking_over = asyncio.Lock()

    async def start(self) -> None:
        """Take over interrupted turns at once, and continue every few seconds."""
        await self._lock.acquire()
        await self.take_over()
        self._task = background.start(self._keep)

    async def end_task(self) -> None:
        """Take over no more turns; the process still holds its lock."""
        await background.stop(self._task)

    async def release_lock(self) -> None:
        """Show that this process runs no turns any more."""
        await self._lock.release()

    async def take_over(self) -> None:
        """Begin the turns of processes that are gone, and heads of queues that no process has begun."""
        async with self._taking_over:
            await self._take_over()

    async def _keep(self) -> None:
        while True:
            await asyncio.sleep(RENEWAL.total_seconds())
            try:
                for turn_id in await in_database(renew, self._turns.owner, self._turns.ids):
                    self._turns.stop(turn_id)
                await self._lock.acquire()
                await self.take_over()
            except (DatabaseError, OSError) as error:
                logger.warning("The database cannot be reached: %s", error)

    async def _take_over(self) -> None:
        turns = self._turns
        if turns.free > 0:
            interrupted = frozenset(turns.interrupted)
            taken = await in_database(
                take_over, turns.owner, running=turns.ids, limit=turns.free, interrupted=interrupted
            )
            for turn in taken:
                turns.begin(turn)
            turns.interrupted -= interrupted
        if turns.free > 0:
            await turns.begin_waiting()
