"""The events of a turn's log. Entry points render them: sockets as frames, streams as events."""

import uuid
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from chat.read_models import WARNINGS, MessageOut, ToolCallOut

WarningCode = Literal["context_unavailable", "context_rebuilt", "context_shortened"]


def is_retryable(code: str) -> bool:
    """Return whether a retry may succeed after this error."""
    return code != "forbidden"


def reply_id(turn_id: uuid.UUID) -> uuid.UUID:
    """Return the id of a turn's reply: a stream names it before it is stored."""
    return uuid.uuid5(turn_id, "reply")


@dataclass(frozen=True, slots=True)
class TurnQueued:
    type: ClassVar = "turn.queued"


@dataclass(frozen=True, slots=True)
class TurnStarted:
    type: ClassVar = "turn.started"


@dataclass(frozen=True, slots=True)
class TextDelta:
    """Text, and the offset in characters at which it begins."""

    type: ClassVar = "text.delta"
    text: str
    at: int


@dataclass(frozen=True, slots=True)
class ReasoningDelta:
    """Reasoning, which is no part of the reply, and the offset in characters at which it begins."""

    type: ClassVar = "reasoning.delta"
    text: str
    at: int


@dataclass(frozen=True, slots=True)
class ToolStarted:
    type: ClassVar = "tool.started"
    call_id: str
    name: str
    arguments: Any


@dataclass(frozen=True, slots=True)
class ToolFinished:
    type: ClassVar = "tool.finished"
    call_id: str
    output: str | None = None
    error: str | None = None


@dataclass(frozen=True, slots=True)
class ApprovalRequested:
    """The turn waits until a person has decided about a call."""

    type: ClassVar = "approval.requested"
    call_id: str
    name: str
    arguments: Any


@dataclass(frozen=True, slots=True)
class ApprovalDecided:
    """The user has decided, or has sent another message instead (`by` is "superseded")."""

    type: ClassVar = "approval.decided"
    call_id: str
    approved: bool
    by: str


@dataclass(frozen=True, slots=True)
class Warned:
    type: ClassVar = "warning"
    code: WarningCode

    @property
    def detail(self) -> str:
        """The sentence for people."""
        return WARNINGS[self.code]


@dataclass(frozen=True, slots=True)
class ModelRetrying:
    """The model does not answer, and the request is sent again in some seconds; no snapshot holds it."""

    type: ClassVar = "model.retrying"
    attempt_n: int
    of: int
    seconds: float
    detail: str


@dataclass(frozen=True, slots=True)
class TurnResumed:
    """The text beyond `at` is replaced; the reasoning, if any, continues."""

    type: ClassVar = "turn.resumed"
    text: str
    tools: tuple[ToolCallOut, ...]
    at: int
    reasoning: str | None = None


@dataclass(frozen=True, slots=True)
class TurnFinished:
    type: ClassVar = "turn.finished"
    message: MessageOut
    usage: dict[str, int]
    warning: str = ""  # a code


@dataclass(frozen=True, slots=True)
class TurnStopped:
    type: ClassVar = "turn.stopped"
    message: MessageOut | None
    warning: str = ""  # a code


@dataclass(frozen=True, slots=True)
class TurnFailed:
    type: ClassVar = "turn.failed"
    code: str
    detail: str
    retryable: bool


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The whole visible state of a turn: it replaces what is shown."""

    type: ClassVar = "turn.snapshot"
    status: str
    text: str
    tools: tuple[ToolCallOut, ...] = ()
    message: MessageOut | None = None
    code: str | None = None
    detail: str | None = None
    warning: str = ""  # a code
    reasoning: str | None = None


LastEvent = TurnFinished | TurnStopped | TurnFailed
_ToolEvent = ToolStarted | ToolFinished | ApprovalRequested | ApprovalDecided
_ReplyEvent = Warned | ModelRetrying | TurnResumed | Snapshot | LastEvent
Event = TurnQueued | TurnStarted | TextDelta | ReasoningDelta | _ToolEvent | _ReplyEvent
