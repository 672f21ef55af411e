"""How long a clean-up takes, and what people who chat notice of it, with sessions in a file and in PostgreSQL.

    uv run python -m benchmarks.cleanup [--quick] [--store file] [--days 3] [--alone 40]

Each store has 100,000 sessions of 30 items. First half of them are removed while no one chats. Then, on a copy with all
sessions, fifty people chat over the websocket, and a clean-up removes a seventh of the sessions at a time: without it,
with it, without it, and so on, so that the load of the machine is the same for both. `cleanup_sessions` runs with the
niceness of the worker. Prints the table of docs/explanation/benchmarks-at-scale.md, with a verdict for each goal.
`--quick` takes a tenth of the sessions.
"""

import argparse
import json
import os
import platform
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path

import psycopg
from psycopg import sql

from benchmarks.cleanup_chat import Job, Turn
from benchmarks.cleanup_given import Given, fill_database, fill_file, fill_record, given_sessions
from benchmarks.place import place
from benchmarks.turns import endpoint
from config.tests.support import ROOT, LiveDatabase, ServerProcess, clean_environment, prepare, with_name

SESSIONS = 100_000
PEOPLE = 50
WARM_UP = 15.0  # seconds
SHARES = ("12d", "10d", "8d")  # cutoffs, each for a seventh of the sessions
MOST_SECONDS, MOST_TIMES = 30.0, 1.2
FILE = "agent_sessions.db"


@dataclass(frozen=True)
class Run:
    """A clean-up: when it began, had removed the last session, and ended, in Unix time; sessions and bytes removed."""

    began: float
    removed: float
    ended: float
    sessions: int
    freed: int


@dataclass
class Outcome:
    """What was measured with a store."""

    store: str
    half: Run
    shares: list[Run] = field(default_factory=list)
    alone: list[tuple[float, float]] = field(default_factory=list)
    turns: list[Turn] = field(default_factory=list)

    @property
    def failed(self) -> int:
        """How many turns failed."""
        return sum(first is None for _, first in self.turns)

    def first_tokens(self, *, meanwhile: bool, only: int | None = None) -> list[float]:
        """Return how long first tokens took without a clean-up, or meanwhile, in milliseconds, in order of size."""
        spans = [(run.began, run.ended) for run in self.shares] if meanwhile else self.alone
        spans = spans if only is None else spans[only : only + (1 if meanwhile else 2)]
        return sorted(
            first * 1000
            for sent, first in self.turns
            if first is not None and any(begun <= sent <= ended for begun, ended in spans)
        )

    def times(self, only: int | None = None) -> float:
        """Return how many times as high the 95th percentile is during a clean-up."""
        with_it, without = (self.first_tokens(meanwhile=meanwhile, only=only) for meanwhile in (True, False))
        return percentile(with_it, 0.95) / percentile(without, 0.95)


def percentile(values: Sequence[float], share: float) -> float:
    """Return a percentile of ordered values."""
    return values[min(int(len(values) * share), len(values) - 1)]


@dataclass
class Place:
    """A data folder and a database with all sessions, in a store."""

    store: str
    folder: Path
    url: str

    @property
    def variables(self) -> dict[str, str]:
        """The settings of its processes."""
        return {"DATABASE_URL": self.url, "DATA_DIR": str(self.folder), "AGENT_SESSION_STORE": self.store}

    def clean_up(self, *words: str) -> Run:
        """Run the command, as the worker would."""
        from config.runtime.supervisor import WORKER_NICENESS

        command = ["nice", "-n", str(WORKER_NICENESS), sys.executable, "manage.py", "cleanup_sessions", *words]
        process = subprocess.Popen(
            command, cwd=ROOT, env=clean_environment(**self.variables), stdout=subprocess.DEVNULL
        )
        removed = 0.0
        with psycopg.connect(self.url, autocommit=True) as connection:
            while process.poll() is None:
                time.sleep(0.1)
                query = "SELECT FROM sessions_admin_cleanuprun WHERE ended_at IS NULL AND examined = total"
                if not removed and connection.execute(query).fetchall():
                    removed = time.time()
            assert process.returncode == 0
            query = (
                "SELECT extract(epoch FROM started_at)::float, extract(epoch FROM ended_at)::float, removed_sessions,"
                " freed_bytes FROM sessions_admin_cleanuprun ORDER BY started_at DESC LIMIT 1"
            )
            ((began, ended, sessions, freed),) = connection.execute(query).fetchall()
        return Run(began, removed or ended, ended, sessions, freed)


class Source:
    """The filled stores, to be copied."""

    def __init__(self, folder: Path, server_url: str, given: Given, stores: Sequence[str]) -> None:
        self._folder, self._server_url = folder, server_url
        record = self._create("given_file")
        prepare(record, folder)
        fill_record(given, record)
        if "database" in stores:
            fill_database(given, self._create("given_database", template="given_file"))
        if "file" in stores:
            fill_file(given, folder / "given.db")

    def _create(self, name: str, *, template: str = "template0") -> str:
        # Copied as files: otherwise everything would go through PostgreSQL's log.
        create = sql.SQL("CREATE DATABASE {} TEMPLATE {} STRATEGY file_copy")
        self._execute(create.format(sql.Identifier(name), sql.Identifier(template)))
        return with_name(self._server_url, name)

    def _execute(self, statement: sql.Composed) -> None:
        with psycopg.connect(self._server_url, autocommit=True) as admin:
            admin.execute(statement)

    @contextmanager
    def copied(self, store: str) -> Iterator[Place]:
        """Copy a store with its record for a while."""
        folder, name = self._folder / f"copy_{store}", f"copy_{store}"
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        if store == "file":
            shutil.copy(self._folder / "given.db", folder / FILE)
        url = self._create(name, template=f"given_{store}")
        try:
            yield Place(store, folder, url)
        finally:
            self._execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))
            shutil.rmtree(folder, ignore_errors=True)


def measure(source: Source, store: str, model_url: str, shares: Sequence[str], alone: float) -> Outcome:
    """Measure with a store."""
    with source.copied(store) as place:
        outcome = Outcome(store, place.clean_up())
    log(f"{store}: {outcome.half.sessions:,} in {outcome.half.removed - outcome.half.began:.1f} s")
    if not shares:
        return outcome
    with source.copied(store) as place, serving(place, model_url) as server, chatting(server) as turns:
        time.sleep(WARM_UP)
        for cutoff in [*shares, None]:
            began = time.time()
            time.sleep(alone)
            outcome.alone.append((began, time.time()))
            if cutoff:
                outcome.shares.append(place.clean_up("--older-than", cutoff))
    outcome.turns = turns
    for n, run in enumerate(outcome.shares):
        log(f"{store}: {run.sessions:,} in {run.ended - run.began:.1f} s, p95 {outcome.times(n):.2f} times as high")
    return outcome


def log(line: str) -> None:
    """Report progress."""
    print(line, file=sys.stderr, flush=True)


@contextmanager
def serving(place: Place, model_url: str) -> Iterator[ServerProcess]:
    """Run a server, with people who have signed up."""
    settings = {"OPENAI_BASE_URL": model_url, "AGENT_GUARDRAIL": "off", "MESSAGES_PER_MINUTE": "1000000"}
    database = LiveDatabase(place.url)
    for n in range(PEOPLE):
        database.add_user(f"person{n}@example.com")
    server = ServerProcess(database, place.folder, **place.variables | settings)
    try:
        yield server
    finally:
        server.kill9()


@contextmanager
def chatting(server: ServerProcess) -> Iterator[list[Turn]]:
    """Let people chat; their turns are there afterwards."""
    job = Job(server.url, [server.cookie(f"person{n}@example.com") for n in range(PEOPLE)])
    command = [sys.executable, "-m", "benchmarks.cleanup_chat"]
    process = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdin
    process.stdin.write(json.dumps(asdict(job)) + "\n")
    process.stdin.flush()
    turns: list[Turn] = []
    try:
        yield turns
    finally:
        turns += [(sent, first) for sent, first in json.loads(process.communicate()[0])]


def show(outcomes: Sequence[Outcome], count: int) -> None:
    """Print the table and the verdicts."""
    print(f"{os.cpu_count()} cores, Python {platform.python_version()}; {count:,} sessions; load ", end="")
    print(f"{os.getloadavg()[0]:.1f}\n")
    print(f"| | {' | '.join(outcome.store for outcome in outcomes)} |\n|---|{'---:|' * len(outcomes)}")
    has_chat = all(outcome.turns for outcome in outcomes)
    for what, cell in HALF + (CHAT if has_chat else ()):
        print(f"| {what} | {' | '.join(cell(outcome) for outcome in outcomes)} |")
    most = MOST_SECONDS * count / SESSIONS
    print()
    for outcome in outcomes:
        took = outcome.half.removed - outcome.half.began
        verdict(f"{outcome.store}: half of them in {most:.0f} s", took <= most, f"{took:.1f} s")
        if has_chat:
            times = outcome.times()
            goal = f"{outcome.store}: p95 of the first token at most {MOST_TIMES} times"
            verdict(goal, times <= MOST_TIMES, f"{times:.2f} times")
            verdict(f"{outcome.store}: no turn failed", outcome.failed == 0, f"{outcome.failed} failed")


def verdict(goal: str, held: bool, figure: str) -> None:
    """Print whether a goal was held."""
    print(f"{'held' if held else 'MISSED'}: {goal} ({figure})")


def _tokens(outcome: Outcome, share: float) -> str:
    without, with_it = (outcome.first_tokens(meanwhile=meanwhile) for meanwhile in (False, True))
    return f"{percentile(without, share):.0f} → {percentile(with_it, share):.0f}"


Cells = tuple[tuple[str, Callable[[Outcome], str]], ...]
HALF: Cells = (
    ("half of them, no one chats: removed, s", lambda o: f"{o.half.removed - o.half.began:.1f}"),
    ("the whole run, s", lambda o: f"{o.half.ended - o.half.began:.1f}"),
    ("returned to the disk, MB", lambda o: f"{o.half.freed / 2**20:.0f}"),
)
CHAT: Cells = (
    (
        "a seventh of them, 50 people chat: each run, s",
        lambda o: ", ".join(f"{r.ended - r.began:.0f}" for r in o.shares),
    ),
    ("turns without and during it", lambda o: " + ".join(f"{len(o.first_tokens(meanwhile=m))}" for m in (False, True))),
    ("first token, p50, ms", lambda o: _tokens(o, 0.5)),
    ("p95", lambda o: _tokens(o, 0.95)),
    ("the slowest", lambda o: _tokens(o, 1)),
    ("p95, times as high", lambda o: f"{o.times():.2f}"),
    ("in each run", lambda o: ", ".join(f"{o.times(n):.2f}" for n in range(len(o.shares)))),
    ("failed turns", lambda o: str(o.failed)),
)


def main() -> None:
    """Measure with each store, and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.cleanup", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a tenth of the sessions")
    parser.add_argument("--store", action="append", choices=("file", "database"))
    parser.add_argument("--days", type=int, default=len(SHARES), help="how many clean-ups, each of a seventh")
    parser.add_argument("--alone", type=float, default=40.0, help="seconds of chat before and after each")
    options = parser.parse_args()
    count = SESSIONS // 10 if options.quick else SESSIONS
    stores = options.store or ["file", "database"]
    with place(AGENT_SESSION_STORE="file") as folder, endpoint() as (model_url, _):
        import django

        django.setup()  # for logins
        began = time.monotonic()
        source = Source(folder, os.environ["DATABASE_URL"], given_sessions(count), stores)
        log(f"filled in {time.monotonic() - began:.0f} s")
        shares = SHARES[: options.days]
        show([measure(source, store, model_url, shares, options.alone) for store in stores], count)


if __name__ == "__main__":
    main()
