"""The form of a backup: a zip file with the record as PostgreSQL's own text, a table a member, the memory as the SQLite
file that it is, and a manifest that says what must be in it."""

import hashlib
import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import IO
from zipfile import ZIP_DEFLATED, BadZipFile, ZipFile
from zlib import error as ZlibError

from chat.exceptions import BadInput

FORMAT = 1
MANIFEST, MEMORY, TABLES = "manifest.json", "agent_sessions.db", "record/"
CHUNK = 1024 * 1024  # bytes
COUNTED = ("agent_sessions", "agent_messages", "threadkeeper_turns")


@dataclass(frozen=True, slots=True)
class Table:
    """A table of the record: the columns in the order of its text, and how many rows there are."""

    columns: list[str]
    rows: int


@dataclass(slots=True)
class Manifest:
    """What a backup holds, and of which state of the database."""

    version: str
    made_at: str
    migrations: list[list[str]]  # pairs of an app and a name, all that were applied
    format: int = FORMAT
    tables: dict[str, Table] = field(default_factory=dict)
    memory: dict[str, int] = field(default_factory=dict)  # rows by table
    sha256: dict[str, str] = field(default_factory=dict)  # by member

    @property
    def rows(self) -> int:
        """Count the rows of the record."""
        return sum(table.rows for table in self.tables.values())


class Writer:
    """Writes a backup's members, and says at the end what they are."""

    def __init__(self, archive: ZipFile, manifest: Manifest) -> None:
        self._archive = archive
        self.manifest = manifest

    @contextmanager
    def member(self, name: str) -> Iterator["Member"]:
        """Write one, a piece at a time."""
        with self._archive.open(name, "w", force_zip64=True) as out:
            member = Member(out)
            yield member
        self.manifest.sha256[name] = member.digest.hexdigest()

    def close(self) -> None:
        """Write the manifest."""
        self._archive.writestr(MANIFEST, json.dumps(asdict(self.manifest), indent=1))


class Member:
    """A member that is being written."""

    def __init__(self, out: IO[bytes]) -> None:
        self._out = out
        self.digest = hashlib.sha256()

    def write(self, piece: bytes | memoryview) -> None:
        """Add a piece."""
        self.digest.update(piece)
        self._out.write(piece)


@contextmanager
def written(file: IO[bytes], manifest: Manifest) -> Iterator[Writer]:
    """Write an archive into a file."""
    with ZipFile(file, "w", ZIP_DEFLATED) as archive:
        writer = Writer(archive, manifest)
        yield writer
        writer.close()


class Archive:
    """A backup that is read. Its methods raise BadInput where it is not what its manifest says."""

    def __init__(self, archive: ZipFile, manifest: Manifest) -> None:
        self._archive = archive
        self.manifest = manifest

    def check(self, folder: Path) -> Path:
        """Read all of it, and open the copy of the memory, which is put into a folder; return where."""
        copy = folder / MEMORY
        if set(self.manifest.sha256) != {MEMORY, *(TABLES + name for name in self.manifest.tables)}:
            raise BadInput("This backup is damaged: its parts are not those that it names.")
        for name, table in self.manifest.tables.items():
            # A row is a line: line ends within are spelled out.
            lines = sum(piece.count(b"\n") for piece in self._checked(TABLES + name))
            if lines != table.rows:
                raise BadInput(f"This backup is damaged: {name} has {lines:,} rows and should have {table.rows:,}.")
        with open(copy, "xb") as out:
            for piece in self._checked(MEMORY):
                out.write(piece)
        if (found := count_memory(copy)) != self.manifest.memory:
            raise BadInput(f"This backup is damaged: its memory holds {found} and should hold {self.manifest.memory}.")
        return copy

    def pieces(self, name: str) -> Iterator[bytes]:
        """Yield a member a piece at a time."""
        with _damage_named(), self._archive.open(name) as member:
            while piece := member.read(CHUNK):
                yield piece

    def _checked(self, name: str) -> Iterator[bytes]:
        digest = hashlib.sha256()
        for piece in self.pieces(name):
            digest.update(piece)
            yield piece
        if digest.hexdigest() != self.manifest.sha256[name]:
            raise BadInput(f"This backup is damaged: {name} is not what was written.")


@contextmanager
def opened(file: Path | IO[bytes]) -> Iterator[Archive]:
    """Open a backup. Raise BadInput where it is none, or of a form that is not known here."""
    with _damage_named():
        archive = ZipFile(file)
    with archive:
        yield Archive(archive, _manifest(archive))


def count_memory(path: Path) -> dict[str, int]:
    """Open a copy of the memory, check that it is whole, and count its rows. Raise BadInput."""
    try:
        with closing(sqlite3.connect(path)) as connection:
            found = connection.execute("PRAGMA integrity_check").fetchone()[0]
            if found != "ok":
                raise BadInput(f"The session file is damaged: {found}.")
            counts = [connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0] for table in COUNTED]  # noqa: S608
    except sqlite3.Error as error:
        raise BadInput(f"The session file is damaged: {error}.") from error
    return dict(zip(COUNTED, counts, strict=True))


def _manifest(archive: ZipFile) -> Manifest:
    try:
        with _damage_named():
            given = json.loads(archive.read(MANIFEST))
        if given["format"] != FORMAT:
            raise BadInput("This backup was made by another version of Threadkeeper, in a form that is not known here.")
        tables = {name: Table(**table) for name, table in given.pop("tables").items()}
        return Manifest(**given, tables=tables)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise BadInput("This is no backup of Threadkeeper.") from error


@contextmanager
def _damage_named() -> Iterator[None]:
    try:
        yield
    except (BadZipFile, ZlibError, EOFError, KeyError, NotImplementedError) as error:
        raise BadInput(f"This is no backup, or a damaged one: {error}.") from error
    except OSError as error:
        raise BadInput(f"The backup cannot be read: {error.strerror or error}.") from error
