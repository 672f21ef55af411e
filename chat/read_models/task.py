"""A task."""

import uuid
from dataclasses import dataclass
from datetime import date, datetime, time
from typing import Annotated, Literal, Self, TypedDict, cast

from pydantic import Field

from chat.models.task import Priority, Task

PriorityWord = Literal["low", "normal", "high"]


class TaskJson(TypedDict):
    """The JSON form of a task; `due` is a date, or a date and time without a zone."""

    task_id: str
    number: int
    title: str
    description: str
    due: str | None
    priority: PriorityWord
    is_completed: bool
    created_at: str
    updated_at: str
    completed_at: str | None


@dataclass(frozen=True, slots=True)
class TaskOut:
    """A task; its date and time are where the user is."""

    id: uuid.UUID
    number: Annotated[int, Field(description="The number by which people name it; never used again.", examples=[3])]
    title: Annotated[str, Field(examples=["Buy groceries"])]
    description: str
    due_date: date | None
    due_time: time | None
    completed_at: datetime | None
    created_at: datetime
    updated_at: datetime
    priority: PriorityWord

    @classmethod
    def of(cls, row: Task) -> Self:
        """Return what is shown of a row."""
        return cls(
            id=row.pk,
            number=row.number,
            title=row.title,
            description=row.description,
            due_date=row.due_date,
            due_time=row.due_time,
            completed_at=row.completed_at,
            created_at=row.created_at,
            updated_at=row.updated_at,
            priority=cast(PriorityWord, Priority(row.priority).label),
        )

    @property
    def is_completed(self) -> bool:
        """Whether it is done."""
        return self.completed_at is not None

    @property
    def due(
        self,
    ) -> Annotated[
        str | None, Field(description="A date, or a date and a time, where the user is.", examples=["2026-12-24"])
    ]:
        """The date, or the date and time."""
        if self.due_date is None:
            return None
        return self.due_date.isoformat() + (f"T{self.due_time:%H:%M}" if self.due_time else "")

    def as_json(self) -> TaskJson:
        """Return the JSON form."""
        return {
            "task_id": str(self.id),
            "number": self.number,
            "title": self.title,
            "description": self.description,
            "due": self.due,
            "priority": self.priority,
            "is_completed": self.is_completed,
            "created_at": self.created_at.isoformat(),
            "updated_at": self.updated_at.isoformat(),
            "completed_at": self.completed_at.isoformat() if self.completed_at else None,
        }
