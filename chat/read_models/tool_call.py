"""A tool call of the assistant."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Self, TypedDict

from chat.models import ToolCall
from chat.models.turn import Decision


class ToolCallJson(TypedDict, total=False):
    """The JSON form of a tool call; `approval` is present if one was needed."""

    call_id: str
    name: str
    arguments: Any
    output: str
    error: str
    approval: str  # awaiting, approved or declined
    by: str  # who decided: a user's id, or "superseded"


@dataclass(frozen=True, slots=True)
class ToolCallOut:
    """A tool call of the assistant."""

    call_id: str
    name: str = ""
    arguments: Any = None
    output: str | None = None
    error: str | None = None
    approval: str = ""
    by: str = ""
    undone: bool = False
    created_at: datetime | None = None  # None in the log of a turn

    @classmethod
    def of(cls, row: ToolCall, *, undone: bool = False) -> Self:
        """Return what is shown of a row."""
        return cls(
            call_id=row.call_id,
            name=row.name,
            arguments=row.arguments,
            output=row.output,
            error=row.error,
            approval=row.decision,
            by=row.decided_by,
            undone=undone,
            created_at=row.created_at,
        )

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

    def as_json(self) -> ToolCallJson:
        """Return the JSON form."""
        shown: ToolCallJson = {"call_id": self.call_id, "name": self.name, "arguments": self.arguments}
        if self.output is not None:
            shown["output"] = self.output
        if self.error is not None:
            shown["error"] = self.error
        if self.approval:
            shown["approval"] = self.approval
        if self.by:
            shown["by"] = self.by
        return shown


def in_words(name: str, arguments: object) -> str:
    """Return what a call does, in the words of its name."""
    title = arguments.get("title") if isinstance(arguments, dict) else None
    did = name.replace("_", " ").capitalize()
    return f"{did}: {title}" if title else did
