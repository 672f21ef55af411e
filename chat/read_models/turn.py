"""A turn with its prompt, its tool calls and its reply, and the one function that loads turns."""

import uuid
from collections import defaultdict
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from chat.models import Message, ToolCall
from chat.models.conversation import Role
from chat.models.turn import ACTIVE, Status, TurnQuerySet
from chat.read_models.message import MessageOut
from chat.read_models.shape import Shape, plain
from chat.read_models.tool_call import ToolCallOut

# The first one that a turn has is the one that is stored.
WARNINGS: dict[str, str] = {
    "context_unavailable": "Context temporarily unavailable",
    "context_rebuilt": "The assistant’s memory of this conversation was rebuilt from its history.",
    "context_shortened": "Answered without the beginning of this conversation",
}


def warning_json(code: str) -> dict[str, str] | None:
    """Return the warning of a turn, or None if it has none."""
    return {"code": code, "detail": WARNINGS.get(code, code)} if code else None


@dataclass(frozen=True, slots=True)
class TurnOut(Shape):
    """A turn: its prompt, its tool calls and its reply."""

    id: uuid.UUID
    conversation_id: uuid.UUID
    seq: int
    accepted_at: datetime
    started_at: datetime | None
    ended_at: datetime | None
    status: str
    attempt: int
    prompt: MessageOut
    reply: MessageOut | None
    text: str  # of the reply so far
    reasoning: str
    warning: str
    error_code: str
    error_detail: str
    usage: dict[str, int] | None
    is_superseded: bool
    tools: tuple[ToolCallOut, ...]
    replaces: uuid.UUID | None
    versions: tuple[uuid.UUID, ...] = ()  # the turns that had its place before, itself, and the turns after it
    kept: tuple[ToolCallOut, ...] = ()  # changes by earlier versions, which stay

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
    def is_awaiting(self) -> bool:
        """Whether one of its calls waits for the user's decision."""
        return any(call.is_awaiting for call in self.tools)

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
            "tools": plain(self.tools),
            "warning": warning_json(self.warning),
            "error": {"code": self.error_code, "detail": self.error_detail} if self.failed else None,
            "replaces": plain(self.replaces),
            "versions": plain(self.versions),
            "kept": plain(self.kept),
        }


def _with_client_id(message: MessageOut) -> dict[str, Any]:
    """Return a message with the id by which a page recognizes its own."""
    return {**message.as_json(), "client_id": plain(message.client_id)}


def load_turns(
    rows: TurnQuerySet,
    *,
    successors: Mapping[uuid.UUID, uuid.UUID] | None = None,
    versions: Callable[[uuid.UUID], tuple[uuid.UUID, ...]] = lambda turn_id: (turn_id,),
    undone: Collection[str] = (),
) -> list[TurnOut]:
    """Load turns in the order of a query, with one query for each kind of row that belongs to them.

    `successors` maps turns of earlier versions to those that replaced them; `undone` has the calls that are undone.
    """
    successors = successors or {}
    # First the turns: one that ends meanwhile is shown as running, and not as done without its reply.
    turns = list(rows.defer("items").select_related("prompt"))
    found = Message.objects.filter(turn__in=turns, role=Role.ASSISTANT)
    replies = {message.turn_id: MessageOut.of(message) for message in found}
    calls: defaultdict[uuid.UUID, dict[str, ToolCallOut]] = defaultdict(dict)
    kept: defaultdict[uuid.UUID, dict[str, ToolCallOut]] = defaultdict(dict)
    rows_of_calls = ToolCall.objects.filter(turn__in=[*(turn.pk for turn in turns), *successors])
    for call in rows_of_calls.order_by("id").defer("before"):
        if call.turn_id not in successors:
            calls[call.turn_id][call.call_id] = ToolCallOut.of(call, undone=call.call_id in undone)
        elif call.changed_something:
            kept[successors[call.turn_id]][call.call_id] = ToolCallOut.of(call, undone=call.call_id in undone)
    return [
        TurnOut.from_row(
            turn,
            prompt=MessageOut.of(turn.prompt),
            reply=replies.get(turn.pk),
            is_superseded=turn.superseded_by_id is not None,
            tools=tuple(calls[turn.pk].values()),
            replaces=turn.replaces_id,
            versions=versions(turn.pk),
            kept=tuple(call for call_id, call in kept[turn.pk].items() if call_id not in calls[turn.pk]),
        )
        for turn in turns
    ]
