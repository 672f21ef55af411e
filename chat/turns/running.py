"""The turns that run in this process: begun, executed, stopped, their ends stored, and the next of the conversation."""

import asyncio
import logging
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial

from django.conf import settings
from django.db import DatabaseError

from chat.assistant.endpoints.providers import Choose
from chat.exceptions import MemoryUnavailable, TurnLost
from chat.infra import notifications, tracing
from chat.infra.database_limits import is_transient
from chat.infra.db_threads import in_database
from chat.infra.log_context import bind
from chat.infra.metrics import FIRST_DELTA, TOKENS, TURN, TURNS
from chat.infra.tracing import Span
from chat.memory.identity import SessionId
from chat.memory.metadata import update_after_pruning
from chat.memory.pruning import prune
from chat.memory.store import SessionStore
from chat.models import Turn
from chat.models.turn import SUPERSEDED, Status
from chat.turns.approvals import ask
from chat.turns.begin import with_turn_input
from chat.turns.cancel import Cancelled
from chat.turns.events import ApprovalDecided, TurnQueued, TurnStopped
from chat.turns.execution import TurnExecution
from chat.turns.finish import TurnOutcome, finish
from chat.turns.journal import save_text
from chat.turns.lease import lease_of, release
from chat.turns.log import TurnLogs
from chat.turns.queue import claim_waiting
from chat.turns.spans import STATUS, begin_turn, record_outcome
from chat.turns.turn_input import TurnInput

logger = logging.getLogger(__name__)

SAVE_EVERY = 0.5  # seconds between two saves of a growing reply


@dataclass(slots=True)
class RunningTurn:
    """A turn, the task that executes it, and the task that also stores its end."""

    turn: Turn
    execution: asyncio.Task[TurnOutcome]
    span: Span
    stopping: bool = False
    task: asyncio.Task[None] = field(init=False)


class RunningTurns:
    """Runs up to TURNS_AT_ONCE turns, each to its end."""

    def __init__(self, owner: uuid.UUID, *, choose: Choose, store: SessionStore) -> None:
        self.owner = owner
        self.logs = TurnLogs(owner)
        self.store = store
        self.choose = choose
        self.interrupted: set[uuid.UUID] = set()  # by a failing database: taken over as soon as it is back
        self.draining = False
        self._running: dict[uuid.UUID, RunningTurn] = {}
        self._tasks: set[asyncio.Task[None]] = set()  # of turns that run, or have ended and look for others
        self._reserved = 0
        self._crowded = False  # a turn waits for a free slot

    @property
    def ids(self) -> list[uuid.UUID]:
        """The ids of the turns."""
        return list(self._running)

    @property
    def free(self) -> int:
        """How many more turns may begin."""
        return 0 if self.draining else settings.TURNS_AT_ONCE - len(self._running) - self._reserved

    @contextmanager
    def reserved(self) -> Iterator[uuid.UUID | None]:
        """Reserve a slot for a turn that is being accepted; yield its owner, or None if no slot is free."""
        owner = self.owner if self.free > 0 else None
        self._crowded |= owner is None
        self._reserved += 1
        try:
            yield owner
        finally:
            self._reserved -= 1

    def find(self, turn_id: uuid.UUID) -> Turn | None:
        """Return a turn that runs here."""
        running = self._running.get(turn_id)
        return None if running is None else running.turn

    def begin(self, turn: Turn, turn_input: TurnInput | None = None, *, is_new: bool = False) -> None:
        """Begin a turn that this process owns, perhaps one that has just been accepted."""
        log = self.logs.open(turn.pk, turn.attempt)
        if log.n == 0 and turn.attempt == 1 and not is_new:
            log.append(TurnQueued())  # it was queued in another process, whose log has this entry
        if not is_new:
            notifications.to_servers("turn.changed", turn.pk)
        log.running = True
        log.wake()
        if self.logs.shared is not None:
            self.logs.shared.publish(log)
        execution = TurnExecution(turn, model=self.choose(turn.model), store=self.store, log=log, turn_input=turn_input)
        with tracing.use(begin_turn(turn)) as span:
            running = self._running[turn.pk] = RunningTurn(turn, asyncio.create_task(execution.run()), span)
            running.task = asyncio.create_task(self._run(execution, running))
        self._tasks.add(running.task)
        running.task.add_done_callback(self._tasks.discard)
        if turn.stop_asked:
            self.stop(turn.pk)

    def stop(self, turn_id: uuid.UUID) -> None:
        """Stop a turn if it runs here."""
        if (running := self._running.get(turn_id)) is not None:
            running.stopping = True
            running.execution.cancel()

    def log_cancelled(self, cancelled: Cancelled) -> None:
        """Log the end of a turn that no process ran."""
        log = self.logs.open(cancelled.turn_id, cancelled.attempt)
        for call_id in cancelled.declined:
            log.append(ApprovalDecided(call_id, approved=False, by=SUPERSEDED))
        log.append(TurnStopped(cancelled.message))
        TURNS.labels(status=Status.STOPPED).inc()
        self.logs.retire(log)
        notifications.to_servers("turn.changed", cancelled.turn_id)

    async def fill(self) -> None:
        """Begin turns that found no free slot, as far as there are free slots now."""
        if self._crowded and self.free > 0:
            self._crowded = False  # before the query: a turn that arrives meanwhile sets it again
            self._crowded |= await self.begin_waiting()  # until a query finds no waiting turn

    async def begin_waiting(self) -> bool:
        """Claim and begin the longest waiting turns of all processes; return whether there were any."""
        waiting = await in_database(claim_waiting, owner=self.owner, limit=self.free)
        for turn in waiting:
            self.begin(turn)
        return bool(waiting)

    async def idle(self) -> None:
        """Wait until no turn is under way."""
        while self._tasks:
            await asyncio.wait(self._tasks)

    async def drain(self, seconds: float) -> None:
        """Let turns finish for a few seconds, and release the rest."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self.idle()
        while self._tasks:
            for running in self._running.values():
                running.execution.cancel()
            await asyncio.wait(self._tasks)

    # -- from the beginning of a turn to its end

    async def _run(self, execution: TurnExecution, running: RunningTurn) -> None:
        """Run a turn, store its end, prune its session, and begin the conversation's next turn."""
        turn = execution.turn
        bind(turn_id=turn.pk)
        following: tuple[Turn, TurnInput | None] | None = None
        try:
            outcome = await self._outcome(execution, running)
            if outcome is None:
                running.span.set({STATUS: "released"})
            else:
                record_outcome(running.span, outcome)
                following = await self._store(execution, outcome)
                await self._prune(turn, outcome)
                await notifications.conversation_updated(turn.user_id, turn.conversation_id)
        except TurnLost:
            logger.info("Turn %s continues in another process.", turn.pk)
            running.span.set({STATUS: "lost"})
        except (DatabaseError, OSError):
            logger.exception("Turn %s was interrupted.", turn.pk)
            running.span.set({STATUS: "interrupted"})
            self.interrupted.add(turn.pk)
        finally:
            execution.log.running = False
            execution.log.wake()
            running.span.end()
            if self._running.get(turn.pk) is running:  # otherwise a decision has let it continue
                del self._running[turn.pk]
            if following is not None:
                self.begin(*following)
        with suppress(DatabaseError):  # housekeeping finds the turns that wait
            await self.fill()

    async def _outcome(self, execution: TurnExecution, running: RunningTurn) -> TurnOutcome | None:
        """Wait for the outcome, and save the growing text meanwhile; return None for a released turn."""
        saver = asyncio.create_task(self._save_text(execution))
        try:
            await asyncio.wait({running.execution})
        finally:
            saver.cancel()
            await asyncio.wait({saver})
        if running.execution.cancelled():
            if running.stopping:
                return await execution.stopped()
            await execution.finish_tasks()
            await in_database(release, lease_of(execution.turn))
            return None
        error = running.execution.exception()
        if error is None:
            outcome = running.execution.result()
            return await execution.stopped() if running.stopping and outcome.status == Status.WAITING else outcome
        await execution.finish_tasks()
        if isinstance(error, TurnLost | OSError) or is_transient(error):
            raise error
        logger.error("Turn %s failed.", execution.turn.pk, exc_info=error)
        return await execution.crashed()

    async def _save_text(self, execution: TurnExecution) -> None:
        saved = execution.log.text, execution.log.reasoning
        while True:
            await asyncio.sleep(SAVE_EVERY)
            if (text := (execution.log.text, execution.log.reasoning)) != saved:
                try:
                    await in_database(save_text, lease_of(execution.turn), *text)
                except (DatabaseError, TurnLost):
                    continue  # the end of the turn reports the same error
                saved = text

    async def _store(self, execution: TurnExecution, outcome: TurnOutcome) -> tuple[Turn, TurnInput | None] | None:
        """Store and log an outcome; return the conversation's next turn if it begins."""
        store = partial(ask if outcome.status == Status.WAITING else finish, lease_of(execution.turn))
        next_owner = None if self.draining else self.owner
        try:
            stored, turn_input = await in_database(with_turn_input, partial(store, outcome, next_owner=next_owner))
        except DatabaseError as error:
            if is_transient(error) or outcome == execution.unstorable():
                raise
            logger.exception("The end of turn %s cannot be stored.", execution.turn.pk)
            return await self._store(execution, execution.unstorable())
        _measure(execution, outcome)
        for event in stored.events:
            execution.log.append(event)
        if stored.cancelled is not None:
            self.log_cancelled(stored.cancelled)
        else:
            self.logs.retire(execution.log)  # later requests are answered from the database
        return None if stored.begins is None else (stored.begins, turn_input)

    async def _prune(self, turn: Turn, outcome: TurnOutcome) -> None:
        """Prune the session to its limit."""
        if outcome.size is None or outcome.size.items <= settings.AGENT_SESSION_MAX_MESSAGES:
            return
        session_id = str(SessionId(turn.user_id, turn.conversation_id))
        try:
            await prune(self.store, session_id, limit=settings.AGENT_SESSION_MAX_MESSAGES)
            left = await self.store.size(session_id)
        except MemoryUnavailable:
            return  # after the next turn, then
        await in_database(update_after_pruning, session_id, before=outcome.size, after=left)


def _measure(execution: TurnExecution, outcome: TurnOutcome) -> None:
    """Count the outcome of a turn. Times of a turn that was interrupted or waited for a decision say nothing."""
    turn = execution.turn
    TURNS.labels(status=outcome.status).inc()
    for kind, count in outcome.usage.items():
        TOKENS.labels(model=turn.model, kind=kind.removesuffix("_tokens")).inc(count)
    if turn.attempt > 1 or outcome.status == Status.WAITING:
        return
    accepted = turn.accepted_at.timestamp()
    TURN.observe(max(0.0, time.time() - accepted))
    if execution.log.first_text_at is not None:
        FIRST_DELTA.observe(max(0.0, execution.log.first_text_at - accepted))
