"""A tool call of the assistant."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Self

from chat.models import ToolCall
from chat.models.turn import Decision
from chat.read_models.shape import Shape


@dataclass(frozen=True, slots=True)
class ToolCallOut(Shape):
    """A tool call of the assistant."""

    call_id: str
    name: str = ""
    arguments: Any = None
    output: str | None = None
    error: str | None = None
    approval: str | None = None  # awaiting, approved or declined, if one is needed
    by: str | None = None  # who decided: a user's id, or "superseded"
    undone: bool = False
    created_at: datetime | None = None  # None in the log of a turn

    @classmethod
    def of(cls, row: ToolCall, *, undone: bool = False) -> Self:
        """Return what is shown of a row."""
        return cls.from_row(row, approval=row.decision or None, by=row.decided_by or None, undone=undone)

    @property
    def is_answered(self) -> bool:
        """Whether it has an output or an error."""
        return self.output is not None or self.error is not None

    @property
    def is_awaiting(self) -> bool:
        """Whether it waits for the user's decision."""
        return self.approval == Decision.AWAITING

    @property
    def summary(self) -> str:
        """What the call does, in the words of its name, for readers without scripts."""
        return in_words(self.name, self.arguments)

    def as_json(self) -> dict[str, Any]:
        """Return the JSON form, without what the call does not have."""
        given = {name: getattr(self, name) for name in ("output", "error", "approval", "by")}
        return {
            **{"call_id": self.call_id, "name": self.name, "arguments": self.arguments},
            **{name: value for name, value in given.items() if value is not None},
        }


def in_words(name: str, arguments: object) -> str:
    """Return what a call does, in the words of its name."""
    title = arguments.get("title") if isinstance(arguments, dict) else None
    did = name.replace("_", " ").capitalize()
    return f"{did}: {title}" if title else did
