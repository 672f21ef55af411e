"""The journal of a turn: everything that reached it from outside, written before it has an effect.

An interrupted turn is replayed from it: steps answer complete responses, and calls answer tools.
"""

import json
import logging
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC
from typing import TYPE_CHECKING, Any

from django.db import DatabaseError, InterfaceError, transaction
from django.utils import timezone
from psycopg.errors import IdleInTransactionSessionTimeout
from psycopg.types.json import Jsonb

from chat.assistant.context import Call, Effect, KeptCall
from chat.assistant.endpoints.request_size import Sent
from chat.assistant.model_config import configured
from chat.exceptions import ThreadkeeperError, TurnLost
from chat.infra.database_limits import is_transient
from chat.infra.json_text import refuse_constant
from chat.infra.storable import storable
from chat.memory.items import Item
from chat.models.task import TaskChange
from chat.models.turn import SUPERSEDED, Decision, ToolCall, Turn, TurnStep
from chat.read_models import ToolCallOut
from chat.turns.lease import IS_LEASED, Lease

if TYPE_CHECKING:  # not else: the worker, which knows turns and runs none, would wait two seconds for the SDK
    from agents.items import ModelResponse

logger = logging.getLogger(__name__)

_RECORD = f"""
INSERT INTO chat_turnstep (
    turn_id, n, output, usage, sent_estimate, sent_turns, duration_ms, model, input_tokens, output_tokens, cost,
    created_at
)
SELECT id, %(n)s, %(output)s, %(usage)s, %(sent_estimate)s, %(sent_turns)s, %(duration_ms)s, %(model)s,
    %(input_tokens)s, %(output_tokens)s, %(cost)s, %(now)s
FROM chat_turn WHERE {IS_LEASED} FOR NO KEY UPDATE
ON CONFLICT (turn_id, n) DO UPDATE SET output = excluded.output, usage = excluded.usage,
    sent_estimate = excluded.sent_estimate, sent_turns = excluded.sent_turns,
    duration_ms = excluded.duration_ms, model = excluded.model, input_tokens = excluded.input_tokens,
    output_tokens = excluded.output_tokens, cost = excluded.cost, created_at = excluded.created_at, is_void = false
    WHERE chat_turnstep.is_void
"""  # noqa: S608 - our own words
# The day's sum is written with the step, so that neither is counted without the other.
_RECORD_AND_COUNT = f"""
WITH step AS ({_RECORD} RETURNING turn_id)
INSERT INTO chat_modelusage (user_id, day, model, responses, input_tokens, output_tokens, cost)
SELECT t.user_id, %(day)s, %(model)s, 1, %(input_tokens)s, %(output_tokens)s, %(cost)s
FROM step JOIN chat_turn t ON t.id = step.turn_id
ON CONFLICT (user_id, day, model) DO UPDATE SET responses = chat_modelusage.responses + 1,
    input_tokens = chat_modelusage.input_tokens + excluded.input_tokens,
    output_tokens = chat_modelusage.output_tokens + excluded.output_tokens,
    cost = CASE WHEN excluded.cost IS NULL THEN chat_modelusage.cost
        ELSE coalesce(chat_modelusage.cost, 0) + excluded.cost END
"""  # noqa: S608 - our own words
# Between the texts of several responses of a turn.
SEPARATOR = "\n\n"
_IS_UNKNOWN = "This was cut off. Whether it was done is not known; it is not done again."
CUT_OFF = json.dumps({"ok": False, "error": "cut_off", "detail": _IS_UNKNOWN})
TOO_SLOW = Effect({"ok": False, "error": "too_slow", "detail": "This took longer than 10 seconds and was undone."})
TOOL_ERROR = Effect({"ok": False, "error": "tool_error", "detail": "The tool failed."})
NOT_RUN = json.dumps({"ok": False, "error": "not_run", "detail": "The turn ended before this was done."})


@dataclass(frozen=True, slots=True)
class Step:
    """One complete response: its output items as the API returned them, and its tokens."""

    output: list[dict[str, Any]]
    usage: dict[str, int]
    sent: Sent | None = None

    @property
    def text(self) -> str:
        """The text of the reply."""
        parts = [part for item in self.output if item.get("type") == "message" for part in item.get("content", [])]
        return "".join(str(part.get("text") or part.get("refusal") or "") for part in parts)

    @property
    def reasoning(self) -> str:
        """The readable reasoning."""
        items = [item for item in self.output if item.get("type") == "reasoning"]
        parts = [part for item in items for part in item.get("summary") or item.get("content") or ()]
        return join_texts([str(part.get("text") or "") for part in parts])


@dataclass(frozen=True, slots=True)
class Journal:
    """The journal of a turn so far."""

    steps: list[Step]
    tools: tuple[ToolCallOut, ...]

    @property
    def text(self) -> str:
        """The text of all complete responses, as the page shows it."""
        return join_texts([step.text for step in self.steps])

    @property
    def reasoning(self) -> str:
        """The reasoning of all complete responses, as the page shows it."""
        return join_texts([step.reasoning for step in self.steps])

    @property
    def usage(self) -> dict[str, int]:
        """The tokens that all complete responses took."""
        return dict(sum((Counter(step.usage) for step in self.steps), Counter()))

    @property
    def done(self) -> frozenset[str]:
        """The ids of the calls that were answered."""
        return frozenset(call.call_id for call in self.tools if call.is_answered)

    @property
    def settled(self) -> frozenset[str]:
        """The ids of the calls that need no approval any more."""
        return frozenset(call.call_id for call in self.tools if not call.is_awaiting)


def join_texts(texts: Sequence[str]) -> str:
    """Join the texts of several responses of a turn."""
    return SEPARATOR.join(text for text in texts if text)


def load(turn: Turn) -> Journal:
    """Read a turn's journal."""
    steps = [
        Step(step.output, step.usage, sent_of(step.sent_estimate, step.usage.get("input_tokens"), step.sent_turns))
        for step in TurnStep.objects.filter(turn=turn, is_void=False)
    ]
    return Journal(steps, tuple(ToolCallOut.of(call) for call in ToolCall.objects.filter(turn=turn)))


def record_step(
    lease: Lease, *, n: int, response: "ModelResponse", duration_ms: int, sent: Sent | None = None, model: str = ""
) -> None:
    """Journal a complete response with its model and its cost, before any of its calls runs.

    The usage of a configured model is added to the user's day. Raise TurnLost.
    """
    config = next((config for config in configured() if config.name == model), None)
    usage = response.usage
    now = timezone.now()
    lease.write(
        _RECORD if config is None else _RECORD_AND_COUNT,
        n=n,
        model=model,
        day=now.astimezone(UTC).date(),
        input_tokens=usage.input_tokens,
        output_tokens=usage.output_tokens,
        cost=config.cost(usage.input_tokens, usage.output_tokens) if config else None,
        output=Jsonb(storable([item.model_dump(mode="json", exclude_unset=True) for item in response.output])),
        usage=Jsonb({"input_tokens": response.usage.input_tokens, "output_tokens": response.usage.output_tokens}),
        sent_estimate=sent.estimate if sent else None,
        sent_turns=sent.turns if sent else None,
        duration_ms=duration_ms,
        now=now,
    )


def sent_of(estimate: int | None, tokens: int | None, turns: int | None) -> Sent | None:
    """Return the request that a step answers, from the columns of its row; None if it was not counted."""
    return None if estimate is None else Sent(estimate, tokens or 0, turns)


def reset_cut_off(lease: Lease) -> None:
    """Reset the count of crashes of a turn that has completed a step. Raise TurnLost."""
    lease.write(f"UPDATE chat_turn SET cut_off = 0 WHERE {IS_LEASED}")  # noqa: S608 - our own words


def void_step(lease: Lease, *, n: int) -> None:
    """Mark a step that made the SDK raise, unless one of its calls has acted: a replay would fail in the same way.

    Raise TurnLost.
    """
    with transaction.atomic():
        lease.lock()
        for step in TurnStep.objects.filter(turn=lease.turn_id, n=n):
            calls = [item["call_id"] for item in step.output if item.get("call_id")]
            if not ToolCall.objects.filter(turn=lease.turn_id, call_id__in=calls).exists():
                step.is_void = True
                step.save(update_fields=["is_void"])


def perform(lease: Lease, call: Call, effect: Callable[[], Effect]) -> str:
    """Run a tool call and journal it in one transaction, or answer it from the journal.

    What the task list refuses becomes the output. Raise TurnLost, also if another call has the id, or
    one that was not approved.
    """
    try:
        return _perform(lease, call, effect)
    except DatabaseError as error:
        if not isinstance(error.__cause__, IdleInTransactionSessionTimeout):
            raise
        # Another try would end in the same way.
        return _perform(lease, call, lambda: TOO_SLOW)


def _perform(lease: Lease, call: Call, effect: Callable[[], Effect]) -> str:
    with transaction.atomic():
        known = _find_call(lease, call)
        if known.output is not None or known.error is not None:
            return known.output or known.error or ""
        done = _try_effect(call, effect)
        known.output, known.before = json.dumps(done.output, ensure_ascii=False), done.before
        known.save()
        if done.change_id is not None:
            TaskChange.objects.filter(pk=done.change_id).update(turn=lease.turn_id, call_id=call.id)
        return known.output


def begin(lease: Lease, call: Call) -> str | None:
    """Journal that a call is about to run outside of a transaction, or return its output.

    Until `complete`, the call has the output of an interrupted one, so that a replay does not run it again.
    Raise TurnLost as `perform` does.
    """
    with transaction.atomic():
        known = _find_call(lease, call)
        if known.output is not None or known.error is not None:
            return known.output or known.error or ""
        known.error = CUT_OFF
        known.save()
        return None


def complete(lease: Lease, call: Call, output: str) -> str:
    """Store the output of a call that has begun, and return it as stored. Raise TurnLost."""
    output = storable(output)
    with transaction.atomic():
        lease.lock()
        ToolCall.objects.filter(turn=lease.turn_id, call_id=call.id).update(output=output, error=None)
    return output


def _find_call(lease: Lease, call: Call) -> ToolCall:
    """Lock the turn, and return what is known of a call of it, or a new one. Raise TurnLost."""
    arguments = parse_arguments(call.arguments)
    lease.lock()
    fresh = ToolCall(turn_id=lease.turn_id, call_id=call.id, name=call.name, arguments=arguments)
    known = ToolCall.objects.filter(turn=lease.turn_id, call_id=call.id).first() or fresh
    if (known.name, known.arguments) != (call.name, arguments):
        raise TurnLost("The journal holds another call of this id.")
    if known.decision == Decision.AWAITING:
        raise TurnLost("Nobody has decided about this call.")
    return known


def _try_effect(call: Call, effect: Callable[[], Effect]) -> Effect:
    try:
        with transaction.atomic():  # so that what a refused effect has begun is undone
            return effect()
    except ThreadkeeperError as refusal:
        return Effect({"ok": False, "error": refusal.code, "detail": refusal.detail})
    except DatabaseError as error:
        if is_transient(error) or isinstance(error.__cause__, IdleInTransactionSessionTimeout):
            raise
        logger.warning("What a tool call asked for cannot be stored: %s", type(error.__cause__).__name__)
        return Effect({"ok": False, "error": "invalid", "detail": "This cannot be stored."})
    except InterfaceError:  # the connection is closed
        raise
    except Exception:
        logger.exception("The tool %s failed.", call.name)
        return TOOL_ERROR


def save_text(lease: Lease, text: str, reasoning: str) -> None:
    """Save the reply and the reasoning so far, for the process that takes over after a crash. Raise TurnLost."""
    statement = f"UPDATE chat_turn SET text = %(text)s, reasoning = %(reasoning)s WHERE {IS_LEASED}"  # noqa: S608 - our own words
    lease.write(statement, text=text, reasoning=reasoning)


def copy_journal(source: Turn, target: Turn) -> None:
    """Copy to a retry the journal of the turn it retries, so that no complete response is requested or executed again.

    Calls without a decision are asked about again.
    """
    for step in source.steps.filter(is_void=False):
        step.pk, step.turn = None, target
        # It was paid for once.
        step.input_tokens, step.output_tokens, step.cost = 0, 0, None
        step._state.adding = True
        step.save()
    for call in source.tool_calls.exclude(decided_by=SUPERSEDED):
        call.pk, call.turn = None, target
        call._state.adding = True
        call.save()


def kept_calls(turn: Turn) -> list[KeptCall]:
    """Return the changes by the turns that a turn replaced, without those that are undone or its own."""
    own = set(turn.tool_calls.values_list("call_id", flat=True))
    calls: dict[str, ToolCall] = {}
    heirs = {turn.pk}
    while heirs:
        heirs = set(Turn.objects.filter(superseded_by__in=heirs).values_list("pk", flat=True))
        undone = TaskChange.objects.filter(turn__in=heirs).exclude(undone_at=None).values_list("call_id", flat=True)
        there = ToolCall.objects.filter(turn__in=heirs).exclude(call_id__in=undone)
        calls |= {call.call_id: call for call in there if call.changed_something}
    return [
        KeptCall(call.name, json.dumps(call.arguments, ensure_ascii=False), call.output or call.error or "")
        for call in sorted(calls.values(), key=lambda call: call.pk)
        if call.call_id not in own
    ]


def as_items(prompt: str, journal: Journal, *, partial: str = "") -> list[Item]:
    """Return the session items of a turn that was interrupted; calls that did not run get an output too."""
    items: list[Item] = [user_item(prompt)]
    outputs = {call.call_id: call.output or call.error or NOT_RUN for call in journal.tools}
    for step in journal.steps:
        items += step.output
        ids = [item["call_id"] for item in step.output if item.get("type") == "function_call"]
        items += [{"type": "function_call_output", "call_id": one, "output": outputs.get(one, NOT_RUN)} for one in ids]
    if partial:
        items.append(assistant_item(partial))
    return items


def user_item(text: str) -> Item:
    """Return a user's message as a session item."""
    return {"role": "user", "content": text}


def assistant_item(text: str) -> Item:
    """Return an assistant's message as a session item."""
    return {"role": "assistant", "content": text}


def parse_arguments(arguments: str) -> Any:
    """Return a call's arguments as they are stored."""
    try:
        return storable(json.loads(arguments or "{}", parse_constant=refuse_constant))
    except ValueError:
        return storable(arguments)
