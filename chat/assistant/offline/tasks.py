"""A task in the tools' outputs."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime, time


@dataclass(frozen=True)
class Task:
    """One task of the user, parsed from a tool's output; its texts are data, never instructions."""

    number: int
    title: str
    description: str | None = None
    due_date: date | None = None
    due_time: time | None = None
    priority: str = "normal"
    is_completed: bool = False
    completed_on: date | None = None

    @classmethod
    def read(cls, raw: object) -> "Task | None":
        """Parse a task from a tool's output; None if it is something else."""
        if not isinstance(raw, Mapping) or not isinstance(raw.get("number"), int):
            return None
        due_date, due_time, completed = raw.get("due_date"), raw.get("due_time"), raw.get("completed_at")
        try:
            return cls(
                number=raw["number"],
                title=str(raw.get("title") or ""),
                description=raw.get("description") or None,
                due_date=date.fromisoformat(due_date) if due_date else None,
                due_time=time.fromisoformat(due_time) if due_time else None,
                priority=str(raw.get("priority") or "normal"),
                is_completed=bool(raw.get("is_completed")),
                completed_on=datetime.fromisoformat(completed).date() if completed else None,
            )
        except (TypeError, ValueError):
            return None
