"""The runner of one server process: it admits what people send, runs turns, and keeps house."""

import asyncio
import uuid
from contextlib import suppress
from typing import TYPE_CHECKING

from channels.layers import get_channel_layer
from django.conf import settings
from django.db import DatabaseError

from chat.assistant.endpoints.providers import Choose
from chat.infra import background, notifications
from chat.memory.store import SessionStore
from chat.turns.admission import Admission
from chat.turns.housekeeping import Housekeeping
from chat.turns.running import RunningTurns

if TYPE_CHECKING:
    from chat.turns.streams import SharedLogs


class TurnRunner(Admission):
    """Runs turns in this process, and takes over turns of processes that are gone."""

    def __init__(self, *, choose: Choose, store: SessionStore) -> None:
        super().__init__(RunningTurns(uuid.uuid4(), choose=choose, store=store))
        self.owner, self.logs, self.store = self.turns.owner, self.turns.logs, store
        self._housekeeping = Housekeeping(self.turns)
        self._listener: list[asyncio.Task[None]] = []

    async def start(self) -> None:
        """Start to renew leases, and take over interrupted turns at once."""
        self.loop = asyncio.get_running_loop()
        self.logs.shared = self._shared = _shared_logs(self.owner)
        await self._housekeeping.start()
        self._listener = background.start(self._listen)

    async def drain(self, seconds: float) -> None:
        """Let turns finish for a few seconds, then release the rest for the next process."""
        self.turns.draining = True
        await self._housekeeping.end_task()
        await self.turns.drain(seconds)
        await self._housekeeping.release_lock()
        notifications.to_servers("turns.waiting")
        await background.stop(self._listener)
        if self._shared is not None:
            await self._shared.stop()
        await self.store.close()

    async def _listen(self) -> None:
        """Do what other server processes ask for."""
        layer = get_channel_layer()
        assert layer is not None
        channel = await layer.new_channel()
        await layer.group_add(notifications.SERVERS, channel)
        while True:
            notice = await layer.receive(channel)
            if notice["type"] == "turn.stop":
                self.turns.stop(uuid.UUID(notice["turn_id"]))
            elif notice["type"] == "turn.changed":
                self.logs.look_again(uuid.UUID(notice["turn_id"]))
            elif not self.turns.draining:
                with suppress(DatabaseError):  # housekeeping comes again
                    await self._housekeeping.take_over()


def _shared_logs(owner: uuid.UUID) -> "SharedLogs | None":
    if not settings.REDIS_URL:
        return None
    from chat.turns.streams import SharedLogs  # the client of Redis takes a third of a second to import

    return SharedLogs(owner)
