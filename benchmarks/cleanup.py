"""Duration of a clean-up, and its effect on users who chat, with sessions in a file and in PostgreSQL.

    uv run python -m benchmarks.cleanup [--quick] [--store file] [--slice 20] [--no-chat]

Each store has 100,000 sessions of 30 items. First, half of them are removed without chat. Then, on a copy with all
sessions, fifty clients chat over the websocket while a clean-up removes a seventh of the sessions. It alternates
between running and pausing in slices of equal length, so that other load is similar with and without it.
`cleanup_sessions` runs with the niceness of the worker. Prints the table of docs/explanation/benchmarks-at-scale.md,
with a verdict for each goal. `--quick` uses a tenth of the sessions.
"""

import argparse
import json
import os
import platform
import shutil
import signal
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
from benchmarks.cleanup_given import SessionSet, fill_database, fill_file, fill_metadata, make_sessions
from benchmarks.place import isolated_environment
from benchmarks.turns import endpoint
from config.tests.support import ROOT, LiveDatabase, ServerProcess, clean_environment, create_tables, with_name

SESSIONS = 100_000
USERS = 50
WARM_UP = 15.0  # seconds
SEVENTH = ("--older-than", "12d")
MOST_SECONDS, MOST_TIMES = 30.0, 1.2
FILE = "agent_sessions.db"


@dataclass(frozen=True)
class Run:
    """A clean-up: Unix times of its start, of the last removed session and of its end; sessions and bytes removed."""

    began: float
    removed: float
    ended: float
    sessions: int
    freed: int
    is_done: bool  # not stopped


@dataclass
class Outcome:
    """Measurements with one store."""

    store: str
    half: Run
    runs: list[Run] = field(default_factory=list)  # of a seventh
    alone: list[tuple[float, float]] = field(default_factory=list)
    turns: list[Turn] = field(default_factory=list)

    @property
    def failed(self) -> int:
        """The number of failed turns."""
        return sum(first is None for _, first in self.turns)

    @property
    def seventh(self) -> tuple[int, float]:
        """The number of sessions that the runs during chat removed, and their total seconds."""
        return sum(run.sessions for run in self.runs), sum(run.ended - run.began for run in self.runs)

    def first_tokens(self, *, during_cleanup: bool) -> list[float]:
        """Return the sorted times to the first token with or without a clean-up, in milliseconds."""
        spans = [(run.began, run.ended) for run in self.runs] if during_cleanup else self.alone
        return sorted(
            first * 1000
            for sent, first in self.turns
            if first is not None and any(begun <= sent <= ended for begun, ended in spans)
        )

    def times(self) -> float:
        """Return the ratio of the 95th percentiles with and without a clean-up."""
        with_it, without = (self.first_tokens(during_cleanup=flag) for flag in (True, False))
        return percentile(with_it, 0.95) / percentile(without, 0.95)


def percentile(values: Sequence[float], share: float) -> float:
    """Return a percentile of ordered values."""
    return values[min(int(len(values) * share), len(values) - 1)]


@dataclass
class StoreCopy:
    """A data folder and a database with all sessions of a store."""

    store: str
    folder: Path
    url: str

    @property
    def variables(self) -> dict[str, str]:
        """The settings of its processes."""
        return {"DATABASE_URL": self.url, "DATA_DIR": str(self.folder), "AGENT_SESSION_STORE": self.store}

    def clean_up(self, *arguments: str, seconds: float = 1e6) -> Run:
        """Run the command with the worker's niceness; terminate it after this many seconds of work."""
        from config.runtime.supervisor import WORKER_NICENESS

        command = ["nice", "-n", str(WORKER_NICENESS), sys.executable, "manage.py", "cleanup_sessions", *arguments]
        process = subprocess.Popen(
            command, cwd=ROOT, env=clean_environment(**self.variables), stdout=subprocess.DEVNULL
        )
        removed, stop_at = 0.0, None
        with psycopg.connect(self.url, autocommit=True) as connection:
            while process.poll() is None:
                time.sleep(0.1)
                query = "SELECT examined = total FROM sessions_admin_cleanuprun WHERE status = 'running'"
                for (is_removed,) in connection.execute(query).fetchall():
                    stop_at = stop_at or time.time() + seconds
                    removed = removed or (time.time() if is_removed else 0.0)
                    if time.time() > stop_at:
                        process.terminate()
                        stop_at = float("inf")  # a second signal would interrupt the batch
            assert process.returncode in (0, 128 + signal.SIGTERM)
            query = (
                "SELECT extract(epoch FROM started_at)::float, extract(epoch FROM ended_at)::float, removed_sessions,"
                " freed_bytes, status = 'done' FROM sessions_admin_cleanuprun ORDER BY started_at DESC LIMIT 1"
            )
            ((began, ended, sessions, freed, is_done),) = connection.execute(query).fetchall()
        return Run(began, removed or ended, ended, sessions, freed, is_done)


class Source:
    """The filled stores, as templates for copies."""

    def __init__(self, folder: Path, server_url: str, sessions: SessionSet, stores: Sequence[str]) -> None:
        self._folder, self._server_url = folder, server_url
        database_url = self._create("given_file")
        create_tables(database_url, folder)
        fill_metadata(sessions, database_url)
        if "database" in stores:
            fill_database(sessions, self._create("given_database", template="given_file"))
        if "file" in stores:
            fill_file(sessions, folder / "given.db")

    def _create(self, name: str, *, template: str = "template0") -> str:
        # Copied as files: otherwise all data would go through PostgreSQL's write-ahead log.
        create = sql.SQL("CREATE DATABASE {} TEMPLATE {} STRATEGY file_copy")
        self._execute(create.format(sql.Identifier(name), sql.Identifier(template)))
        return with_name(self._server_url, name)

    def _execute(self, statement: sql.Composed) -> None:
        with psycopg.connect(self._server_url, autocommit=True) as admin:
            admin.execute(statement)

    @contextmanager
    def copied(self, store: str) -> Iterator[StoreCopy]:
        """Copy a store with its database, and remove the copy at exit."""
        folder, name = self._folder / f"copy_{store}", f"copy_{store}"
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        if store == "file":
            shutil.copy(self._folder / "given.db", folder / FILE)
        url = self._create(name, template=f"given_{store}")
        try:
            yield StoreCopy(store, folder, url)
        finally:
            self._execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))
            shutil.rmtree(folder, ignore_errors=True)


def measure(source: Source, store: str, model_url: str, seconds: float) -> Outcome:
    """Measure one store; with `seconds`, also during chat, in slices of this length."""
    with source.copied(store) as copy:
        outcome = Outcome(store, copy.clean_up())
    log(f"{store}: {outcome.half.sessions:,} in {outcome.half.removed - outcome.half.began:.1f} s")
    if not seconds:
        return outcome
    with source.copied(store) as copy, serving(copy, model_url) as server, chatting(server) as turns:
        time.sleep(WARM_UP)
        while not outcome.runs or not outcome.runs[-1].is_done:
            began = time.time()
            time.sleep(seconds)
            outcome.alone.append((began, time.time()))
            outcome.runs.append(copy.clean_up(*SEVENTH, seconds=seconds))
            log(f"{store}: {outcome.runs[-1].sessions:,} in {outcome.runs[-1].ended - outcome.runs[-1].began:.1f} s")
    outcome.turns = turns
    return outcome


def log(line: str) -> None:
    """Log progress to stderr."""
    print(line, file=sys.stderr, flush=True)


@contextmanager
def serving(copy: StoreCopy, model_url: str) -> Iterator[ServerProcess]:
    """Run a server with registered users."""
    settings = {"OPENAI_BASE_URL": model_url, "AGENT_GUARDRAIL": "off", "MESSAGES_PER_MINUTE": "1000000"}
    database = LiveDatabase(copy.url)
    for n in range(USERS):
        database.add_user(f"person{n}@example.com")
    server = ServerProcess(database, copy.folder, **copy.variables | settings)
    try:
        yield server
    finally:
        server.kill9()


@contextmanager
def chatting(server: ServerProcess) -> Iterator[list[Turn]]:
    """Let users chat; the list is filled with their turns at exit."""
    job = Job(server.url, [server.cookie(f"person{n}@example.com") for n in range(USERS)])
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
    """Print whether a goal was reached."""
    print(f"{'held' if held else 'MISSED'}: {goal} ({figure})")


def _tokens(outcome: Outcome, share: float) -> str:
    without, with_it = (outcome.first_tokens(during_cleanup=flag) for flag in (False, True))
    return f"{percentile(without, share):.0f} → {percentile(with_it, share):.0f}"


Cells = tuple[tuple[str, Callable[[Outcome], str]], ...]
HALF: Cells = (
    ("half of them, no one chats: removed, s", lambda o: f"{o.half.removed - o.half.began:.1f}"),
    ("the whole run, s", lambda o: f"{o.half.ended - o.half.began:.1f}"),
    ("returned to the disk, MB", lambda o: f"{o.half.freed / 2**20:.0f}"),
)
CHAT: Cells = (
    ("a seventh of them, 50 people chat: removed", lambda o: f"{o.seventh[0]:,}"),
    ("the runs, s", lambda o: f"{o.seventh[1]:.0f}"),
    (
        "turns without and during it",
        lambda o: " + ".join(f"{len(o.first_tokens(during_cleanup=m))}" for m in (False, True)),
    ),
    ("first token, p50, ms", lambda o: _tokens(o, 0.5)),
    ("p95, ms", lambda o: _tokens(o, 0.95)),
    ("the slowest, ms", lambda o: _tokens(o, 1)),
    ("p95, times as high", lambda o: f"{o.times():.2f}"),
    ("failed turns", lambda o: str(o.failed)),
)


def main() -> None:
    """Measure with each store, and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.cleanup", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a tenth of the sessions")
    parser.add_argument("--store", action="append", choices=("file", "database"))
    parser.add_argument("--slice", type=float, default=20.0, help="seconds with a clean-up, and without")
    parser.add_argument("--no-chat", action="store_true", help="skip the part with chat")
    options = parser.parse_args()
    count = SESSIONS // 10 if options.quick else SESSIONS
    stores = options.store or ["file", "database"]
    with isolated_environment(AGENT_SESSION_STORE="file") as folder, endpoint() as (model_url, _):
        import django

        django.setup()  # for logins
        began = time.monotonic()
        source = Source(folder, os.environ["DATABASE_URL"], make_sessions(count), stores)
        log(f"filled in {time.monotonic() - began:.0f} s")
        seconds = 0.0 if options.no_chat else options.slice
        show([measure(source, store, model_url, seconds) for store in stores], count)


if __name__ == "__main__":
    main()
