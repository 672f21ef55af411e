"""The runner of one server process: it admits what people send, runs turns, and keeps house."""

import asyncio
import uuid

from chat.assistant.endpoints.providers import Choose
from chat.memory.store import SessionStore
from chat.turns.admission import Admission
from chat.turns.housekeeping import Housekeeping
from chat.turns.running import RunningTurns


class TurnRunner(Admission):
    """Runs turns in this process, and takes over turns of processes that are gone."""

    def __init__(self, *, choose: Choose, store: SessionStore) -> None:
        super().__init__(RunningTurns(uuid.uuid4(), choose=choose, store=store))
        self.owner, self.logs, self.store = self.turns.owner, self.turns.logs, store
        self._housekeeping = Housekeeping(self.turns)

    async def start(self) -> None:
        """Start to renew leases, and take over interrupted turns at once."""
        self.loop = asyncio.get_running_loop()
        await self._housekeeping.start()

    async def drain(self, seconds: float) -> None:
        """Let turns finish for a few seconds, then release the rest for the next process."""
        self.turns.draining = True
        await self._housekeeping.end_task()
        await self.turns.drain(seconds)
        await self._housekeeping.release_lock()
        await self.store.close()
