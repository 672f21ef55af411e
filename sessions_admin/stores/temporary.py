"""Temporary files and folders, such as the copy for a backup.

Before each is created, a note is written in the data folder and locked by the process that uses it. So the leftovers of
killed processes are found anywhere, and files in use are not removed.
"""

import fcntl
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

from django.conf import settings

from chat.exceptions import BadInput


@dataclass(frozen=True, slots=True)
class Note:
    """A note and the temporary file that it is about."""

    note: Path
    kind: str
    path: Path


def notes_folder() -> Path:
    """Return the folder of the notes."""
    return settings.DATA_DIR / "temporary"


def make_notes_folder() -> None:
    """Create the folder of the notes. Raise OSError."""
    notes_folder().mkdir(mode=0o700, exist_ok=True)


@contextmanager
def note_temporary(kind: str, path: Path) -> Iterator[None]:
    """Note a temporary file until the block has removed it. Raise BadInput if the note cannot be written."""
    note = notes_folder() / f"{uuid4().hex}.json"
    try:
        make_notes_folder()
        descriptor = os.open(note, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
    except OSError as error:
        raise BadInput(f"{notes_folder()} cannot be written: {error.strerror}.") from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)  # before it is written: an empty note is ignored
        os.write(descriptor, json.dumps({"kind": kind, "path": str(path.absolute())}).encode())
        yield
    finally:
        if not os.path.lexists(path):
            note.unlink(missing_ok=True)
        os.close(descriptor)


@contextmanager
def temporary_folder(kind: str, parent: Path) -> Iterator[Path]:
    """Create a private folder, and remove it with its content. Raise BadInput if it cannot be created."""
    path = parent / f".{kind}-{uuid4().hex[:16]}"
    with note_temporary(kind, path):
        try:
            path.mkdir(mode=0o700)
        except OSError as error:
            raise BadInput(f"{path} cannot be created: {error.strerror}.") from error
        try:
            yield path
        finally:
            shutil.rmtree(path, ignore_errors=True)  # a remaining part keeps its note


def all_notes() -> list[Note]:
    """Return every note, including those of files in use."""
    return [found for note in sorted(notes_folder().glob("*.json")) if (found := _read(note)) is not None]


def is_in_use(note: Path) -> bool:
    """Return whether the process that wrote a note still uses its file."""
    try:
        descriptor = os.open(note, os.O_RDWR)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False


def _read(note: Path) -> Note | None:
    try:
        text = json.loads(note.read_text())
        return Note(note, str(text["kind"]), Path(text["path"]))
    except (OSError, ValueError, KeyError, TypeError):
        return None
