"""A message."""

import uuid
from dataclasses import dataclass
from datetime import datetime
from typing import Self, TypedDict

from chat.models import Message


class MessageJson(TypedDict):
    """The JSON form of a message."""

    id: str
    role: str
    text: str
    created_at: str
    position: int | None  # None in an earlier version of the conversation
    turn_id: str


@dataclass(frozen=True, slots=True)
class MessageOut:
    """A message; its position is None in an earlier version of the conversation."""

    id: uuid.UUID
    role: str
    text: str
    created_at: datetime
    position: int | None
    turn_id: uuid.UUID
    client_id: uuid.UUID | None

    @classmethod
    def of(cls, row: Message) -> Self:
        """Return what is shown of a row."""
        return cls(row.pk, row.role, row.text, row.created_at, row.position, row.turn_id, row.client_id)

    def as_json(self) -> MessageJson:
        """Return the JSON form."""
        return {
            "id": str(self.id),
            "role": self.role,
            "text": self.text,
            "created_at": self.created_at.isoformat(),
            "position": self.position,
            "turn_id": str(self.turn_id),
        }
