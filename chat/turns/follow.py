"""Follow a turn from the entry that a client has seen: from the log of this process, or else from the database."""

import asyncio
import uuid
from collections.abc import AsyncGenerator, Awaitable, Callable
from dataclasses import dataclass
from enum import Enum, auto

from chat.exceptions import NotFound
from chat.infra import bus
from chat.infra.db_threads import in_database
from chat.models import Turn
from chat.models.turn import Decision, Status
from chat.read_models import TurnOut, load_turns
from chat.turns.events import ApprovalDecided, Snapshot
from chat.turns.log import Entry, TurnLog, TurnLogs

# Seconds between two queries for a turn: that is about to begin here, runs in another process, is queued, or waits.
POLL_SOON = 0.05
POLL_EVERY = 0.5
POLL_QUEUED_EVERY = 2.0
POLL_WAITING_EVERY = 5.0
# Where server processes notify each other of their turns.
POLL_NOTIFIED_EVERY = 5.0
UNKNOWN_ATTEMPT = -1


@dataclass(frozen=True, slots=True)
class LogBatch:
    """Entries of one attempt's log."""

    attempt: int
    entries: list[Entry]


class State(Enum):
    """What a follower does next."""

    LOCATING = auto()  # finds out whether this process has the log of the turn
    POLLING = auto()  # reads the database, because another process runs the turn, or it has ended
    PAUSING = auto()  # waits before the next query
    JOINING = auto()  # finds its entry in the log
    READING = auto()  # reads the log, and waits for more
    ENDED = auto()


def follow(logs: TurnLogs, turn_id: uuid.UUID, *, attempt: int = 0, after: int = 0) -> AsyncGenerator[LogBatch, None]:
    """Yield what is new of a turn beyond entry `after` of an attempt, until it ends. Raise NotFound.

    Attempt 0 requests everything from the beginning. An entry that is unknown here is answered by a snapshot; of a turn
    that another process runs there are snapshots only, the last one of its end.
    """
    return Follower(logs, turn_id, attempt, after).batches()


class Follower:
    """Follows one turn for one client."""

    def __init__(self, logs: TurnLogs, turn_id: uuid.UUID, attempt: int, after: int) -> None:
        self._logs = logs
        self._turn_id = turn_id
        self._attempt = attempt
        self._after = after
        self._state = State.LOCATING
        self._log: TurnLog | None = None
        self._status = ""
        self._wait: Callable[[float], Awaitable[None]] = asyncio.sleep
        self._stored: TurnOut | None = None  # the last one that was yielded
        self._yielded_attempt = 0
        self._is_silent = False  # a log that another process may have continued
        self._has_waited = False  # for a turn without a log that is queued

    async def batches(self) -> AsyncGenerator[LogBatch, None]:
        """Yield what is new until the turn ends."""
        steps = {
            State.LOCATING: self._locate,
            State.POLLING: self._poll,
            State.PAUSING: self._pause,
            State.JOINING: self._join,
            State.READING: self._read,
        }
        while self._state is not State.ENDED:
            if (batch := await steps[self._state]()) is not None:
                yield batch

    async def _locate(self) -> None:
        log = self._log = self._logs.get(self._turn_id)
        if log is not None and (log.is_live or not self._is_silent):
            self._state = State.JOINING
            return
        self._wait = self._logs.expect(self._turn_id)  # before the query, so that nothing is missed after it
        self._status, owner = await in_database(_status_and_owner, self._turn_id)
        if (begun := self._logs.get(self._turn_id)) is not None and begun.is_live:
            return
        if self._status == Status.RUNNING and owner == self._logs.owner:
            await self._wait(POLL_SOON)  # it is about to begin here
        elif self._status == Status.QUEUED and log is None and not self._has_waited:
            self._has_waited = True  # perhaps it was just accepted, and its log is about to be opened here
            await self._wait(POLL_EVERY)
        elif self._status == Status.RUNNING and (copy := await self._copy()) is not None:
            if log is not None:
                self._attempt = UNKNOWN_ATTEMPT  # its entries have other numbers
            self._log = copy
            self._state = State.JOINING
        elif log is None or self._status not in (Status.QUEUED, Status.WAITING):
            self._state = State.POLLING
        else:
            if self._status == Status.WAITING:
                _add_decisions(log, await in_database(_load, self._turn_id))
            self._state = State.JOINING

    async def _copy(self) -> TurnLog | None:
        """Return the log of the process that runs the turn, if processes share their logs."""
        return None if self._logs.shared is None else await self._logs.shared.follow(self._turn_id)

    async def _poll(self) -> LogBatch | None:
        turn = await in_database(_load, self._turn_id)
        self._state = State.PAUSING if turn.is_active else State.ENDED
        if turn == self._stored:
            return None
        self._stored, self._yielded_attempt = turn, turn.attempt
        return LogBatch(turn.attempt, [Entry(0, _snapshot(turn))])

    async def _pause(self) -> None:
        if self._status == Status.WAITING:
            await self._wait(POLL_WAITING_EVERY)
        else:
            is_notified = self._status == Status.QUEUED and bus.is_connected()
            await self._wait(POLL_NOTIFIED_EVERY if is_notified else POLL_EVERY)
        self._state, self._attempt = State.LOCATING, UNKNOWN_ATTEMPT

    async def _join(self) -> LogBatch | None:
        log = self._log
        assert log is not None
        self._state = State.READING
        if 0 < self._yielded_attempt < log.attempt or self._attempt == 0:
            # The log of a later attempt starts with an event that replaces everything before.
            self._attempt, self._after = log.attempt, 0
            return None
        if self._attempt == log.attempt and self._after <= log.n:
            return None
        if log.ended:
            self._state = State.ENDED
            turn = await in_database(_load, self._turn_id)
            return LogBatch(turn.attempt, [Entry(log.n, _snapshot(turn))])
        self._attempt, self._after = log.attempt, log.n
        return LogBatch(log.attempt, [Entry(log.n, log.snapshot(Status.RUNNING))])

    async def _read(self) -> LogBatch | None:
        log = self._log
        assert log is not None
        if log.n == self._after:
            if log.ended:
                self._state = State.ENDED
                return None
            if not await _has_entries(log, self._after):
                self._is_silent = True
                self._state = State.LOCATING
                return None
        entries = log.read(self._after)
        self._after = entries[-1].n
        self._yielded_attempt = self._attempt
        return LogBatch(self._attempt, entries)


async def _has_entries(log: TurnLog, after: int) -> bool:
    """Wait for entries; return False if another process may run the turn."""
    try:
        async with asyncio.timeout(None if log.is_live else POLL_QUEUED_EVERY):
            await log.wait(after)
    except TimeoutError:
        return False
    return log.n > after


def _add_decisions(log: TurnLog, turn: TurnOut) -> None:
    """Append the decisions that were made in another process about a turn that waits."""
    for call in turn.tools if turn.attempt == log.attempt else ():
        logged = log.tools.get(call.call_id)
        if logged is not None and logged.is_awaiting and not call.is_awaiting:
            log.append(ApprovalDecided(call.call_id, call.approval == Decision.APPROVED, call.by or ""))


def _status_and_owner(turn_id: uuid.UUID) -> tuple[str, uuid.UUID | None]:
    found = Turn.objects.filter(pk=turn_id).values_list("status", "owner").first()
    if found is None:
        raise NotFound("There is no such turn.")
    return found


def _load(turn_id: uuid.UUID) -> TurnOut:
    turns = load_turns(Turn.objects.filter(pk=turn_id))
    if not turns:
        raise NotFound("There is no such turn.")
    return turns[0]


def _snapshot(turn: TurnOut) -> Snapshot:
    return Snapshot(
        status=turn.status,
        text=turn.reply.text if turn.reply else turn.text,
        tools=turn.tools,
        message=turn.reply,
        code=turn.error_code if turn.failed else None,
        detail=turn.error_detail if turn.failed else None,
        warning=turn.warning,
        reasoning=turn.reasoning or None,
    )
