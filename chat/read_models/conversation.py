"""A conversation as an entry of a list."""

import uuid
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, TypedDict

from pydantic import Field


class ConversationJson(TypedDict):
    """The JSON form of a conversation."""

    id: str
    title: str
    created_at: str
    updated_at: str
    pinned: bool
    archived: bool
    trashed: bool
    trash_on: str | None
    purge_on: str | None
    model: str | None
    waiting: bool


@dataclass(frozen=True, slots=True)
class ConversationOut:
    """A conversation as an entry of a list."""

    id: uuid.UUID
    title: str
    created_at: datetime
    updated_at: Annotated[datetime, Field(description="The time of its last message.")]
    pinned: bool
    archived: bool
    trashed: bool
    held: bool  # by a legal hold
    trash_on: Annotated[
        datetime | None, Field(description="When it goes to the trash by itself, if that is within a week.")
    ]
    purge_on: Annotated[datetime | None, Field(description="When it is deleted for good, if it is in the trash.")]
    model: Annotated[str | None, Field(description="The name of the model that answers; null for the built-in model.")]
    waiting: bool  # a turn waits for the user's decision

    def as_json(self) -> ConversationJson:
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
            "model": self.model,
            "waiting": self.waiting,
        }
