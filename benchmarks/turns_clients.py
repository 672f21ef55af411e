"""Measure one product that runs alone: `python -m benchmarks.turns_clients`, a job on stdin, figures on stdout.

A process of its own for all clients, the same for both products; what is done is the same too.
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

from benchmarks.turns_model import APART, TEXT, TOKENS
from benchmarks.turns_pages import PAGES, Page, Said

TOGETHER = 20  # connections that are opened at the same moment
WINDOW = 10.0  # seconds in which everybody says something, each at a random moment
IDLE_FOR = 15.0
SETTLE = 3.0
# Where a cut begins, in seconds from the first token: in the middle of a reply, and so that it spans the end.
CUTS = {"middle": 0.3, "end": (TOKENS - 1) * APART - 0.15}


@dataclass(frozen=True, slots=True)
class Job:
    """What is measured, and how much of it."""

    product: str
    url: str
    cookies: list[str]
    server: int  # process ids
    postgres: int
    model: int
    seed: int
    alone: int  # turns
    crowds: int  # times that everybody speaks
    cuts: int
    cycles: int  # connections, twice; 0 leaves them and the idle ones out
    idle: int


@dataclass
class Figures:
    """What was measured: seconds, megabytes, counts."""

    times: dict[str, list[tuple[float, float]]] = field(default_factory=dict)
    cpu: dict[str, list[float]] = field(default_factory=dict)  # of the server, its PostgreSQL, the model, the clients
    others: dict[str, float] = field(default_factory=dict)  # cores kept busy by anybody else
    memory: dict[str, float] = field(default_factory=dict)
    missing: dict[str, list[tuple[int, int]]] = field(default_factory=dict)  # tokens not streamed, not shown
    idle_cpu: float = 0.0  # of a core
    said: int = 0  # messages that were answered


class Tree:
    """A process with all that it has started."""

    def __init__(self, pid: int) -> None:
        self._process = psutil.Process(pid)

    def _all(self) -> Iterable[psutil.Process]:
        return [self._process, *self._process.children(recursive=True)]

    def cpu(self) -> float:
        """Return the processor seconds so far, those of children that have ended among them."""
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


class Measured:
    """Keeps what a phase costs: `with` it."""

    def __init__(self, clients: "Clients", phase: str) -> None:
        self._clients = clients
        self._phase = phase

    def _now(self) -> list[float]:
        whole = psutil.cpu_times()
        busy = sum(whole) - whole.idle - getattr(whole, "iowait", 0.0) - getattr(whole, "guest", 0.0)
        return [*(tree.cpu() for tree in self._clients.trees), busy, time.perf_counter()]

    def __enter__(self) -> None:
        self._begun = self._now()

    def __exit__(self, *_: object) -> None:
        *spent, busy, took = (after - before for before, after in zip(self._begun, self._now(), strict=True))
        figures = self._clients.figures
        known = figures.cpu.get(self._phase, [0.0] * len(spent))
        figures.cpu[self._phase] = [sum(pair) for pair in zip(known, spent, strict=True)]
        figures.others[self._phase] = max(figures.others.get(self._phase, 0.0), (busy - sum(spent)) / took)


class Clients:
    """Everybody who talks with a product."""

    def __init__(self, job: Job) -> None:
        self.job = job
        self.figures = Figures()
        self.server = Tree(job.server)
        self.trees = [self.server, Tree(job.postgres), Tree(job.model), Tree(os.getpid())]
        self._page = PAGES[job.product]
        self._random = random.Random(job.seed)

    async def measure(self) -> Figures:
        """Do all of it."""
        await self.alone("warm-up", turns=5)
        self._weigh("at the start")
        await self.alone("alone", turns=self.job.alone)
        await self.crowd()
        self._weigh("after the turns")
        for where, after in CUTS.items():
            await self.cut(where, after)
        if self.job.cycles:
            for phase in ("after a warm-up of cycles", "after as many more"):
                await self.connect_and_leave()
                await asyncio.sleep(SETTLE)
                self._weigh(phase)
            await self.idle()
        return self.figures

    def _weigh(self, moment: str) -> None:
        self.figures.memory[moment] = self.server.memory()

    def _keep(self, phase: str, said: Sequence[Said]) -> None:
        for one in said:
            assert one.end and one.text == TEXT, f"{phase}: {one}"
        self.figures.said += len(said)
        self.figures.times.setdefault(phase, []).extend((one.to_first, one.to_end) for one in said)

    async def _open(self, how_many: int) -> list[Page]:
        pages = [self._page(self.job.url, cookie) for cookie in islice(cycle(self.job.cookies), how_many)]
        await _together([page.open() for page in pages])
        return pages

    async def alone(self, phase: str, turns: int) -> None:
        """Let one person speak, again and again, ten times in each conversation."""
        while turns > 0:
            (page,) = await self._open(1)
            with Measured(self, phase):
                self._keep(phase, [await page.say(f"message {n}") for n in range(min(turns, 10))])
            await page.close()
            turns -= 10

    async def crowd(self) -> None:
        """Let everybody speak at once, and each at a random moment, in turn, in conversations that go on."""
        pages = await self._open(len(self.job.cookies))
        self._keep("first messages", await asyncio.gather(*(page.say("hello") for page in pages)))

        async def speak(page: Page, wait: float) -> Said:
            await asyncio.sleep(wait)
            return await page.say("and now?")

        for _ in range(self.job.crowds):
            for phase, window in (("at once", 0.0), ("at random times", WINDOW)):
                await asyncio.sleep(1)
                gc.collect()
                with Measured(self, phase):
                    waits = [self._random.uniform(0, window) for _ in pages]
                    self._keep(phase, await asyncio.gather(*map(speak, pages, waits)))
        await _together([page.close() for page in pages])

    async def cut(self, where: str, after: float) -> None:
        """Cut connections in the middle of replies, or so that the reply ends meanwhile."""
        pages = await self._open(self.job.cuts)
        said = await asyncio.gather(*(page.say("tell me", cut_after=after) for page in pages))
        self.figures.said += len(said)
        size = len(TEXT) // TOKENS
        self.figures.missing[where] = [(TOKENS - one.streamed // size, TOKENS - len(one.text) // size) for one in said]
        await _together([page.close() for page in pages])

    async def connect_and_leave(self) -> None:
        """Open pages and close them, a few at a time."""
        for _ in range(self.job.cycles // TOGETHER):
            pages = await self._open(TOGETHER)
            await _together([page.close() for page in pages])

    async def idle(self) -> None:
        """Let many pages be open and do nothing."""
        self._weigh("before the idle ones")
        pages = await self._open(self.job.idle)
        await asyncio.sleep(SETTLE)
        self._weigh("with the idle ones")
        begun, spent = time.perf_counter(), self.server.cpu()
        await asyncio.sleep(IDLE_FOR)
        self.figures.idle_cpu = (self.server.cpu() - spent) / (time.perf_counter() - begun)
        assert all(page.socket.close_code is None for page in pages)
        await _together([page.close() for page in pages])


async def _together(work: Sequence[Any]) -> None:
    """Await coroutines, a few at the same time."""
    places = asyncio.Semaphore(TOGETHER)

    async def do(one: Any) -> None:
        async with places:
            await one

    await asyncio.gather(*map(do, work))


def main() -> None:
    """Read the job, measure, write the figures."""
    job = Job(**json.load(sys.stdin))
    gc.freeze()
    figures = asyncio.run(Clients(job).measure())
    json.dump(asdict(figures), sys.stdout)


if __name__ == "__main__":
    main()
