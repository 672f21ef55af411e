"""Temporary files of killed processes: their kinds, how each is recognised, and its removal.

A file with a note (`sessions_admin.stores.temporary`) is left over if no process holds the lock of the note. Earlier
releases wrote no notes: their files are recognised by name, content and age.
"""

import logging
import re
import shutil
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from django.conf import settings

from sessions_admin.reports import Report
from sessions_admin.stores.swap import OLD, has_old, undo_interrupted
from sessions_admin.stores.temporary import all_notes, is_in_use, make_notes_folder

logger = logging.getLogger(__name__)

MEMORY = "agent_sessions.db"  # the name of copies of the session file
MIN_AGE = 3600.0  # seconds since the last change, for files without a note
RESTORE, BACKUP, DRAFT, CHECK = "restore", "backup", "draft", "check"
KINDS = {
    RESTORE: "folder of an interrupted restore",
    BACKUP: "folder of an interrupted backup",
    DRAFT: "interrupted backup or export",
    CHECK: "folder of an interrupted check",
    "secret key": "draft of the secret key",
    "database": "incomplete database",
}


@dataclass(frozen=True, slots=True)
class Leftover(Report):
    """A temporary file that no process uses any more."""

    kind: str
    path: str

    @property
    def label(self) -> str:
        """Its kind, in words."""
        return KINDS.get(self.kind, self.kind)


def find_leftovers(*, is_alone: bool = False) -> list[Leftover]:
    """Return the leftovers. With `is_alone`, the caller has locked the data folder, so that no restore is running."""
    noted = all_notes()
    found = [Leftover(each.kind, str(each.path)) for each in noted if _exists(each.path) and not is_in_use(each.note)]
    known = {each.path for each in noted}
    return found + [left for left in _unnoted_leftovers(is_alone=is_alone) if Path(left.path) not in known]


def remove_leftovers(*, is_alone: bool = False) -> list[Leftover]:
    """Remove the leftovers and return them; an interrupted restore is undone first, which needs `is_alone`.

    Files that cannot be removed are logged, and stay.
    """
    removed = []
    with suppress(OSError):
        make_notes_folder()  # as the user of `up`, before a command of another user creates it
    for left in find_leftovers(is_alone=is_alone):
        path, target = Path(left.path), settings.AGENT_SESSION_DB_PATH
        if left.kind == RESTORE and has_old(target, aside=path) and not is_alone:
            continue
        try:
            if left.kind == RESTORE:
                undo_interrupted(target, aside=path)
            remove: Callable[[Path], object] = shutil.rmtree if path.is_dir() and not path.is_symlink() else Path.unlink
            remove(path)
        except OSError as error:
            logger.warning("A %s cannot be removed: %s (%s)", left.label, path, error.strerror)
        else:
            removed.append(left)
    for each in all_notes():
        if each.path.parent.exists() and not _exists(each.path) and not is_in_use(each.note):
            each.note.unlink(missing_ok=True)
    return removed


def temporary_files() -> list[Path]:
    """Return every temporary or leftover file, which a search for a user's data has to read, too."""
    places = {each.path for each in all_notes()} | {Path(left.path) for left in find_leftovers(is_alone=True)}
    return sorted(file for place in places for file in _files_in(place))


# Without a note.


def _unnoted_leftovers(*, is_alone: bool) -> Iterator[Leftover]:
    session_file, data = Path(settings.AGENT_SESSION_DB_PATH), settings.DATA_DIR
    names = {MEMORY, f"{OLD}{session_file.name}"}
    for folder in dict.fromkeys((session_file.parent, data)):
        for path in _find_named(folder, r"\.restore-\w{8}"):
            if _has_only_copies(path, names) and (is_alone or _is_old(path)):
                yield Leftover(RESTORE, str(path))
        for path in _find_named(folder, r"\.backup-\w{8}"):
            if _has_only_copies(path, {MEMORY, "check"}) and _is_old(path):
                yield Leftover(BACKUP, str(path))
        for path in _find_named(folder, r"\..+\.[0-9a-f]{8}"):
            if _is_zip(path) and _is_old(path):
                yield Leftover(DRAFT, str(path))
    for path in _find_named(data, r"tmp\w{8}|\.secret_key-\w{8}"):
        if path.is_file() and path.stat().st_size < 100 and _is_old(path):
            yield Leftover("secret key", str(path))
    for path in _find_named(Path(tempfile.gettempdir()), r"tmp\w{8}"):
        if _has_only_copies(path, {"sdk.db"}) and any(path.iterdir()) and _is_old(path):
            yield Leftover(CHECK, str(path))
    draft = settings.EMBEDDED_POSTGRES_DIR.with_suffix(".draft")
    if draft.is_dir() and (settings.EMBEDDED_POSTGRES_DIR / "PG_VERSION").exists():
        yield Leftover("database", str(draft))


def _find_named(folder: Path, pattern: str) -> list[Path]:
    form = re.compile(pattern)
    try:
        return sorted(path for path in folder.iterdir() if form.fullmatch(path.name) and not path.is_symlink())
    except OSError:
        return []


def _has_only_copies(folder: Path, names: Iterable[str]) -> bool:
    known = {f"{name}{suffix}" for name in names for suffix in ("", "-wal", "-shm", "-journal")}
    try:
        return all(path.name in known for path in folder.iterdir())
    except OSError:  # not a folder, or not ours
        return False


def _is_zip(path: Path) -> bool:
    if not path.is_file():
        return False
    with open(path, "rb") as file:
        return file.read(2) in (b"PK", b"")


def _is_old(path: Path) -> bool:
    newest: float = max(each.lstat().st_mtime for each in (path, *(path.rglob("*") if path.is_dir() else ())))
    return time.time() - newest > MIN_AGE


def _exists(path: Path) -> bool:
    return path.exists() or path.is_symlink()


def _files_in(place: Path) -> list[Path]:
    if place.is_file():
        return [place]
    return [path for path in place.rglob("*") if path.is_file() and not path.is_symlink()]
