"""What a clean-up gives back to the disk, and how."""

import sqlite3
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from agents import SQLiteSession

from chat.memory import file
from chat.memory.sync_file import opened
from chat.models import User
from sessions_admin.models import CleanupRun, RunStatus, StoreSample, Trigger
from sessions_admin.retention.cleanup import cleanup
from sessions_admin.tests.conftest import GivenSession, remember, stored


def asked(path: Path, name: str) -> int:
    """Return what a file says of itself."""
    with closing(sqlite3.connect(path)) as db:
        return int(db.execute(f"PRAGMA {name}").fetchone()[0])


def test_a_file_becomes_smaller_by_what_the_run_says(
    given_session: GivenSession, session_file: Path, owner: User
) -> None:
    old, kept = given_session(owner, items=3000), given_session(owner, items=20, idle=timedelta(0))
    before = file.size_on_disk(session_file)

    report = cleanup(trigger=Trigger.COMMAND)

    assert report.freed_bytes == before - file.size_on_disk(session_file) > 200_000
    assert session_file.stat().st_size < 100_000
    assert asked(session_file, "freelist_count") == 0
    assert not file.log_of(session_file).exists() or file.log_of(session_file).stat().st_size == 0
    assert (stored(session_file, old), stored(session_file, kept)) == ([0, 0, 0], [20, 1, 1])
    sample = StoreSample.objects.get()
    assert (sample.sessions, sample.file_bytes) == (1, file.size_on_disk(session_file))
    told = [sentence for _, sentence in CleanupRun.objects.get().log]
    assert f"{report.freed_bytes:,} bytes returned to the disk." in told


def test_a_preview_gives_nothing_back(given_session: GivenSession, session_file: Path, owner: User) -> None:
    given_session(owner, items=300)
    with opened(session_file) as sessions:
        remember(session_file, "other", 300)
        sessions.remove(["other"])

    report = cleanup(trigger=Trigger.COMMAND, dry_run=True)

    assert report.freed_bytes == 0
    assert asked(session_file, "freelist_count") > 0
    assert not StoreSample.objects.exists()


async def test_the_sdks_own_class_still_reads_and_writes_the_file(tmp_path: Path) -> None:
    path = tmp_path / "file.db"
    with opened(path) as sessions:
        theirs = SQLiteSession("one", path)
        await theirs.add_items([{"role": "user", "content": f"message {n}"} for n in range(500)])
        await SQLiteSession("two", path).add_items([{"role": "user", "content": "stay"}])
        sessions.remove(["one"])
        list(sessions.free_space())
        assert await theirs.get_items() == []
        await theirs.add_items([{"role": "user", "content": "again"}])

    assert await SQLiteSession("two", path).get_items() == [{"role": "user", "content": "stay"}]
    assert await theirs.get_items() == [{"role": "user", "content": "again"}]
    with closing(sqlite3.connect(path)) as db:
        assert db.execute("PRAGMA integrity_check").fetchall() == [("ok",)]


def begun_by_the_sdk(path: Path) -> None:
    """Begin a file that cannot give back in pieces."""
    SQLiteSession("somebody's", path).close()
    assert asked(path, "auto_vacuum") == 0


def test_a_small_file_that_cannot_give_back_in_pieces_is_written_anew_once(tmp_path: Path) -> None:
    path = tmp_path / "file.db"
    begun_by_the_sdk(path)
    remember(path, "one", 2000)
    remember(path, "two", 1)
    with opened(path) as sessions:
        sessions.remove(["one"])
        list(sessions.free_space())

    assert path.stat().st_size < 100_000
    assert asked(path, "auto_vacuum") == 2
    assert stored(path, "two") == [1, 1, 1]


def test_a_large_one_is_left_as_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("chat.memory.sync_file.MAX_REWRITE_BYTES", 10_000)
    path = tmp_path / "file.db"
    begun_by_the_sdk(path)
    remember(path, "one", 2000)
    with opened(path) as sessions:
        sessions.remove(["one"])
        list(sessions.free_space())

    assert path.stat().st_size > 200_000
    assert asked(path, "auto_vacuum") == 0


def test_others_write_between_two_pieces(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("chat.memory.sync_file.PAGES_PER_STEP", 16)
    path = tmp_path / "file.db"
    remember(path, "one", 3000)
    with opened(path) as sessions:
        sessions.remove(["one"])
        pieces = sessions.free_space()
        left = next(pieces)
        remember(path, "two", 1)
        assert 10 < left - next(pieces) < 30  # pages at once, give or take what was written
        list(pieces)

    assert stored(path, "two") == [1, 1, 1]
    assert asked(path, "freelist_count") == 0


def test_others_write_between_two_pieces_of_a_removal_and_each_is_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, connect = tmp_path / "file.db", sqlite3.connect
    for n in range(25):
        remember(path, f"session {n:02}", 2)
    pieces: list[list[int]] = []
    with closing(connect(path)) as other:

        def look(statement: str) -> None:
            if statement.startswith("BEGIN"):
                query = "SELECT count(*) FROM agent_messages UNION ALL SELECT count(*) FROM agent_sessions"
                pieces.append([row[0] for row in other.execute(query).fetchall()])

        def traced(*args: Any, **kwargs: Any) -> sqlite3.Connection:
            made: sqlite3.Connection = connect(*args, **kwargs)
            made.set_trace_callback(look)
            return made

        monkeypatch.setattr(sqlite3, "connect", traced)
        with opened(path) as sessions:
            pieces.clear()
            sessions.remove([f"session {n:02}" for n in range(25)])

    assert pieces == [[50, 25], [30, 15], [10, 5]]


def test_space_is_given_back_no_further_once_the_run_is_asked_to_stop(
    given_session: GivenSession, session_file: Path, owner: User
) -> None:
    given_session(owner, items=3000)
    removed = CleanupRun.objects.filter(removed_sessions=1)

    report = cleanup(trigger=Trigger.COMMAND, should_stop=removed.exists)

    assert (report.status, report.sessions) == (RunStatus.STOPPED, 1)
    assert asked(session_file, "freelist_count") > 0
