"""A turn as ChatKit's thread items: the message, the tool calls, the approvals, the reply.

One function makes them for lists and for streams, so that what was streamed is what is read back. Their ids are ours:
a message's is its own, of a turn's calls together the turn's, of a question the turn's and the call's.
"""

import json
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from chatkit.types import (
    AssistantMessageContent,
    AssistantMessageItem,
    CustomTask,
    InferenceOptions,
    ThreadItem,
    UserMessageItem,
    UserMessageTextContent,
    WidgetItem,
    Workflow,
    WorkflowItem,
)
from chatkit.widgets import DynamicWidgetRoot

from chat.models.turn import ACTIVE, SUPERSEDED, Decision
from chat.read_models import MessageJson, ToolCallJson, in_words
from chat.turns.events import reply_id

DECIDE = "approval.decide"
LONGEST_LINE = 500  # characters of an argument in a question
STOP = "turn.stop"


@dataclass(frozen=True, slots=True, kw_only=True)
class TurnView:
    """A turn as its items show it."""

    id: uuid.UUID
    thread_id: uuid.UUID
    at: datetime
    attempt: int
    status: str
    prompt: MessageJson
    reply: MessageJson | None
    text: str  # the reply so far, where it is not stored yet
    tools: Sequence[ToolCallJson]
    warning: str = ""
    error_code: str = ""
    error_detail: str = ""
    titles: Mapping[int, str] = field(default_factory=dict)  # of the tasks that a question is about, by number

    @property
    def ended(self) -> bool:
        """Whether nothing more is to come of it."""
        return self.status not in ACTIVE

    @property
    def awaits(self) -> bool:
        """Whether it waits for the person's decision."""
        return awaits(self.tools)


def awaits(tools: Sequence[ToolCallJson]) -> bool:
    """Return whether a call waits for the user's decision."""
    return any(tool.get("approval") == Decision.AWAITING for tool in tools)


def items_of(turn: TurnView) -> list[ThreadItem]:
    """Show a turn as the items of its thread, in their order."""
    done = [tool for tool in turn.tools if not tool.get("approval")]
    asked: list[ThreadItem] = [_question(turn, tool) for tool in turn.tools if tool.get("approval")]
    said: list[ThreadItem] = [_prompt(turn)]
    if done:
        said.append(_work(turn, done))
    answer: list[ThreadItem] = [_answer(turn)] if turn.reply or (turn.text and not turn.ended) else []
    return [*said, *answer, *asked] if turn.awaits else [*said, *asked, *answer]


def question_id(turn_id: uuid.UUID, call_id: str) -> str:
    """Return the id of the item that asks about a call."""
    return f"{turn_id}:{call_id}"


def _prompt(turn: TurnView) -> UserMessageItem:
    return UserMessageItem(
        id=turn.prompt["id"],
        thread_id=str(turn.thread_id),
        created_at=datetime.fromisoformat(turn.prompt["created_at"]),
        content=[UserMessageTextContent(text=turn.prompt["text"])],
        inference_options=InferenceOptions(),
    )


def _answer(turn: TurnView) -> AssistantMessageItem:
    reply = turn.reply
    return AssistantMessageItem(
        id=reply["id"] if reply else str(reply_id(turn.id)),
        thread_id=str(turn.thread_id),
        created_at=datetime.fromisoformat(reply["created_at"]) if reply else turn.at,
        content=[AssistantMessageContent(text=reply["text"] if reply else turn.text)],
    )


def _work(turn: TurnView, done: Sequence[ToolCallJson]) -> WorkflowItem:
    return WorkflowItem(
        id=str(turn.id),
        thread_id=str(turn.thread_id),
        created_at=turn.at,
        workflow=Workflow(type="custom", tasks=[_task(tool) for tool in done]),
    )


def _task(tool: ToolCallJson) -> CustomTask:
    ended = "output" in tool or "error" in tool
    return CustomTask(
        status_indicator="complete" if ended else "loading",
        title=in_words(tool.get("name", ""), tool.get("arguments")),
        content=_trouble(tool),
    )


def _trouble(tool: ToolCallJson) -> str | None:
    """Return what went wrong with a call, or None."""
    if "error" in tool:
        return tool["error"]
    try:
        output = json.loads(tool.get("output", ""))
    except ValueError:
        return None
    failed = isinstance(output, dict) and output.get("ok") is False
    return str(output.get("detail", output.get("error", ""))) if failed else None


def _question(turn: TurnView, tool: ToolCallJson) -> WidgetItem:
    wish = _wish(tool)
    waits = tool["approval"] == Decision.AWAITING
    # Once it is decided, a task may be gone or be called something else.
    titles = turn.titles if waits else {}
    lines = [f"#{number} {titles.get(number, '')}".strip() for number in _numbers(tool)] or _arguments(tool)
    card: dict[str, Any] = {"type": "Card", "size": "sm"}
    if waits:
        decision = {"turn_id": str(turn.id), "call_id": tool["call_id"]}
        title = f"{wish}?"
        card["confirm"] = {"label": "Approve", "action": _action(DECIDE, {**decision, "approve": True})}
        card["cancel"] = {"label": "Decline", "action": _action(DECIDE, {**decision, "approve": False})}
    else:
        title = f"{_decision(tool)}: {wish[0].lower()}{wish[1:]}"
    card["children"] = [
        {"type": "Title", "value": title, "size": "sm"},
        *({"type": "Text", "value": line} for line in lines),
    ]
    return WidgetItem(
        id=question_id(turn.id, tool["call_id"]),
        thread_id=str(turn.thread_id),
        created_at=turn.at,
        widget=DynamicWidgetRoot.model_validate(card),
        copy_text="\n".join([title, *lines]),
    )


def _arguments(tool: ToolCallJson) -> list[str]:
    """Return the arguments of a call, a line each."""
    arguments = tool.get("arguments")
    if not isinstance(arguments, dict):
        return []
    lines = [
        f"{name}: {value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)}"
        for name, value in arguments.items()
        if value is not None
    ]
    return [line if len(line) <= LONGEST_LINE else f"{line[:LONGEST_LINE]}…" for line in lines]


def _action(kind: str, payload: dict[str, Any]) -> dict[str, Any]:
    return {"type": kind, "payload": payload, "handler": "server", "loadingBehavior": "auto", "streaming": True}


def _decision(tool: ToolCallJson) -> str:
    if tool.get("by") == SUPERSEDED:
        return "Not done, since something else came"
    return "Approved" if tool["approval"] == Decision.APPROVED else "Declined"


def _wish(tool: ToolCallJson) -> str:
    numbers = _numbers(tool)
    if not numbers:
        return in_words(tool.get("name", ""), tool.get("arguments"))
    return f"Delete task {numbers[0]}" if len(numbers) == 1 else f"Delete {len(numbers)} tasks"


def _numbers(tool: ToolCallJson) -> list[int]:
    """Return the tasks that a call is to delete."""
    return numbers_of(tool.get("name", ""), tool.get("arguments"))


def numbers_of(name: str, arguments: object) -> list[int]:
    """Return by their numbers the tasks that a call is to delete."""
    numbers = arguments.get("numbers") if isinstance(arguments, dict) and name == "delete_tasks" else None
    return [number for number in numbers if isinstance(number, int)] if isinstance(numbers, list) else []
