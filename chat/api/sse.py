"""The events of a stream, from the events of a turn's log (docs/reference/streams.md).

An event's id is `<attempt>-<n>`, with which a client resumes after that entry of the log. If one entry becomes several
events, all but the last have the id `<attempt>-0`, which asks for everything again: a stream that is cut between them
loses nothing.
"""

import re
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from chat.models.turn import Status
from chat.read_models import MessageOut, warning_json
from chat.realtime.server_frames import encode
from chat.turns import events
from chat.turns.events import Snapshot
from chat.turns.follow import LogBatch
from chat.turns.log import READ_AT_ONCE, Entry

ID = re.compile(r"([0-9]{1,10})-([0-9]{1,10})", re.ASCII)
MOST = 2**31
# Some clients end a line at these; in JSON they stand within strings only, where an escape means the same.
_LINE_BREAKS = str.maketrans({char: f"\\u{ord(char):04x}" for char in "\u0085\u2028\u2029"})

Fields = dict[str, Any]


@dataclass(frozen=True, slots=True)
class EventPosition:
    """The last entry of a turn's log that a client has received; attempt 0 is before the first."""

    attempt: int = 0
    n: int = 0


def position_of(event_id: str) -> EventPosition:
    """Parse an event's id; an invalid one counts as none."""
    found = ID.fullmatch(event_id.strip())
    place = EventPosition(*map(int, found.groups())) if found else EventPosition()
    return place if max(place.attempt, place.n) <= MOST else EventPosition()


@dataclass(frozen=True, slots=True)
class StreamEvent:
    """An event of a stream."""

    attempt: int
    n: int
    fields: Mapping[str, Any]

    def encoded(self) -> bytes:
        """Give it as it stands in the stream."""
        return f"id: {self.attempt}-{self.n}\ndata: {encode(self.fields).translate(_LINE_BREAKS)}\n\n".encode()


class EventStream:
    """Converts a turn's log to the events of one client's stream."""

    def __init__(self, thread_id: uuid.UUID, turn_id: uuid.UUID, place: EventPosition) -> None:
        self._thread_id = thread_id
        self._turn_id = turn_id
        self._has_begun = place.attempt > 0 and place.n > 0
        self._awaiting: set[str] = set()  # the calls that wait for a decision
        self._ended = False
        # The text sent so far, while it arrives by snapshots: only what a snapshot adds is sent.
        self._snapshot_text: str | None = None
        # Text that may be replaced, and its offset: sent only if it stays.
        self._pending: tuple[int, str] = (0, "")

    @property
    def is_done(self) -> bool:
        """Whether the stream is complete: the turn has ended, or waits for a decision."""
        return self._ended or bool(self._awaiting)

    def events(self, batch: LogBatch) -> Iterator[StreamEvent]:
        """Yield the events of a batch of log entries."""
        decided = {entry.event.call_id for entry in batch.entries if isinstance(entry.event, events.ApprovalDecided)}
        for entry in batch.entries:
            if isinstance(entry.event, events.ApprovalRequested) and entry.event.call_id in decided:
                continue
            if not isinstance(entry.event, Snapshot):
                self._snapshot_text = None
            sent = list(self._fields_of(entry))
            for left, fields in zip(reversed(range(len(sent))), sent, strict=True):
                yield StreamEvent(batch.attempt, 0 if left else entry.n, fields)

    def _fields_of(self, entry: Entry) -> Iterator[Fields]:
        match entry.event:
            case events.TurnQueued() | events.TurnStarted():
                yield from self._begin()
            case events.TurnResumed() as event:
                yield from self._begin(again=True)
                yield from _pieces(event.text[: event.at])
                self._pending = event.at, event.text[event.at :]
            case events.TextDelta() as event:
                yield from self._begin()
                yield from _pieces(self._take_pending(up_to=event.at) + event.text)
            case events.ApprovalRequested() as event:
                yield from self._begin()
                yield self._ask(event.call_id, event.name, event.arguments)
            case events.ApprovalDecided() as event:
                self._awaiting.discard(event.call_id)
            case events.TurnFinished() | events.TurnStopped() as event:
                yield from self._begin()
                yield from _pieces(self._take_pending())
                status = Status.DONE if isinstance(event, events.TurnFinished) else Status.STOPPED
                yield self._end(event.message, status, event.warning)
            case events.TurnFailed() as event:
                yield from self._begin()
                yield self._fail(event.code, event.detail, retryable=event.retryable)
            case Snapshot() as event:
                yield from self._replace(event)

    def _replace(self, event: Snapshot) -> Iterator[Fields]:
        """Send a snapshot, or what it adds to the snapshot before."""
        if self._snapshot_text is not None and event.text.startswith(self._snapshot_text):
            yield from _pieces(event.text[len(self._snapshot_text) :])
        else:
            yield from self._begin(again=True, message=event.message)
            yield from _pieces(event.text)
        self._snapshot_text = event.text
        if event.status == Status.FAILED:
            code = event.code or ""
            yield self._fail(code, event.detail or "", retryable=events.is_retryable(code))
        elif event.status in (Status.DONE, Status.STOPPED):
            yield self._end(event.message, Status(event.status), event.warning)
        else:
            for tool in event.tools:
                if tool.is_awaiting:
                    yield self._ask(tool.call_id, tool.name, tool.arguments)

    def _begin(self, *, again: bool = False, message: MessageOut | None = None) -> Iterator[Fields]:
        if self._has_begun and not again:
            return
        self._has_begun, self._pending = True, (0, "")
        yield {
            "type": "message_start",
            "message_id": str(message.id if message else events.reply_id(self._turn_id)),
            "thread_id": str(self._thread_id),
            "turn_id": str(self._turn_id),
        }

    def _take_pending(self, *, up_to: int | None = None) -> str:
        """Return what stays of the pending text: all of it, or what stands before an offset."""
        (at, text), self._pending = self._pending, (0, "")
        return text if up_to is None else text[: max(up_to - at, 0)]

    def _ask(self, call_id: str, name: str, arguments: Any) -> Fields:
        self._awaiting.add(call_id)
        about = {"turn_id": str(self._turn_id), "call_id": call_id, "name": name, "arguments": arguments}
        return {"type": "approval_requested", **about}

    def _end(self, message: MessageOut | None, status: Status, warning: str) -> Fields:
        self._ended = True
        fields: Fields = {
            "type": "message_end",
            "message_id": str(message.id) if message else None,
            "content": message.text if message else "",
            "status": str(status),
        }
        return fields | ({"warning": warning_json(warning)} if warning else {})

    def _fail(self, code: str, detail: str, *, retryable: bool) -> Fields:
        self._ended = True
        return {"type": "error", "error": {"code": code, "detail": detail, "retryable": retryable}}


def _pieces(text: str) -> Iterator[Fields]:
    """Send an existing text in pieces."""
    for start in range(0, len(text), READ_AT_ONCE):
        yield {"type": "content_delta", "delta": text[start : start + READ_AT_ONCE]}
