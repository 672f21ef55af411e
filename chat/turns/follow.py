"""Follow a turn from the number one has seen: from this process's log, or from the database where it has none."""

import asyncio
import uuid
from collections.abc import AsyncGenerator
from dataclasses import dataclass

from chat.exceptions import NotFound
from chat.infra.db_threads import in_database
from chat.models import Message, Turn
from chat.models.conversation import Role
from chat.models.turn import ACTIVE, Decision, Status
from chat.read_models import MessageOut, warning_json
from chat.turns import journal as journals
from chat.turns.events import ApprovalDecided, Snapshot
from chat.turns.log import Entry, TurnLog, TurnLogs

# Seconds between two queries for a turn that another process runs, and for one that waits here.
LOOK_EVERY = 0.5
LOOK_SOON = 0.05
LOOK_AT_QUEUE_EVERY = 2.0
LOOK_AT_WAITING_EVERY = 5.0
NOT_KNOWN_HERE = -1


@dataclass(frozen=True, slots=True)
class LogBatch:
    """Entries of one attempt's log."""

    attempt: int
    entries: list[Entry]


async def follow(
    logs: TurnLogs, turn_id: uuid.UUID, *, attempt: int = 0, after: int = 0
) -> AsyncGenerator[LogBatch, None]:
    """Yield what is new of a turn beyond entry `after` of an attempt, until it ends.

    Attempt 0 asks for whatever there is from the beginning. A number that is not known here is answered by a snapshot;
    of a turn that another process runs there are snapshots only, the last one of its end. Raise NotFound.
    """
    shown: _StoredSnapshot | None = None
    told = 0  # the last attempt that was yielded
    doubtful = just_accepted = False
    while True:
        log = logs.get(turn_id)
        if log is None or (doubtful and not log.is_live):
            expected = logs.expect(turn_id)
            status, owner = await in_database(_status_and_owner, turn_id)
            if (begun := logs.get(turn_id)) is not None and begun.is_live:
                continue
            if status == Status.RUNNING and owner == logs.owner:
                await expected(LOOK_SOON)  # it is about to begin here
                continue
            if status == Status.QUEUED and log is None and not just_accepted:
                just_accepted = True  # maybe, and its log is about to be opened here
                await expected(LOOK_EVERY)
                continue
            if log is None or status not in (Status.QUEUED, Status.WAITING):
                look = await in_database(_read_snapshot, turn_id)
                if look != shown:
                    shown, told = look, look.attempt
                    yield LogBatch(look.attempt, [Entry(0, look.snapshot)])
                if look.ended:
                    return
                await expected(LOOK_AT_WAITING_EVERY if status == Status.WAITING else LOOK_EVERY)
                attempt = NOT_KNOWN_HERE
                continue
            if status == Status.WAITING:
                _take_decisions(log, await in_database(_read_snapshot, turn_id))
        # The log of a later attempt starts with an event that replaces everything before.
        start = 0 if 0 < told < log.attempt else _start(log, attempt, after)
        if start is None and log.ended:
            look = await in_database(_read_snapshot, turn_id)
            yield LogBatch(look.attempt, [Entry(log.n, look.snapshot)])
            return
        if start is None:
            yield LogBatch(log.attempt, [Entry(log.n, log.snapshot(Status.RUNNING))])
            start = log.n
        attempt, after = log.attempt, start
        while not (log.ended and after == log.n):
            if after == log.n and not await _wait_for_entries(log, after):
                doubtful = True
                break
            entries = log.read(after)
            after = entries[-1].n
            told = attempt
            yield LogBatch(attempt, entries)
        else:
            return


def _take_decisions(log: TurnLog, look: "_StoredSnapshot") -> None:
    """Write into a log what was decided in another process about a turn that waits."""
    for tool in look.snapshot.tools:
        awaited = log.tools.get(tool["call_id"], {}).get("approval") == Decision.AWAITING
        if look.attempt == log.attempt and awaited and tool["approval"] != Decision.AWAITING:
            log.append(ApprovalDecided(tool["call_id"], tool["approval"] == Decision.APPROVED, tool["by"]))


async def _wait_for_entries(log: TurnLog, after: int) -> bool:
    """Wait for the log to go on; false where it is time to look whether another process runs the turn."""
    try:
        async with asyncio.timeout(None if log.is_live else LOOK_AT_QUEUE_EVERY):
            await log.wait(after)
    except TimeoutError:
        return False
    return log.n > after


def _start(log: TurnLog, attempt: int, after: int) -> int | None:
    """Return the number to read on from, or None where the asker's number means nothing here."""
    if attempt == 0:
        return 0
    if attempt == log.attempt and after <= log.n:
        return after
    return None


@dataclass(frozen=True, slots=True)
class _StoredSnapshot:
    """A turn as the database has it."""

    attempt: int
    status: str
    snapshot: Snapshot

    @property
    def ended(self) -> bool:
        return self.status not in ACTIVE


def _status_and_owner(turn_id: uuid.UUID) -> tuple[str, uuid.UUID | None]:
    found = Turn.objects.filter(pk=turn_id).values_list("status", "owner").first()
    if found is None:
        raise NotFound("There is no such turn.")
    return found


def _read_snapshot(turn_id: uuid.UUID) -> _StoredSnapshot:
    turn = Turn.objects.filter(pk=turn_id).first()
    if turn is None:
        raise NotFound("There is no such turn.")
    reply = Message.objects.filter(turn=turn, role=Role.ASSISTANT).first()
    failed = turn.status == Status.FAILED
    snapshot = Snapshot(
        status=turn.status,
        text=reply.text if reply else turn.text,
        tools=journals.load(turn).tools,
        message=MessageOut.of(reply).as_json() if reply else None,
        code=turn.error_code if failed else None,
        detail=turn.error_detail if failed else None,
        warning=warning_json(turn.warning),
        reasoning=turn.reasoning or None,
    )
    return _StoredSnapshot(turn.attempt, turn.status, snapshot)
