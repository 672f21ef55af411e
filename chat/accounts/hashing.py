"""Hash passwords in a small thread pool, however many users sign in at once.

The threads have a low priority, so that the event loop and other requests come first, and no database connection is
held meanwhile. Requests wait for their turn in chat.web.handler.
"""

import os
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from functools import cache

from django.contrib.auth.hashers import PBKDF2PasswordHasher
from django.db import connections

from chat.exceptions import ServerBusy

POOL_SIZE = max(2, (os.cpu_count() or 1) // 2)
MAX_PENDING = 8 * POOL_SIZE  # running or waiting, including those of the admin
RETRY_AFTER = 5  # seconds
NICENESS = 10

_admitted = threading.BoundedSemaphore(MAX_PENDING)


class PooledPasswordHasher(PBKDF2PasswordHasher):
    """Django's own hashes, computed in the pool. Raises ServerBusy if too many wait."""

    def encode(self, password: str, salt: str, iterations: int | None = None) -> str:
        if not _admitted.acquire(blocking=False):
            raise ServerBusy(retry_after=RETRY_AFTER)
        try:
            for connection in connections.all(initialized_only=True):  # others need them while this waits
                if not connection.in_atomic_block:
                    connection.close()
            return _threads().submit(super().encode, password, salt, iterations).result()
        finally:
            _admitted.release()


@cache
def _threads() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(POOL_SIZE, thread_name_prefix="password hash", initializer=_lower_priority)


def _lower_priority() -> None:
    if sys.platform == "linux":  # where each thread has its own priority
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), NICENESS)
