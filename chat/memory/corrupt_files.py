"""Corrupt session files that were set aside: deleting a conversation also deletes its rows there."""

import logging
from collections.abc import Sequence
from pathlib import Path

from django.utils import timezone

from chat.memory.file_search import count_in_files
from chat.models import AgentSession, Quarantined
from chat.models.session import is_held

logger = logging.getLogger(__name__)

REMOVED = "The session file was corrupt; what was kept of it was removed when a user's data was deleted."


def set_aside_files(path: Path) -> dict[Path, list[Path]]:
    """Return the session files that were set aside, each with its parts: itself, its log and its shared memory."""
    files: dict[Path, list[Path]] = {}
    for part in sorted(path.parent.glob(f"{path.name}.corrupt-*")):
        name = part.name.removesuffix("-wal").removesuffix("-shm")
        files.setdefault(part.with_name(name), []).append(part)
    return files


def remove_set_aside(path: Path, terms: Sequence[str]) -> bool:
    """Remove the files set aside that contain one of the terms; return whether all of them were removed.

    A part of a corrupt file cannot be removed, so a file that also contains a held session stays until the hold is
    released. Raise OSError if a file cannot be read or removed.
    """
    is_complete = True
    for file, parts in set_aside_files(path).items():
        if not _contains(parts, terms):
            continue
        held = AgentSession.objects.filter(is_held(timezone.now())).values_list("session_id", flat=True)
        if _contains(parts, list(held)):
            logger.warning("A file that was set aside has deleted data and a held session, and is kept: %s", file.name)
            is_complete = False
            continue
        for part in parts:
            part.unlink(missing_ok=True)
        Quarantined.objects.filter(session_id="", content=str(file)).update(reason=REMOVED)
    return is_complete


def _contains(parts: Sequence[Path], terms: Sequence[str]) -> bool:
    return any(any(counts) for counts in count_in_files(parts, terms).values())
