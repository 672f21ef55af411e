"""What pages, sockets, programs and exports show: one frozen shape and one JSON form for each noun."""

import uuid
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Self, TypeAlias, TypedDict

from chat.models import Message, ToolCall
from chat.models.task import Priority, Task
from chat.models.turn import ACTIVE, Status

Json: TypeAlias = "str | int | bool | None | list[Json] | dict[str, Json]"


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
    name: str
    arguments: Any
    output: str | None = None
    error: str | None = None
    approval: str = ""
    by: str = ""
    undone: bool = False

    @classmethod
    def of(cls, row: ToolCall, *, undone: bool = False) -> Self:
        """Return what is shown of a row."""
        return cls(
            row.call_id, row.name, row.arguments, row.output, row.error, row.decision, row.decided_by, undone=undone
        )

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


class WarningJson(TypedDict):
    """The JSON form of a turn's warning."""

    code: str
    detail: str


WARNINGS: dict[str, str] = {
    "context_unavailable": "Context temporarily unavailable",
    "context_rebuilt": "The assistant’s memory of this conversation was rebuilt from its history.",
    "context_shortened": "Answered without the beginning of this conversation",
}


def warning_json(code: str) -> WarningJson | None:
    """Return the warning of a turn, or None if it has none."""
    return {"code": code, "detail": WARNINGS.get(code, code)} if code else None


@dataclass(frozen=True, slots=True)
class TurnOut:
    """A turn: its prompt, its tool calls and its reply."""

    id: uuid.UUID
    status: str
    attempt: int
    prompt: MessageOut
    reply: MessageOut | None
    text: str  # of the reply so far
    reasoning: str
    warning: str
    error_code: str
    error_detail: str
    tools: tuple[ToolCallOut, ...]
    replaces: uuid.UUID | None
    versions: tuple[uuid.UUID, ...]  # the turns that had its place before, itself, and the turns after it
    kept: tuple[ToolCallOut, ...]  # changes by earlier versions, which stay

    @property
    def length(self) -> int:
        """The number of characters it has."""
        outputs = sum(len(call.output or "") for call in (*self.tools, *self.kept))
        reply = self.reply.text if self.reply else self.text
        return len(self.prompt.text) + len(reply) + len(self.reasoning) + outputs

    @property
    def is_active(self) -> bool:
        """Whether it has not ended."""
        return self.status in ACTIVE

    @property
    def failed(self) -> bool:
        """Whether it ended without a reply because of an error."""
        return self.status == Status.FAILED

    @property
    def stopped(self) -> bool:
        """Whether the user stopped it."""
        return self.status == Status.STOPPED

    @property
    def warning_detail(self) -> str:
        """The sentence of its warning."""
        return WARNINGS.get(self.warning, self.warning)

    def as_json(self) -> dict[str, Any]:
        """Return the JSON form, by which the page's script keeps a turn."""
        return {
            "id": str(self.id),
            "status": self.status,
            "attempt": self.attempt,
            "prompt_id": str(self.prompt.id),
            "prompt_text": self.prompt.text,
            "prompt": _with_client_id(self.prompt),
            "reply": _with_client_id(self.reply) if self.reply else None,
            "text": self.text if self.is_active else "",
            "reasoning": self.reasoning,
            "tools": [call.as_json() for call in self.tools],
            "warning": warning_json(self.warning),
            "error": {"code": self.error_code, "detail": self.error_detail} if self.failed else None,
            "replaces": str(self.replaces) if self.replaces else None,
            "versions": [str(version) for version in self.versions],
            "kept": [call.as_json() for call in self.kept],
        }


def _with_client_id(message: MessageOut) -> dict[str, Any]:
    """Return a message with the id by which a page recognizes its own."""
    return {**message.as_json(), "client_id": str(message.client_id) if message.client_id else None}


def in_words(name: str, arguments: object) -> str:
    """Return what a call does, in the words of its name."""
    title = arguments.get("title") if isinstance(arguments, dict) else None
    did = name.replace("_", " ").capitalize()
    return f"{did}: {title}" if title else did


@dataclass(frozen=True, slots=True)
class ConversationOut:
    """A conversation as an entry of a list."""

    id: uuid.UUID
    title: str
    created_at: datetime
    updated_at: datetime
    pinned: bool = False
    archived: bool = False
    trashed: bool = False
    held: bool = False  # by a legal hold
    trash_on: datetime | None = None  # when it goes to the trash, if that is near
    purge_on: datetime | None = None  # when it is deleted for good, if it is in the trash and not held
    model: str = ""  # the name of the model that answers; empty for the offline model
    waiting: bool = False  # a turn waits for the user's decision

    def as_json(self) -> dict[str, Json]:
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
            "model": self.model or None,
            "waiting": self.waiting,
        }


class TaskJson(TypedDict):
    """The JSON form of a task; `due` is a date, or a date and time without a zone."""

    task_id: str
    number: int
    title: str
    description: str
    due: str | None
    priority: str
    is_completed: bool
    created_at: str
    updated_at: str
    completed_at: str | None


def task_json(task: Task) -> TaskJson:
    """Return the JSON form of a task."""
    due = None
    if task.due_date is not None:
        due = task.due_date.isoformat() + (f"T{task.due_time:%H:%M}" if task.due_time else "")
    return {
        "task_id": str(task.pk),
        "number": task.number,
        "title": task.title,
        "description": task.description,
        "due": due,
        "priority": Priority(task.priority).label,
        "is_completed": task.is_completed,
        "created_at": task.created_at.isoformat(),
        "updated_at": task.updated_at.isoformat(),
        "completed_at": task.completed_at.isoformat() if task.completed_at else None,
    }
