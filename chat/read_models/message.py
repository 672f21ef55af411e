"""A message."""

import uuid
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Literal, Self, TypedDict

from pydantic import Field

from chat.models import Message
from chat.models.conversation import Role


class MessageJson(TypedDict):
    """The JSON form of a message."""

    id: str
    role: str
    text: str
    created_at: str
    position: int | None
    turn_id: str


@dataclass(frozen=True, slots=True)
class MessageOut:
    """A message."""

    id: uuid.UUID
    role: Literal["user", "assistant"]
    text: str
    created_at: datetime
    position: Annotated[
        int | None, Field(description="From 1 without gaps; null in an earlier version of the conversation.")
    ]
    turn_id: uuid.UUID
    client_id: uuid.UUID | None  # by which a page recognizes its own

    @classmethod
    def of(cls, row: Message) -> Self:
        """Return what is shown of a row."""
        role: Literal["user", "assistant"] = "user" if row.role == Role.USER else "assistant"
        return cls(row.pk, role, row.text, row.created_at, row.position, row.turn_id, row.client_id)

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
