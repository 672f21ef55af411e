"""Count the histories that become invalid when the SDK's sessions or ours cut them to a limit.

    uv run python -m benchmarks.history_limits

The valid histories come from the generator of the property tests (chat/tests/test_session_items.py), and its check is
used: a model's API rejects an output without its call, a call without its output, and reasoning without the item after
it; and, since the whole history is known here, a part of a response without the reasoning before it. Prints the table
of docs/explanation/benchmarks-of-the-session-store.md.
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
    """Give each item of the model a unique id, so that it can be identified after a cut."""
    return [item if "id" in item or is_output(item) else dict(item, id=f"item_{n}") for n, item in enumerate(history)]


def responses(history: Items) -> list[set[str]]:
    """Return the item ids of each response: its reasoning, and the calls or the message after it."""
    found: list[set[str]] = []
    before: dict[str, Any] = {"role": "user"}
    for item in history:
        if not is_user_message(item) and not is_output(item):
            is_continued = is_reasoning(before) or (is_call(before) and is_call(item))
            if not is_continued:
                found.append(set())
            found[-1].add(item["id"])
        before = item
    return found


def is_rejected(history: Items, kept: Items) -> bool:
    """Return whether a model's API would reject the rest of a valid history."""
    reasoning = {item["id"] for item in history if is_reasoning(item)}
    left = {item.get("id") for item in kept}
    is_split = any(left & response and (reasoning & response) - left for response in responses(history))
    return is_split or bool(malformed(kept))


async def cut_by_the_sdk(history: Items, limit: int) -> tuple[Items, Items]:
    """Return the items of the SDK's session for a limit, and the input that its runner then sends to the model."""
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
    """Generate histories, cut those longer than the limit, and print the counts."""
    broken: Counter[str] = Counter()
    seen: set[str] = set()

    @given(histories(), st.integers(4, 40))
    @generate(max_examples=EXAMPLES, deadline=None, database=None, derandomize=True, phases=[Phase.generate])
    def cut(generated: Items, limit: int) -> None:
        history = with_ids(generated)
        key = json.dumps([history, limit])
        if len(history) <= limit or key in seen:
            return
        seen.add(key)
        given, sent = asyncio.run(cut_by_the_sdk(history, limit))
        broken["given"] += is_rejected(history, given)
        broken["sent"] += is_rejected(history, sent)
        broken["ours"] += is_rejected(history, [dict(item) for item in window(history, limit)])

    cut()
    print(f"{len(seen)} histories that are longer than their limit (4 to 40 items)\n")
    print("| cut | broken |\n|---|---|")
    print(f"| by `get_items(limit)` of the SDK's session | {broken['given']} |")
    print(f"| by `SessionSettings(limit=…)`, as the SDK's runner then sends it | {broken['sent']} |")
    print(f"| by ours | {broken['ours']} |")


if __name__ == "__main__":
    main()
