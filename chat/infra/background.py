"""Tasks that run as long as their process."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Collection

logger = logging.getLogger(__name__)

RESTART_AFTER = 1.0  # seconds
CANCEL_AGAIN_AFTER = 0.2  # seconds


def start(*runs: Callable[[], Awaitable[None]]) -> "list[asyncio.Task[None]]":
    """Run functions that never return, each in a task."""
    return [asyncio.create_task(_keep_running(run)) for run in runs]


async def stop(tasks: "Collection[asyncio.Task[None]]") -> None:
    """Cancel tasks, and wait until they have ended.

    Once is not enough: the client of Redis swallows a cancellation at some moments while it connects.
    """
    pending = set(tasks)
    while pending:
        for task in pending:
            task.cancel()
        _, pending = await asyncio.wait(pending, timeout=CANCEL_AGAIN_AFTER)


async def _keep_running(run: Callable[[], Awaitable[None]]) -> None:
    while True:
        try:
            await run()
        except Exception:  # what comes next may not cause it
            logger.exception("A background task failed; it is restarted.")
        await asyncio.sleep(RESTART_AFTER)
