"""How many histories are broken when they are cut to a limit: as the SDK's sessions cut, and as ours do.

    uv run python -m benchmarks.history_limits

The histories are sound ones from the generator of the property tests (chat/tests/test_session_items.py), judged by its
judge: a model's API would refuse an output without its call, a call without its output, reasoning without what it led
to; and, since the whole history is known here, a part of a response without the reasoning before it. Prints the table
that docs/explanation/benchmarks-of-the-session-store.md keeps.
"""

import asyncio
import json
from collections import Counter
from typing import Any

from agents import Agent, RunConfig, Runner, SessionSettings, SQLiteSession
from agents.testing import ScriptedModel, assistant_message
from hypothesis import Phase, given
from hypothesis import settings as generate
from hypothesis import strategies as st

from chat.memory.items import is_call, is_output, is_reasoning, is_user_message, window
from chat.tests.test_session_items import Items, histories, malformed

EXAMPLES = 3000


def with_ids(history: Items) -> Items:
    """Give each item of a model an id of its own, so that it is known again after a cut."""
    return [item if "id" in item or is_output(item) else dict(item, id=f"item_{n}") for n, item in enumerate(history)]


def responses(history: Items) -> list[set[str]]:
    """Return the ids of what each response brought: its reasoning, and the calls or the message after it."""
    found: list[set[str]] = []
    before: dict[str, Any] = {"role": "user"}
    for item in history:
        if not is_user_message(item) and not is_output(item):
            goes_on = is_reasoning(before) or (is_call(before) and is_call(item))
            if not goes_on:
                found.append(set())
            found[-1].add(item["id"])
        before = item
    return found


def is_refused(history: Items, kept: Items) -> bool:
    """Return whether a model's API would refuse what is left of a sound history."""
    reasoning = {item["id"] for item in history if is_reasoning(item)}
    left = {item.get("id") for item in kept}
    torn = any(left & response and (reasoning & response) - left for response in responses(history))
    return torn or bool(malformed(kept))


async def cut_by_the_sdk(history: Items, limit: int) -> tuple[Items, Items]:
    """Return what its session gives for a limit, and what its runner then sends to the model."""
    session = SQLiteSession("history")
    try:
        await session.add_items(history)  # type: ignore[arg-type]
        given = await session.get_items(limit)
        model = ScriptedModel([[assistant_message("done")]])
        config = RunConfig(session_settings=SessionSettings(limit=limit), tracing_disabled=True)
        await Runner.run(Agent("reader", model=model), "go on", session=session, run_config=config)
    finally:
        session.close()
    sent = model.calls[-1].input
    assert not isinstance(sent, str)
    return list(given), list(sent[:-1])  # type: ignore[arg-type]


def main() -> None:
    """Generate histories, cut those that are longer than the limit, and print the counts."""
    broken: Counter[str] = Counter()
    seen: set[str] = set()

    @given(histories(), st.integers(4, 40))
    @generate(max_examples=EXAMPLES, deadline=None, database=None, derandomize=True, phases=[Phase.generate])
    def cut(drawn: Items, limit: int) -> None:
        history = with_ids(drawn)
        key = json.dumps([history, limit])
        if len(history) <= limit or key in seen:
            return
        seen.add(key)
        given, sent = asyncio.run(cut_by_the_sdk(history, limit))
        broken["given"] += is_refused(history, given)
        broken["sent"] += is_refused(history, sent)
        broken["ours"] += is_refused(history, [dict(item) for item in window(history, limit)])

    cut()
    print(f"{len(seen)} histories that are longer than their limit (4 to 40 items)\n")
    print("| cut | broken |\n|---|---|")
    print(f"| by `get_items(limit)` of the SDK's session | {broken['given']} |")
    print(f"| by `SessionSettings(limit=…)`, as the SDK's runner then sends it | {broken['sent']} |")
    print(f"| by ours | {broken['ours']} |")


if __name__ == "__main__":
    main()
