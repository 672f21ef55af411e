"""A turn's log in memory: the runner appends, and followers read at their own pace."""

import asyncio
import time
import uuid
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any, Protocol
from weakref import WeakValueDictionary

from chat.models.turn import Decision
from chat.read_models import ToolCallOut
from chat.turns.events import (
    ApprovalDecided,
    ApprovalRequested,
    Event,
    LastEvent,
    ReasoningDelta,
    Snapshot,
    TextDelta,
    ToolFinished,
    ToolStarted,
    TurnResumed,
    Warned,
)

# Seconds for which a log is kept after its end; later requests are answered from the database.
KEPT_AFTER_END = 60.0
# Characters of text in one read: a follower who is far behind catches up in parts.
READ_AT_ONCE = 32_768


@dataclass(frozen=True, slots=True)
class Entry:
    """An event and its number, from 1; several deltas taken together carry the last one's."""

    n: int
    event: Event


class _TextBuffer:
    """A text that grows at its end, or is rewritten from an offset."""

    def __init__(self) -> None:
        self._pieces: list[str] = []  # joined when they are read
        self.length = 0

    @property
    def whole(self) -> str:
        text = "".join(self._pieces)
        self._pieces = [text]
        return text

    def write(self, text: str, at: int) -> None:
        if at != self.length:
            self._pieces = [self.whole[:at]]
            self.length = len(self._pieces[0])
        self._pieces.append(text)
        self.length += len(text)


class TurnState:
    """The visible state of a turn: its reply so far, its reasoning, its calls and its warning."""

    def __init__(self) -> None:
        self._text = _TextBuffer()
        self._reasoning = _TextBuffer()
        self.tools: dict[str, ToolCallOut] = {}
        self.warning = ""

    @property
    def text(self) -> str:
        """The reply so far."""
        return self._text.whole

    @property
    def reasoning(self) -> str:
        """The reasoning so far."""
        return self._reasoning.whole

    def apply(self, event: Event) -> None:
        """Apply an event to the state."""
        if isinstance(event, TextDelta):
            self._text.write(event.text, event.at)
        elif isinstance(event, ReasoningDelta):
            self._reasoning.write(event.text, event.at)
        elif isinstance(event, ToolStarted):
            self._change(event.call_id, name=event.name, arguments=event.arguments)
        elif isinstance(event, ApprovalRequested):
            self._change(event.call_id, name=event.name, arguments=event.arguments, approval=Decision.AWAITING)
        elif isinstance(event, ApprovalDecided):
            approval = Decision.APPROVED if event.approved else Decision.DECLINED
            self._change(event.call_id, approval=approval, by=event.by)
        elif isinstance(event, ToolFinished):
            given = {"output": event.output, "error": event.error}
            self._change(event.call_id, **{name: text for name, text in given.items() if text is not None})
        elif isinstance(event, Warned):
            self.warning = event.code
        elif isinstance(event, TurnResumed | Snapshot):
            self._text.write(event.text, 0)
            self._reasoning.write(event.reasoning or "", 0)
            self.tools = {call.call_id: call for call in event.tools}
            if isinstance(event, Snapshot):
                self.warning = event.warning

    def _change(self, call_id: str, **fields: Any) -> None:
        self.tools[call_id] = replace(self.tools.get(call_id) or ToolCallOut(call_id), **fields)


class TurnLog(TurnState):
    """All events of one attempt at a turn, in order."""

    def __init__(self, turn_id: uuid.UUID, attempt: int) -> None:
        super().__init__()
        self.turn_id = turn_id
        self.attempt = attempt
        self.ended = False
        self.is_outdated = False  # a later attempt has a log
        self.running = False  # a process writes it; `wake` is called after a change
        self.first_text_at: float | None = None  # Unix time
        self.on_change: Callable[[], None] | None = None
        self.source: object = None  # what writes the copy of a log of another process
        self._events: list[Event] = []
        self._changed = asyncio.Event()

    @property
    def is_live(self) -> bool:
        """Whether this log is complete: the process runs the turn, or ran it to its end."""
        return self.running or self.ended

    @property
    def n(self) -> int:
        """The number of the newest entry."""
        return len(self._events)

    def append(self, event: Event) -> None:
        """Add an event and wake the followers."""
        self.apply(event)
        if self.first_text_at is None and isinstance(event, TextDelta):
            self.first_text_at = time.time()
        self._events.append(event)
        self.ended = isinstance(event, LastEvent)
        self.wake()

    def read(self, after: int) -> list[Entry]:
        """Return entries beyond a number, adjoining deltas as one; of very much text only the next part."""
        entries: list[Entry] = []
        pieces: list[str] = []
        size = end = 0
        for n, event in enumerate(islice(self._events, after, None), start=after + 1):
            last = entries[-1].event if entries else None
            if isinstance(event, TextDelta | ReasoningDelta):
                if size > READ_AT_ONCE:
                    break
                size += len(event.text)
                joins = type(last) is type(event) and event.at == end
                end = event.at + len(event.text)
                if joins and last is not None:
                    pieces.append(event.text)
                    entries[-1] = Entry(n, last)
                    continue
            _complete(entries, pieces)
            pieces = [event.text] if isinstance(event, TextDelta | ReasoningDelta) else []
            entries.append(Entry(n, event))
        _complete(entries, pieces)
        return entries

    def events(self, after: int, most: int) -> list[Event]:
        """Return the next events beyond a number, as they were appended."""
        return self._events[after : after + most]

    async def wait(self, after: int) -> None:
        """Wait until there is an entry beyond a number, or it changes whether this log is the one to read."""
        if self.n <= after and not self.is_outdated:
            await self._changed.wait()

    def mark_outdated(self) -> None:
        """Send the followers to the log of a later attempt."""
        self.is_outdated = True
        self.wake()

    def wake(self) -> None:
        """Let the followers look again."""
        self._changed.set()
        self._changed = asyncio.Event()
        if self.on_change is not None:
            self.on_change()

    def snapshot(self, status: str) -> Snapshot:
        """Return the whole visible state."""
        tools = tuple(self.tools.values())
        return Snapshot(status, self.text, tools, warning=self.warning, reasoning=self.reasoning or None)


def _complete(entries: list[Entry], pieces: list[str]) -> None:
    """Put the collected pieces of text into the last entry."""
    if len(pieces) > 1:
        last = entries[-1].event
        assert isinstance(last, TextDelta | ReasoningDelta)
        entries[-1] = replace(entries[-1], event=replace(last, text="".join(pieces)))


class SharedLogs(Protocol):
    """Copies logs between server processes."""

    def publish(self, log: TurnLog) -> None:
        """Publish a log that is being written."""

    async def follow(self, turn_id: uuid.UUID) -> TurnLog | None:
        """Return the log of a turn that runs in another process, or None if it cannot be had now."""


class TurnLogs:
    """The logs of the turns of this process, by which a turn's row names its owner; `shared` has those of others."""

    def __init__(self, owner: uuid.UUID | None = None) -> None:
        self.owner = owner
        self.shared: SharedLogs | None = None
        self._logs: dict[uuid.UUID, TurnLog] = {}
        self._expected: WeakValueDictionary[uuid.UUID, asyncio.Event] = WeakValueDictionary()

    def open(self, turn_id: uuid.UUID, attempt: int) -> TurnLog:
        """Return the log of an attempt, which replaces the log of an older one."""
        log = self._logs.get(turn_id)
        if log is None or log.attempt != attempt:
            if log is not None:
                log.mark_outdated()
            log = self._logs[turn_id] = TurnLog(turn_id, attempt)
            self.touch(turn_id)
        return log

    def touch(self, turn_id: uuid.UUID) -> None:
        """Wake those who wait for something to happen with a turn."""
        if (happened := self._expected.pop(turn_id, None)) is not None:
            happened.set()

    def look_again(self, turn_id: uuid.UUID | None = None) -> None:
        """Let the followers of a turn, or of all turns, look whether another process runs it."""
        for each in [turn_id] if turn_id else {*self._expected, *self._logs}:
            self.touch(each)
            if (log := self._logs.get(each)) is not None and not log.is_live:
                log.wake()

    def expect(self, turn_id: uuid.UUID) -> Callable[[float], Awaitable[None]]:
        """Return a function that waits until something happens with a turn after this call, or for some seconds."""
        happened = self._expected.setdefault(turn_id, asyncio.Event())

        async def wait(seconds: float) -> None:
            with suppress(TimeoutError):
                async with asyncio.timeout(seconds):
                    await happened.wait()

        return wait

    def get(self, turn_id: uuid.UUID) -> TurnLog | None:
        """Return a turn's log, or None if this process has none."""
        return self._logs.get(turn_id)

    def retire(self, log: TurnLog) -> None:
        """Forget a log that has ended, after a while."""
        asyncio.get_running_loop().call_later(KEPT_AFTER_END, self._forget, log)

    def _forget(self, log: TurnLog) -> None:
        if self._logs.get(log.turn_id) is log:
            del self._logs[log.turn_id]
