"""What is done to a session store in a process: many conversations at once, many live handles, a share of the work."""

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
    """Return how many milliseconds something takes."""
    begun = time.perf_counter()
    await work
    return (time.perf_counter() - begun) * 1000


@dataclass
class Crowd:
    """What many conversations at once took: milliseconds, and how many calls failed."""

    reads: list[float] = field(default_factory=list)
    writes: list[float] = field(default_factory=list)
    failed: int = 0
    seconds: float = 0.0


async def crowd(peer: Peer, names: Sequence[str], turns: int) -> Crowd:
    """Let conversations go on side by side: each turn reads its session and adds two items."""
    told = Crowd()

    async def talk(name: str) -> None:
        for n in range(turns):
            session = peer.session(name, n)
            try:
                told.reads.append(await timed(session.get_items()))
                told.writes.append(await timed(session.add_items(exchange(n)[::3])))
            except Exception:  # noqa: BLE001 - whatever a peer raises is counted
                told.failed += 1

    begun = time.perf_counter()
    await asyncio.gather(*map(talk, names))
    told.seconds = time.perf_counter() - begun
    return told


@dataclass(frozen=True)
class Held:
    """What a process holds for its live sessions."""

    threads: int
    files: int
    megabytes: float


def hold_many(kind: type[Peer], path: Path) -> Held:
    """Read 1,000 sessions and keep them all; in a process of its own."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))

    async def measure() -> Held:
        process = psutil.Process()
        files, memory = process.num_fds(), process.memory_info().rss
        peer = kind(path)
        live = [peer.session(f"session {n}") for n in range(HANDLES)]
        for n in range(0, HANDLES, 20):
            await asyncio.gather(*(session.get_items() for session in live[n : n + 20]))
        grown = (process.memory_info().rss - memory) / 2**20
        held = Held(process.num_threads(), process.num_fds() - files, grown)
        await peer.close()
        return held

    return asyncio.run(measure())


def in_process(kind: type[Peer], path: Path, names: Sequence[str]) -> tuple[Crowd, float, float]:
    """Let a share of the conversations go on in a process of its own; also return when that began and ended."""

    async def measure() -> tuple[Crowd, float, float]:
        peer = kind(path)
        for name in names:
            peer.session(name)
        await peer.session("nobody").get_items()
        await asyncio.to_thread(_begin_together)
        begun = time.perf_counter()
        told = await crowd(peer, names, TURNS_OF_A_PROCESS)
        ended = time.perf_counter()
        await peer.close()
        return told, begun, ended

    return asyncio.run(measure())


_barrier: Barrier | None = None


def _begin_together() -> None:
    assert _barrier is not None
    _barrier.wait(60)


def meet_at(barrier: Barrier) -> None:
    """Let this process begin together with others."""
    global _barrier
    _barrier = barrier
