"""The memory of a conversation from its record: what the session was given, turn by turn."""

import uuid
from dataclasses import dataclass

from django.db.models import Func, IntegerField, Sum

from chat.memory.items import Item, repair, window
from chat.models import Conversation, Turn
from chat.models.turn import ACTIVE, TurnQuerySet


@dataclass(frozen=True, slots=True)
class LastTurn:
    """The newest turn that the session was given items of, and whether the store could not take all of them."""

    seq: int
    is_missing: bool


@dataclass(frozen=True, slots=True)
class Rebuilt:
    """A session's items from the record, and how many older ones were left out for its limit."""

    items: list[Item]
    pruned: int


def last_turn(conversation_id: uuid.UUID, *, before: int) -> LastTurn | None:
    """Return the newest remembered turn with a lower `seq`; None where nothing is to be remembered."""
    newest = _remembered(conversation_id, before).order_by("-seq").values_list("seq", "warning").first()
    return LastTurn(newest[0], newest[1] == "context_unavailable") if newest else None


def rebuild(conversation_id: uuid.UUID, *, before: int, limit: int) -> Rebuilt:
    """Return what the session should hold before a turn: the items of the current turns in order, within the limit.

    Turns that were tried again count no more, and nothing behind the conversation's `memory_from` does.
    """
    turns = _remembered(conversation_id, before)
    taken: list[list[Item]] = []
    for items in turns.order_by("-seq").values_list("items", flat=True).iterator(chunk_size=20):
        taken.append(items)
        if sum(map(len, taken)) > limit:
            break
    kept = window(repair([item for items in reversed(taken) for item in items]), limit)
    length = Func("items", function="jsonb_array_length", output_field=IntegerField())
    total: int | None = turns.aggregate(total=Sum(length))["total"]
    return Rebuilt(kept, (total or 0) - len(kept))


def _remembered(conversation_id: uuid.UUID, before: int) -> TurnQuerySet:
    memory_from = Conversation.objects.filter(pk=conversation_id).values("memory_from")
    ended = Turn.objects.filter(conversation=conversation_id, seq__lt=before, seq__gt=memory_from, retries=None)
    return ended.exclude(status__in=ACTIVE).exclude(items=[])
