"""Measure one running product: `python -m benchmarks.turns_clients`, with a job on stdin and figures on stdout.

One process for all clients, the same for both products, with the same steps.
"""

import asyncio
import gc
import json
import os
import random
import sys
import time
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from itertools import cycle, islice
from typing import Any

import psutil

from benchmarks.turns_model import INTERVAL, TEXT, TOKENS
from benchmarks.turns_pages import PAGES, Page, Reply

CONCURRENCY = 20  # connections opened at the same time
WINDOW = 10.0  # seconds in which every client sends a message, at random times
IDLE_FOR = 15.0
SETTLE = 3.0
# Start of a cut, in seconds from the first token: in the middle of a reply, and so that it spans the end.
CUTS = {"middle": 0.3, "end": (TOKENS - 1) * INTERVAL - 0.15}


@dataclass(frozen=True, slots=True)
class Job:
    """What to measure, and how often."""

    product: str
    url: str
    cookies: list[str]
    server: int  # process ids
    postgres: int
    model: int
    seed: int
    alone: int  # turns
    crowds: int  # rounds of messages by all clients
    cuts: int
    cycles: int  # connections, twice; 0 skips them and the idle ones
    idle: int


@dataclass
class Figures:
    """The measurements: seconds, megabytes, counts."""

    times: dict[str, list[tuple[float, float]]] = field(default_factory=dict)
    cpu: dict[str, list[float]] = field(default_factory=dict)  # of the server, its PostgreSQL, the model, the clients
    others: dict[str, float] = field(default_factory=dict)  # cores used by other processes
    memory: dict[str, float] = field(default_factory=dict)
    missing: dict[str, list[tuple[int, int]]] = field(default_factory=dict)  # tokens not streamed, not shown
    idle_cpu: float = 0.0  # of a core
    replies: int = 0  # number of replies


class Tree:
    """A process and its descendants."""

    def __init__(self, pid: int) -> None:
        self._process = psutil.Process(pid)

    def _all(self) -> Iterable[psutil.Process]:
        return [self._process, *self._process.children(recursive=True)]

    def cpu(self) -> float:
        """Return the processor seconds so far, including those of ended children."""
        total = 0.0
        for process in self._all():
            try:
                spent = process.cpu_times()
            except psutil.NoSuchProcess:
                continue
            total += spent.user + spent.system
            if process == self._process:
                total += spent.children_user + spent.children_system
        return total

    def memory(self) -> float:
        """Return the resident megabytes."""
        return sum(process.memory_info().rss for process in self._all()) / 2**20


class PhaseCost:
    """A context manager that records the cost of a phase."""

    def __init__(self, clients: "Clients", phase: str) -> None:
        self._clients = clients
        self._phase = phase

    def _now(self) -> list[float]:
        whole = psutil.cpu_times()
        busy = sum(whole) - whole.idle - getattr(whole, "iowait", 0.0) - getattr(whole, "guest", 0.0)
        return [*(tree.cpu() for tree in self._clients.trees), busy, time.perf_counter()]

    def __enter__(self) -> None:
        self._before = self._now()

    def __exit__(self, *_: object) -> None:
        *spent, busy, took = (after - before for before, after in zip(self._before, self._now(), strict=True))
        figures = self._clients.figures
        known = figures.cpu.get(self._phase, [0.0] * len(spent))
        figures.cpu[self._phase] = [sum(pair) for pair in zip(known, spent, strict=True)]
        figures.others[self._phase] = max(figures.others.get(self._phase, 0.0), (busy - sum(spent)) / took)


class Clients:
    """All clients of a product."""

    def __init__(self, job: Job) -> None:
        self.job = job
        self.figures = Figures()
        self.server = Tree(job.server)
        self.trees = [self.server, Tree(job.postgres), Tree(job.model), Tree(os.getpid())]
        self._page = PAGES[job.product]
        self._random = random.Random(job.seed)

    async def measure(self) -> Figures:
        """Run all phases."""
        await self.alone("warm-up", turns=5)
        self._record_memory("at the start")
        await self.alone("alone", turns=self.job.alone)
        await self.all_at_once()
        self._record_memory("after the turns")
        for where, after in CUTS.items():
            await self.cut(where, after)
        if self.job.cycles:
            for phase in ("after a warm-up of cycles", "after as many more"):
                await self.connect_and_close()
                await asyncio.sleep(SETTLE)
                self._record_memory(phase)
            await self.idle()
        return self.figures

    def _record_memory(self, moment: str) -> None:
        self.figures.memory[moment] = self.server.memory()

    def _record(self, phase: str, replies: Sequence[Reply]) -> None:
        for item in replies:
            assert item.end and item.text == TEXT, f"{phase}: {item}"
        self.figures.replies += len(replies)
        self.figures.times.setdefault(phase, []).extend((item.to_first, item.to_end) for item in replies)

    async def _open(self, number: int) -> list[Page]:
        pages = [self._page(self.job.url, cookie) for cookie in islice(cycle(self.job.cookies), number)]
        await _gather_limited([page.open() for page in pages])
        return pages

    async def alone(self, phase: str, turns: int) -> None:
        """Send messages from one client, ten in each conversation."""
        while turns > 0:
            (page,) = await self._open(1)
            with PhaseCost(self, phase):
                self._record(phase, [await page.send_and_read(f"message {n}") for n in range(min(turns, 10))])
            await page.close()
            turns -= 10

    async def all_at_once(self) -> None:
        """Send messages from all clients, alternately at once and at random times, in the same conversations."""
        pages = await self._open(len(self.job.cookies))
        self._record("first messages", await asyncio.gather(*(page.send_and_read("hello") for page in pages)))

        async def send_later(page: Page, wait: float) -> Reply:
            await asyncio.sleep(wait)
            return await page.send_and_read("and now?")

        for _ in range(self.job.crowds):
            for phase, window in (("at once", 0.0), ("at random times", WINDOW)):
                await asyncio.sleep(1)
                gc.collect()
                with PhaseCost(self, phase):
                    waits = [self._random.uniform(0, window) for _ in pages]
                    self._record(phase, await asyncio.gather(*map(send_later, pages, waits)))
        await _gather_limited([page.close() for page in pages])

    async def cut(self, where: str, after: float) -> None:
        """Cut connections in the middle of replies, or so that the reply ends during the cut."""
        pages = await self._open(self.job.cuts)
        replies = await asyncio.gather(*(page.send_and_read("tell me", cut_after=after) for page in pages))
        self.figures.replies += len(replies)
        size = len(TEXT) // TOKENS
        self.figures.missing[where] = [
            (TOKENS - item.streamed // size, TOKENS - len(item.text) // size) for item in replies
        ]
        await _gather_limited([page.close() for page in pages])

    async def connect_and_close(self) -> None:
        """Open pages and close them, a few at a time."""
        for _ in range(self.job.cycles // CONCURRENCY):
            pages = await self._open(CONCURRENCY)
            await _gather_limited([page.close() for page in pages])

    async def idle(self) -> None:
        """Measure many open, idle pages."""
        self._record_memory("before the idle ones")
        pages = await self._open(self.job.idle)
        await asyncio.sleep(SETTLE)
        self._record_memory("with the idle ones")
        started, spent = time.perf_counter(), self.server.cpu()
        await asyncio.sleep(IDLE_FOR)
        self.figures.idle_cpu = (self.server.cpu() - spent) / (time.perf_counter() - started)
        assert all(page.socket.close_code is None for page in pages)
        await _gather_limited([page.close() for page in pages])


async def _gather_limited(work: Sequence[Any]) -> None:
    """Await coroutines with limited concurrency."""
    semaphore = asyncio.Semaphore(CONCURRENCY)

    async def run(item: Any) -> None:
        async with semaphore:
            await item

    await asyncio.gather(*map(run, work))


def main() -> None:
    """Read the job, measure, and write the figures."""
    job = Job(**json.load(sys.stdin))
    gc.freeze()
    figures = asyncio.run(Clients(job).measure())
    json.dump(asdict(figures), sys.stdout)


if __name__ == "__main__":
    main()
