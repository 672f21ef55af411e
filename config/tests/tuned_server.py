"""The server with other limits and with faults: `python -m config.tests.tuned_server`.

TUNED="module:NAME=number …" sets constants, so that a test need not wait for the real limits. When the file FAULT_WHEN
appears, FAULT=loop blocks the event loop, and FAULT=pool and FAULT=threads take all pooled connections or threads and
return none. The statistics of the pool are written to POOL_FILE ten times a second.
"""

import asyncio
import importlib
import json
import os
import threading
import time
from contextlib import suppress
from pathlib import Path

from psycopg_pool import PoolTimeout

from config.runtime import asgi_server  # first, since it chooses the event loop
from config.runtime.database import PoolGauge
from config.runtime.watchdog import Gauge


def tune(words: str) -> None:
    """Set constants of modules."""
    for word in words.split():
        place, _, number = word.partition("=")
        name, _, constant = place.partition(":")
        module = importlib.import_module(name)
        assert hasattr(module, constant), place
        setattr(module, constant, float(number))


def block_the_loop(loop: asyncio.AbstractEventLoop) -> None:
    """Keep the event loop from running."""
    loop.call_soon_threadsafe(sleep_in_the_loop)


def sleep_in_the_loop() -> None:
    """Sleep, which blocks the event loop."""
    time.sleep(60)


def lose_connections(loop: asyncio.AbstractEventLoop) -> None:
    """Take all connections of the pool and return none; then wait for another, as a request does."""
    from django.db import connection

    pool = connection.pool  # type: ignore[attr-defined]
    taken = [pool.getconn() for _ in range(pool.max_size)]
    while taken:
        with suppress(PoolTimeout):
            taken.append(pool.getconn())


def occupy_threads(loop: asyncio.AbstractEventLoop) -> None:
    """Occupy all threads with long calls, and queue one more."""
    from chat.infra.db_threads import threads

    for _ in range(threads()._max_workers + 1):
        threads().submit(time.sleep, 60)


FAULTS = {"loop": block_the_loop, "pool": lose_connections, "threads": occupy_threads}


def fail_when(path: Path, fault: str, loop: asyncio.AbstractEventLoop) -> None:
    """Wait for a file, then trigger a fault."""
    while not path.exists():
        time.sleep(0.05)
    FAULTS[fault](loop)


def report_pool(path: Path) -> None:
    """Write the statistics of the pool repeatedly."""
    draft = path.with_suffix(".draft")
    while True:
        draft.write_text(json.dumps(PoolGauge().stats()))
        draft.replace(path)
        time.sleep(0.1)


def create_thread_pools(
    loop: asyncio.AbstractEventLoop, *, before: object = asgi_server._create_thread_pools
) -> list[Gauge]:
    """Create the thread pools of the server, then apply the variables of a test."""
    gauges: list[Gauge] = before(loop)  # type: ignore[operator]
    tune(os.environ.get("TUNED", ""))
    if fault := os.environ.get("FAULT"):
        threading.Thread(target=fail_when, args=[Path(os.environ["FAULT_WHEN"]), fault, loop], daemon=True).start()
    if path := os.environ.get("POOL_FILE"):
        threading.Thread(target=report_pool, args=[Path(path)], daemon=True).start()
    return gauges


if __name__ == "__main__":
    asgi_server._create_thread_pools = create_thread_pools
    asgi_server.main()
