"""The session file as commands and the worker use it."""

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from chat.exceptions import MemoryUnavailable
from chat.memory.file import log_of
from chat.memory.statements import Size
from chat.memory.sync_file import opened
from sessions_admin.tests.conftest import append_items, count_rows


def test_bytes_are_counted_not_characters(tmp_path: Path) -> None:
    path = tmp_path / "file.db"
    append_items(path, "one", 1)
    with closing(sqlite3.connect(path)) as file, file:
        # The SDK escapes non-ASCII characters; another program that writes the format need not.
        file.execute("UPDATE agent_messages SET message_data = ?", ('{"content": "café"}',))

    with opened(path) as sessions:
        assert sessions.measure(["one", "none"]) == {"one": Size(1, 20), "none": Size(0, 0)}


def test_remove_keeps_other_sessions(tmp_path: Path) -> None:
    path = tmp_path / "file.db"
    for name in ("one", "two", "three"):
        append_items(path, name, 2)

    with opened(path) as sessions:
        assert list(sessions.remove(["one", "three", "none"])) == ["one", "three", "none"]

    assert [count_rows(path, name) for name in ("one", "two", "three")] == [[0, 0, 0], [2, 1, 1], [0, 0, 0]]


@pytest.mark.parametrize("row", ["a, b", "", "x\0y", "café", b"\xff\xfe"])
def test_row_added_by_another_program_is_detected(tmp_path: Path, row: str | bytes) -> None:
    path = tmp_path / "file.db"
    for session_id in ("one", "two"):
        append_items(path, session_id, 2)
    with closing(sqlite3.connect(path)) as db, db:
        db.execute("INSERT INTO agent_messages (session_id, message_data) VALUES ('one', ?)", (row,))

    with opened(path) as sessions:
        assert sessions.altered(["missing", "two", "one"]) == ["one"]
        sessions.seal("one", sessions.load(["one"])["one"].stored.digest)
        assert sessions.altered(["one", "two"]) == []


def test_failed_remove_is_rolled_back_and_releases_the_lock(tmp_path: Path) -> None:
    path = tmp_path / "file.db"
    append_items(path, "one", 2)
    with closing(sqlite3.connect(path)) as file, file:
        file.execute("CREATE TRIGGER no BEFORE DELETE ON threadkeeper_turns BEGIN SELECT RAISE(ABORT, 'no'); END")

    with opened(path) as sessions:
        with pytest.raises(MemoryUnavailable, match="The session store cannot be used: no"):
            sessions.remove(["one"])
        assert count_rows(path, "one") == [2, 1, 1]
        append_items(path, "two", 1)


@pytest.mark.usefixtures("sqlite_without_secure_delete")
@pytest.mark.parametrize("is_secure", [True, False])
def test_secure_delete_leaves_no_data_in_free_pages(tmp_path: Path, is_secure: bool) -> None:
    path = tmp_path / "file.db"
    append_items(path, "one", 200)
    append_items(path, "two", 1)
    with opened(path) as sessions:
        checkpoint(path)
        assert b"message 199 of the party" in path.read_bytes()
        (sessions.secure_delete if is_secure else sessions.remove)(["one"])
        checkpoint(path)

        assert (b"message 199 of the party" in path.read_bytes()) is not is_secure
        assert count_rows(path, "two") == [1, 1, 1]
        sessions.purge_removed()
        assert b"message 199 of the party" not in path.read_bytes() + log_of(path).read_bytes()


def checkpoint(path: Path) -> None:
    """Move the write-ahead log into the file."""
    with closing(sqlite3.connect(path)) as file:
        file.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()


def test_created_file_is_accessible_only_by_its_owner(tmp_path: Path) -> None:
    path = tmp_path / "file.db"
    with opened(path) as sessions:
        assert sessions.remove(["one"]) == {"one": Size(0, 0)}

    assert path.stat().st_mode & 0o777 == 0o600


def test_missing_folder_raises_memory_unavailable(tmp_path: Path) -> None:
    with pytest.raises(MemoryUnavailable), opened(tmp_path / "missing" / "file.db"):
        pass
