"""A follower of a turn gets every entry once, in order, from its position."""

import asyncio
import uuid
from datetime import UTC, datetime

import pytest

from chat.read_models import MessageOut, ToolCallOut
from chat.turns.events import (
    ReasoningDelta,
    Snapshot,
    TextDelta,
    ToolFinished,
    ToolStarted,
    TurnFinished,
    TurnResumed,
    TurnStarted,
)
from chat.turns.follow import LogBatch, follow
from chat.turns.log import READ_AT_ONCE, Entry, TurnLog, TurnLogs

MESSAGE = MessageOut(uuid.uuid4(), "assistant", "", datetime(2026, 1, 1, tzinfo=UTC), 2, uuid.uuid4(), None)


def log_with(*texts: str) -> TurnLog:
    log = TurnLog(uuid.uuid4(), 1)
    log.append(TurnStarted())
    for text in texts:
        log.append(TextDelta(text, len(log.text)))
    return log


def test_adjoining_deltas_are_merged_under_the_last_number() -> None:
    log = log_with("a", "b", "ç🧵")

    assert log.read(0) == [Entry(1, TurnStarted()), Entry(4, TextDelta("abç🧵", 0))]
    assert log.read(2) == [Entry(4, TextDelta("bç🧵", 1))]
    assert log.read(4) == []


def test_deltas_around_a_tool_call_are_not_merged() -> None:
    log = log_with("a")
    log.append(ToolStarted("c", "get_task", {}))
    log.append(ToolFinished("c", "{}"))
    log.append(TextDelta("b", 1))

    assert [entry.n for entry in log.read(1)] == [2, 3, 4, 5]


def test_long_text_is_read_in_parts() -> None:
    log = log_with(*["x" * 1000] * 100)

    seen, after = "", 0
    while entries := log.read(after):
        after = entries[-1].n
        parts = [entry.event.text for entry in entries if isinstance(entry.event, TextDelta)]
        assert sum(map(len, parts)) <= READ_AT_ONCE + 1000
        seen += "".join(parts)
    assert seen == "x" * 100_000


def test_resumed_text_is_truncated_and_continued() -> None:
    log = log_with("kept ", "lost")
    log.append(TurnResumed(log.text, (), 5))
    log.append(TextDelta("found", 5))

    assert log.text == "kept found"


def test_snapshot_of_a_resumed_turn_includes_earlier_text_and_tool_calls() -> None:
    log, done = TurnLog(uuid.uuid4(), 2), ToolCallOut("c", "get_task", output="out")
    log.append(TurnResumed("kept lost", (done,), 5))
    log.append(TextDelta("found", 5))

    assert log.snapshot("running") == Snapshot("running", "kept found", (done,))


def test_reasoning_is_kept_apart_from_text_and_its_deltas_are_merged() -> None:
    log = TurnLog(uuid.uuid4(), 1)
    for event in (ReasoningDelta("Hm", 0), ReasoningDelta(", yes.", 2), TextDelta("Hel", 0), TextDelta("lo", 3)):
        log.append(event)

    assert [entry.event for entry in log.read(0)] == [ReasoningDelta("Hm, yes.", 0), TextDelta("Hello", 0)]
    assert (log.snapshot("running").text, log.snapshot("running").reasoning) == ("Hello", "Hm, yes.")


def test_snapshot_holds_text_and_tool_calls() -> None:
    log = log_with("hello")
    log.append(ToolStarted("c", "get_task", {"number": 1}))
    log.append(ToolFinished("c", "out"))

    snapshot = log.snapshot("running")

    assert snapshot.text == "hello"
    assert snapshot.tools == (ToolCallOut("c", "get_task", {"number": 1}, "out"),)


@pytest.mark.parametrize("after", [0, 1, 3])
async def test_follower_gets_new_entries_and_then_the_end(after: int) -> None:
    logs = TurnLogs()
    log = logs.open(uuid.uuid4(), 1)
    log.running = True
    for event in log_with("a", "b")._events:
        log.append(event)
    received: list[Entry] = []

    async def watch() -> None:
        async for seen in follow(logs, log.turn_id, attempt=1, after=after):
            received.extend(seen.entries)

    watching = asyncio.create_task(watch())
    await asyncio.sleep(0)
    log.append(TextDelta("c", 2))
    log.append(TurnFinished(MESSAGE, {}))
    await watching

    text = "".join(entry.event.text for entry in received if isinstance(entry.event, TextDelta))
    assert text == "abc"[max(after - 1, 0) :]
    assert received[-1].event == TurnFinished(MESSAGE, {})
    assert received[-1].n == 5


@pytest.mark.parametrize(("attempt", "after"), [(1, 99), (2, 1)])
async def test_unknown_attempt_or_position_is_answered_with_a_snapshot(attempt: int, after: int) -> None:
    logs = TurnLogs()
    log = logs.open(uuid.uuid4(), 1)
    log.running = True
    log.append(TurnStarted())
    log.append(TextDelta("so far", 0))

    first: LogBatch | None = None
    async for seen in follow(logs, log.turn_id, attempt=attempt, after=after):
        first = seen
        break

    assert first is not None
    assert first.entries == [Entry(2, log.snapshot("running"))]


async def test_follower_at_the_end_gets_nothing_more() -> None:
    logs = TurnLogs()
    log = logs.open(uuid.uuid4(), 1)
    log.running = True
    log.append(TurnFinished(MESSAGE, {}))

    assert [seen async for seen in follow(logs, log.turn_id, attempt=1, after=1)] == []
