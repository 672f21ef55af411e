"""The turns that a socket follows."""

import asyncio
import uuid
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

from chat.exceptions import RateLimited
from chat.realtime.server_frames import encode, event_frame
from chat.realtime.window import SendWindow
from chat.turns import process
from chat.turns.follow import follow

# Turns that a client may follow at once by request. The server follows active turns by itself, and no more of them
# exist than QUEUE_PER_CONVERSATION and one.
FOLLOWED_AT_ONCE = 32
ENDED_REMEMBERED = 100  # turns: they are not followed again because their message is repeated


class Followers:
    """Sends the logs of turns, each from a task; `guard` handles the errors of a task."""

    def __init__(
        self,
        send: Callable[[str], Awaitable[None]],
        guard: Callable[[Coroutine[Any, Any, None]], Coroutine[Any, Any, None]],
    ) -> None:
        self.window = SendWindow()
        self._send = send
        self._guard = guard
        self._tasks: dict[uuid.UUID, asyncio.Task[None]] = {}

    def __contains__(self, turn_id: uuid.UUID) -> bool:
        return turn_id in self._tasks

    def check_limit(self, turn_id: uuid.UUID) -> None:
        """Raise RateLimited if the client follows too many other turns."""
        others = sum(not task.done() for followed, task in self._tasks.items() if followed != turn_id)
        if others >= FOLLOWED_AT_ONCE:
            detail = f"A socket follows at most {FOLLOWED_AT_ONCE} turns at once; please read some to their end first."
            raise RateLimited(detail, retry_after=5)

    def follow(self, turn_id: uuid.UUID, *, attempt: int = 0, after: int = 0) -> None:
        """Start to follow a turn; an earlier follower is replaced."""
        if (before := self._tasks.pop(turn_id, None)) is not None:
            before.cancel()
        ended = [followed for followed, task in self._tasks.items() if task.done()]
        for followed in ended[:-ENDED_REMEMBERED]:
            del self._tasks[followed]
        self._tasks[turn_id] = asyncio.create_task(self._guard(self._send_log(turn_id, attempt, after)))

    def cancel(self) -> None:
        """Follow nothing any more."""
        for task in self._tasks.values():
            task.cancel()

    async def _send_log(self, turn_id: uuid.UUID, attempt: int, after: int) -> None:
        async for batch in follow(process.current().logs, turn_id, attempt=attempt, after=after):
            for entry in batch.entries:
                frame = event_frame(entry.event, turn_id=turn_id, attempt=batch.attempt, n=entry.n)
                text = encode(frame)
                await self.window.reserve(str(turn_id), batch.attempt, entry.n, len(text.encode()))
                await self._send(text)
