"""Flow control: a client that does not read costs a bounded amount of memory."""

import asyncio
from collections import deque

UNACKNOWLEDGED = 256 * 1024  # bytes
ACK_WITHIN = 60.0  # seconds


class SendWindow:
    """The frames of logs that were sent and not acknowledged yet."""

    def __init__(self) -> None:
        self._sent: deque[tuple[str, int, int, int]] = deque()
        self._bytes = 0
        self._acknowledged = asyncio.Event()
        self._queue = asyncio.Lock()

    async def reserve(self, turn_id: str, attempt: int, n: int, size: int) -> None:
        """Wait for room for a frame, and count it. Raise TimeoutError if the client acknowledges nothing.

        A frame that is larger than the whole window goes alone.
        """
        async with self._queue:  # first come, first served
            while self._bytes and self._bytes + size > UNACKNOWLEDGED:
                self._acknowledged.clear()
                async with asyncio.timeout(ACK_WITHIN):
                    await self._acknowledged.wait()
            self._sent.append((turn_id, attempt, n, size))
            self._bytes += size

    def acknowledge(self, turn_id: str, attempt: int, n: int) -> None:
        """Remove the frames of a turn that the client has read."""
        self._sent = deque(frame for frame in self._sent if frame[0] != turn_id or frame[1:3] > (attempt, n))
        self._bytes = sum(frame[3] for frame in self._sent)
        self._acknowledged.set()
