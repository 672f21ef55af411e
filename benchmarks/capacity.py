"""Cost of open sockets and streaming turns with one and two server processes, and the delay of events between them.

    uv run python -m benchmarks.capacity [--idle 1000 5000] [--turns 100 500] [--svg FILE]

Each arrangement runs alone: one server, one with Redis, two with Redis. The model answers each message with 50 tokens
in one second. With two servers each conversation is open at both; the delay of an event is the time from its arrival at
a client of the server that runs the turn to its arrival at a client of the other. Prints the tables of
docs/explanation/capacity.md.
"""

import argparse
import asyncio
import json
import os
import resource
import statistics
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator, Sequence
from contextlib import AsyncExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import django
import psutil
from websockets.asyncio.client import ClientConnection, connect
from websockets.typing import Origin

from benchmarks.turns import endpoint
from benchmarks.turns_clients import Tree
from chat.tests.redis_server import RedisServer
from config.runtime import embedded_postgres
from config.runtime.embedded_postgres import EmbeddedPostgres
from config.tests.support import LiveDatabase, ServerProcess, create_tables, database

PEOPLE = 50
IDLE_FOR = 15.0  # seconds
OPENED_AT_ONCE = 25
ACKNOWLEDGE_EVERY = 20  # frames
LIMITS = {"SOCKETS_PER_USER": "100000", "MESSAGES_PER_MINUTE": "100000", "TURNS_AT_ONCE": "1000"}


@dataclass(frozen=True)
class Arrangement:
    """The number of servers, and whether they use Redis."""

    name: str
    servers: int
    with_redis: bool


ARRANGEMENTS = (
    Arrangement("one server", 1, with_redis=False),
    Arrangement("one server, Redis", 1, with_redis=True),
    Arrangement("two servers, Redis", 2, with_redis=True),
)


@dataclass
class Row:
    """Measurements for a number of sockets or turns."""

    arrangement: str
    kind: str
    count: int
    cpu: float  # processor seconds: per second for idle sockets, per turn for turns
    megabytes: float  # resident memory of all servers
    redis_cpu: float = 0.0
    postgres_cpu: float = 0.0
    commits: float = 0.0  # of PostgreSQL, per turn
    first: list[float] = field(default_factory=list)  # seconds to the first token
    delays: list[float] = field(default_factory=list)  # seconds between the two servers


class Watcher:
    """A socket that records when each log entry arrives."""

    def __init__(self, connection: ClientConnection) -> None:
        self.connection = connection
        self.arrivals: dict[tuple[str, int], float] = {}
        self.first: float | None = None
        self.by_snapshot = False
        self.ended = asyncio.Event()

    async def read(self) -> None:
        """Read frames until cancelled."""
        async for data in self.connection:
            now, frame = time.perf_counter(), json.loads(data)
            if "n" not in frame or "turn_id" not in frame:
                continue
            self.arrivals[frame["turn_id"], frame["n"]] = now
            if frame["type"] == "text.delta" and self.first is None:
                self.first = now
            ends = frame["type"] in ("turn.finished", "turn.failed", "turn.stopped")
            if frame["type"] == "turn.snapshot" and frame["status"] == "done":
                self.by_snapshot = True  # the other server could not follow the turn to its end
                self.ended.set()
                continue
            if ends or frame["n"] % ACKNOWLEDGE_EVERY == 0:
                ack = {"type": "log.ack", "turn_id": frame["turn_id"], "attempt": frame["attempt"], "n": frame["n"]}
                await self.connection.send(json.dumps(ack))
            if ends:
                assert frame["type"] == "turn.finished", frame
                self.ended.set()


class Deployment:
    """The servers of an arrangement, and signed-in users."""

    def __init__(self, servers: Sequence[ServerProcess], redis: RedisServer | None, postgres: int) -> None:
        self.servers = servers
        self.postgres = Tree(postgres)
        self.trees = [Tree(server.process.pid) for server in servers]
        self.redis = Tree(redis.pid) if redis else None
        emails = [f"person{n}@example.com" for n in range(PEOPLE)]
        for email in emails:
            servers[0].database.add_user(email)
        self.cookies = [servers[0].cookie(email) for email in emails]

    def cpu(self) -> float:
        """Return the processor seconds of the servers so far."""
        return sum(tree.cpu() for tree in self.trees)

    def redis_cpu(self) -> float:
        """Return the processor seconds of Redis so far."""
        return self.redis.cpu() if self.redis else 0.0

    def commits(self) -> int:
        """Return the transactions that PostgreSQL has committed so far."""
        statement = "SELECT xact_commit FROM pg_stat_database WHERE datname = current_database()"
        [(count,)] = self.servers[0].database.query(statement)
        return int(count)

    def megabytes(self) -> float:
        """Return the resident memory of the servers."""
        return sum(tree.memory() for tree in self.trees)

    async def open(self, stack: AsyncExitStack, server: int, person: int, conversation: uuid.UUID) -> ClientConnection:
        """Open a conversation on a server."""
        at = self.servers[server % len(self.servers)]
        connecting = connect(
            f"{at.ws_url}/ws/chat/{conversation}/",
            additional_headers={"Cookie": self.cookies[person % PEOPLE]},
            origin=Origin(at.url),
            max_size=None,
            proxy=None,
            compression=None,
            open_timeout=120,
            ping_interval=None,
        )
        return await stack.enter_async_context(connecting)


async def idle(deployment: Deployment, name: str, count: int) -> Row:
    """Measure idle sockets."""
    async with AsyncExitStack() as stack:
        for start in range(0, count, OPENED_AT_ONCE):
            numbers = range(start, min(start + OPENED_AT_ONCE, count))
            await asyncio.gather(*(deployment.open(stack, n, n, uuid.uuid4()) for n in numbers))
        await asyncio.sleep(3)
        started, cpu_before, redis = time.perf_counter(), deployment.cpu(), deployment.redis_cpu()
        await asyncio.sleep(IDLE_FOR)
        elapsed = time.perf_counter() - started
        cpu, redis_cpu = (deployment.cpu() - cpu_before) / elapsed, (deployment.redis_cpu() - redis) / elapsed
        return Row(name, "idle sockets", count, cpu, deployment.megabytes(), redis_cpu)


async def stream(deployment: Deployment, name: str, count: int) -> Row:
    """Measure turns that stream at the same time, each followed by one socket per server."""
    async with AsyncExitStack() as stack:
        watched: list[list[Watcher]] = []
        for n in range(count):
            conversation = uuid.uuid4()
            opened = [await deployment.open(stack, n + at, n, conversation) for at in range(len(deployment.servers))]
            watched.append([Watcher(connection) for connection in opened])
        readers = [asyncio.create_task(tab.read()) for tabs in watched for tab in tabs]
        cpu_before, redis, postgres, commits = (
            deployment.cpu(),
            deployment.redis_cpu(),
            deployment.postgres.cpu(),
            deployment.commits(),
        )
        sent = []
        for tabs in watched:
            sent.append(time.perf_counter())
            message = {"type": "message.send", "client_id": str(uuid.uuid4()), "text": "Tell me."}
            await tabs[0].connection.send(json.dumps(message))
            await asyncio.sleep(1 / count)
        async with asyncio.timeout(300):
            for tabs in watched:
                for tab in tabs:
                    await tab.ended.wait()
        cpu, redis_cpu = (deployment.cpu() - cpu_before) / count, (deployment.redis_cpu() - redis) / count
        row = Row(name, "turns", count, cpu, deployment.megabytes(), redis_cpu)
        row.postgres_cpu = (deployment.postgres.cpu() - postgres) / count
        await asyncio.sleep(2)  # PostgreSQL updates its statistics with a delay
        row.commits = (deployment.commits() - commits) / count
        row.first = [(tabs[0].first or at) - at for tabs, at in zip(watched, sent, strict=True)]
        for own, *others in watched:
            for other in others:
                row.delays += _delays(own.arrivals, other.arrivals)
        for reader in readers:
            reader.cancel()
        await asyncio.gather(*readers, return_exceptions=True)
        return row


def _delays(own: dict[tuple[str, int], float], other: dict[tuple[str, int], float]) -> Iterator[float]:
    """Yield the delay of each entry at the other server; a frame of several entries has the number of the last."""
    for (turn, n), at in other.items():
        covering = [m for (same, m) in own if same == turn and m >= n]
        if covering:
            yield at - own[turn, min(covering)]


def percentile(values: Sequence[float], share: float) -> float:
    """Return a percentile, in milliseconds."""
    return sorted(values)[min(len(values) - 1, int(len(values) * share))] * 1000 if values else 0.0


@contextmanager
def serving(arrangement: Arrangement, postgres: EmbeddedPostgres, model: str, folder: Path) -> Iterator[Deployment]:
    """Start the servers of an arrangement on a new database."""
    assert postgres.process is not None
    with database(postgres.url) as (_, url), tempfile.TemporaryDirectory(dir=folder) as name:
        data_dir = Path(name)
        create_tables(url, data_dir)
        redis = RedisServer(data_dir) if arrangement.with_redis else None
        variables = {"OPENAI_BASE_URL": model, "AGENT_GUARDRAIL": "off", **LIMITS}
        variables |= {"REDIS_URL": redis.url} if redis else {}
        servers = []
        try:
            for _ in range(arrangement.servers):
                servers.append(ServerProcess(LiveDatabase(url), data_dir, **variables))
            yield Deployment(servers, redis, postgres.process.pid)
        finally:
            for server in servers:
                server.kill9()
            if redis:
                redis.kill9()


async def measure(deployment: Deployment, name: str, idles: Sequence[int], turns: Sequence[int]) -> list[Row]:
    """Measure one arrangement."""
    await stream(deployment, name, 10)  # a warm-up
    rows = []
    for work, counts in ((stream, turns), (idle, idles)):
        for count in counts:
            rows.append(await work(deployment, name, count))
            print(_line(rows[-1]), flush=True)
    return rows


def _line(row: Row) -> str:
    cells = [row.arrangement, row.kind, f"{row.count:,}", f"{row.cpu * 1000:.1f}", f"{row.redis_cpu * 1000:.2f}"]
    cells += [f"{row.postgres_cpu * 1000:.1f}", f"{row.commits:.0f}"] if row.commits else ["", ""]
    cells += [f"{row.megabytes:.0f}"]
    cells += [f"{percentile(row.first, share):.0f}" if row.first else "" for share in (0.5, 0.95)]
    cells += [f"{percentile(row.delays, share):.0f}" if row.delays else "" for share in (0.5, 0.95)]
    return "| " + " | ".join(cells) + " |"


HEADER = (
    "| arrangement | what | how many | ms of processor a turn (a second, idle) | of Redis |"
    " of PostgreSQL | commits | MB | first token, ms, p50 | p95 | delay between servers, ms, p50 | p95 |\n"
    "|---|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|"
)


def chart(rows: Sequence[Row]) -> str:
    """Return a chart of the processor time by the number of streaming turns, as SVG."""
    width, height, left, top = 560, 280, 60, 20
    turns = [row for row in rows if row.kind == "turns"]
    most = max(row.count for row in turns)
    highest = max(row.cpu * row.count for row in turns) * 1.1
    colours = dict(zip((each.name for each in ARRANGEMENTS), ("#2563eb", "#9333ea", "#ea580c"), strict=True))
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width + 200} {height + 60}" font-family="sans-serif"'
        ' font-size="12"><rect width="100%" height="100%" fill="white"/>',
        f'<path d="M{left} {top}V{height}H{width}" fill="none" stroke="#444"/>',
        f'<text x="{left}" y="{height + 40}">turns that stream at the same time</text>',
        f'<text x="{left}" y="12">seconds of processor for all of them</text>',
    ]
    for n, (name, colour) in enumerate(colours.items()):
        points = [(0.0, 0.0)] + [(row.count, row.cpu * row.count) for row in turns if row.arrangement == name]
        places = [(left + (width - left) * x / most, height - (height - top) * y / highest) for x, y in points]
        line = " ".join(f"{x:.0f},{y:.0f}" for x, y in places)
        parts.append(f'<polyline points="{line}" fill="none" stroke="{colour}" stroke-width="2"/>')
        parts.append(f'<text x="{width + 10}" y="{top + 20 * n + 10}" fill="{colour}">{name}</text>')
        for (x, y), (count, seconds) in zip(places[1:], points[1:], strict=True):
            parts.append(f'<circle cx="{x:.0f}" cy="{y:.0f}" r="3" fill="{colour}"/>')
            parts.append(f'<text x="{x - 10:.0f}" y="{y - 8:.0f}" fill="{colour}">{seconds:.1f}</text>')
            parts.append(f'<text x="{x - 8:.0f}" y="{height + 18}">{count:.0f}</text>')
    return "".join([*parts, "</svg>\n"])


def main() -> None:
    """Measure every arrangement, and print the table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.capacity", description=__doc__)
    parser.add_argument("--idle", type=int, nargs="*", default=[1000, 5000])
    parser.add_argument("--turns", type=int, nargs="*", default=[100, 500])
    parser.add_argument("--svg", type=Path)
    options = parser.parse_args()
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    rows: list[Row] = []
    print(f"{os.cpu_count()} cores, load {psutil.getloadavg()[0]:.1f}, Python {sys.version.split()[0]}\n\n{HEADER}")
    with tempfile.TemporaryDirectory() as name, endpoint() as (model, _):
        os.environ |= {"DJANGO_SETTINGS_MODULE": "config.settings", "DATA_DIR": name, "ENV_FILE": os.devnull}
        django.setup()  # for logins
        postgres = embedded_postgres.start(Path(name) / "postgres")
        try:
            for arrangement in ARRANGEMENTS:
                with serving(arrangement, postgres, model, Path(name)) as deployment:
                    rows += asyncio.run(measure(deployment, arrangement.name, options.idle, options.turns))
        finally:
            postgres.stop()
    if options.svg:
        options.svg.write_text(chart(rows))
    one, with_redis = (
        statistics.mean(row.cpu for row in rows if row.kind == "turns" and row.arrangement == each.name)
        for each in ARRANGEMENTS[:2]
    )
    print(f"\nRedis adds {(with_redis - one) * 1000:.1f} ms of processor to a turn of the server.")


if __name__ == "__main__":
    main()
