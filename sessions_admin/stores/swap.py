"""Replace a session file by another so that an interruption can be undone."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from django.db import connection

from chat.memory.file import remove_log
from sessions_admin.models import Action, AuditRecord

OLD = "old-"
SUFFIXES = ("", "-wal", "-shm")


@contextmanager
def swapping(target: Path, *, aside: Path) -> Iterator[Callable[[Path], None]]:
    """Yield a function that replaces a session file; if the block fails, the old file is restored."""
    moved: list[tuple[Path, Path]] = []
    swapped = False

    def swap(new: Path) -> None:
        nonlocal swapped
        for suffix in SUFFIXES:
            path = target.with_name(target.name + suffix)
            if path.exists():
                moved.append((path, path.replace(aside / f"{OLD}{path.name}")))
        new.chmod(0o600)
        new.replace(target)
        swapped = True

    try:
        yield swap
    except BaseException:
        if swapped:
            target.unlink()
        for path, old in moved:
            old.replace(path)
        raise


def has_old(target: Path, *, aside: Path) -> bool:
    """Return whether a folder contains a replaced session file."""
    return any((aside / f"{OLD}{target.name}{suffix}").exists() for suffix in SUFFIXES)


def undo_interrupted(target: Path, *, aside: Path) -> None:
    """Restore the old session file if the restore that replaced it was killed before it committed."""
    if not has_old(target, aside=aside) or _is_committed(aside.name, target):
        return
    if (aside / f"{OLD}{target.name}").exists():
        remove_log(target)
    for suffix in SUFFIXES:
        old = aside / f"{OLD}{target.name}{suffix}"
        if old.exists():
            old.replace(target.with_name(target.name + suffix))


def _is_committed(folder: str, target: Path) -> bool:
    """Return whether a restore was committed. The table's locks wait for a transaction that is still ending."""
    if len(folder) == len(".restore-12345678"):  # of an earlier release, which did not record its folder
        return target.exists()
    if AuditRecord._meta.db_table not in connection.introspection.table_names():
        return False
    return AuditRecord.objects.filter(action=Action.RESTORE, result__backup__folder=folder).exists()
