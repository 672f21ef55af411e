"""A conversation as an entry of a list."""

import uuid
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated

from pydantic import Field

from chat.read_models.shape import Shape


@dataclass(frozen=True, slots=True)
class ConversationOut(Shape):
    """A conversation as an entry of a list."""

    JSON = (
        *("id", "title", "created_at", "updated_at", "pinned", "archived", "trashed"),
        *("trash_on", "purge_on", "model", "waiting"),
    )

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
