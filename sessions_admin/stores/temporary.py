"""Files and folders that are ours for a while only, such as the copy that a backup is made of.

Each is noted in the data folder before it is made, in a note that is locked by the process that works with it. So
whatever a killed process leaves behind is found again wherever it is, and nothing that is in use is taken for that.
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
class Noted:
    """A note: where it is itself, and what it is about."""

    note: Path
    kind: str
    path: Path


def notes_folder() -> Path:
    """Return where the notes are."""
    return settings.DATA_DIR / "temporary"


def make_notes_folder() -> None:
    """Make the folder of the notes. Raise OSError."""
    notes_folder().mkdir(mode=0o700, exist_ok=True)


@contextmanager
def noted(kind: str, path: Path) -> Iterator[None]:
    """Note that something is temporary, until the block has removed it. Raise BadInput where that cannot be written."""
    note = notes_folder() / f"{uuid4().hex}.json"
    try:
        make_notes_folder()
        descriptor = os.open(note, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
    except OSError as error:
        raise BadInput(f"{notes_folder()} cannot be written: {error.strerror}.") from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)  # first: one that is empty counts for nothing
        os.write(descriptor, json.dumps({"kind": kind, "path": str(path.absolute())}).encode())
        yield
    finally:
        if not os.path.lexists(path):
            note.unlink(missing_ok=True)
        os.close(descriptor)


@contextmanager
def temporary_folder(kind: str, parent: Path) -> Iterator[Path]:
    """Make a folder for our eyes only, and remove it with all that is in it. Raise BadInput where it cannot be made."""
    path = parent / f".{kind}-{uuid4().hex[:16]}"
    with noted(kind, path):
        try:
            path.mkdir(mode=0o700)
        except OSError as error:
            raise BadInput(f"{path} cannot be made: {error.strerror}.") from error
        try:
            yield path
        finally:
            shutil.rmtree(path, ignore_errors=True)  # what is left of it stays noted


def all_noted() -> list[Noted]:
    """Return every note, of what is in use too."""
    return [found for note in sorted(notes_folder().glob("*.json")) if (found := _read(note)) is not None]


def is_in_use(note: Path) -> bool:
    """Return whether the process that wrote a note still uses the file."""
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


def _read(note: Path) -> Noted | None:
    try:
        text = json.loads(note.read_text())
        return Noted(note, str(text["kind"]), Path(text["path"]))
    except (OSError, ValueError, KeyError, TypeError):
        return None
