"""Where a list of session items may be cut, and whether a model's API accepts it. Pure functions, used by all code that
cuts, reads or repairs sessions.

An item is a dict of the Responses API's input format. A user turn begins at a user's message and ends before the next.
Within a turn, a unit is the output of one model response together with the outputs of its calls: it is never split,
since a model's API refuses an output without its call, a call without its output, and a call without the reasoning
before it.
"""

from collections.abc import Collection, Mapping, Sequence
from itertools import accumulate
from typing import Any

Item = Mapping[str, Any]


def is_item(value: object) -> bool:
    """Return whether a stored value can be an item: it has a type or a role."""
    if not isinstance(value, Mapping):
        return False
    kind, role = value.get("type", "message"), value.get("role")
    if not isinstance(kind, str) or (kind == "message") != isinstance(role, str):
        return isinstance(kind, str) and kind != "message"
    return kind != "message" or isinstance(value.get("content"), str | list)


def is_user_message(item: Item) -> bool:
    """Return whether an item is a user's message."""
    return item.get("role") == "user" and item.get("type", "message") == "message"


def is_call(item: Item) -> bool:
    """Return whether an item is a call that needs an output."""
    kind = str(item.get("type", ""))
    return kind.endswith("_call") and "call_id" in item


def is_output(item: Item) -> bool:
    """Return whether an item is the output of a call."""
    return str(item.get("type", "")).endswith("_output") and "call_id" in item


def is_reasoning(item: Item) -> bool:
    """Return whether an item is a model's reasoning, which stays with the item after it."""
    return item.get("type") == "reasoning"


def turn_starts(items: Sequence[Item]) -> list[int]:
    """Return the indexes at which user turns begin."""
    return [index for index, item in enumerate(items) if is_user_message(item)]


def unit_starts(items: Sequence[Item], start: int, end: int) -> list[int]:
    """Return the indexes in [start, end) at which a unit begins: every call has its output, and all reasoning its next
    item.
    """
    starts = []
    open_calls: set[str] = set()
    for index in range(start, end):
        after_reasoning = index > start and is_reasoning(items[index - 1])
        if not open_calls and not after_reasoning and not is_output(items[index]):
            starts.append(index)
        if is_call(items[index]):
            open_calls.add(str(items[index]["call_id"]))
        elif is_output(items[index]):
            open_calls.discard(str(items[index]["call_id"]))
    return starts


def surplus(items: Sequence[Item], limit: int, sizes: Sequence[int] | None = None) -> list[int]:
    """Return the indexes to prune so that at most `limit` items stay: the oldest user turns, each as a whole.

    With `sizes`, one for each item, the sizes of the remaining items add up to at most `limit`. Of a single turn that
    is longer than the limit, the user's message and its newest units stay.
    """
    if (len(items) if sizes is None else sum(sizes)) <= limit:
        return []
    from_here = [*accumulate(reversed(sizes or [1] * len(items)), initial=0)][::-1]
    starts = turn_starts(items)
    for start in starts:
        if from_here[start] <= limit:
            return list(range(start))
    last = starts[-1] if starts else 0
    kept_head = 1 if starts else 0
    left = limit - (from_here[last] - from_here[last + kept_head])
    for start in unit_starts(items, last + kept_head, len(items)):
        if from_here[start] <= left:
            return [*range(last), *range(last + kept_head, start)]
    return [*range(last), *range(last + kept_head, len(items))]


def surplus_of_request(
    items: Sequence[Item], limit: int, sizes: Sequence[int], *, turns: int | None = None
) -> list[int]:
    """Return the indexes to leave out of a request so that the sizes of the rest add up to at most `limit`.

    A quarter more than necessary is left out, and stays left out: `turns` is how many user turns a shortened request
    held before. So the prefix of requests changes rarely, as endpoints that cache it require. The newest message stays,
    with the newest unit of its turn, even if these are longer than the limit.
    """
    starts = turn_starts(items)
    if turns is not None and sum(sizes) > limit and turns <= len(starts):
        begin = starts[-turns]
        if sum(sizes[begin:]) <= limit:
            return list(range(begin))
    gone = surplus(items, limit, sizes) and surplus(items, limit * 3 // 4, sizes)
    if gone and starts and gone[-1] > starts[-1]:  # the newest turn is shortened only as far as necessary
        gone = surplus(items, limit, sizes)
        units = unit_starts(items, starts[-1] + 1, len(items))
        gone = [index for index in gone if not units or index < units[-1]]
    return gone


def window(items: Sequence[Item], limit: int) -> list[Item]:
    """Return at most `limit` items, cut by the rule of `surplus`."""
    gone = set(surplus(items, limit))
    return [item for index, item in enumerate(items) if index not in gone]


def faults(items: Sequence[Item], *, awaiting: Collection[str] = ()) -> dict[int, str]:
    """Return the items that a model's API would refuse or misread: the reason by index; empty for a valid list.

    `awaiting` are the ids of calls that await the user's approval, which may have no output.
    """
    wrong = {index: "is no item" for index, item in enumerate(items) if not is_item(item)}
    wrong |= _unpaired(items, wrong, frozenset(awaiting))
    wrong |= _incomplete_responses(items, wrong)
    return wrong | _dangling_reasoning(items, wrong)


def repair(items: Sequence[Item], *, awaiting: Collection[str] = ()) -> list[Item]:
    """Return the items without the invalid ones; idempotent."""
    left = list(items)
    while wrong := faults(left, awaiting=awaiting):  # removing an item can make another one invalid
        left = [item for index, item in enumerate(left) if index not in wrong]
    return left


def _unpaired(items: Sequence[Item], wrong: Collection[int], awaiting: frozenset[str]) -> dict[int, str]:
    """Find outputs without an earlier call in their turn, calls without an output, and duplicate ids."""
    found: dict[int, str] = {}
    seen: set[str] = set()
    open_calls: dict[str, int] = {}
    for index, item in enumerate(items):
        if index in wrong:
            continue
        call_id = str(item.get("call_id"))
        if is_user_message(item):
            found |= dict.fromkeys(open_calls.values(), "is not answered in its turn")
            open_calls = {}
        elif is_call(item):
            if call_id in seen:
                found[index] = "repeats a call"
            else:
                seen.add(call_id)
                open_calls[call_id] = index
        elif is_output(item) and open_calls.pop(call_id, None) is None:
            found[index] = "answers no open call"
    unanswered = [index for call_id, index in open_calls.items() if call_id not in awaiting]
    return found | dict.fromkeys(unanswered, "is not answered")


def _incomplete_responses(items: Sequence[Item], wrong: Collection[int]) -> dict[int, str]:
    """Find the remaining reasoning and calls of a partly invalid response: an API accepts only complete ones."""
    found: dict[int, str] = {}
    run: list[int] = []
    for index, item in enumerate([*items, {"role": "user"}]):
        if index not in wrong and (is_user_message(item) or is_output(item)):
            reasoned = [place for place in run if place not in wrong and is_reasoning(items[place])]
            lost = [place for place in run if place in wrong and is_item(items[place]) and not is_output(items[place])]
            if reasoned and lost and reasoned[0] < lost[-1]:
                found |= {place: "belongs to a response of which part is lost" for place in run if place not in wrong}
            run = []
        else:
            run.append(index)
    return found


def _dangling_reasoning(items: Sequence[Item], wrong: Collection[int]) -> dict[int, str]:
    """Find reasoning without a following item, from the end so that chains of it are found."""
    found: dict[int, str] = {}
    after: Item | None = None
    for index in range(len(items) - 1, -1, -1):
        item = items[index]
        if index in wrong:
            # The item that followed the reasoning is removed as well.
            continue
        if is_reasoning(item) and (after is None or is_user_message(after) or is_output(after)):
            found[index] = "is reasoning that led to nothing"
        else:
            after = item
    return found
