"""The events of a stream give the same text, wherever the client disconnects and resumes."""

import json
import random
import uuid
from datetime import UTC, datetime

import pytest

from chat.api.sse import EventPosition, EventStream, StreamEvent, position_of
from chat.read_models import MessageOut, ToolCallOut
from chat.tests.streams import Reader
from chat.turns.events import (
    ApprovalDecided,
    ApprovalRequested,
    Event,
    Snapshot,
    TextDelta,
    TurnFailed,
    TurnFinished,
    TurnQueued,
    TurnResumed,
    TurnStarted,
    TurnStopped,
    Warned,
    reply_id,
)
from chat.turns.follow import LogBatch
from chat.turns.log import READ_AT_ONCE, Entry, TurnLog

THREAD, TURN = uuid.uuid4(), uuid.uuid4()
PIECES = ("a", "\n\n", "id: 9-9\n", "“ü”", "🧵", "\r", "\u2028", '{"', "word " * 3)


def message(text: str) -> MessageOut:
    return MessageOut(reply_id(TURN), "assistant", text, datetime(2026, 1, 1, tzinfo=UTC), 2, TURN, None)


def log_of(*events: Event, attempt: int = 1) -> TurnLog:
    log = TurnLog(TURN, attempt)
    for event in events:
        log.append(event)
    return log


def batches_after(log: TurnLog, position: EventPosition) -> list[LogBatch]:
    """Return the batches that a follower at a position gets, as `follow` yields them from the log of one process."""
    if position.attempt not in (0, log.attempt) or position.n > log.n:
        return [LogBatch(log.attempt, [Entry(log.n, log.snapshot("running"))])]
    after = position.n if position.attempt else 0
    return [LogBatch(log.attempt, log.read(after))] if after < log.n else []


def events_after(log: TurnLog, position: EventPosition = EventPosition()) -> list[StreamEvent]:  # noqa: B008
    stream = EventStream(THREAD, TURN, position)
    return [event for batch in batches_after(log, position) for event in stream.events(batch)]


def read(events: list[StreamEvent]) -> Reader:
    reader = Reader()
    for event in events:
        reader.feed(event.encoded())
    return reader


def long_log(rng: random.Random, attempt: int) -> TurnLog:
    """Return a log in which some events withdraw text."""
    log = log_of(TurnQueued(), TurnStarted(), attempt=attempt)
    for _ in range(60):
        text = log.text
        if rng.random() < 0.1:
            at = rng.randint(0, len(text))
            log.append(TurnResumed(text[: rng.randint(at, len(text))], (), at))
            log.append(TextDelta(rng.choice(("", *PIECES)), at))
        elif rng.random() < 0.1:
            log.append(Warned("context_rebuilt"))
        else:
            log.append(TextDelta(rng.choice(PIECES), len(text)))
    return log


@pytest.mark.parametrize("seed", range(5))
def test_resuming_a_cut_stream_gives_the_same_text(seed: int) -> None:
    rng = random.Random(seed)
    log = long_log(rng, 1)
    reader = Reader()
    while reader.last_id != f"1-{log.n}":
        events = events_after(log, position_of(reader.last_id))
        for event in events[: rng.randint(0, len(events))]:
            reader.feed(event.encoded())
        if events:
            reader.feed(events[-1].encoded()[: rng.randint(0, 20)])
            reader.cut()
        elif reader.last_id:
            break  # the rest of the log has no events for API clients
    assert reader.text == log.text

    log = long_log(rng, 2)  # of another process, which resumed the turn
    log.append(TurnFinished(message(log.text), {}))
    for event in events_after(log, position_of(reader.last_id)):
        reader.feed(event.encoded())
    assert reader.text == log.text


def test_resumed_stream_sends_each_later_event_once() -> None:
    log = log_of(TurnStarted(), TextDelta("Hel", 0), TextDelta("lo", 3), TurnFinished(message("Hello"), {}))
    all_events = events_after(log)
    assert [(event.attempt, event.n, event.fields["type"]) for event in all_events] == [
        (1, 1, "message_start"),
        (1, 3, "content_delta"),
        (1, 4, "message_end"),
    ]
    assert events_after(log, EventPosition(1, 1)) == all_events[1:]
    assert [event.fields.get("delta") for event in events_after(log, EventPosition(1, 2))] == ["lo", None]
    assert events_after(log, EventPosition(1, 4)) == []


def test_unknown_event_id_gets_the_whole_stream() -> None:
    log = log_of(TurnStarted(), TextDelta("Hello", 0), attempt=2)
    for position in (EventPosition(1, 1), EventPosition(2, 99), EventPosition(3, 1)):
        events = events_after(log, position)
        assert [(event.n, event.fields["type"]) for event in events] == [(0, "message_start"), (2, "content_delta")]
        assert read(events).text == "Hello"
    # A stream that is cut between the two starts again.
    assert read(events_after(log, position_of("2-0"))).text == "Hello"


def test_withdrawn_text_restarts_the_message() -> None:
    log = log_of(TurnStarted(), TextDelta("Hello wor", 0), TurnResumed("Hello wor", (), 6), TextDelta("there", 6))
    reader = read(events_after(log))
    assert [event.type for event in reader.events] == [
        "message_start",
        "content_delta",
        "message_start",
        "content_delta",
        "content_delta",
    ]
    assert reader.events[3].data["delta"] == "Hello "
    assert reader.text == log.text == "Hello there"


def test_withheld_text_is_sent_at_the_end() -> None:
    start = (TurnStarted(), TurnResumed("Hello wor", (), 6))
    stopped = read(events_after(log_of(*start, TurnStopped(message("Hello wor")))))
    assert stopped.text == "Hello wor"
    refused = log_of(*start, TextDelta("Sorry.", 9))
    assert read(events_after(refused)).text == refused.text == "Hello worSorry."


def test_snapshots_send_only_added_text() -> None:
    stream = EventStream(THREAD, TURN, EventPosition())
    texts = ["", "Hel", "Hello", "Hello"]
    batches = [LogBatch(1, [Entry(0, Snapshot("running", text))]) for text in texts]
    batches += [LogBatch(2, [Entry(0, Snapshot("done", "Hi!", message=message("Hi!")))])]
    events = [event for batch in batches for event in stream.events(batch)]
    assert [(event.fields["type"], event.fields.get("delta")) for event in events] == [
        ("message_start", None),
        ("content_delta", "Hel"),
        ("content_delta", "lo"),
        ("message_start", None),
        ("content_delta", "Hi!"),
        ("message_end", None),
    ]
    assert read(events).text == "Hi!"
    assert stream.is_done


def test_long_snapshot_is_split_into_deltas() -> None:
    text = "x" * (2 * READ_AT_ONCE + 1)
    events = list(EventStream(THREAD, TURN, EventPosition()).events(LogBatch(1, [Entry(7, Snapshot("running", text))])))
    assert [event.n for event in events] == [0, 0, 0, 7]
    assert read(events).text == text


def test_approval_request_ends_the_stream() -> None:
    requests = [ApprovalRequested(name, "delete_tasks", {"numbers": [1]}) for name in ("a", "b")]
    log = log_of(TurnStarted(), *requests)
    stream = EventStream(THREAD, TURN, EventPosition())
    events = [event for batch in batches_after(log, EventPosition()) for event in stream.events(batch)]
    assert [event.fields.get("call_id") for event in events] == [None, "a", "b"]
    assert events[1].fields["name"] == "delete_tasks" and events[1].fields["arguments"] == {"numbers": [1]}
    assert stream.is_done

    # A decided call is not requested again.
    log.append(ApprovalDecided("a", approved=True, by="somebody"))
    assert [event.fields.get("call_id") for event in events_after(log)] == [None, "b"]
    # A client that has received the requests waits for the decisions.
    later = EventStream(THREAD, TURN, EventPosition(1, 3))
    assert [event for batch in batches_after(log, EventPosition(1, 3)) for event in later.events(batch)] == []
    assert not later.is_done


def test_snapshot_of_a_waiting_turn_repeats_the_approval_request() -> None:
    approved = ToolCallOut("a", "delete_tasks", {}, approval="approved", by="somebody")
    snapshot = Snapshot("waiting", "Shall I?", (approved, ToolCallOut("b", "delete_tasks", {}, approval="awaiting")))
    stream = EventStream(THREAD, TURN, EventPosition(1, 9))
    events = list(stream.events(LogBatch(1, [Entry(0, snapshot)])))
    assert [event.fields["type"] for event in events] == ["message_start", "content_delta", "approval_requested"]
    assert events[-1].fields["call_id"] == "b"
    assert stream.is_done


def test_last_event_reports_how_the_turn_ended() -> None:
    warning = {"code": "context_unavailable", "detail": "Context temporarily unavailable"}
    stopped = events_after(log_of(TurnQueued(), TurnStopped(None)))[-1]
    assert stopped.fields == {"type": "message_end", "message_id": None, "content": "", "status": "stopped"}
    done = events_after(log_of(TurnStarted(), TurnFinished(message("Hi"), {}, "context_unavailable")))[-1]
    assert done.fields["warning"] == warning and done.fields["status"] == "done"
    failed = events_after(log_of(TurnStarted(), TurnFailed("model_error", "No.", retryable=True)))[-1]
    error = {"code": "model_error", "detail": "No.", "retryable": True}
    assert failed.fields == {"type": "error", "error": error}
    late = EventStream(THREAD, TURN, EventPosition(1, 5))
    ends = list(late.events(LogBatch(1, [Entry(0, Snapshot("failed", "", code="model_error", detail="No."))])))
    assert ends[-1].fields == failed.fields and late.is_done


@pytest.mark.parametrize(
    "event_id", ["", "x", "1", "1-", "-1", "1-2-3", "99999999999-1", "4294967296-1", "١-١", "1.5-2"]
)
def test_invalid_event_id_counts_as_none(event_id: str) -> None:
    assert position_of(event_id) == EventPosition()


def test_valid_event_id_is_parsed() -> None:
    assert position_of(" 2-17 ") == EventPosition(2, 17)


def test_line_breaks_in_text_are_escaped() -> None:
    text = "a\u0085b\u2028c\u2029d\x0b\x0ce"
    sent = StreamEvent(1, 1, {"type": "content_delta", "delta": text}).encoded().decode()

    identifier, data, end = sent.splitlines()
    assert (identifier, end) == ("id: 1-1", "")
    assert json.loads(data.removeprefix("data: "))["delta"] == text
