"""A turn as ChatKit's thread items: the message, the tool calls, the approvals, the reply.

One function makes them for lists and for streams, so that both show the same. A message has its own id, a turn's calls
together have the turn's, and a question has the turn's and the call's.
"""

import json
import uuid
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

from chatkit import types
from chatkit.widgets import DynamicWidgetRoot

from chat.models.turn import SUPERSEDED, Decision
from chat.read_models import ToolCallOut, TurnOut
from chat.turns.events import reply_id

DECIDE = "approval.decide"
LONGEST_LINE = 500  # characters of an argument in a question
STOP = "turn.stop"


def items_of(turn: TurnOut, titles: Mapping[int, str] = MappingProxyType({})) -> list[types.ThreadItem]:
    """Show a turn as the items of its thread, in their order; `titles` are of the tasks that a question is about."""
    calls = [call for call in turn.tools if not call.approval]
    questions: list[types.ThreadItem] = [_question(turn, call, titles) for call in turn.tools if call.approval]
    items: list[types.ThreadItem] = [_prompt(turn)]
    if calls:
        items.append(_work(turn, calls))
    answer: list[types.ThreadItem] = [_answer(turn)] if turn.reply or (turn.text and turn.is_active) else []
    return [*items, *answer, *questions] if turn.is_awaiting else [*items, *questions, *answer]


def question_id(turn_id: uuid.UUID, call_id: str) -> str:
    """Return the id of the item that asks about a call."""
    return f"{turn_id}:{call_id}"


def _prompt(turn: TurnOut) -> types.UserMessageItem:
    return types.UserMessageItem(
        id=str(turn.prompt.id),
        thread_id=str(turn.conversation_id),
        created_at=turn.prompt.created_at,
        content=[types.UserMessageTextContent(text=turn.prompt.text)],
        inference_options=types.InferenceOptions(),
    )


def _answer(turn: TurnOut) -> types.AssistantMessageItem:
    reply = turn.reply
    return types.AssistantMessageItem(
        id=str(reply.id if reply else reply_id(turn.id)),
        thread_id=str(turn.conversation_id),
        created_at=reply.created_at if reply else turn.accepted_at,
        content=[types.AssistantMessageContent(text=reply.text if reply else turn.text)],
    )


def _work(turn: TurnOut, calls: Sequence[ToolCallOut]) -> types.WorkflowItem:
    return types.WorkflowItem(
        id=str(turn.id),
        thread_id=str(turn.conversation_id),
        created_at=turn.accepted_at,
        workflow=types.Workflow(type="custom", tasks=[_task(call) for call in calls]),
    )


def _task(call: ToolCallOut) -> types.CustomTask:
    return types.CustomTask(
        status_indicator="complete" if call.is_answered else "loading", title=call.summary, content=_problem(call)
    )


def _problem(call: ToolCallOut) -> str | None:
    """Return why a call failed, or None."""
    if call.error is not None:
        return call.error
    try:
        output = json.loads(call.output or "")
    except ValueError:
        return None
    failed = isinstance(output, dict) and output.get("ok") is False
    return str(output.get("detail", output.get("error", ""))) if failed else None


def _question(turn: TurnOut, call: ToolCallOut, titles: Mapping[int, str]) -> types.WidgetItem:
    action = _action_of(call)
    # After the decision, a task may be deleted or renamed.
    titles = titles if call.is_awaiting else {}
    lines = [f"#{number} {titles.get(number, '')}".strip() for number in numbers_of(call)] or _arguments(call)
    card: dict[str, Any] = {"type": "Card", "size": "sm"}
    if call.is_awaiting:
        decision = {"turn_id": str(turn.id), "call_id": call.call_id}
        title = f"{action}?"
        card["confirm"] = {"label": "Approve", "action": _button(DECIDE, {**decision, "approve": True})}
        card["cancel"] = {"label": "Decline", "action": _button(DECIDE, {**decision, "approve": False})}
    else:
        title = f"{_decision(call)}: {action[0].lower()}{action[1:]}"
    card["children"] = [
        {"type": "Title", "value": title, "size": "sm"},
        *({"type": "Text", "value": line} for line in lines),
    ]
    return types.WidgetItem(
        id=question_id(turn.id, call.call_id),
        thread_id=str(turn.conversation_id),
        created_at=turn.accepted_at,
        widget=DynamicWidgetRoot.model_validate(card),
        copy_text="\n".join([title, *lines]),
    )


def _arguments(call: ToolCallOut) -> list[str]:
    """Return the arguments of a call, a line each."""
    if not isinstance(call.arguments, dict):
        return []
    lines = [
        f"{name}: {value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)}"
        for name, value in call.arguments.items()
        if value is not None
    ]
    return [line if len(line) <= LONGEST_LINE else f"{line[:LONGEST_LINE]}…" for line in lines]


def _button(kind: str, payload: dict[str, Any]) -> dict[str, Any]:
    return {"type": kind, "payload": payload, "handler": "server", "loadingBehavior": "auto", "streaming": True}


def _decision(call: ToolCallOut) -> str:
    if call.by == SUPERSEDED:
        return "Not done, since something else came"
    return "Approved" if call.approval == Decision.APPROVED else "Declined"


def _action_of(call: ToolCallOut) -> str:
    """Return what a call is to do."""
    numbers = numbers_of(call)
    if not numbers:
        return call.summary
    return f"Delete task {numbers[0]}" if len(numbers) == 1 else f"Delete {len(numbers)} tasks"


def numbers_of(call: ToolCallOut) -> list[int]:
    """Return the numbers of the tasks that a call is to delete."""
    arguments = call.arguments if isinstance(call.arguments, dict) and call.name == "delete_tasks" else {}
    numbers = arguments.get("numbers")
    return [number for number in numbers if isinstance(number, int)] if isinstance(numbers, list) else []
