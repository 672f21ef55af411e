"""The spans of a turn: each attempt is an invocation of the agent, and has its calls of tools."""

import json
import re
from collections.abc import Awaitable, Callable, Iterator
from typing import TypeVar

from chat.assistant.context import Call
from chat.exceptions import ThreadkeeperError
from chat.infra import tracing
from chat.infra.tracing import Span
from chat.models.turn import Status, Turn
from chat.turns.finish import TurnOutcome
from chat.turns.journal import Journal

AGENT = "Threadkeeper"
STATUS = "threadkeeper.turn.status"
CALL_ID = re.compile(r"[\w.:-]{1,128}", re.A)
# Errors of a call that no exception has.
ERRORS = frozenset({"cut_off", "too_slow", "tool_error", "unknown_tool", "not_run", "declined"})

B = TypeVar("B")


def begin_turn(turn: Turn) -> Span:
    """Begin the span of an attempt at a turn."""
    waited = turn.started_at - turn.accepted_at if turn.started_at and turn.attempt == 1 else None
    return tracing.begin_attempt(
        f"invoke_agent {AGENT}",
        turn.pk,
        turn.attempt,
        {
            "gen_ai.operation.name": "invoke_agent",
            "gen_ai.agent.name": AGENT,
            "gen_ai.conversation.id": str(turn.conversation_id),
            "threadkeeper.turn.id": str(turn.pk),
            "threadkeeper.turn.attempt": turn.attempt,
            "threadkeeper.turn.replaces": str(turn.replaces_id) if turn.replaces_id else None,
            "threadkeeper.turn.queue_seconds": max(0.0, waited.total_seconds()) if waited is not None else None,
        },
    )


def record_outcome(span: Span, outcome: TurnOutcome) -> None:
    """Record how an attempt ended."""
    span.set(
        {
            STATUS: str(outcome.status),
            "threadkeeper.turn.warning": outcome.warning or None,
            "gen_ai.usage.input_tokens": outcome.usage.get("input_tokens"),
            "gen_ai.usage.output_tokens": outcome.usage.get("output_tokens"),
        }
    )
    for call in outcome.approval_requests:
        span.event("approval.requested", {"gen_ai.tool.name": call.name, "gen_ai.tool.call.id": _id(call.call_id)})
    if outcome.status == Status.FAILED:
        span.fail(outcome.error_code)


def traced(act: Callable[[Call, B], Awaitable[str]], journal: Journal) -> Callable[[Call, B], Awaitable[str]]:
    """Record each call that is run; those that the journal answers are in the trace already."""
    known = {call.call_id: call for call in journal.tools}

    async def act_in_span(call: Call, body: B) -> str:
        before = known.get(call.id)
        if before is not None and before.is_answered:
            return await act(call, body)
        attributes = {
            "gen_ai.operation.name": "execute_tool",
            "gen_ai.tool.name": call.name,
            "gen_ai.tool.type": "function",
            "gen_ai.tool.call.id": _id(call.id),
            "threadkeeper.tool.approval": before.approval if before is not None and before.approval else None,
        }
        with tracing.recorded(tracing.begin(f"execute_tool {call.name}", attributes)) as span:
            output = await act(call, body)
            if error := _error(output):
                span.fail(error)
            return output

    return act_in_span


def _id(value: str) -> str | None:
    return value if CALL_ID.fullmatch(value) else None


def _error(output: str) -> str:
    """Return the error's code in an output; tools of the site may have others, which are not recorded."""
    if '"ok": false' not in output:
        return ""
    try:
        found = json.loads(output)
    except ValueError:
        return ""
    if not isinstance(found, dict) or found.get("ok") is not False:
        return ""
    code = str(found.get("error"))
    return code if code in ERRORS or code in _codes(ThreadkeeperError) else "_OTHER"


def _codes(kind: type[ThreadkeeperError]) -> Iterator[str]:
    yield kind.code
    for special in kind.__subclasses__():
        yield from _codes(special)
