"""Compare our session store with the SDK's: reads, writes, conversations, live handles, processes, a write lock.

    uv run --group bench python -m benchmarks.session_store

Same items, same machine, one after another in turn. Prints the tables of
docs/explanation/benchmarks-of-the-session-store.md, with a verdict per goal. Without the dependency group,
`SQLAlchemySession` is skipped.
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

from benchmarks.session_crowds import HANDLES, TURNS, Resources, crowd, in_process, open_many, set_barrier, timed
from benchmarks.session_peers import PEERS, Peer, exchange, long_sessions, prepare, write_file

CONVERSATIONS, ROUNDS = 100, 3
LOCKED = 1.0  # seconds
TICK = 0.002


@dataclass
class Results:
    """Figures by measurement and peer, in the order of measuring."""

    rows: dict[str, dict[str, list[float]]] = field(default_factory=dict)
    failures: dict[str, int] = field(default_factory=dict)

    def add(self, what: str, peer: type[Peer], *figures: float) -> None:
        """Add figures."""
        self.rows.setdefault(what, {}).setdefault(peer.name, []).extend(figures)

    def median(self, what: str, peer: str = "ours") -> float:
        """Return the median."""
        return statistics.median(self.rows[what][peer])

    def p95(self, what: str, peer: str = "ours") -> float:
        """Return the 95th percentile."""
        figures = sorted(self.rows[what][peer])
        return figures[int(len(figures) * 0.95)]


def rotated(n: int) -> Sequence[type[Peer]]:
    """Return the peers, rotated by `n`."""
    n %= len(PEERS)
    return [*PEERS[n:], *PEERS[:n]]


def peers_of_round(n: int) -> Sequence[type[Peer]]:
    """Return the peers of a round: all in the first, only the quick ones later."""
    return [kind for kind in rotated(n) if n == 0 or kind.is_quick]


async def reads(results: Results, path: Path, sessions: int) -> None:
    """Read sessions of 200 items: directly after opening the file, cold, and warm."""
    ids = long_sessions(sessions)
    for n, session_id in enumerate(ids[:10]):
        for kind in rotated(n):
            started = time.perf_counter()
            peer = kind(path)
            items = await peer.session(session_id).get_items()
            results.add(f"read, file just opened, {sessions:,} sessions", kind, (time.perf_counter() - started) * 1000)
            assert len(items) == 200, len(items)
            await peer.close()
    peers = [kind(path) for kind in PEERS]
    for peer in peers:
        await peer.session("warm-up").get_items()
    for n, session_id in enumerate(ids):
        for peer in peers[n % len(peers) :] + peers[: n % len(peers)]:
            started = time.perf_counter()
            session = peer.session(session_id)
            await session.get_items()
            results.add(f"read, cold, {sessions:,} sessions", type(peer), (time.perf_counter() - started) * 1000)
            for _ in range(3):
                results.add(f"read, warm, {sessions:,} sessions", type(peer), await timed(session.get_items()))
            await peer.release(session)
    for peer in peers:
        await peer.close()


async def lone_writes(results: Results, folder: Path) -> None:
    """Write two items, alone, 100 times."""
    peers = [kind(copy_file(folder, kind)) for kind in PEERS]
    for n in range(100):
        for peer in peers[n % len(peers) :] + peers[: n % len(peers)]:
            session = peer.session("session 1", n)
            if n == 0:
                await session.get_items()
            results.add("write of two items, alone", type(peer), await timed(session.add_items(exchange(n)[::3])))
    for peer in peers:
        await peer.close()


def copy_file(folder: Path, kind: type[Peer]) -> Path:
    """Return a copy of the small file for one peer."""
    path = folder / f"{kind.name}-{time.monotonic_ns()}.db"
    shutil.copy(folder / "1000.db", path)
    with path.open("rb") as copy:
        os.fsync(copy.fileno())  # otherwise the first commit would wait for it
    return path


async def concurrent_conversations(results: Results, folder: Path) -> None:
    """Measure 100 conversations of 20 turns, three times for the quick peers."""
    names = [f"conversation {n}" for n in range(CONVERSATIONS)]
    for n in range(ROUNDS):
        for kind in peers_of_round(n):
            peer = kind(copy_file(folder, kind))
            for name in names:
                peer.session(name)  # the SDK's sessions are created before the measurement
            await peer.session("warm-up").get_items()
            result = await crowd(peer, names, TURNS)
            await peer.close()
            what = f"{CONVERSATIONS} × {TURNS}"
            results.add(f"{what}: turns a second", kind, len(result.writes) / result.seconds)
            results.add(f"{what}: read", kind, *result.reads)
            results.add(f"{what}: write of two items", kind, *result.writes)
            results.failures[f"{what}, {kind.name}"] = result.failed


def several_processes(results: Results, folder: Path, context: ForkContext, count: int) -> None:
    """Split the conversations among processes that use one file."""
    names = [f"conversation {n}" for n in range(CONVERSATIONS)]
    for kind in rotated(count):
        path = copy_file(folder, kind)
        barrier = context.Barrier(count)
        with ProcessPoolExecutor(count, mp_context=context, initializer=set_barrier, initargs=(barrier,)) as pool:
            shares = list(pool.map(in_process, [kind] * count, [path] * count, [names[n::count] for n in range(count)]))
        seconds = max(ended for _, _, ended in shares) - min(started for _, started, _ in shares)
        what = f"{count} processes"
        results.add(f"{what}: turns a second", kind, sum(len(result.writes) for result, _, _ in shares) / seconds)
        results.add(f"{what}: write of two items", kind, *(ms for result, _, _ in shares for ms in result.writes))
        results.failures[f"{what}, {kind.name}"] = sum(result.failed for result, _, _ in shares)


HOLD = """
import sqlite3, sys
connection = sqlite3.connect(sys.argv[1], isolation_level=None)
connection.execute("BEGIN IMMEDIATE")
print("held", flush=True)
sys.stdin.read()
"""


async def loop_lag(seconds: float) -> list[float]:
    """Measure repeatedly how many milliseconds late the loop wakes a sleeping task."""
    lags = []
    end = time.perf_counter() + seconds
    while (started := time.perf_counter()) < end:
        await asyncio.sleep(TICK)
        lags.append((time.perf_counter() - started - TICK) * 1000)
    return lags


async def write_lock(results: Results, folder: Path) -> None:
    """Start 20 conversations while another process holds the write lock; measure the lag of the loop."""
    for n in range(ROUNDS):
        for kind in peers_of_round(n):
            peer = kind(copy_file(folder, kind))
            await peer.session("warm-up").get_items()
            holder = await asyncio.create_subprocess_exec(
                sys.executable, "-c", HOLD, str(peer.path), stdin=subprocess.PIPE, stdout=subprocess.PIPE
            )
            assert holder.stdin is not None and holder.stdout is not None
            await holder.stdout.readline()
            lag_task = asyncio.create_task(loop_lag(LOCKED))
            conversations = asyncio.create_task(crowd(peer, [f"locked {i}" for i in range(20)], 1))
            lags = await lag_task
            assert not conversations.done(), "the conversations wait for the lock"
            holder.stdin.close()
            await holder.wait()
            results.failures[f"locked, {kind.name}"] = (await conversations).failed
            await peer.close()
            results.add("write lock held elsewhere: longest loop lag", kind, max(lags))
            results.add("write lock held elsewhere: loop lag, p95", kind, sorted(lags)[int(len(lags) * 0.95)])


def table(results: Results, resources: dict[str, Resources]) -> str:
    """Return the table: the median, and after a slash the 95th percentile."""
    names = [kind.name for kind in PEERS]
    lines = [f"| | {' | '.join(names)} |", "|---" * (len(names) + 1) + "|"]
    for what, figures in results.rows.items():
        cells = []
        for name in names:
            median = f"{results.median(what, name):,.1f}"
            cells.append(f"{median} / {results.p95(what, name):,.1f}" if len(figures[name]) > ROUNDS else median)
        lines.append(f"| {what} | {' | '.join(cells)} |")
    many = f"{HANDLES:,} live handles"
    lines.append(f"| {many}: threads | {' | '.join(str(resources[name].threads) for name in names)} |")
    lines.append(f"| {many}: file descriptors | {' | '.join(str(resources[name].files) for name in names)} |")
    lines.append(f"| {many}: memory, MB | {' | '.join(f'{resources[name].megabytes:.0f}' for name in names)} |")
    return "\n".join(lines)


def verdicts(results: Results, resources: Resources) -> str:
    """Return the goals relative to SQLiteSession, and whether each was reached."""
    theirs = "SQLiteSession"
    many = f"{CONVERSATIONS} × {TURNS}"
    speedup = results.median(f"{many}: turns a second") / results.median(f"{many}: turns a second", theirs)
    share = results.p95(f"{many}: read") / results.p95(f"{many}: read", theirs)
    lag = max(results.rows["write lock held elsewhere: longest loop lag"]["ours"])
    goals = [(f"at least 4 times the turns a second of {theirs}, {many}", f"{speedup:.1f} times", speedup >= 4)]
    for what in ("read, cold, 1,000 sessions", "read, cold, 10,000 sessions"):
        read_speedup = results.median(what, theirs) / results.median(what)
        goals.append((f"4 times quicker: {what}", f"{read_speedup:.1f} times", read_speedup >= 4))
    goals.append((f"p95 of a read in {many} at most a quarter", f"{share:.2f} of theirs", share <= 0.25))
    goals.append(("at most 5 threads for 1,000 handles", f"{resources.threads}", resources.threads <= 5))
    goals.append(("at most 12 file descriptors for them", f"{resources.files}", resources.files <= 12))
    goals.append(("loop lag under 20 ms while locked", f"{lag:.1f} ms at most", lag < 20))
    lines = [
        f"| {goal} | {figure} | {'reached' if is_reached else '**missed**'} |" for goal, figure, is_reached in goals
    ]
    return "\n".join(["| goal | measured | |", "|---|---|---|", *lines])


async def durability(folder: Path) -> str:
    """Return the durability of each peer's commits."""
    result = []
    for kind in PEERS:
        peer = kind(copy_file(folder, kind))
        result.append(f"{kind.name} {await peer.synchronous()}")
        await peer.close()
    return ", ".join(result)


def main() -> None:
    """Run all measurements and print."""
    folder = Path(tempfile.mkdtemp(prefix="threadkeeper-benchmark-"))
    started = time.perf_counter()
    try:
        measure(folder)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    print(f"\nAll of it took {time.perf_counter() - started:.0f} s.")


def measure(folder: Path) -> None:
    """Measure in a folder."""
    prepare(folder)
    # Processes are forked between two event loops, when no connection is open and no thread runs.
    context = multiprocessing.get_context("fork")
    results, resources = Results(), {}
    write_file(folder / "1000.db", 1000)
    write_file(folder / "10000.db", 10_000)
    steps: list[tuple[str, Callable[[], object]]] = [
        ("reads", lambda: asyncio.run(reads(results, folder / "1000.db", 1000))),
        ("reads of the large file", lambda: asyncio.run(reads(results, folder / "10000.db", 10_000))),
        ("lone writes", lambda: asyncio.run(lone_writes(results, folder))),
        ("many conversations", lambda: asyncio.run(concurrent_conversations(results, folder))),
        ("two processes", lambda: several_processes(results, folder, context, 2)),
        ("four processes", lambda: several_processes(results, folder, context, 4)),
        ("the lock", lambda: asyncio.run(write_lock(results, folder))),
    ]
    for what, step in steps:
        started = time.perf_counter()
        step()
        print(f"{what}: {time.perf_counter() - started:.0f} s", file=sys.stderr)
    started = time.perf_counter()
    for kind in PEERS:
        with ProcessPoolExecutor(1, mp_context=context) as pool:
            resources[kind.name] = pool.submit(open_many, kind, copy_file(folder, kind)).result()
    print(f"live handles: {time.perf_counter() - started:.0f} s", file=sys.stderr)
    print(f"{os.cpu_count()} cores, Python {platform.python_version()}, SQLite {sqlite3.sqlite_version};", end=" ")
    print(f"PRAGMA synchronous: {asyncio.run(durability(folder))}\n")
    print(table(results, resources))
    print(f"\n{verdicts(results, resources['ours'])}")
    for what, count in results.failures.items():
        if count:
            print(f"\n{what}: {count} turns failed")


if __name__ == "__main__":
    main()
