"""The session file: exactly the SDK's schema, two side tables, and how the file is opened.

The SDK's `SQLiteSession` opens the same file and reads the same items (agents/memory/sqlite_session.py).
"""

import os
import sqlite3
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

# The last turn that wrote, its attempt, and the last row before it: they decide who may write, and where a replay cuts.
TURNS = """
    CREATE TABLE IF NOT EXISTS threadkeeper_turns (
        session_id TEXT PRIMARY KEY,
        turn INTEGER NOT NULL,
        attempt INTEGER NOT NULL,
        base INTEGER NOT NULL
    )
"""
DIGESTS = """
    CREATE TABLE IF NOT EXISTS threadkeeper_digests (
        session_id TEXT PRIMARY KEY,
        crc INTEGER NOT NULL,
        adler INTEGER NOT NULL
    )
"""
SIDE_TABLES = {"threadkeeper_turns": TURNS, "threadkeeper_digests": DIGESTS}
SCHEMA = (
    """
    CREATE TABLE IF NOT EXISTS agent_sessions (
        session_id TEXT PRIMARY KEY,
        created_at TIMESTAMP DEFAULT CURRENT_TIMESTAMP,
        updated_at TIMESTAMP DEFAULT CURRENT_TIMESTAMP
    )
    """,
    """
    CREATE TABLE IF NOT EXISTS agent_messages (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        session_id TEXT NOT NULL,
        message_data TEXT NOT NULL,
        created_at TIMESTAMP DEFAULT CURRENT_TIMESTAMP,
        FOREIGN KEY (session_id) REFERENCES agent_sessions (session_id) ON DELETE CASCADE
    )
    """,
    "CREATE INDEX IF NOT EXISTS idx_agent_messages_session_id ON agent_messages (session_id, id)",
    *SIDE_TABLES.values(),
)


# Pages of the log. A clean-up, which fills the log, checkpoints earlier, so that no chat has to.
CHECKPOINT_AT, CHECKPOINT_OF_CLEANUP_AT = 8000, 7500


def create(path: Path) -> bool:
    """Create the file if it does not exist, readable by its owner only, before SQLite makes it readable for all.

    Return whether it was created.

    An existing file is not opened: closing it would release all locks of this process on it, and the next process to
    close the file would remove the write-ahead log of this one's connections.
    """
    try:
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))
    except FileExistsError:
        return False
    return True


def log_of(path: Path) -> Path:
    """Return the path of SQLite's write-ahead log of a file."""
    return path.with_name(f"{path.name}-wal")


def size_on_disk(path: Path) -> int:
    """Return the size of a file in bytes, including its write-ahead log."""
    return sum(part.stat().st_size for part in (path, log_of(path)) if part.exists())


def remove_log(path: Path) -> None:
    """Remove the write-ahead log and the shared memory of a file."""
    for suffix in ("-wal", "-shm"):
        path.with_name(path.name + suffix).unlink(missing_ok=True)


def set_aside(path: Path) -> Path:
    """Rename a file, its log and its shared memory; return the new path."""
    target = path.with_name(f"{path.name}.corrupt-{datetime.now(UTC):%Y%m%dT%H%M%S%f}")
    for suffix in ("", "-wal", "-shm"):
        with suppress(FileNotFoundError):
            path.with_name(path.name + suffix).rename(target.with_name(target.name + suffix))
    return target


def connect(path: Path, *, busy_ms: int, checkpoint_at: int = CHECKPOINT_AT) -> sqlite3.Connection:
    """Open the file with the same durability as the record; `busy_ms` is how long a statement waits for a lock.

    The connection whose commit extends the log to `checkpoint_at` pages checkpoints it.

    Raise sqlite3.Error or OSError.
    """
    create(path)
    connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=busy_ms / 1000)
    connection.text_factory = _text
    try:
        if connection.execute("PRAGMA page_count").fetchone() == (0,):
            # Freed pages can then be returned to the disk incrementally. For a file that has tables this would change
            # nothing, and wait for the write lock each time.
            connection.execute("PRAGMA auto_vacuum=INCREMENTAL")
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=FULL")
        connection.execute(f"PRAGMA wal_autocheckpoint={checkpoint_at}")
        connection.execute("PRAGMA foreign_keys=ON")
        # Many builds of SQLite lack it by default. Erased data must not stay readable in what a page split leaves
        # behind.
        connection.execute("PRAGMA secure_delete=ON")
        for statement in SCHEMA:
            connection.execute(statement)
    except BaseException:
        connection.close()
        raise
    return connection


def connect_to_read(path: Path, *, busy_ms: int) -> sqlite3.Connection:
    """Open the file read-only, without creating it. Raise sqlite3.Error."""
    connection = sqlite3.connect(
        f"{path.absolute().as_uri()}?mode=ro", uri=True, isolation_level=None, timeout=busy_ms / 1000
    )
    connection.text_factory = _text
    # A file of another program, or of an earlier version, may lack them.
    there = {name for (name,) in connection.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")}
    for table, statement in SIDE_TABLES.items():
        if table not in there:
            connection.execute(statement.replace("CREATE TABLE", "CREATE TEMP TABLE"))
    return connection


def _text(data: bytes) -> str | bytes:
    """Return a text, or its bytes if it is not valid: one bad row must not make all rows of a query unreadable."""
    try:
        return data.decode()
    except UnicodeDecodeError:
        return data
