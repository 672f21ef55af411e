"""How a clean-up returns space to the disk."""

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
from sessions_admin.tests.conftest import MakeSession, append_items, count_rows


def pragma(path: Path, name: str) -> int:
    """Return the value of a PRAGMA of a file."""
    with closing(sqlite3.connect(path)) as db:
        return int(db.execute(f"PRAGMA {name}").fetchone()[0])


def test_file_shrinks_by_the_reported_bytes(make_session: MakeSession, session_file: Path, owner: User) -> None:
    old, kept = make_session(owner, items=3000), make_session(owner, items=20, idle=timedelta(0))
    before = file.size_on_disk(session_file)

    report = cleanup(trigger=Trigger.COMMAND)

    assert report.freed_bytes == before - file.size_on_disk(session_file) > 200_000
    assert session_file.stat().st_size < 100_000
    assert pragma(session_file, "freelist_count") == 0
    assert not file.log_of(session_file).exists() or file.log_of(session_file).stat().st_size == 0
    assert (count_rows(session_file, old), count_rows(session_file, kept)) == ([0, 0, 0], [20, 1, 1])
    sample = StoreSample.objects.get()
    assert (sample.sessions, sample.file_bytes) == (1, file.size_on_disk(session_file))
    log_messages = [sentence for _, sentence in CleanupRun.objects.get().log]
    assert f"{report.freed_bytes:,} bytes returned to the disk." in log_messages


def test_preview_frees_no_space(make_session: MakeSession, session_file: Path, owner: User) -> None:
    make_session(owner, items=300)
    with opened(session_file) as sessions:
        append_items(session_file, "other", 300)
        sessions.remove(["other"])

    report = cleanup(trigger=Trigger.COMMAND, dry_run=True)

    assert report.freed_bytes == 0
    assert pragma(session_file, "freelist_count") > 0
    assert not StoreSample.objects.exists()


async def test_sdk_session_reads_and_writes_the_file_after_freeing_space(tmp_path: Path) -> None:
    path = tmp_path / "file.db"
    with opened(path) as sessions:
        sdk_session = SQLiteSession("one", path)
        await sdk_session.add_items([{"role": "user", "content": f"message {n}"} for n in range(500)])
        await SQLiteSession("two", path).add_items([{"role": "user", "content": "stay"}])
        sessions.remove(["one"])
        list(sessions.free_space())
        assert await sdk_session.get_items() == []
        await sdk_session.add_items([{"role": "user", "content": "again"}])

    assert await SQLiteSession("two", path).get_items() == [{"role": "user", "content": "stay"}]
    assert await sdk_session.get_items() == [{"role": "user", "content": "again"}]
    with closing(sqlite3.connect(path)) as db:
        assert db.execute("PRAGMA integrity_check").fetchall() == [("ok",)]


def create_sdk_file(path: Path) -> None:
    """Create a file without incremental vacuum, as the SDK does."""
    SQLiteSession("somebody's", path).close()
    assert pragma(path, "auto_vacuum") == 0


def test_small_file_without_incremental_vacuum_is_rewritten(tmp_path: Path) -> None:
    path = tmp_path / "file.db"
    create_sdk_file(path)
    append_items(path, "one", 2000)
    append_items(path, "two", 1)
    with opened(path) as sessions:
        sessions.remove(["one"])
        list(sessions.free_space())

    assert path.stat().st_size < 100_000
    assert pragma(path, "auto_vacuum") == 2
    assert count_rows(path, "two") == [1, 1, 1]


def test_large_file_without_incremental_vacuum_is_not_rewritten(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("chat.memory.sync_file.MAX_REWRITE_BYTES", 10_000)
    path = tmp_path / "file.db"
    create_sdk_file(path)
    append_items(path, "one", 2000)
    with opened(path) as sessions:
        sessions.remove(["one"])
        list(sessions.free_space())

    assert path.stat().st_size > 200_000
    assert pragma(path, "auto_vacuum") == 0


def test_other_connections_write_between_vacuum_steps(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("chat.memory.sync_file.PAGES_PER_STEP", 16)
    path = tmp_path / "file.db"
    append_items(path, "one", 3000)
    with opened(path) as sessions:
        sessions.remove(["one"])
        steps = sessions.free_space()
        left = next(steps)
        append_items(path, "two", 1)
        assert 10 < left - next(steps) < 30  # 16 pages per step, plus or minus what was written
        list(steps)

    assert count_rows(path, "two") == [1, 1, 1]
    assert pragma(path, "freelist_count") == 0


def test_removal_commits_whole_sessions_in_steps(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, connect = tmp_path / "file.db", sqlite3.connect
    for n in range(25):
        append_items(path, f"session {n:02}", 2)
    steps: list[list[int]] = []
    with closing(connect(path)) as other:

        def record_counts(statement: str) -> None:
            if statement.startswith("BEGIN"):
                query = "SELECT count(*) FROM agent_messages UNION ALL SELECT count(*) FROM agent_sessions"
                steps.append([row[0] for row in other.execute(query).fetchall()])

        def traced(*args: Any, **kwargs: Any) -> sqlite3.Connection:
            made: sqlite3.Connection = connect(*args, **kwargs)
            made.set_trace_callback(record_counts)
            return made

        monkeypatch.setattr(sqlite3, "connect", traced)
        with opened(path) as sessions:
            steps.clear()
            sessions.remove([f"session {n:02}" for n in range(25)])

    assert steps == [[50, 25], [30, 15], [10, 5]]


def test_stop_request_ends_the_freeing_of_space(
    make_session: MakeSession, session_file: Path, owner: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("chat.memory.sync_file.PAGES_PER_STEP", 16)
    make_session(owner, items=3000)
    free_pages = [0]

    def is_being_freed() -> bool:
        free_pages.append(pragma(session_file, "freelist_count"))
        return 0 < free_pages[-1] < max(free_pages)

    report = cleanup(trigger=Trigger.COMMAND, should_stop=is_being_freed)

    assert (report.status, report.sessions) == (RunStatus.STOPPED, 1)
    assert pragma(session_file, "freelist_count") > 0
