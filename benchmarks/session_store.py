"""Our session store beside the SDK's own: reads, writes, many conversations, many handles, several processes, a lock.

    uv run --group bench python -m benchmarks.session_store

Same items, same machine, one after another in turn. Prints the tables that
docs/explanation/benchmarks-of-the-session-store.md keeps, with a verdict a goal. Without the group `SQLAlchemySession`
is left out.
"""

import asyncio
import multiprocessing
import os
import platform
import shutil
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from multiprocessing.context import ForkContext
from pathlib import Path

from benchmarks.session_crowds import HANDLES, TURNS, Held, crowd, hold_many, in_process, meet_at, timed
from benchmarks.session_peers import PEERS, Peer, exchange, long_sessions, prepare, write_file

CONVERSATIONS, ROUNDS = 100, 3
LOCKED = 1.0  # seconds
TICK = 0.002


@dataclass
class Results:
    """Figures by what was measured and by peer, in the order in which they came."""

    rows: dict[str, dict[str, list[float]]] = field(default_factory=dict)
    failures: dict[str, int] = field(default_factory=dict)

    def add(self, what: str, peer: type[Peer], *figures: float) -> None:
        """Keep figures."""
        self.rows.setdefault(what, {}).setdefault(peer.name, []).extend(figures)

    def median(self, what: str, peer: str = "ours") -> float:
        """Return the middle one."""
        return statistics.median(self.rows[what][peer])

    def p95(self, what: str, peer: str = "ours") -> float:
        """Return the one that 95 of 100 do not exceed."""
        figures = sorted(self.rows[what][peer])
        return figures[int(len(figures) * 0.95)]


def in_turn(n: int) -> Sequence[type[Peer]]:
    """Return the peers, another one first each time."""
    n %= len(PEERS)
    return [*PEERS[n:], *PEERS[:n]]


def in_round(n: int) -> Sequence[type[Peer]]:
    """Return the peers of a round of something long: all in the first, the quick ones in the others."""
    return [kind for kind in in_turn(n) if n == 0 or kind.is_quick]


async def reads(results: Results, path: Path, sessions: int) -> None:
    """Read sessions of 200 items: in a process that has just opened the file, for the first time, and again."""
    ids = long_sessions(sessions)
    for n, session_id in enumerate(ids[:10]):
        for kind in in_turn(n):
            begun = time.perf_counter()
            peer = kind(path)
            items = await peer.session(session_id).get_items()
            results.add(f"read, file just opened, {sessions:,} sessions", kind, (time.perf_counter() - begun) * 1000)
            assert len(items) == 200, len(items)
            await peer.close()
    peers = [kind(path) for kind in PEERS]
    for peer in peers:
        await peer.session("nobody").get_items()
    for n, session_id in enumerate(ids):
        for peer in peers[n % len(peers) :] + peers[: n % len(peers)]:
            begun = time.perf_counter()
            session = peer.session(session_id)
            await session.get_items()
            results.add(f"read, cold, {sessions:,} sessions", type(peer), (time.perf_counter() - begun) * 1000)
            for _ in range(3):
                results.add(f"read, warm, {sessions:,} sessions", type(peer), await timed(session.get_items()))
            await peer.let_go(session)
    for peer in peers:
        await peer.close()


async def lone_writes(results: Results, folder: Path) -> None:
    """Write two items, alone, again and again."""
    peers = [kind(copied(folder, kind)) for kind in PEERS]
    for n in range(100):
        for peer in peers[n % len(peers) :] + peers[: n % len(peers)]:
            session = peer.session("session 1", n)
            if n == 0:
                await session.get_items()
            results.add("write of two items, alone", type(peer), await timed(session.add_items(exchange(n)[::3])))
    for peer in peers:
        await peer.close()


def copied(folder: Path, kind: type[Peer]) -> Path:
    """Return a copy of the small file, for one peer to write to."""
    path = folder / f"{kind.name}-{time.monotonic_ns()}.db"
    shutil.copy(folder / "1000.db", path)
    with path.open("rb") as copy:
        os.fsync(copy.fileno())  # or the first commit would wait for it
    return path


async def crowds(results: Results, folder: Path) -> None:
    """Measure 100 conversations of 20 turns, three times those that are quick."""
    names = [f"conversation {n}" for n in range(CONVERSATIONS)]
    for n in range(ROUNDS):
        for kind in in_round(n):
            peer = kind(copied(folder, kind))
            for name in names:
                peer.session(name)  # the SDK's sessions are made beforehand; that is not counted
            await peer.session("nobody").get_items()
            told = await crowd(peer, names, TURNS)
            await peer.close()
            what = f"{CONVERSATIONS} × {TURNS}"
            results.add(f"{what}: turns a second", kind, len(told.writes) / told.seconds)
            results.add(f"{what}: read", kind, *told.reads)
            results.add(f"{what}: write of two items", kind, *told.writes)
            results.failures[f"{what}, {kind.name}"] = told.failed


def several_processes(results: Results, folder: Path, context: ForkContext, count: int) -> None:
    """Share the conversations among processes that use one file."""
    names = [f"conversation {n}" for n in range(CONVERSATIONS)]
    for kind in in_turn(count):
        path = copied(folder, kind)
        barrier = context.Barrier(count)
        with ProcessPoolExecutor(count, mp_context=context, initializer=meet_at, initargs=(barrier,)) as pool:
            shares = list(pool.map(in_process, [kind] * count, [path] * count, [names[n::count] for n in range(count)]))
        seconds = max(ended for _, _, ended in shares) - min(begun for _, begun, _ in shares)
        what = f"{count} processes"
        results.add(f"{what}: turns a second", kind, sum(len(told.writes) for told, _, _ in shares) / seconds)
        results.add(f"{what}: write of two items", kind, *(ms for told, _, _ in shares for ms in told.writes))
        results.failures[f"{what}, {kind.name}"] = sum(told.failed for told, _, _ in shares)


HOLD = """
import sqlite3, sys
connection = sqlite3.connect(sys.argv[1], isolation_level=None)
connection.execute("BEGIN IMMEDIATE")
print("held", flush=True)
sys.stdin.read()
"""


async def loop_lag(seconds: float) -> list[float]:
    """Return how many milliseconds later than it asked a task was woken, again and again."""
    lags = []
    end = time.perf_counter() + seconds
    while (begun := time.perf_counter()) < end:
        await asyncio.sleep(TICK)
        lags.append((time.perf_counter() - begun - TICK) * 1000)
    return lags


async def locked(results: Results, folder: Path) -> None:
    """Let 20 conversations begin while another process holds the write lock; watch how the loop fares meanwhile."""
    for n in range(ROUNDS):
        for kind in in_round(n):
            peer = kind(copied(folder, kind))
            await peer.session("nobody").get_items()
            holder = await asyncio.create_subprocess_exec(
                sys.executable, "-c", HOLD, str(peer.path), stdin=subprocess.PIPE, stdout=subprocess.PIPE
            )
            assert holder.stdin is not None and holder.stdout is not None
            await holder.stdout.readline()
            watching = asyncio.create_task(loop_lag(LOCKED))
            talking = asyncio.create_task(crowd(peer, [f"locked {i}" for i in range(20)], 1))
            lags = await watching
            assert not talking.done(), "the lock is what they wait for"
            holder.stdin.close()
            await holder.wait()
            results.failures[f"locked, {kind.name}"] = (await talking).failed
            await peer.close()
            results.add("write lock held elsewhere: longest loop lag", kind, max(lags))
            results.add("write lock held elsewhere: loop lag, p95", kind, sorted(lags)[int(len(lags) * 0.95)])


def table(results: Results, held: dict[str, Held]) -> str:
    """Return the figures: the median, and after a slash what 95 of 100 do not exceed."""
    names = [kind.name for kind in PEERS]
    lines = [f"| | {' | '.join(names)} |", "|---" * (len(names) + 1) + "|"]
    for what, figures in results.rows.items():
        cells = []
        for name in names:
            median = f"{results.median(what, name):,.1f}"
            cells.append(f"{median} / {results.p95(what, name):,.1f}" if len(figures[name]) > ROUNDS else median)
        lines.append(f"| {what} | {' | '.join(cells)} |")
    many = f"{HANDLES:,} live handles"
    lines.append(f"| {many}: threads | {' | '.join(str(held[name].threads) for name in names)} |")
    lines.append(f"| {many}: file descriptors | {' | '.join(str(held[name].files) for name in names)} |")
    lines.append(f"| {many}: memory, MB | {' | '.join(f'{held[name].megabytes:.0f}' for name in names)} |")
    return "\n".join(lines)


def verdicts(results: Results, held: Held) -> str:
    """Return what was to be reached against SQLiteSession, and whether it was."""
    theirs = "SQLiteSession"
    many = f"{CONVERSATIONS} × {TURNS}"
    faster = results.median(f"{many}: turns a second") / results.median(f"{many}: turns a second", theirs)
    share = results.p95(f"{many}: read") / results.p95(f"{many}: read", theirs)
    lag = max(results.rows["write lock held elsewhere: longest loop lag"]["ours"])
    goals = [(f"at least 4 times the turns a second of {theirs}, {many}", f"{faster:.1f} times", faster >= 4)]
    for what in ("read, cold, 1,000 sessions", "read, cold, 10,000 sessions"):
        quicker = results.median(what, theirs) / results.median(what)
        goals.append((f"4 times quicker: {what}", f"{quicker:.1f} times", quicker >= 4))
    goals.append((f"p95 of a read in {many} at most a quarter", f"{share:.2f} of theirs", share <= 0.25))
    goals.append(("at most 5 threads for 1,000 handles", f"{held.threads}", held.threads <= 5))
    goals.append(("at most 12 file descriptors for them", f"{held.files}", held.files <= 12))
    goals.append(("loop lag under 20 ms while locked", f"{lag:.1f} ms at most", lag < 20))
    lines = [f"| {goal} | {figure} | {'reached' if good else '**missed**'} |" for goal, figure, good in goals]
    return "\n".join(["| goal | measured | |", "|---|---|---|", *lines])


async def durability(folder: Path) -> str:
    """Return how durable each one's commits are."""
    told = []
    for kind in PEERS:
        peer = kind(copied(folder, kind))
        told.append(f"{kind.name} {await peer.synchronous()}")
        await peer.close()
    return ", ".join(told)


def main() -> None:
    """Measure all of it and print."""
    folder = Path(tempfile.mkdtemp(prefix="threadkeeper-benchmark-"))
    begun = time.perf_counter()
    try:
        measure(folder)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    print(f"\nAll of it took {time.perf_counter() - begun:.0f} s.")


def measure(folder: Path) -> None:
    """Measure in a folder."""
    prepare(folder)
    # Nothing is open and no thread runs where processes are forked: between two event loops.
    context = multiprocessing.get_context("fork")
    results, held = Results(), {}
    write_file(folder / "1000.db", 1000)
    write_file(folder / "10000.db", 10_000)
    steps: list[tuple[str, Callable[[], object]]] = [
        ("reads", lambda: asyncio.run(reads(results, folder / "1000.db", 1000))),
        ("reads of the large file", lambda: asyncio.run(reads(results, folder / "10000.db", 10_000))),
        ("lone writes", lambda: asyncio.run(lone_writes(results, folder))),
        ("many conversations", lambda: asyncio.run(crowds(results, folder))),
        ("two processes", lambda: several_processes(results, folder, context, 2)),
        ("four processes", lambda: several_processes(results, folder, context, 4)),
        ("the lock", lambda: asyncio.run(locked(results, folder))),
    ]
    for what, step in steps:
        begun = time.perf_counter()
        step()
        print(f"{what}: {time.perf_counter() - begun:.0f} s", file=sys.stderr)
    begun = time.perf_counter()
    for kind in PEERS:
        with ProcessPoolExecutor(1, mp_context=context) as pool:
            held[kind.name] = pool.submit(hold_many, kind, copied(folder, kind)).result()
    print(f"live handles: {time.perf_counter() - begun:.0f} s", file=sys.stderr)
    print(f"{os.cpu_count()} cores, Python {platform.python_version()}, SQLite {sqlite3.sqlite_version};", end=" ")
    print(f"PRAGMA synchronous: {asyncio.run(durability(folder))}\n")
    print(table(results, held))
    print(f"\n{verdicts(results, held['ours'])}")
    for what, count in results.failures.items():
        if count:
            print(f"\n{what}: {count} turns failed")


if __name__ == "__main__":
    main()
