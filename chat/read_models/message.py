"""A message."""

import uuid
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Literal, Self

from pydantic import Field

from chat.models import Message
from chat.read_models.shape import Shape


@dataclass(frozen=True, slots=True)
class MessageOut(Shape):
    """A message."""

    JSON = ("id", "role", "text", "created_at", "position", "turn_id")

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
        return cls.from_row(row)
