"""The content of a session as plain values: items with their outputs, messages, and the journal of each turn.

Only `sessions_admin.sessions.inspection` shows it to staff, because it records that in the audit.
"""

import json
import uuid
from collections import defaultdict
from collections.abc import Collection, Sequence
from dataclasses import dataclass, fields
from datetime import datetime
from typing import Any, Self

from chat.infra.storable import storable
from chat.memory.items import Item, faults, is_call, is_output, is_reasoning
from chat.memory.statements import BadRow, Stored
from chat.models import AdoptedItems, Conversation, Message, Quarantined, Turn, TurnStep
from chat.read_models import ToolCallOut, TurnOut, load_turns

NO_ITEM = "holds no item"


@dataclass(frozen=True, slots=True)
class InspectedItem:
    """An item; a call includes its output."""

    n: int  # position, from 1
    kind: str  # user, assistant, another role, reasoning, call, output, other or bad
    text: str  # readable text
    item: object  # of an invalid row, its data
    row_id: int | None = None  # None if it is not from the file
    fault: str = ""
    name: str = ""  # of the tool
    output: object = None
    output_n: int | None = None
    output_text: str = ""


@dataclass(frozen=True, slots=True)
class InspectedMessage:
    """One message of the conversation."""

    position: int
    role: str
    text: str
    created_at: datetime
    turn: int
    is_forgotten: bool  # by clearing
    begins_memory: bool  # older messages were pruned


@dataclass(frozen=True, slots=True)
class InspectedResponse:
    """One response of the model."""

    n: int
    output: object
    usage: dict[str, Any]
    duration_ms: int
    is_void: bool


@dataclass(frozen=True, slots=True)
class InspectedCall:
    """One executed tool call."""

    call_id: str
    name: str
    arguments: object
    decision: str
    decided_by: str
    output: str | None
    error: str | None
    at: datetime

    @classmethod
    def of(cls, call: ToolCallOut) -> Self:
        """Return what staff see of a call."""
        assert call.created_at is not None
        named = (call.call_id, call.name, call.arguments, call.approval or "", call.by or "")
        return cls(*named, call.output, call.error, call.created_at)


@dataclass(frozen=True, slots=True)
class InspectedTurn:
    """The journal of one turn."""

    seq: int
    status: str
    attempt: int
    is_superseded: bool
    warning: str
    error_code: str
    error_detail: str
    usage: dict[str, Any] | None
    accepted_at: datetime
    started_at: datetime | None
    ended_at: datetime | None
    steps: list[InspectedResponse]
    calls: list[InspectedCall]
    items: list[InspectedItem]  # that the turn added to the session


SHARED = [field.name for field in fields(InspectedTurn) if field.name in TurnOut.__slots__]


@dataclass(frozen=True, slots=True)
class AdoptedBatch:
    """Items that another program wrote into the session file."""

    after_turn: int
    created_at: datetime
    is_forgotten: bool  # by clearing
    items: list[InspectedItem]


@dataclass(frozen=True, slots=True)
class QuarantinedRow:
    """A row in quarantine."""

    id: int
    row_id: int | None
    content: str
    reason: str
    created_at: datetime


def stored_entries(stored: Stored, *, awaiting: Collection[str] = ()) -> list[InspectedItem]:
    """Return the items in the store, including invalid rows, in order."""
    wrong = faults(stored.items, awaiting=awaiting)
    good = {row.id: (row.id, row.item, wrong.get(index, "")) for index, row in enumerate(stored.rows)}
    rows: dict[int, tuple[int, Item | BadRow, str]] = {**good, **{row.id: (row.id, row, NO_ITEM) for row in stored.bad}}
    return _pair_outputs([rows[row_id] for row_id in sorted(rows)])


def entries(items: Sequence[Item]) -> list[InspectedItem]:
    """Return items that are not from the file."""
    return _pair_outputs([(None, item, "") for item in items])


def _pair_outputs(rows: Sequence[tuple[int | None, Item | BadRow, str]]) -> list[InspectedItem]:
    answers: dict[str, int] = {}
    calls: set[str] = set()
    for index, (_, item, fault) in enumerate(rows):
        if isinstance(item, BadRow) or fault:
            continue
        if is_call(item):
            calls.add(str(item["call_id"]))
        elif is_output(item) and str(item["call_id"]) in calls:
            answers.setdefault(str(item["call_id"]), index)
    paired = set(answers.values())
    shown = []
    for index, (row_id, item, fault) in enumerate(rows):
        if index in paired:
            continue
        answer = None if fault or isinstance(item, BadRow) or not is_call(item) else answers.get(str(item["call_id"]))
        output = None if answer is None else rows[answer][1]
        assert not isinstance(output, BadRow)
        shown.append(_entry(index + 1, item, row_id, fault, output, None if answer is None else answer + 1))
    return shown


def _entry(
    n: int, raw: Item | BadRow, row_id: int | None, fault: str, output: Item | None, output_n: int | None
) -> InspectedItem:
    if isinstance(raw, BadRow):
        return InspectedItem(n, "bad", storable(raw.data), storable(raw.data), row_id, fault)
    item, output = storable(raw), storable(output)  # half a surrogate pair can be stored there, but not shown
    return InspectedItem(
        n=n,
        kind=_kind(item),
        text=_text(item),
        item=item,
        row_id=row_id,
        fault=fault,
        name=str(item.get("name") or item.get("type", "")) if is_call(item) else "",
        output=output,
        output_n=output_n,
        output_text=_text(output) if output is not None else "",
    )


def _kind(item: Item) -> str:
    if is_call(item):
        return "call"
    if is_output(item):
        return "output"
    if is_reasoning(item):
        return "reasoning"
    return str(item.get("role", "other"))


def _text(item: Item) -> str:
    """Return the readable text of an item; for an unknown type, its JSON."""
    for field in ("content", "summary", "output", "arguments"):
        value = item.get(field)
        if isinstance(value, str) and value:
            return value
        if isinstance(value, list) and value:
            parts = [str(part.get("text") or part.get("refusal") or "") for part in value if isinstance(part, dict)]
            if any(parts):
                return "\n".join(parts)
    if is_reasoning(item):
        return "(the model does not disclose its reasoning)"
    return "" if "content" in item else json.dumps(item, ensure_ascii=False)


# From PostgreSQL.


def messages_of(conversation: Conversation, *, begins_at: object, newest: int | None) -> list[InspectedMessage]:
    """Return the messages of a conversation in order; `begins_at` is the first turn in memory."""
    messages = Message.objects.filter(conversation=conversation, position__isnull=False).select_related("turn")
    shown: list[InspectedMessage] = []
    has_begun = begins_at is None
    rows = messages.order_by("-position")
    for message in list(rows if newest is None else rows[:newest])[::-1]:
        begins = not has_begun and message.turn_id == begins_at
        has_begun = has_begun or begins
        is_forgotten = message.turn.seq <= conversation.memory_from
        place = message.position or 0
        of_message = message.role, message.text, message.created_at, message.turn.seq
        shown.append(InspectedMessage(place, *of_message, is_forgotten, begins))
    return shown


def journal_of(conversation: Conversation, *, newest: int | None) -> list[InspectedTurn]:
    """Return the journal of each turn in order."""
    turns = load_turns(Turn.objects.filter(conversation=conversation).order_by("-seq")[:newest])[::-1]
    ids = [turn.id for turn in turns]
    items = dict(Turn.objects.filter(pk__in=ids).values_list("pk", "items"))
    steps: defaultdict[uuid.UUID, list[InspectedResponse]] = defaultdict(list)
    for step in TurnStep.objects.filter(turn__in=ids).order_by("n"):
        response = InspectedResponse(step.n, step.output, step.usage, step.duration_ms, step.is_void)
        steps[step.turn_id].append(response)
    return [
        InspectedTurn(
            **{name: getattr(turn, name) for name in SHARED},
            steps=steps[turn.id],
            calls=[InspectedCall.of(call) for call in turn.tools],
            items=entries(items[turn.id]),
        )
        for turn in turns
    ]


def adopted_batches(conversation: Conversation) -> list[AdoptedBatch]:
    """Return the items that other programs wrote into a session, in order."""
    rows = AdoptedItems.objects.filter(conversation=conversation)
    return [
        AdoptedBatch(row.after_turn, row.created_at, row.is_forgotten, entries(json.loads(row.items))) for row in rows
    ]


def quarantined_rows(session_id: str) -> list[QuarantinedRow]:
    """Return a session's rows in quarantine, the newest first."""
    rows = Quarantined.objects.filter(session_id=session_id).order_by("-pk")
    return [QuarantinedRow(row.pk, row.row_id, row.content, row.reason, row.created_at) for row in rows]
