"""A session is pruned only where the model's API accepts the rest."""

from typing import Any

import pytest
from agents.testing import ScriptedModel, assistant_message, function_call
from hypothesis import given
from hypothesis import strategies as st
from pytest_django import Settings

from chat.infra.db_threads import in_database
from chat.memory.configured import session_store
from chat.memory.identity import SessionId
from chat.memory.items import is_call, is_output, is_user_message, surplus, surplus_of_request, turn_starts, unit_starts
from chat.memory.pruning import prune
from chat.memory.rebuild import first_remembered
from chat.memory.statements import Append
from chat.models import AgentSession, Message, Turn
from chat.tests.conftest import Chat
from chat.tests.stores import EACH

Items = list[dict[str, Any]]


def user(text: str = "hi") -> Items:
    return [{"role": "user", "content": text}]


def reply(text: str = "hello") -> Items:
    return [{"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": text}]}]


def unit(number: int, calls: int = 1, *, reasoning: bool = False) -> Items:
    """Return one response with calls, and their outputs."""
    ids = [f"call_{number}_{n}" for n in range(calls)]
    return [
        *([{"type": "reasoning", "id": f"rs_{number}", "summary": []}] if reasoning else []),
        *({"type": "function_call", "call_id": call_id, "name": "f", "arguments": "{}"} for call_id in ids),
        *({"type": "function_call_output", "call_id": call_id, "output": "{}"} for call_id in ids),
    ]


@st.composite
def histories(draw: st.DrawFn) -> Items:
    items: Items = []
    for turn in range(draw(st.integers(1, 12))):
        items += user(f"turn {turn}")
        for step in range(draw(st.integers(0, 6))):
            items += unit(turn * 100 + step, draw(st.integers(1, 4)), reasoning=draw(st.booleans()))
        if draw(st.booleans()):
            items += [{"type": "reasoning", "id": f"rs_last_{turn}", "summary": []}] if draw(st.booleans()) else []
            items += reply()
    return items


def faults(items: Items) -> list[str]:
    """Return what a model's API would reject."""
    open_calls: set[str] = set()
    wrong = []
    for index, item in enumerate(items):
        if is_call(item):
            open_calls.add(item["call_id"])
        elif is_output(item):
            if item["call_id"] not in open_calls:
                wrong.append(f"{index}: an output without its call")
            open_calls.discard(item["call_id"])
        elif item.get("type") == "reasoning" and (index + 1 == len(items) or is_user_message(items[index + 1])):
            wrong.append(f"{index}: reasoning without what followed it")
    return wrong + [f"{call_id} is not answered" for call_id in open_calls]


@given(histories(), st.integers(4, 60))
def test_pruned_history_is_within_the_limit_and_well_formed(items: Items, limit: int) -> None:
    pruned = set(surplus(items, limit))
    remaining = [item for index, item in enumerate(items) if index not in pruned]

    assert len(remaining) <= limit
    assert not faults(remaining)
    assert not surplus(remaining, limit), "pruning again removes nothing"
    assert is_user_message(remaining[0])
    assert remaining[0]["content"].startswith("turn")


@given(histories(), st.data())
def test_request_fits_its_size_limit_unless_the_newest_items_exceed_it(items: Items, data: st.DataObject) -> None:
    sizes = data.draw(st.lists(st.integers(1, 50), min_size=len(items), max_size=len(items)))
    limit = data.draw(st.integers(0, sum(sizes)))

    pruned = set(surplus_of_request(items, limit, sizes))

    remaining = [index for index in range(len(items)) if index not in pruned]
    last = turn_starts(items)[-1]
    newest = [last, *range(([last + 1, *unit_starts(items, last + 1, len(items))])[-1], len(items))]
    assert set(newest) <= set(remaining)
    assert sum(sizes[index] for index in remaining) <= limit or remaining == newest
    assert not faults([items[index] for index in remaining])
    assert is_user_message(items[remaining[0]])


@given(histories(), st.integers(1, 20), st.integers(1, 400))
def test_request_keeps_its_start_as_long_as_it_fits(items: Items, turns: int, limit: int) -> None:
    sizes = [10] * len(items)
    starts = turn_starts(items)

    pruned = surplus_of_request(items, limit, sizes, turns=turns)

    if sum(sizes) <= limit:
        assert pruned == []
    elif turns <= len(starts) and (len(items) - starts[-turns]) * 10 <= limit:
        assert pruned == list(range(starts[-turns]))


@given(histories())
def test_oldest_turns_are_pruned_whole(items: Items) -> None:
    starts = turn_starts(items)
    for kept, start in enumerate(reversed(starts), start=1):
        limit = len(items) - start
        pruned = surplus(items, limit)
        assert pruned == list(range(start)), f"the newest {kept} turns fit"


def test_oversized_turn_keeps_its_message_and_newest_calls_with_outputs() -> None:
    items = user("old") + reply() + user("long") + unit(1) + unit(2, 3, reasoning=True) + unit(3) + reply()

    pruned = surplus(items, 5)

    remaining = [item for index, item in enumerate(items) if index not in pruned]
    assert remaining == user("long") + unit(3) + reply()


async def test_pruning_returns_the_number_of_removed_rows(each_store: str) -> None:
    store = session_store()
    await store.write(Append("a", None, user("1") + reply() + user("2") + reply()))
    await store.write(Append("b", None, user("other") + reply() + user() + reply()))

    assert await prune(store, "a", limit=3) == 2

    assert [row.item for row in await store.rows("a")] == user("2") + reply()
    assert len(await store.rows("b")) == 4
    await store.close()


@EACH
@pytest.mark.parametrize("turns", [6])
async def test_session_stays_within_its_limit_while_history_stays_complete(
    chat: Chat, script: ScriptedModel, settings: Settings, turns: int
) -> None:
    settings.AGENT_SESSION_MAX_MESSAGES = 10
    session_id = str(SessionId(chat.user.pk, chat.conversation_id))
    for n in range(turns):
        script.extend(
            [[function_call("create_task", {"title": f"Task {n}"}, call_id=f"call_{n}")], [assistant_message("Added.")]]
        )
        await chat.reply(f"Add task {n}")
        await chat.wait_until_idle()
        rows = await chat.runner.store.rows(session_id)
        assert len(rows) <= 10
        assert not faults([dict(row.item) for row in rows])

    metadata = await in_database(AgentSession.objects.get)
    assert (metadata.item_count, metadata.pruned_count) == (len(rows), turns * 4 - len(rows))
    assert await in_database(Message.objects.count) == turns * 2
    assert all(len(turn.items) == 4 for turn in await in_database(lambda: list(Turn.objects.all())))
    first = await in_database(lambda: Turn.objects.get(pk=str(first_remembered(chat.conversation_id))))
    assert first.seq == turns - len(rows) // 4 + 1, "the page shows where memory begins"
    call = script.last_call
    assert call is not None
    assert "no longer remembered" in (call.system_instructions or "")
