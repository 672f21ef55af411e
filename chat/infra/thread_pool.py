"""Threads for code that uses the database: a bounded number, and each returns its connection after every call.

The caller may be cancelled at any time, because a client has disconnected. The call then runs to its end in its thread,
and the caller runs no further code there. So the thread itself returns the connection.
"""

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from typing import ParamSpec, TypeVar

from asgiref.sync import SyncToAsync, ThreadSensitiveContext
from django.db import connections

P = ParamSpec("P")
T = TypeVar("T")


class DatabaseThreads(ThreadPoolExecutor):
    """Threads that return their database connections after every call."""

    def __init__(self, count: int, name: str) -> None:
        super().__init__(count, thread_name_prefix=name)
        self.name = name
        self.finished = 0

    @property
    def waiting(self) -> int:
        """The number of calls that wait for a thread."""
        return self._work_queue.qsize()

    def submit(self, function: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """Run a function in a thread."""
        return super().submit(self._run, partial(function, *args, **kwargs))

    def _run(self, function: Callable[[], T]) -> T:
        try:
            return function()
        finally:
            self.finished += 1
            for connection in connections.all(initialized_only=True):
                connection.close()


def use_for_async_code(threads: DatabaseThreads) -> None:
    """Run `sync_to_async` calls in these threads: here, and in every task and callback that starts here.

    Otherwise Django's handler starts an unlimited number of threads, one per request, and returns the connection in a
    separate call, which is not made if the request is cancelled first.
    """
    context = ThreadSensitiveContext()
    SyncToAsync.context_to_thread_executor[context] = threads
    SyncToAsync.thread_sensitive_context.set(context)
