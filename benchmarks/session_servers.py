"""Compare both of our session stores with the SDK's sessions in files, in PostgreSQL and in Redis.

    uv run --group bench python -m benchmarks.session_servers [--rounds 3]

Needs `redis-server`. Same items, same machine, in turn; writes are on the disk when a call returns, in Redis too
(`appendfsync always`). Reads 40 sessions of 200 items, writes two items alone, then runs 100 concurrent conversations
of 10 turns each. Prints the table of docs/explanation/benchmarks-of-the-session-store.md.
"""

import argparse
import asyncio
import os
import platform
import statistics
import time
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import psycopg
import redis.asyncio
from agents.extensions.memory import RedisSession
from agents.memory.session import SessionABC
from sqlalchemy.ext.asyncio import create_async_engine

from benchmarks.place import isolated_environment, set_up
from benchmarks.session_crowds import crowd, timed
from benchmarks.session_peers import (
    LONG_ITEMS,
    Alchemy,
    AsyncSQLite,
    OneEach,
    Ours,
    Peer,
    ThreadedSQLite,
    exchange,
)
from chat.tests.redis_server import RedisServer
from config.runtime.asgi_server import POOL_SIZE

CONVERSATIONS, TURNS, LONG, WRITES = 100, 10, 40, 100


class OurDatabase(Ours):
    """Our store in PostgreSQL tables."""

    name = "ours, PostgreSQL"

    def __init__(self, path: Path) -> None:
        from chat.memory.database_store import DatabaseStore

        Peer.__init__(self, path)
        self._store = DatabaseStore("default")  # type: ignore[assignment]


class OurFile(Ours):
    """Our store in a file."""

    name = "ours, file"


class AlchemyServer(Alchemy):
    """`SQLAlchemySession` with psycopg, in a database of its own."""

    name = "SQLAlchemySession, PostgreSQL"

    def __init__(self, path: Path) -> None:
        OneEach.__init__(self, path)
        host = parse_qs(urlsplit(os.environ["DATABASE_URL"]).query)["host"][0]
        self._engine = create_async_engine(
            "postgresql+psycopg://", connect_args={"host": host, "user": "postgres", "dbname": "theirs"}
        )


class Redis(OneEach):
    """`RedisSession` with one client per process."""

    name = "RedisSession"
    url = ""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self._client = redis.asyncio.from_url(self.url)

    def make(self, session_id: str) -> SessionABC:
        return RedisSession(session_id, redis_client=self._client)

    async def close(self) -> None:
        await self._client.aclose()

    async def synchronous(self) -> str:
        return "always"


PEERS: Sequence[type[Peer]] = (OurFile, OurDatabase, ThreadedSQLite, AsyncSQLite, AlchemyServer, Redis)
Results = dict[str, dict[str, list[float]]]


async def measure(kind: type[Peer], folder: Path, number: int, results: Results) -> None:
    """Measure one session store, alone."""

    def add(what: str, *figures: float) -> None:
        results.setdefault(what, {}).setdefault(kind.name, []).extend(figures)

    peer = kind(folder / f"{kind.__name__}-{number}.db")
    prefix = f"{number}: "
    long = [f"{prefix}long {n}" for n in range(LONG)]
    items = [item for n in range(LONG_ITEMS // 4) for item in exchange(n)]
    for name in long:
        await peer.session(name).add_items(items)
    for name in long:
        session = peer.session(name, 2)
        add("read of 200 items", await timed(session.get_items()), await timed(session.get_items()))
    for n in range(WRITES):
        add("write of two items, alone", await timed(peer.session(f"{prefix}alone", n).add_items(exchange(n)[::3])))
    result = await crowd(peer, [f"{prefix}conversation {n}" for n in range(CONVERSATIONS)], TURNS)
    what = f"{CONVERSATIONS} × {TURNS}"
    add(f"{what}: failed turns", result.failed)
    add(f"{what}: turns a second", len(result.writes) / result.seconds)
    add(f"{what}: read", *result.reads)
    add(f"{what}: write of two items", *result.writes)
    await peer.close()


def lines(results: Results) -> list[str]:
    """Return the table: the median, and after a slash the 95th percentile."""
    names = [kind.name for kind in PEERS]
    table = [f"| | {' | '.join(names)} |", "|---" * (len(names) + 1) + "|"]
    for what, figures in results.items():
        cells = []
        for name in names:
            ordered = sorted(figures[name])
            median = f"{statistics.median(ordered):,.1f}"
            is_count = what.endswith(("a second", "turns"))
            cells.append(median if is_count else f"{median} / {ordered[int(len(ordered) * 0.95)]:,.1f}")
        table.append(f"| {what} | {' | '.join(cells)} |")
    return table


def main() -> None:
    """Measure all stores in turn, and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.session_servers", description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    rounds = parser.parse_args().rounds
    results: Results = {}
    os.environ["OPENAI_AGENTS_DISABLE_TRACING"] = "1"
    with isolated_environment(DATABASE_POOL_SIZE=POOL_SIZE) as folder:
        set_up()
        with psycopg.connect(os.environ["DATABASE_URL"], autocommit=True) as connection:
            connection.execute("CREATE DATABASE theirs")
        with RedisServer(folder, "--appendonly", "yes", "--appendfsync", "always") as server:
            Redis.url = server.url
            for number in range(rounds):
                for kind in [*PEERS[number:], *PEERS[:number]]:
                    asyncio.run(measure(kind, folder, number, results))
            print(f"{time.strftime('%Y-%m-%d')}, {os.cpu_count()} cores, Python {platform.python_version()}, ", end="")
            print(f"{rounds} rounds, load {os.getloadavg()[0]:.1f}\n")
            print("\n".join(lines(results)))


if __name__ == "__main__":
    main()
