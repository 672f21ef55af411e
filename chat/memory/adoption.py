"""Items that only the session file has: found by comparing it with the record, and adopted into the record.

Another program may write to a session before its first turn or between two turns. A digest shows whether one has; only
then the two are compared. Items that it added are stored with the record, so that a rebuilt session has them again.
Items that it put in place of recorded ones are quarantined, and the session is rebuilt.
"""

import json
import uuid
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from difflib import SequenceMatcher
from typing import NamedTuple, TypeVar

from django.db.models import QuerySet

from chat.infra.storable import storable
from chat.memory.items import Item, faults, is_user_message
from chat.memory.quarantine import Suspect, quarantine, suspects_in
from chat.memory.statements import Row, Stored
from chat.models import AdoptedItems, Conversation, Turn
from chat.models.turn import ACTIVE, TurnQuerySet

T = TypeVar("T")

CHANGED = "is not what the record has in this place"


class Recorded(NamedTuple):
    """An item of the record, and the `seq` of the turn that it belongs to or follows."""

    turn: int
    item: Item


@dataclass(frozen=True, slots=True)
class Comparison:
    """How the items of a session differ from the record.

    `added` are those that only the session has, by the turn that they follow; `changed` the indexes of those that
    replaced others. `is_faithful` means that only pruned items are missing.
    """

    added: list[Recorded] = field(default_factory=list)
    changed: list[int] = field(default_factory=list)
    is_faithful: bool = True


def remembered(conversation_id: uuid.UUID, before: int = 2**31 - 1) -> TurnQuerySet:
    """Return the current turns before a turn, back to the last clear: the session has their items."""
    memory_from = Conversation.objects.filter(pk=conversation_id).values("memory_from")
    ended = Turn.objects.filter(conversation=conversation_id, seq__lt=before, seq__gt=memory_from, superseded_by=None)
    return ended.exclude(status__in=ACTIVE).exclude(items=[])


def adopted(conversation_id: uuid.UUID, before: int = 2**31 - 1) -> "QuerySet[AdoptedItems]":
    """Return the items that other programs added to a session, as far as a turn should remember them."""
    kept = AdoptedItems.objects.filter(conversation=conversation_id, is_forgotten=False)
    return kept.filter(after_turn=0) | kept.filter(after_turn__in=remembered(conversation_id, before).values("seq"))


def newest_first(conversation_id: uuid.UUID, before: int, also: Sequence[Recorded] = ()) -> Iterator[list[Recorded]]:
    """Return the items that a session should hold, from the newest to the oldest; each list is in chronological order.

    `also` are items to adopt.
    """
    brought: dict[int, list[Recorded]] = {}
    for row in adopted(conversation_id, before):
        items = (Recorded(row.after_turn, item) for item in json.loads(row.items))
        brought.setdefault(row.after_turn, []).extend(items)
    for recorded in also:
        brought.setdefault(recorded.turn, []).append(recorded)
    for seq, items in remembered(conversation_id, before).order_by("-seq").values_list("seq", "items").iterator():
        yield [*(Recorded(seq, item) for item in items), *brought.get(seq, ())]
    yield brought.get(0, [])


def compare(items: Sequence[Item], current: Sequence[Recorded], known: Iterable[Item]) -> Comparison:
    """Compare a session with the items that it should hold; `known` are all recorded items, including those of other
    versions.
    """
    ours, theirs = [_key(recorded.item) for recorded in current], [_key(item) for item in items]
    blocks = SequenceMatcher(None, ours, theirs, autojunk=False).get_opcodes()
    spare = Counter(map(_key, known))
    spare.subtract(key for tag, _, _, low, high in blocks if tag == "equal" for key in theirs[low:high])
    added: list[Recorded] = []
    changed: list[int] = []
    is_faithful = not items or not current
    for tag, begin, end, low, high in blocks:
        if tag == "equal":
            is_faithful = is_faithful or begin == 0 or is_user_message(items[low])
            continue
        if begin < end and (begin > 0 or end == len(ours)):
            is_faithful = False  # items are missing, and not the oldest ones
        for index in range(low, high):
            if spare[theirs[index]] > 0:
                spare[theirs[index]] -= 1
                is_faithful = False  # of another version, or in another order
            elif begin < end:
                changed.append(index)
            else:
                added.append(Recorded(current[begin - 1].turn if begin else 0, items[index]))
    return Comparison(added, changed, is_faithful and not changed)


def comparison(conversation_id: uuid.UUID, stored: Stored, rows: Sequence[Row], *, before: int) -> Comparison:
    """Compare the valid rows of a session with the record, and change nothing."""
    items = [row.item for row in rows]
    newest = list(_take(newest_first(conversation_id, before), 2 * len(items) + 100))
    current = [recorded for few in reversed(newest) for recorded in few]
    found = compare(items, current, _known(conversation_id, 4 * len(items) + 200))
    if stored.last is None and found.changed:
        # No turn has written to this session: all of it is another program's.
        last = current[-1].turn if current else 0
        found = Comparison([*found.added, *(Recorded(last, items[index]) for index in found.changed)], [], False)
    return found


def unknown(conversation_id: uuid.UUID, rows: Sequence[Row]) -> list[Row]:
    """Return the rows whose items are in no version of the record."""
    spare = Counter(map(_key, _known(conversation_id, 4 * len(rows) + 200)))
    found: list[Row] = []
    for row in rows:
        key = _key(row.item)
        spare[key] -= 1
        if spare[key] < 0:
            found.append(row)
    return found


def take_over(conversation_id: uuid.UUID, session_id: str, stored: Stored, *, before: int = 2**31 - 1) -> bool:
    """Store the items that only the session has: the valid ones in the record, the others in quarantine.

    Must be called while no turn of the conversation runs. Return whether the session can stay as it is; if so, it is
    sealed, and otherwise filled from the record.
    """
    wrong = faults(stored.items)
    rows = [row for index, row in enumerate(stored.rows) if index not in wrong]
    found = comparison(conversation_id, stored, rows, before=before)
    suspects = suspects_in(stored, stored.rows, wrong)
    suspects += [Suspect(rows[index].id, rows[index].item, CHANGED) for index in found.changed]
    if suspects:
        quarantine(session_id, suspects)
    adopt(conversation_id, found.added)
    return found.is_faithful and not suspects


def adopt(conversation_id: uuid.UUID, added: Sequence[Recorded]) -> None:
    """Store items with the record."""
    by_turn: dict[int, list[Item]] = {}
    for recorded in added:
        by_turn.setdefault(recorded.turn, []).append(recorded.item)
    AdoptedItems.objects.bulk_create(
        AdoptedItems(conversation_id=conversation_id, after_turn=turn, items=json.dumps(items))
        for turn, items in by_turn.items()
    )


def forget(conversation_id: uuid.UUID) -> None:
    """Exclude the items adopted so far from every rebuild."""
    AdoptedItems.objects.filter(conversation=conversation_id).update(is_forgotten=True)


def _known(conversation_id: uuid.UUID, enough: int) -> Iterator[Item]:
    """Return the newest items that the record has, of all versions, and all adopted items."""
    for items in AdoptedItems.objects.filter(conversation=conversation_id).values_list("items", flat=True):
        yield from json.loads(items)
    turns = Turn.objects.filter(conversation=conversation_id).exclude(items=[]).order_by("-seq")
    for few in _take(turns.values_list("items", flat=True).iterator(), enough):
        yield from few


def _take(lists: Iterator[list[T]], number: int) -> Iterator[list[T]]:
    """Return lists until they have that many members in total."""
    for few in lists:
        yield few
        number -= len(few)
        if number <= 0:
            return


def _key(item: Item) -> str:
    """Return a key that is the same for an item in the file and in the record, which cannot store all characters."""
    return json.dumps(storable(item), sort_keys=True)
