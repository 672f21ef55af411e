"""Parts of the product end, or hang, and come back by themselves."""

import asyncio
import contextlib
import time

import httpx
import psutil

from config.tests.attack.clients import new_person, open_socket
from config.tests.attack.marks import on_processes
from config.tests.attack.product import Product
from config.tests.support import eventually

pytestmark = on_processes


# Seconds: 20 until a server that hangs is ended, and what a busy machine takes to start another one.
LONG_ENOUGH = 90


def ready(product: Product) -> dict[str, object]:
    """Return what /readyz says."""
    with contextlib.suppress(httpx.TransportError):
        answer: dict[str, object] = httpx.get(f"{product.url}/readyz", timeout=5).json()
        return answer
    return {}


def worker_of(product: Product) -> psutil.Process | None:
    """Return the worker, if one runs."""
    with contextlib.suppress(StopIteration, psutil.Error):
        worker = product.child("qcluster")
        return worker if worker.status() != psutil.STATUS_ZOMBIE else None
    return None


def test_a_worker_that_dies_five_times_leaves_the_server_alone(bare_product: Product) -> None:
    server = bare_product.server.pid
    for _ in range(5):
        worker: psutil.Process = eventually(lambda: worker_of(bare_product), within=90, what="a worker")
        worker.kill()
        worker.wait(10)
        assert bare_product.process.poll() is None, bare_product.output[-500:]
        assert bare_product.answers()
    eventually(lambda: ready(bare_product).get("worker") is False, what="a word that the worker is down")
    eventually(lambda: ready(bare_product).get("worker") is True, within=120, what="a worker")
    assert bare_product.server.pid == server
    bare_product.await_works(60)


async def test_a_server_that_is_killed_comes_back(bare_product: Product) -> None:
    person = new_person(bare_product)
    bare_product.server.kill()
    await asyncio.to_thread(bare_product.await_works, 90)
    async with open_socket(person) as socket:
        assert "milk" in await socket.reply("Add a task to buy milk")


async def test_a_server_that_hangs_is_replaced_or_goes_on(bare_product: Product) -> None:
    person = new_person(bare_product)
    server = bare_product.server
    server.suspend()
    begun = time.monotonic()
    try:
        # Something else answers, before anybody resumes it.
        with contextlib.suppress(AssertionError):
            eventually(lambda: bare_product.answers(timeout=1), within=LONG_ENOUGH)
        waited = time.monotonic() - begun
    finally:
        with contextlib.suppress(psutil.NoSuchProcess):
            server.resume()
    await asyncio.to_thread(bare_product.await_works, 90)
    assert waited < LONG_ENOUGH - 1, "a server that hangs is noticed within a while"
    async with open_socket(person) as socket:
        assert "milk" in await socket.reply("Add a task to buy milk")
