"""A task."""

import uuid
from dataclasses import dataclass
from datetime import date, datetime, time
from typing import Annotated, Literal, Self

from pydantic import Field
from typing_extensions import TypedDict  # pydantic wants this one before Python 3.12

from chat.models.task import Priority, Task
from chat.read_models.shape import Shape

PriorityWord = Literal["low", "normal", "high"]


class ShownTask(TypedDict):
    """A task as a tool shows it."""

    number: int
    title: str
    description: str | None
    due_date: str | None
    due_time: str | None
    priority: str
    is_completed: bool
    completed_at: str | None


@dataclass(frozen=True, slots=True)
class TaskOut(Shape):
    """A task; its date and time are where the user is."""

    JSON = (
        *("task_id", "number", "title", "description", "due", "priority", "is_completed"),
        *("created_at", "updated_at", "completed_at"),
    )

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
        return cls.from_row(row, priority=Priority(row.priority).label)

    @property
    def task_id(self) -> uuid.UUID:
        """The id, by its name in JSON."""
        return self.id

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

    def as_tool_json(self) -> ShownTask:
        """Return the form that models read."""
        return {
            "number": self.number,
            "title": self.title,
            "description": self.description or None,
            "due_date": self.due_date.isoformat() if self.due_date else None,
            "due_time": f"{self.due_time:%H:%M}" if self.due_time else None,
            "priority": self.priority,
            "is_completed": self.is_completed,
            "completed_at": self.completed_at.isoformat(timespec="seconds") if self.completed_at else None,
        }
