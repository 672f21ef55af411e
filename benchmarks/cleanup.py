"""How long a clean-up takes, and what those notice of it who chat meanwhile.

    uv run python -m benchmarks.cleanup [--quick]

100,000 sessions of 30 items in a session file and in the mirror, half of them expired; a PostgreSQL of its own; twenty
people who chat in a process of their own. Our clean-up, and beside it a plain loop that deletes one after another.
Prints the table that docs/explanation/benchmarks-at-scale.md keeps, with a verdict a goal. `--quick` takes a tenth of
the sessions.
"""

import json
import os
import platform
import random
import shutil
import sqlite3
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from benchmarks.cleanup_chat import Timing, Told
from benchmarks.place import place, set_up

SESSIONS, ITEMS, TURNS = 100_000, 30, 6
AT_ONCE = 1000  # conversations that go on at the same time: their items lie among each other in the file
PEOPLE = 500
ALONE = 20.0  # seconds of chatting before anything is cleaned up
LOOP_AT_MOST = 120.0  # seconds after which the loop's time is reckoned from what it has done
GOAL = 30.0

ITEM = {
    "role": "user",
    "content": "Add a task to call Ada about the party on Friday, and another to buy the cake. " * 2,
}


@dataclass(frozen=True)
class Given:
    """The sessions there are: the expired ones first, in the order in which they fell silent."""

    ids: list[str]
    expired: int

    @property
    def live(self) -> list[str]:
        """Those that people chat in."""
        return self.ids[self.expired :]


@dataclass(frozen=True)
class Outcome:
    """What one way of cleaning up took, and what chatting took before it and meanwhile: 95 of 100, in milliseconds."""

    name: str
    seconds: float
    share: float  # of the expired sessions that it got through
    whole_seconds: float
    freed: int
    before: tuple[float, float]
    during: tuple[float, float]
    failed: int


def main() -> None:
    """Measure both ways and print."""
    count = SESSIONS // 10 if "--quick" in sys.argv else SESSIONS
    with place() as folder:
        measure(folder, count)


def measure(folder: Path, count: int) -> None:
    """Measure in a folder."""
    set_up()
    from django.conf import settings

    begun = time.monotonic()
    given = fill(folder / "given.db", count)
    print(f"filled in {time.monotonic() - begun:.0f} s", file=sys.stderr)
    outcomes: list[Outcome] = []
    # Ours last: it lowers the priority of this process, and so that of those who chat next.
    for name, way in (("a loop, a session after another", loop), ("ours", ours)):
        fill_mirror(given)
        path = folder / f"{len(outcomes)}.db"
        shutil.copy(folder / "given.db", path)
        settings.AGENT_SESSION_DB_PATH = path
        outcomes.append(beside_chatting(name, path, given, way))
        print(f"{name}: {outcomes[-1].seconds:.1f} s", file=sys.stderr)
        path.unlink()
    show(outcomes[::-1], given)


# What is given.


def fill(path: Path, count: int) -> Given:
    """Write a session file in the order in which people would have."""
    from chat.memory.file import connect

    users = [uuid.UUID(int=n, version=4) for n in range(PEOPLE)]
    chosen = random.Random(1)
    ids = [
        f"user_{chosen.choice(users)}_conv_{uuid.UUID(int=chosen.getrandbits(128), version=4)}" for _ in range(count)
    ]
    item = json.dumps(ITEM)
    with closing(connect(path, busy_ms=1000)) as file:
        file.execute("PRAGMA synchronous=OFF")
        for start in range(0, count, AT_ONCE):
            crowd = ids[start : start + AT_ONCE]
            file.execute("BEGIN")
            file.executemany("INSERT INTO agent_sessions (session_id) VALUES (?)", [(one,) for one in crowd])
            file.executemany("INSERT INTO threadkeeper_turns VALUES (?, 1, 1, 0)", [(one,) for one in crowd])
            for _ in range(TURNS):
                chosen.shuffle(crowd)
                rows = [(one, item) for one in crowd for _ in range(ITEMS // TURNS)]
                file.executemany("INSERT INTO agent_messages (session_id, message_data) VALUES (?, ?)", rows)
            file.execute("COMMIT")
    with path.open("rb") as written:
        os.fsync(written.fileno())
    return Given(ids, count // 2)


def fill_mirror(given: Given) -> None:
    """Write what the record knows of them, anew."""
    from django.db import connection

    now = datetime.now(UTC)
    size = ITEMS * len(json.dumps(ITEM))
    with connection.cursor() as cursor:
        cursor.execute("TRUNCATE chat_user CASCADE")
        cursor.execute(
            "INSERT INTO chat_user (id, email, password, time_zone, is_active, is_staff, is_superuser, created_at)"
            " SELECT id::uuid, id || '@example.com', '', 'UTC', true, false, false, now()"
            " FROM unnest(%s::text[]) AS id",
            [list({one[5:41] for one in given.ids})],
        )
        with cursor.copy(
            "COPY chat_conversation (id, user_id, title, created_at, updated_at, last_seq, last_position) FROM STDIN"
        ) as rows:
            for n, one in enumerate(given.ids):
                then = silent_since(n, given, now)
                rows.write_row((one[47:], one[5:41], "Party", then, then, 1, 0))
        with cursor.copy(
            "COPY chat_agentsession (conversation_id, user_id, session_id, item_count, byte_count, pruned_count,"
            " first_activity_at, last_activity_at, last_error) FROM STDIN"
        ) as rows:
            for n, one in enumerate(given.ids):
                then = silent_since(n, given, now)
                rows.write_row((one[47:], one[5:41], one, ITEMS, size, 0, then, then, ""))
        cursor.execute("ANALYZE chat_conversation")
        cursor.execute("ANALYZE chat_agentsession")


def silent_since(n: int, given: Given, now: datetime) -> datetime:
    """Return when somebody last spoke in the n-th session: the expired ones 8 to 15 days ago, the others since."""
    days = 15 - 7 * n / given.expired if n < given.expired else 6 * (1 - (n - given.expired) / len(given.live))
    return now - timedelta(days=days)


# The two ways. Each tells when the last session was gone.


def ours(path: Path, given: Given) -> tuple[float, float]:
    """Clean up as the worker does."""
    from sessions_admin.models import Trigger
    from sessions_admin.retention.cleanup import cleanup

    last = 0.0

    def look(done: int, total: int) -> None:
        nonlocal last
        last = time.monotonic()

    report = cleanup(trigger=Trigger.COMMAND, on_progress=look)
    assert report.sessions == given.expired, report
    return last, 1.0


def loop(path: Path, given: Given) -> tuple[float, float]:
    """Delete a session after another, each in a transaction of its own in either store."""
    from django.utils import timezone

    from chat.models import AgentSession
    from chat.models.session import retention

    expired = list(AgentSession.objects.expired(timezone.now() - retention()))
    begun, done = time.monotonic(), 0
    with closing(sqlite3.connect(path, timeout=30)) as file:
        for session in expired:
            for table in ("agent_messages", "agent_sessions", "threadkeeper_turns"):
                file.execute(f"DELETE FROM {table} WHERE session_id = ?", (session.session_id,))  # noqa: S608
            file.commit()
            session.gone_at, session.item_count, session.byte_count = timezone.now(), 0, 0
            session.save()
            done += 1
            if time.monotonic() - begun > LOOP_AT_MOST:
                break
    return time.monotonic(), done / len(expired)


# Beside people who chat.


def beside_chatting(name: str, path: Path, given: Given, way: Callable[[Path, Given], tuple[float, float]]) -> Outcome:
    """Let people chat for a while, then clean up beside them."""
    from chat.memory.file import size_on_disk

    with chatting(path, given.live) as told:
        time.sleep(ALONE)
        size, begun = size_on_disk(path), time.monotonic()
        ended, share = way(path, given)
        over = time.monotonic()
        freed = size - size_on_disk(path)
    alone = begun - ALONE + 3, begun  # the first seconds are the start of the process
    reads, writes = told.reads, told.writes
    return Outcome(
        name=name,
        seconds=ended - begun,
        share=share,
        whole_seconds=over - begun,
        freed=freed,
        before=(p95(reads, *alone), p95(writes, *alone)),
        during=(p95(reads, begun, ended), p95(writes, begun, ended)),
        failed=told.failed,
    )


@contextmanager
def chatting(path: Path, ids: list[str]) -> Iterator[Told]:
    """Let people chat; what they noticed is there once this is over."""
    names = path.with_suffix(".json")
    names.write_text(json.dumps(ids))
    command = [sys.executable, "-m", "benchmarks.cleanup_chat", str(path), str(names)]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    told = Told()
    try:
        yield told
    finally:
        for name, figures in json.loads(process.communicate()[0]).items():
            setattr(told, name, figures)


def p95(timings: list[Timing], begun: float, ended: float) -> float:
    """Return what 95 of 100 of those that began in a time did not exceed, in milliseconds."""
    took = sorted(seconds for at, seconds in timings if begun <= at <= ended)
    return took[int(len(took) * 0.95)] * 1000 if took else 0.0


def show(outcomes: list[Outcome], given: Given) -> None:
    """Print the table and the verdicts."""
    print(f"{os.cpu_count()} cores, Python {platform.python_version()}, SQLite {sqlite3.sqlite_version};", end=" ")
    print(f"{len(given.ids):,} sessions of {ITEMS} items, {given.expired:,} expired; load {os.getloadavg()[0]:.1f}\n")
    print(f"| | {' | '.join(outcome.name for outcome in outcomes)} |\n|---|---|---|")
    for what, cell in CELLS:
        print(f"| {what} | {' | '.join(cell(outcome) for outcome in outcomes)} |")
    mine, goal = outcomes[0], GOAL * len(given.ids) / SESSIONS
    print()
    verdict(f"{given.expired:,} sessions removed in {goal:.0f} s", mine.seconds <= goal, f"{mine.seconds:.1f} s")
    for n, what in enumerate(("reads", "writes")):
        times = mine.during[n] / mine.before[n]
        verdict(f"p95 of {what} at most doubled", times <= 2, f"{times:.2f} times")
    verdict("nobody's turn failed", mine.failed == 0, f"{mine.failed} failed")


CELLS: tuple[tuple[str, Callable[[Outcome], str]], ...] = (
    ("removed, s", lambda o: f"{o.seconds:.1f}" if o.share == 1 else f"{o.seconds / o.share:.0f} (reckoned)"),
    ("with space given back, s", lambda o: f"{o.whole_seconds:.1f}" if o.share == 1 else "–"),
    ("given back, MB", lambda o: f"{o.freed / 2**20:.0f}"),
    ("read before, p95, ms", lambda o: f"{o.before[0]:.1f}"),
    ("read meanwhile, p95, ms", lambda o: f"{o.during[0]:.1f}"),
    ("write before, p95, ms", lambda o: f"{o.before[1]:.1f}"),
    ("write meanwhile, p95, ms", lambda o: f"{o.during[1]:.1f}"),
    ("failed reads and writes", lambda o: str(o.failed)),
)


def verdict(goal: str, held: bool, figure: str) -> None:
    """Print whether a goal was held."""
    print(f"{'held' if held else 'MISSED'}: {goal} ({figure})")


if __name__ == "__main__":
    main()
