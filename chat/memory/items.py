"""Where a list of session items may be cut. Pure functions; everything that cuts goes through them.

An item is a dict of the Responses API's input format. A user turn begins at a user's message and ends before the next.
Within a turn, a unit is what one model response brought with the outputs of its calls: it stays whole, since an output
without its call, a call without its output, or a call without the reasoning before it is refused by the model's API.
"""

from collections.abc import Mapping, Sequence
from typing import Any

Item = Mapping[str, Any]


def is_user_message(item: Item) -> bool:
    """Tell whether an item is something a person said."""
    return item.get("role") == "user" and item.get("type", "message") == "message"


def is_call(item: Item) -> bool:
    """Tell whether an item is a call that an output must answer."""
    kind = str(item.get("type", ""))
    return kind.endswith("_call") and "call_id" in item


def is_output(item: Item) -> bool:
    """Tell whether an item answers a call."""
    return str(item.get("type", "")).endswith("_output") and "call_id" in item


def turn_starts(items: Sequence[Item]) -> list[int]:
    """Return the indexes at which user turns begin."""
    return [index for index, item in enumerate(items) if is_user_message(item)]


def unit_starts(items: Sequence[Item], start: int, end: int) -> list[int]:
    """Return the indexes in [start, end) at which a unit begins: no call is open, no reasoning waits for more."""
    starts = []
    open_calls: set[str] = set()
    for index in range(start, end):
        after_reasoning = index > start and items[index - 1].get("type") == "reasoning"
        if not open_calls and not after_reasoning and not is_output(items[index]):
            starts.append(index)
        if is_call(items[index]):
            open_calls.add(str(items[index]["call_id"]))
        elif is_output(items[index]):
            open_calls.discard(str(items[index]["call_id"]))
    return starts


def surplus(items: Sequence[Item], limit: int) -> list[int]:
    """Return the indexes to prune so that at most `limit` items stay: whole user turns from the old end.

    Of one turn that is longer than the limit, the user's message and its newest units stay.
    """
    if len(items) <= limit:
        return []
    starts = turn_starts(items)
    for start in starts:
        if len(items) - start <= limit:
            return list(range(start))
    last = starts[-1] if starts else 0
    kept_head = 1 if starts else 0
    for start in unit_starts(items, last + kept_head, len(items)):
        if len(items) - start <= limit - kept_head:
            return [*range(last), *range(last + kept_head, start)]
    return [*range(last), *range(last + kept_head, len(items))]
