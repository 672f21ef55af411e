"""Files that commands write: atomically, private, and without overwriting other files by accident."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO
from uuid import uuid4

from django.conf import settings

from chat.exceptions import BadInput, Conflict
from chat.memory.file import log_of
from sessions_admin.stores.temporary import note_temporary


@contextmanager
def new_file(path: Path, *, force: bool) -> Iterator[IO[bytes]]:
    """Write a file beside its destination, and move it there when it is complete. Raise Conflict if one exists,
    BadInput.

    An exception leaves no file behind.
    """
    _check_free(path, force=force)
    draft = path.with_name(f".{path.name}.{uuid4().hex[:8]}")
    with note_temporary("draft", draft), _new(draft, path) as file:
        yield file
        file.flush()
        os.fsync(file.fileno())
        _check_free(path, force=force)
        draft.replace(path)


@contextmanager
def _new(draft: Path, path: Path) -> Iterator[IO[bytes]]:
    try:
        descriptor = os.open(draft, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
    except OSError as error:
        raise BadInput(f"{path} cannot be written: {error.strerror}.") from error
    try:
        with os.fdopen(descriptor, "w+b") as file:
            yield file
    except OSError as error:
        raise BadInput(f"{path} cannot be written: {error.strerror or error}.") from error
    finally:
        draft.unlink(missing_ok=True)


def _check_free(path: Path, *, force: bool) -> None:
    if path.is_dir():
        raise Conflict(f"{path} is a folder.")
    memory = settings.AGENT_SESSION_DB_PATH
    if path.resolve() in {each.resolve() for each in (memory, log_of(memory), settings.DATA_DIR / "secret_key")}:
        raise Conflict(f"{path} is a file of this site.")
    if path.exists() and not force:
        raise Conflict(f"{path} exists; --force overwrites it.")
