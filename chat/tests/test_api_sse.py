"""The events of a stream, cut and gone on with anywhere, give one and the same text."""

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


def seen_by(log: TurnLog, place: EventPosition) -> list[LogBatch]:
    """Return what a follower is shown who has come to a place, as `follow` does of one process's log."""
    if place.attempt not in (0, log.attempt) or place.n > log.n:
        return [LogBatch(log.attempt, [Entry(log.n, log.snapshot("running"))])]
    after = place.n if place.attempt else 0
    return [LogBatch(log.attempt, log.read(after))] if after < log.n else []


def told(log: TurnLog, place: EventPosition = EventPosition()) -> list[StreamEvent]:  # noqa: B008
    stream = EventStream(THREAD, TURN, place)
    return [event for seen in seen_by(log, place) for event in stream.events(seen)]


def read(events: list[StreamEvent]) -> Reader:
    reader = Reader()
    for event in events:
        reader.feed(event.encoded())
    return reader


def long_log(chosen: random.Random, attempt: int) -> TurnLog:
    """A log whose text is taken back now and then."""
    log = log_of(TurnQueued(), TurnStarted(), attempt=attempt)
    for _ in range(60):
        text = log.text
        if chosen.random() < 0.1:
            at = chosen.randint(0, len(text))
            log.append(TurnResumed(text[: chosen.randint(at, len(text))], (), at))
            log.append(TextDelta(chosen.choice(("", *PIECES)), at))
        elif chosen.random() < 0.1:
            log.append(Warned("context_rebuilt"))
        else:
            log.append(TextDelta(chosen.choice(PIECES), len(text)))
    return log


@pytest.mark.parametrize("seed", range(5))
def test_cut_anywhere_and_gone_on_with_it_is_the_same_text(seed: int) -> None:
    chosen = random.Random(seed)
    log = long_log(chosen, 1)
    reader = Reader()
    while reader.last_id != f"1-{log.n}":
        events = told(log, position_of(reader.last_id))
        for event in events[: chosen.randint(0, len(events))]:
            reader.feed(event.encoded())
        if events:
            reader.feed(events[-1].encoded()[: chosen.randint(0, 20)])
            reader.cut()
        elif reader.last_id:
            break  # what is left of the log is of no interest to programs
    assert reader.text == log.text

    log = long_log(chosen, 2)  # of another process, which took the turn over
    log.append(TurnFinished(message(log.text), {}))
    for event in told(log, position_of(reader.last_id)):
        reader.feed(event.encoded())
    assert reader.text == log.text


def test_each_later_event_comes_once() -> None:
    log = log_of(TurnStarted(), TextDelta("Hel", 0), TextDelta("lo", 3), TurnFinished(message("Hello"), {}))
    whole = told(log)
    assert [(event.attempt, event.n, event.fields["type"]) for event in whole] == [
        (1, 1, "message_start"),
        (1, 3, "content_delta"),
        (1, 4, "message_end"),
    ]
    assert told(log, EventPosition(1, 1)) == whole[1:]
    assert [event.fields.get("delta") for event in told(log, EventPosition(1, 2))] == ["lo", None]
    assert told(log, EventPosition(1, 4)) == []


def test_an_id_that_is_not_known_any_more_is_answered_by_all_there_is() -> None:
    log = log_of(TurnStarted(), TextDelta("Hello", 0), attempt=2)
    for place in (EventPosition(1, 1), EventPosition(2, 99), EventPosition(3, 1)):
        events = told(log, place)
        assert [(event.n, event.fields["type"]) for event in events] == [(0, "message_start"), (2, "content_delta")]
        assert read(events).text == "Hello"
    # Cut between the two, everything is asked for again.
    assert read(told(log, position_of("2-0"))).text == "Hello"


def test_a_text_that_is_taken_back_begins_anew() -> None:
    log = log_of(TurnStarted(), TextDelta("Hello wor", 0), TurnResumed("Hello wor", (), 6), TextDelta("there", 6))
    reader = read(told(log))
    assert [event.type for event in reader.events] == [
        "message_start",
        "content_delta",
        "message_start",
        "content_delta",
        "content_delta",
    ]
    assert reader.events[3].data["delta"] == "Hello "
    assert reader.text == log.text == "Hello there"


def test_what_was_in_doubt_and_stays_is_told_in_the_end() -> None:
    begun = (TurnStarted(), TurnResumed("Hello wor", (), 6))
    stopped = read(told(log_of(*begun, TurnStopped(message("Hello wor")))))
    assert stopped.text == "Hello wor"
    refused = log_of(*begun, TextDelta("Sorry.", 9))
    assert read(told(refused)).text == refused.text == "Hello worSorry."


def test_of_snapshots_only_what_is_added_is_told() -> None:
    stream = EventStream(THREAD, TURN, EventPosition())
    texts = ["", "Hel", "Hello", "Hello"]
    seen = [LogBatch(1, [Entry(0, Snapshot("running", text))]) for text in texts]
    seen += [LogBatch(2, [Entry(0, Snapshot("done", "Hi!", message=message("Hi!")))])]
    events = [event for one in seen for event in stream.events(one)]
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


def test_very_much_text_is_told_in_parts() -> None:
    text = "x" * (2 * READ_AT_ONCE + 1)
    events = list(EventStream(THREAD, TURN, EventPosition()).events(LogBatch(1, [Entry(7, Snapshot("running", text))])))
    assert [event.n for event in events] == [0, 0, 0, 7]
    assert read(events).text == text


def test_a_turn_that_asks_is_told_until_then() -> None:
    asks = [ApprovalRequested(name, "delete_tasks", {"numbers": [1]}) for name in ("a", "b")]
    log = log_of(TurnStarted(), *asks)
    stream = EventStream(THREAD, TURN, EventPosition())
    events = [event for seen in seen_by(log, EventPosition()) for event in stream.events(seen)]
    assert [event.fields.get("call_id") for event in events] == [None, "a", "b"]
    assert events[1].fields["name"] == "delete_tasks" and events[1].fields["arguments"] == {"numbers": [1]}
    assert stream.is_done

    # What is decided already is not asked again.
    log.append(ApprovalDecided("a", approved=True, by="somebody"))
    assert [event.fields.get("call_id") for event in told(log)] == [None, "b"]
    # Who has seen the questions waits for what comes of them.
    later = EventStream(THREAD, TURN, EventPosition(1, 3))
    assert [event for seen in seen_by(log, EventPosition(1, 3)) for event in later.events(seen)] == []
    assert not later.is_done


def test_a_snapshot_of_a_turn_that_waits_asks_again() -> None:
    approved = ToolCallOut("a", "delete_tasks", {}, approval="approved", by="somebody")
    snapshot = Snapshot("waiting", "Shall I?", (approved, ToolCallOut("b", "delete_tasks", {}, approval="awaiting")))
    stream = EventStream(THREAD, TURN, EventPosition(1, 9))
    events = list(stream.events(LogBatch(1, [Entry(0, snapshot)])))
    assert [event.fields["type"] for event in events] == ["message_start", "content_delta", "approval_requested"]
    assert events[-1].fields["call_id"] == "b"
    assert stream.is_done


def test_how_a_turn_ended_is_told() -> None:
    warning = {"code": "context_unavailable", "detail": "Context temporarily unavailable"}
    stopped = told(log_of(TurnQueued(), TurnStopped(None)))[-1]
    assert stopped.fields == {"type": "message_end", "message_id": None, "content": "", "status": "stopped"}
    done = told(log_of(TurnStarted(), TurnFinished(message("Hi"), {}, "context_unavailable")))[-1]
    assert done.fields["warning"] == warning and done.fields["status"] == "done"
    failed = told(log_of(TurnStarted(), TurnFailed("model_error", "No.", retryable=True)))[-1]
    error = {"code": "model_error", "detail": "No.", "retryable": True}
    assert failed.fields == {"type": "error", "error": error}
    late = EventStream(THREAD, TURN, EventPosition(1, 5))
    ends = list(late.events(LogBatch(1, [Entry(0, Snapshot("failed", "", code="model_error", detail="No."))])))
    assert ends[-1].fields == failed.fields and late.is_done


@pytest.mark.parametrize("given", ["", "x", "1", "1-", "-1", "1-2-3", "99999999999-1", "4294967296-1", "١-١", "1.5-2"])
def test_an_id_that_nobody_gave_out_is_none(given: str) -> None:
    assert position_of(given) == EventPosition()


def test_an_id_is_read() -> None:
    assert position_of(" 2-17 ") == EventPosition(2, 17)


def test_an_event_has_no_line_breaks_but_its_own() -> None:
    text = "a\u0085b\u2028c\u2029d\x0b\x0ce"
    sent = StreamEvent(1, 1, {"type": "content_delta", "delta": text}).encoded().decode()

    identifier, data, end = sent.splitlines()
    assert (identifier, end) == ("id: 1-1", "")
    assert json.loads(data.removeprefix("data: "))["delta"] == text
