"""A digest of a session's rows, stored beside them: it shows whether another program has written since.

CRC-32 and Adler-32 together: both are incremental, so that adding a row reads no other. They detect faults and other
programs; an attacker could write the digest, too.
"""

import zlib
from collections.abc import Iterable

Digest = tuple[int, int]

# Of no rows.
EMPTY: Digest = (0, 1)


def extended(digest: Digest, rows: Iterable[bytes]) -> Digest:
    """Return the digest of a session after rows were appended to it."""
    crc, adler = digest
    for row in rows:
        # Rows are separated by a byte with which no JSON begins.
        crc, adler = zlib.crc32(row, zlib.crc32(b",", crc)), zlib.adler32(row, zlib.adler32(b",", adler))
    return crc, adler


def of_joined(texts: bytes | None) -> Digest:
    """Return the digest of rows that are joined by commas; None if there are no rows."""
    return EMPTY if texts is None else extended(EMPTY, [texts])
