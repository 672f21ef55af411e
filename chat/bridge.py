"""The one way from asynchronous code to the database.

Channels' and Django's own bridges share a single thread for all sockets; this pool has as many threads as the
server may have connections.
"""

import asyncio
import contextvars
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache, partial
from typing import ParamSpec, TypeVar

from django.conf import settings
from django.db import close_old_connections, connections

P = ParamSpec("P")
T = TypeVar("T")


@cache
def _threads() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(max_workers=settings.DATABASE_THREADS, thread_name_prefix="database")


def _and_give_back(function: Callable[[], T]) -> T:
    """Run the function, then give the connection back even when nobody waits for the result any more."""
    close_old_connections()
    try:
        return function()
    finally:
        close_old_connections()


def give_back() -> None:
    """Give this thread's connection back, unless it is in a transaction: who waits next is not to keep it meanwhile."""
    for connection in connections.all(initialized_only=True):
        if not connection.in_atomic_block:
            connection.close_if_unusable_or_obsolete()


async def in_database(function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Run a synchronous function that uses the database; a cancellation waits for its outcome."""
    call = partial(contextvars.copy_context().run, _and_give_back, partial(function, *args, **kwargs))
    return await outcome(asyncio.get_running_loop().run_in_executor(_threads(), call))


async def outcome(work: Awaitable[T]) -> T:
    """Await work that cannot be called back: who is cancelled meanwhile learns it after the work has ended."""
    future = asyncio.ensure_future(work)
    cancelled = False
    while not future.done():
        try:
            await asyncio.wait({future})
        except asyncio.CancelledError:
            cancelled = True
    if cancelled:
        future.exception()  # seen, so that nobody warns that it was never looked at
        raise asyncio.CancelledError
    return future.result()
