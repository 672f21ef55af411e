"""How asynchronous code calls the database.

Channels' and Django's own bridges share a single thread for all sockets; this pool has as many threads as the server
may have connections.
"""

import asyncio
import contextvars
from collections.abc import Awaitable, Callable
from functools import cache, partial
from typing import ParamSpec, TypeVar

from django.conf import settings

from chat.infra.thread_pool import DatabaseThreads

P = ParamSpec("P")
T = TypeVar("T")


@cache
def threads() -> DatabaseThreads:
    """Return the thread pool of this process."""
    return DatabaseThreads(settings.DATABASE_THREADS, "database")


_calling_loop: contextvars.ContextVar[asyncio.AbstractEventLoop | None] = contextvars.ContextVar("loop", default=None)


def calling_loop() -> asyncio.AbstractEventLoop | None:
    """Return the event loop that waits for this thread's call of `in_database`, or None outside of one."""
    return _calling_loop.get()


async def in_database(function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Run a synchronous function that uses the database; a cancellation waits for its outcome."""
    loop = asyncio.get_running_loop()
    context = contextvars.copy_context()
    context.run(_calling_loop.set, loop)
    call = partial(context.run, function, *args, **kwargs)
    return await finish_despite_cancel(loop.run_in_executor(threads(), call))


async def finish_despite_cancel(work: Awaitable[T]) -> T:
    """Await work that cannot be cancelled: a cancellation takes effect after the work has finished."""
    future = asyncio.ensure_future(work)
    cancelled = False
    while not future.done():
        try:
            await asyncio.wait({future})
        except asyncio.CancelledError:
            cancelled = True
    if cancelled:
        future.exception()  # retrieved, so that asyncio does not warn about it
        raise asyncio.CancelledError
    return future.result()
