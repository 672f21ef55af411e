"""A conversation as an entry of a list."""

import uuid
from dataclasses import dataclass
from datetime import datetime
from typing import TypeAlias

Json: TypeAlias = "str | int | bool | None | list[Json] | dict[str, Json]"


@dataclass(frozen=True, slots=True)
class ConversationOut:
    """A conversation as an entry of a list."""

    id: uuid.UUID
    title: str
    created_at: datetime
    updated_at: datetime
    pinned: bool = False
    archived: bool = False
    trashed: bool = False
    held: bool = False  # by a legal hold
    trash_on: datetime | None = None  # when it goes to the trash, if that is near
    purge_on: datetime | None = None  # when it is deleted for good, if it is in the trash and not held
    model: str = ""  # the name of the model that answers; empty for the offline model
    waiting: bool = False  # a turn waits for the user's decision

    def as_json(self) -> dict[str, Json]:
        """Return the JSON form."""
        return {
            "id": str(self.id),
            "title": self.title,
            "created_at": self.created_at.isoformat(),
            "updated_at": self.updated_at.isoformat(),
            "pinned": self.pinned,
            "archived": self.archived,
            "trashed": self.trashed,
            "trash_on": self.trash_on.isoformat() if self.trash_on else None,
            "purge_on": self.purge_on.isoformat() if self.purge_on else None,
            "model": self.model or None,
            "waiting": self.waiting,
        }
