"""The format of a backup: a zip file with the record as PostgreSQL COPY text (a member per table), the memory as a
SQLite file, and a manifest.
"""

import hashlib
import json
import re
import shutil
import sqlite3
import stat
import struct
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import IO
from zipfile import ZIP_DEFLATED, ZIP_STORED, BadZipFile, ZipFile, ZipInfo
from zlib import error as ZlibError

from django.template.defaultfilters import filesizeformat
from django.utils.dateparse import parse_datetime
from pydantic import TypeAdapter

from chat.exceptions import BadInput

FORMAT, READ_FORMATS = 2, (1, 2)  # format 1 has no sizes in the manifest
MANIFEST, MEMORY, TABLES = "manifest.json", "agent_sessions.db", "record/"
CHUNK_SIZE = 1024 * 1024  # bytes
# The size to which an archive may unpack without an explicit limit: text is seldom compressed more.
PLAUSIBLE_RATIO, ALWAYS_PLAUSIBLE = 50, 2**30
MANIFEST_LIMIT = 4 * 2**20  # bytes
MEMBERS_LIMIT = 1_000
ENCRYPTED = 0x1
COUNTED = ("agent_sessions", "agent_messages", "threadkeeper_turns")


@dataclass(frozen=True, slots=True)
class Table:
    """A table of the record: its columns in order, and the number of rows."""

    columns: list[str]
    rows: int


@dataclass(slots=True)
class Manifest:
    """The content of a backup, and the migrations of its database."""

    version: str
    made_at: str
    migrations: list[list[str]]  # (app, name) pairs of all applied ones
    format: int = FORMAT
    tables: dict[str, Table] = field(default_factory=dict)
    memory: dict[str, int] = field(default_factory=dict)  # rows by table
    sha256: dict[str, str] = field(default_factory=dict)  # by member
    sizes: dict[str, int] = field(default_factory=dict)  # by member, unpacked

    @property
    def rows(self) -> int:
        """Count the rows of the record."""
        return sum(table.rows for table in self.tables.values())


class Writer:
    """Writes the members of a backup, then its manifest."""

    def __init__(self, archive: ZipFile, manifest: Manifest) -> None:
        self._archive = archive
        self.manifest = manifest

    @contextmanager
    def member(self, name: str) -> Iterator["Member"]:
        """Write a member in pieces."""
        with self._archive.open(name, "w", force_zip64=True) as out:
            member = Member(out)
            yield member
        self.manifest.sha256[name] = member.digest.hexdigest()
        self.manifest.sizes[name] = member.size

    def close(self) -> None:
        """Write the manifest."""
        self._archive.writestr(MANIFEST, json.dumps(asdict(self.manifest), indent=1))


class Member:
    """A member being written."""

    def __init__(self, out: IO[bytes]) -> None:
        self._out = out
        self.digest = hashlib.sha256()
        self.size = 0

    def write(self, piece: bytes | memoryview) -> None:
        """Add a piece."""
        self.digest.update(piece)
        self.size += len(piece)
        self._out.write(piece)


@contextmanager
def create(file: IO[bytes], manifest: Manifest) -> Iterator[Writer]:
    """Create an archive in a file."""
    with ZipFile(file, "w", ZIP_DEFLATED) as archive:
        writer = Writer(archive, manifest)
        yield writer
        writer.close()


class Archive:
    """A backup for reading. Its methods raise BadInput if it differs from its manifest."""

    def __init__(self, archive: ZipFile, manifest: Manifest) -> None:
        self._archive = archive
        self.manifest = manifest

    def check(self, folder: Path) -> Path:
        """Verify the whole backup, and unpack the memory into a folder; return its path."""
        copy = folder / MEMORY
        needed, free = self._archive.getinfo(MEMORY).file_size, shutil.disk_usage(folder).free
        if needed > free:
            sizes = f"{_size(needed)}, and {_size(free)} are free in {folder.parent}"
            raise BadInput(f"There is not enough space to unpack this backup: its memory has {sizes}.")
        for name, table in self.manifest.tables.items():
            # A row is a line: line breaks within are escaped.
            lines = sum(piece.count(b"\n") for piece in self._checked(TABLES + name))
            if lines != table.rows:
                raise BadInput(f"This backup is damaged: {name} has {lines:,} rows and should have {table.rows:,}.")
        with open(copy, "xb") as out:
            for piece in self._checked(MEMORY):
                out.write(piece)
        if (found := count_memory(copy)) != self.manifest.memory:
            raise BadInput(f"This backup is damaged: its memory has {found} and should have {self.manifest.memory}.")
        return copy

    def pieces(self, name: str) -> Iterator[bytes]:
        """Yield a member in pieces, at most as long as the archive's directory states."""
        left = self._archive.getinfo(name).file_size
        with _damage_as_bad_input(), self._archive.open(name) as member:
            while piece := member.read(CHUNK_SIZE):
                left -= len(piece)
                if left < 0:
                    raise BadInput(f"This backup is damaged: {name} is larger than stated.")
                yield piece

    def _checked(self, name: str) -> Iterator[bytes]:
        digest = hashlib.sha256()
        for piece in self.pieces(name):
            digest.update(piece)
            yield piece
        if digest.hexdigest() != self.manifest.sha256[name]:
            raise BadInput(f"This backup is damaged: the checksum of {name} does not match.")


@contextmanager
def opened(file: Path | IO[bytes], *, limit: int | None = None) -> Iterator[Archive]:
    """Open a backup, and read its manifest.

    Raise BadInput if it is not a backup, has an unknown format, or would unpack to more than `limit` bytes (by default,
    to more than is plausible for its size).
    """
    if isinstance(file, Path) and file.exists() and not file.is_file():
        raise BadInput(f"{file} is not a file.")  # reading a pipe could block forever
    with _damage_as_bad_input():
        archive = ZipFile(file)
    with archive:
        _check_directory(archive, limit)
        manifest = _manifest(archive)
        _check_members(archive, manifest)
        yield Archive(archive, manifest)


def _check_directory(archive: ZipFile, limit: int | None) -> None:
    """Check the archive's directory before anything is unpacked. Raise BadInput."""
    members = archive.infolist()
    if len(members) > MEMBERS_LIMIT:
        raise BadInput("This is not a backup of Threadkeeper: it has too many members.")
    if any(member.flag_bits & ENCRYPTED for member in members):
        raise BadInput("This archive is encrypted: decrypt it first.")
    if len({member.filename for member in members}) < len(members):
        raise BadInput("This is not a backup of Threadkeeper: two members have the same name.")
    if any(_is_invalid(member) for member in members):
        raise BadInput("This is not a backup of Threadkeeper: it has invalid members.")
    packed, unpacked = sum(member.compress_size for member in members), sum(member.file_size for member in members)
    allowed = max(ALWAYS_PLAUSIBLE, PLAUSIBLE_RATIO * packed) if limit is None else limit
    if unpacked > allowed:
        raise BadInput(
            f"This archive has {_size(packed)} and unpacks to {_size(unpacked)}, more than the {_size(allowed)} that"
            " are allowed; if it is your backup, allow more with --max-size."
        )


def _is_invalid(member: ZipInfo) -> bool:
    """Return whether a member is a link, a folder, or compressed with another method."""
    kind = stat.S_IFMT(member.external_attr >> 16)
    return (
        not member.filename
        or member.is_dir()
        or kind not in (0, stat.S_IFREG)
        or member.compress_type not in (ZIP_STORED, ZIP_DEFLATED)
    )


def _check_members(archive: ZipFile, manifest: Manifest) -> None:
    """Check that an archive has exactly the members of its manifest. Raise BadInput."""
    wanted = {MEMORY, *(TABLES + name for name in manifest.tables)}
    sizes = {member.filename: member.file_size for member in archive.infolist() if member.filename != MANIFEST}
    if not set(manifest.sha256) == set(sizes) == wanted or (manifest.format > 1 and manifest.sizes != sizes):
        raise BadInput("This backup is damaged: its members differ from its manifest.")


def _size(size: int) -> str:
    return filesizeformat(size).replace("\xa0", " ")


def count_memory(path: Path) -> dict[str, int]:
    """Check the integrity of a copy of the memory, and count its rows. Raise BadInput."""
    try:
        with closing(sqlite3.connect(path)) as connection:
            connection.execute("PRAGMA trusted_schema=OFF")
            tables = {name for (name,) in connection.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")}
            if missing := [name for name in COUNTED if name not in tables]:
                raise BadInput(f"The session file is damaged: it has no table {missing[0]}.")
            found = connection.execute("PRAGMA integrity_check").fetchone()[0]
            if found != "ok":
                raise BadInput(f"The session file is damaged: {found}.")
            counts = [connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0] for table in COUNTED]  # noqa: S608
    except sqlite3.Error as error:
        raise BadInput(f"The session file is damaged: {error}.") from error
    return dict(zip(COUNTED, counts, strict=True))


def _manifest(archive: ZipFile) -> Manifest:
    with _damage_as_bad_input():
        if archive.getinfo(MANIFEST).file_size > MANIFEST_LIMIT:
            raise BadInput("This is not a backup of Threadkeeper: its manifest is too large.")
        text = archive.read(MANIFEST)
    try:
        # Validate strictly, at any nesting.
        form = TypeAdapter(dict[str, object]).validate_json(text).get("format")
        if isinstance(form, int) and form not in READ_FORMATS:
            raise BadInput("This backup was made by another version of Threadkeeper, in an unknown format.")
        manifest = TypeAdapter(Manifest).validate_json(text, strict=True)
        is_plausible = _is_plausible(manifest)
    except ValueError as error:
        raise BadInput("This is not a backup of Threadkeeper: its manifest is invalid.") from error
    if not is_plausible:
        raise BadInput("This is not a backup of Threadkeeper: its manifest is invalid.")
    return manifest


def _is_plausible(manifest: Manifest) -> bool:
    names = [*manifest.tables, *(column for table in manifest.tables.values() for column in table.columns)]
    return (
        all(re.fullmatch(r"\w+", name, re.ASCII) for name in names)
        and all(len(key) == 2 for key in manifest.migrations)
        and re.fullmatch(r"[\w.+-]{1,40}", manifest.version, re.ASCII) is not None
        and parse_datetime(manifest.made_at) is not None
    )


# The exceptions for damaged or malicious zip files.
_DAMAGE_ERRORS = (
    *(BadZipFile, ZlibError, EOFError, LookupError, NotImplementedError, RuntimeError),
    *(ValueError, OverflowError, struct.error),
)


@contextmanager
def _damage_as_bad_input() -> Iterator[None]:
    try:
        yield
    except _DAMAGE_ERRORS as error:
        raise BadInput(f"This is not a backup, or it is damaged: {error}.") from error
    except OSError as error:
        raise BadInput(f"The backup cannot be read: {error.strerror or error}.") from error
