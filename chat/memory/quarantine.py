"""Invalid rows of the session file, stored for staff to inspect."""

import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from chat.memory.items import Item
from chat.memory.statements import Row, Stored
from chat.models import AgentSession, Quarantined
from chat.models.session import QUARANTINED

logger = logging.getLogger(__name__)

MEANWHILE = "was written while a turn was at work"


@dataclass(frozen=True, slots=True)
class Suspect:
    """A row that is not an item, or an item that is invalid at its position."""

    row_id: int
    data: str | Item
    reason: str


def suspects_in(stored: Stored, rows: Sequence[Row], wrong: Mapping[int, str]) -> list[Suspect]:
    """Return the rows of a session that are not items, and those of `rows` that are invalid, by their index."""
    found = [Suspect(bad.id, bad.data, "holds no item") for bad in stored.bad]
    return found + [Suspect(rows[index].id, rows[index].item, reason) for index, reason in wrong.items()]


def quarantine(session_id: str, suspects: Sequence[Suspect]) -> None:
    """Store rows of a session unchanged; the session is marked until it is repaired."""
    logger.warning("%d rows of a session were quarantined: %s", len(suspects), session_id)
    Quarantined.objects.bulk_create(
        Quarantined(session_id=session_id, row_id=suspect.row_id, content=_text(suspect.data), reason=suspect.reason)
        for suspect in suspects
    )
    AgentSession.objects.filter(session_id=session_id).update(last_error=QUARANTINED)


def quarantine_file(path: Path) -> None:
    """Record that a corrupt file was set aside."""
    Quarantined.objects.create(content=str(path), reason="The session file was corrupt; this is where it is kept.")


def _text(data: str | Item) -> str:
    text = data if isinstance(data, str) else json.dumps(data)
    # Bytes that PostgreSQL cannot store as text are escaped.
    return text.encode("utf-8", "backslashreplace").decode().replace("\x00", "\\x00")
