"""A digest of a session's rows, stored in the file: it shows whether another program has written since.

CRC-32 and Adler-32 together: both are incremental, so that adding a row reads no other. They detect faults and other
programs; an attacker could write the digest, too.
"""

import sqlite3
import zlib
from collections.abc import Iterable, Sequence

# Of no rows.
EMPTY = (0, 1)

SCHEMA = """
CREATE TABLE IF NOT EXISTS threadkeeper_digests (
    session_id TEXT PRIMARY KEY,
    crc INTEGER NOT NULL,
    adler INTEGER NOT NULL
)
"""
_WRITE = "INSERT OR REPLACE INTO threadkeeper_digests (session_id, crc, adler) VALUES (?, ?, ?)"
_DELETE = "DELETE FROM threadkeeper_digests WHERE session_id = ?"
_READ = "SELECT crc, adler FROM threadkeeper_digests WHERE session_id = ?"
# As bytes: a row may hold invalid text.
_ROWS = "SELECT CAST(message_data AS BLOB) FROM agent_messages WHERE session_id = ? ORDER BY id"

Digest = tuple[int, int]


def extended(digest: Digest, rows: Iterable[bytes]) -> Digest:
    """Return the digest of a session after rows were appended to it."""
    crc, adler = digest
    for row in rows:
        # Rows are separated by a byte with which no JSON begins.
        crc, adler = zlib.crc32(row, zlib.crc32(b",", crc)), zlib.adler32(row, zlib.adler32(b",", adler))
    return crc, adler


def of_joined(texts: bytes) -> Digest:
    """Return the digest of rows that are joined by commas."""
    return extended(EMPTY, [texts])


def stored(connection: sqlite3.Connection, session_id: str) -> Digest | None:
    """Return the stored digest, or None."""
    found: Digest | None = connection.execute(_READ, (session_id,)).fetchone()
    return found


def computed(connection: sqlite3.Connection, session_id: str) -> Digest:
    """Compute the digest of the rows that are there."""
    return extended(EMPTY, (row for (row,) in connection.execute(_ROWS, (session_id,))))


def is_intact(connection: sqlite3.Connection, session_id: str) -> bool:
    """Return whether the rows match the stored digest; a session without rows and digest is intact."""
    return (stored(connection, session_id) or EMPTY) == computed(connection, session_id)


def write(connection: sqlite3.Connection, session_id: str, digest: Digest | None) -> None:
    """Store a digest; none if the rows are of unknown origin, or if there are no rows."""
    if digest is None or digest == EMPTY:
        connection.execute(_DELETE, (session_id,))
    else:
        connection.execute(_WRITE, (session_id, *digest))


def altered(connection: sqlite3.Connection, session_ids: Sequence[str], *, sealed: bool = False) -> list[str]:
    """Return the sessions whose rows do not match their digest; only those with a digest, if `sealed`."""
    return [
        session_id
        for session_id in session_ids
        if not is_intact(connection, session_id) and not (sealed and stored(connection, session_id) is None)
    ]
