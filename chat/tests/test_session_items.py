"""Items that a model's API would reject are found in a list and removed."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chat.memory.items import (
    faults,
    is_call,
    is_item,
    is_output,
    is_reasoning,
    is_user_message,
    repair,
    surplus,
    window,
)

Items = list[dict[str, Any]]

USER = {"role": "user", "content": "hi"}
REPLY = {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "hello"}]}
REASONING = {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "..."}


def call(call_id: str = "a") -> dict[str, Any]:
    return {"type": "function_call", "call_id": call_id, "name": "f", "arguments": "{}"}


def output(call_id: str = "a") -> dict[str, Any]:
    return {"type": "function_call_output", "call_id": call_id, "output": "{}"}


def other(text: str) -> dict[str, Any]:
    return {"role": "user", "content": text}


@pytest.mark.parametrize(
    "items",
    [
        [],
        [USER, REPLY],
        [USER, call(), output(), REPLY],
        [USER, call("a"), call("b"), output("b"), output("a"), REPLY],
        [USER, REASONING, call(), output(), REASONING, REPLY],
        [USER, REASONING, REASONING, call("a"), call("b"), output("a"), output("b")],
        [USER, {"type": "web_search_call", "id": "ws_1", "status": "completed"}, REPLY],
        [USER, {"type": "computer_call", "call_id": "c"}, {"type": "computer_call_output", "call_id": "c"}],
        [USER, other("and"), REPLY],
        [USER, REPLY, USER, REPLY],
    ],
)
def test_valid_list_is_unchanged(items: Items) -> None:
    assert faults(items) == {}
    assert repair(items) == items


@pytest.mark.parametrize(
    ("items", "repaired"),
    [
        ([USER, output(), REPLY], [USER, REPLY]),
        ([output(), USER, call(), REPLY], [USER, REPLY]),
        ([USER, call()], [USER]),
        ([USER, call(), other("x"), REPLY], [USER, other("x"), REPLY]),
        ([USER, call(), other("x"), output(), REPLY], [USER, other("x"), REPLY]),
        ([USER, output(), call(), output()], [USER, call(), output()]),
        ([USER, call(), output(), output(), REPLY], [USER, call(), output(), REPLY]),
        ([USER, call(), call(), output(), REPLY], [USER, call(), output(), REPLY]),
        ([USER, REASONING], [USER]),
        ([USER, REASONING, REASONING, other("x")], [USER, other("x")]),
        ([USER, REASONING, call(), REPLY], [USER]),
        ([USER, REASONING, call("a"), call("b"), output("b"), REPLY], [USER, REPLY]),
        ([USER, USER, USER, REPLY], [USER, USER, USER, REPLY]),
        ([USER, REASONING, USER, REPLY], [USER, USER, REPLY]),
        ([USER, {"foo": 1}, 3, None, [], {"type": 3}, {"role": "user"}, REPLY], [USER, REPLY]),
        ([USER, REASONING, output("zzz"), call(), output(), REPLY], [USER, REASONING, call(), output(), REPLY]),
    ],
)
def test_repair_removes_only_invalid_items(items: Items, repaired: Items) -> None:
    assert repair(items) == repaired
    assert faults(repaired) == {}


def test_call_awaiting_approval_may_lack_an_output() -> None:
    items = [USER, call("a"), call("b"), output("b")]

    assert list(faults(items)) == [1]
    assert faults(items, awaiting={"a"}) == {}
    assert repair(items, awaiting={"a"}) == items


# Random histories, valid and damaged; the long test has 10,000 of them.

IDS = st.sampled_from([f"call_{n}" for n in range(6)])
ANY_ITEM = st.one_of(
    st.builds(call, IDS),
    st.builds(output, IDS),
    st.just(USER),
    st.builds(other, st.sampled_from(["a", "b"])),
    st.just(REPLY),
    st.just(REASONING),
    st.sampled_from([{"type": "web_search_call", "id": "ws"}, {"type": "mcp_approval_request", "id": "m"}]),
    st.sampled_from(
        [{"foo": 1}, {"type": "message"}, {"role": "user"}, {"type": "function_call"}, None, 7, "text", []]
    ),
)


@st.composite
def _responses(draw: st.DrawFn, number: int) -> Items:
    ids = [f"c{number}_{n}" for n in range(draw(st.integers(0, 4)))]
    reasoning = [dict(REASONING, id=f"rs_{number}_{n}") for n in range(draw(st.integers(0, 2)))]
    if not ids:
        return [*reasoning, REPLY]
    answers = draw(st.permutations(ids))
    return [*reasoning, *map(call, ids), *map(output, answers)]


@st.composite
def histories(draw: st.DrawFn) -> Items:
    items: Items = []
    for turn in range(draw(st.integers(0, 8))):
        items.append(other(f"turn {turn}"))
        for step in range(draw(st.integers(0, 5))):
            items += draw(_responses(turn * 10 + step))
    return items


@st.composite
def damaged(draw: st.DrawFn) -> Items:
    items = list(draw(histories()))
    for _ in range(draw(st.integers(1, 6))):
        place = draw(st.integers(0, len(items)))
        damage = draw(st.integers(0, 2))
        if damage == 0 or not items:
            items.insert(place, draw(ANY_ITEM))
        elif damage == 1:
            del items[min(place, len(items) - 1)]
        else:
            items.insert(place, items[min(place, len(items) - 1)])
    return items


def malformed(items: Items) -> list[str]:
    """Return what is wrong, independently of the code under test."""
    wrong = []
    seen: dict[str, str] = {}
    for index, item in enumerate(items):
        if not is_item(item):
            wrong.append(f"{index} no item")
        elif is_call(item):
            wrong += [f"{index} call twice"] if item["call_id"] in seen else []
            seen[item["call_id"]] = "open"
        elif is_output(item):
            wrong += [f"{index} orphan"] if seen.get(item["call_id"]) != "open" else []
            seen[item["call_id"]] = "answered"
        elif is_reasoning(item):
            following = items[index + 1] if index + 1 < len(items) else None
            if following is None or is_user_message(following) or is_output(following):
                wrong.append(f"{index} reasoning alone")
    return wrong + [f"{call_id} open" for call_id, state in seen.items() if state == "open"]


def check_repair(items: Items, limit: int) -> None:
    repaired = [dict(item) for item in repair(items)]
    assert malformed(repaired) == []
    assert repair(repaired) == repaired, "a second repair changes nothing"
    pruned = [dict(item) for item in window(repaired, limit)]
    assert len(pruned) <= limit
    assert malformed(pruned) == []
    assert surplus(pruned, limit) == []
    for start in [index for index, item in enumerate(repaired) if is_user_message(item)]:
        assert malformed(repaired[:start]) == [], "a cut at the start of a turn"


@given(st.one_of(histories(), damaged(), st.lists(ANY_ITEM, max_size=30)), st.integers(4, 40))
@settings(max_examples=300, deadline=None)
def test_history_is_well_formed_after_repair_and_pruning(items: Items, limit: int) -> None:
    check_repair(items, limit)


@pytest.mark.long
@given(st.one_of(histories(), damaged(), st.lists(ANY_ITEM, max_size=30)), st.integers(4, 40))
@settings(max_examples=10_000, deadline=None)
def test_ten_thousand_histories_are_well_formed_after_repair(items: Items, limit: int) -> None:
    check_repair(items, limit)


@given(histories())
@settings(max_examples=100, deadline=None)
def test_valid_history_is_unchanged(items: Items) -> None:
    assert repair(items) == items
