"""Load on a session store in one process: concurrent conversations, live handles, a share of several processes."""

import asyncio
import resource
import time
from collections.abc import Awaitable, Sequence
from dataclasses import dataclass, field
from multiprocessing.synchronize import Barrier
from pathlib import Path

import psutil

from benchmarks.session_peers import Peer, exchange

TURNS = 20
TURNS_OF_A_PROCESS = 10
HANDLES = 1000


async def timed(work: Awaitable[object]) -> float:
    """Await something; return the elapsed milliseconds."""
    started = time.perf_counter()
    await work
    return (time.perf_counter() - started) * 1000


@dataclass
class Crowd:
    """Times of concurrent conversations in milliseconds, and the number of failed calls."""

    reads: list[float] = field(default_factory=list)
    writes: list[float] = field(default_factory=list)
    failed: int = 0
    seconds: float = 0.0


async def crowd(peer: Peer, names: Sequence[str], turns: int) -> Crowd:
    """Run conversations concurrently: each turn reads its session and adds two items."""
    result = Crowd()

    async def converse(name: str) -> None:
        for n in range(turns):
            session = peer.session(name, n)
            try:
                result.reads.append(await timed(session.get_items()))
                result.writes.append(await timed(session.add_items(exchange(n)[::3])))
            except Exception:  # noqa: BLE001 - every error of a store is counted
                result.failed += 1

    started = time.perf_counter()
    await asyncio.gather(*map(converse, names))
    result.seconds = time.perf_counter() - started
    return result


@dataclass(frozen=True)
class Resources:
    """The resources that a process uses for its live sessions."""

    threads: int
    files: int
    megabytes: float


def open_many(kind: type[Peer], path: Path) -> Resources:
    """Read 1,000 sessions and keep them open; runs in a process of its own."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))

    async def measure() -> Resources:
        process = psutil.Process()
        files, memory = process.num_fds(), process.memory_info().rss
        peer = kind(path)
        live = [peer.session(f"session {n}") for n in range(HANDLES)]
        for n in range(0, HANDLES, 20):
            await asyncio.gather(*(session.get_items() for session in live[n : n + 20]))
        growth = (process.memory_info().rss - memory) / 2**20
        resources = Resources(process.num_threads(), process.num_fds() - files, growth)
        await peer.close()
        return resources

    return asyncio.run(measure())


def in_process(kind: type[Peer], path: Path, names: Sequence[str]) -> tuple[Crowd, float, float]:
    """Run a share of the conversations in a process of its own; also return its start and end times."""

    async def measure() -> tuple[Crowd, float, float]:
        peer = kind(path)
        for name in names:
            peer.session(name)
        await peer.session("warm-up").get_items()
        await asyncio.to_thread(_wait_for_others)
        started = time.perf_counter()
        result = await crowd(peer, names, TURNS_OF_A_PROCESS)
        ended = time.perf_counter()
        await peer.close()
        return result, started, ended

    return asyncio.run(measure())


_barrier: Barrier | None = None


def _wait_for_others() -> None:
    assert _barrier is not None
    _barrier.wait(60)


def set_barrier(barrier: Barrier) -> None:
    """Set the barrier at which this process waits for the others."""
    global _barrier
    _barrier = barrier
