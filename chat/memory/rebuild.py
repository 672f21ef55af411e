"""Rebuild the memory of a conversation from its record: the items of the session, turn by turn."""

import json
import uuid
from collections.abc import Sequence
from dataclasses import dataclass

from django.db.models import Func, IntegerField, Sum

from chat.memory.adoption import Recorded, adopted, newest_first, remembered
from chat.memory.items import Item, repair, window
from chat.memory.statements import Fence
from chat.models import AgentSession
from chat.models.sql import select

LENGTH = Func("items", function="jsonb_array_length", output_field=IntegerField())

# The newest row of `remembered`, which every turn reads.
_LAST = """
SELECT t.seq, t.attempt, t.warning FROM chat_turn t JOIN chat_conversation c ON c.id = t.conversation_id
WHERE t.conversation_id = %(conversation)s AND t.seq < %(before)s AND t.seq > c.memory_from
    AND t.status IN ('done', 'failed', 'stopped') AND t.items <> '[]'
    AND t.superseded_by_id IS NULL
ORDER BY t.seq DESC LIMIT 1
"""


@dataclass(frozen=True, slots=True)
class LastTurn:
    """The newest turn whose items are in the session, and whether the store failed to take all of them."""

    fence: Fence
    is_missing: bool


@dataclass(frozen=True, slots=True)
class Rebuilt:
    """The items of a session from the record, and how many older ones the limit excluded."""

    items: list[Item]
    pruned: int


def last_turn(conversation_id: uuid.UUID, *, before: int) -> LastTurn | None:
    """Return the newest remembered turn with a lower `seq`, or None."""
    newest = select(_LAST, {"conversation": conversation_id, "before": before})
    if not newest:
        return None
    seq, attempt, warning = newest[0]
    return LastTurn(Fence(seq, attempt), warning == "context_unavailable")


def rebuild(conversation_id: uuid.UUID, *, before: int, limit: int, also: Sequence[Recorded] = ()) -> Rebuilt:
    """Return the items that a session should hold before a turn: those of the current turns in order, within the limit.

    Adopted items follow the turn after which they were added; `also` are items that are not adopted yet. Earlier
    versions are excluded, and so is everything before the conversation's `memory_from`.
    """
    taken: list[list[Item]] = []
    for recorded in newest_first(conversation_id, before, also):
        taken.append([item for _, item in recorded])
        if sum(map(len, taken)) > limit:
            break
    kept = window(repair([item for items in reversed(taken) for item in items]), limit)
    total: int | None = remembered(conversation_id, before).aggregate(total=Sum(LENGTH))["total"]
    brought = sum(len(json.loads(items)) for items in adopted(conversation_id, before).values_list("items", flat=True))
    return Rebuilt(kept, (total or 0) + brought + len(also) - len(kept))


def first_remembered(conversation_id: uuid.UUID) -> uuid.UUID | None:
    """Return the turn at which the assistant's memory begins; None if it is complete, or gone."""
    session = AgentSession.objects.filter(conversation=conversation_id, gone_at=None, pruned_count__gt=0)
    left = session.values_list("item_count", flat=True).first()
    begins = None
    if left is not None:
        turns = remembered(conversation_id).annotate(length=LENGTH).order_by("-seq")
        for turn_id, length in turns.values_list("pk", "length")[: left + 1]:
            left -= length
            if left < 0:
                break
            begins = turn_id
    return begins
