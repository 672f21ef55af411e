"""The turns of one server process: begun, stopped, ended, and the next one taken."""

import asyncio
import logging
import uuid
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from django.conf import settings
from django.db import DatabaseError

from chat.assistant.endpoints.providers import Choose
from chat.exceptions import MemoryUnavailable, NotFound, TurnLost
from chat.infra import notifications
from chat.infra.database_limits import is_transient
from chat.infra.db_threads import finish_despite_cancel, in_database
from chat.memory.identity import SessionId
from chat.memory.metadata import update_after_pruning
from chat.memory.pruning import prune
from chat.memory.store import SessionStore
from chat.models import Turn
from chat.models.turn import SUPERSEDED, Status
from chat.read_models import warning_json
from chat.turns.accept import Accepted, accept, accept_edit, accept_retry
from chat.turns.approvals import Decided, decide
from chat.turns.begin import accept_to_begin, ask_to_begin, decide_to_begin, finish_to_begin
from chat.turns.cancel import Cancelled
from chat.turns.events import (
    ApprovalDecided,
    LastEvent,
    TurnFailed,
    TurnFinished,
    TurnQueued,
    TurnStopped,
    is_retryable,
)
from chat.turns.execution import TurnExecution
from chat.turns.finish import TurnOutcome
from chat.turns.journal import save_text
from chat.turns.lease import RENEWAL, lease_of, release, renew, take_over
from chat.turns.log import TurnLogs
from chat.turns.process_lock import ProcessLock
from chat.turns.queue import claim_waiting
from chat.turns.stop import request_stop
from chat.turns.turn_input import TurnInput

logger = logging.getLogger(__name__)

SAVE_EVERY = 0.5  # seconds between two saves of a growing reply


@dataclass(slots=True)
class _Running:
    turn: Turn
    playing: asyncio.Task[TurnOutcome]
    stopping: bool = False
    task: asyncio.Task[None] = field(init=False)


class TurnRunner:
    """Runs turns in this process, and takes over turns of processes that are gone."""

    def __init__(self, *, choose: Choose, store: SessionStore) -> None:
        self.owner = uuid.uuid4()
        self.logs = TurnLogs(self.owner)
        self.store = store
        self.choose = choose
        self._running: dict[uuid.UUID, _Running] = {}
        self._living: set[asyncio.Task[None]] = set()  # running, or looking for what comes after
        self._let_fall: set[uuid.UUID] = set()  # the database was away; taken up again as soon as it is back
        self._reserved = 0
        self._crowded = False  # a turn waits for a free slot
        self._keeper: asyncio.Task[None] | None = None
        self._presence = ProcessLock(self.owner)
        self._draining = False

    # -- what callers use

    async def send(
        self, *, user_id: uuid.UUID, conversation_id: uuid.UUID, client_id: uuid.UUID, text: str, model: str = ""
    ) -> Accepted:
        """Accept a message and begin its turn where the conversation is idle. Raise what `accept` raises."""
        given = {"user_id": user_id, "conversation_id": conversation_id, "client_id": client_id}
        return await finish_despite_cancel(
            self._take(lambda runner: accept(**given, text=text, model=model, runner=runner))
        )

    async def retry(
        self, *, user_id: uuid.UUID, conversation_id: uuid.UUID, turn_id: uuid.UUID, client_id: uuid.UUID
    ) -> Accepted:
        """Accept another try at a turn that has ended. Raise what `accept_retry` raises."""
        given = {"user_id": user_id, "conversation_id": conversation_id, "client_id": client_id}
        return await finish_despite_cancel(
            self._take(lambda runner: accept_retry(**given, turn_id=turn_id, runner=runner))
        )

    async def edit(
        self,
        *,
        user_id: uuid.UUID,
        conversation_id: uuid.UUID,
        message_id: uuid.UUID,
        client_id: uuid.UUID,
        text: str,
    ) -> Accepted:
        """Accept a message in the place of an earlier one. Raise what `accept_edit` raises."""
        given = {"user_id": user_id, "conversation_id": conversation_id, "client_id": client_id}
        return await finish_despite_cancel(
            self._take(lambda runner: accept_edit(**given, message_id=message_id, text=text, runner=runner))
        )

    async def decide(
        self, *, user_id: uuid.UUID, conversation_id: uuid.UUID, turn_id: uuid.UUID, call_id: str, approve: bool
    ) -> None:
        """Store a user's decision; after its last one a turn continues. Raise what `decide` raises."""
        given = {"user_id": user_id, "conversation_id": conversation_id, "turn_id": turn_id}
        await finish_despite_cancel(
            self._decide(lambda runner: decide(**given, call_id=call_id, approve=approve, runner=runner))
        )

    async def stop(self, *, user_id: uuid.UUID, conversation_id: uuid.UUID, turn_id: uuid.UUID) -> None:
        """Stop a person's turn that runs or waits; one that has ended stays as it is. Raise NotFound."""
        running = self._running.get(turn_id)
        if running is None:
            closed = await in_database(request_stop, user_id=user_id, conversation_id=conversation_id, turn_id=turn_id)
            if closed is not None:
                self._closed(closed)
                await notifications.conversation_updated(user_id, conversation_id)
            self._stop(turn_id)  # if it has begun here; otherwise its process reads the request
            return
        turn = running.turn
        if (turn.user_id, turn.conversation_id) != (user_id, conversation_id):
            raise NotFound("There is no such turn.")
        self._stop(turn_id)

    def stop_at_once(self, cancelled: Iterable[Cancelled], requested: Iterable[uuid.UUID]) -> None:
        """Log turns that were cancelled in the database, and stop those that run here."""
        for closed in cancelled:
            self._closed(closed)
        for turn_id in requested:
            self._stop(turn_id)

    async def start(self) -> None:
        """Start to renew leases, and take over interrupted turns at once."""
        self.loop = asyncio.get_running_loop()
        await self._presence.show()
        await self._take_up()
        self._keeper = asyncio.create_task(self._keep())

    async def drain(self, seconds: float) -> None:
        """Let turns finish for a few seconds, then release the rest for the next process."""
        self._draining = True
        if self._keeper is not None:
            self._keeper.cancel()
            await asyncio.wait({self._keeper})
        if self._living:
            await asyncio.wait(self._living, timeout=seconds)
        while self._living:
            for running in self._running.values():
                running.playing.cancel()
            await asyncio.wait(self._living)
        await self._presence.hide()
        await self.store.close()

    @property
    def free(self) -> int:
        """How many more turns may begin."""
        return 0 if self._draining else settings.TURNS_AT_ONCE - len(self._running) - self._reserved

    # -- a turn's life

    async def _take(self, accepting: Callable[[uuid.UUID | None], Accepted]) -> Accepted:
        """Accept a message, and begin its turn if it runs: the client may have disconnected, the turn continues."""
        with _Reserved(self) as owner:
            accepted = await self._accepted(*await in_database(accept_to_begin, accepting, owner))
        await self._fill()
        return accepted

    async def _accepted(self, accepted: Accepted, turn_input: TurnInput | None) -> Accepted:
        turn = accepted.turn
        if accepted.closed is not None:
            self._closed(accepted.closed)
        if accepted.is_new:
            if turn.status == Status.RUNNING:
                self._begin(turn, turn_input)
            else:
                self.logs.open(turn.pk, turn.attempt).append(TurnQueued())
            await notifications.turn_accepted(turn.user_id, turn.conversation_id, turn.pk)
        return accepted

    async def _decide(self, deciding: Callable[[uuid.UUID | None], Decided]) -> None:
        with _Reserved(self) as owner:
            decided, turn_input = await in_database(decide_to_begin, deciding, owner)
            turn = decided.turn
            log = self.logs.open(turn.pk, turn.attempt) if decided.is_last else self.logs.get(turn.pk)
            if log is not None:
                log.append(decided.event)
            self.logs.touch(turn.pk)
            if log is not None and decided.is_last:
                if turn.status == Status.RUNNING:
                    self._begin(turn, turn_input)
                else:
                    log.append(TurnQueued())
        await notifications.conversation_updated(turn.user_id, turn.conversation_id)
        await self._fill()

    def _closed(self, closed: Cancelled) -> None:
        """Log the end of a turn that no process ran."""
        log = self.logs.open(closed.turn_id, closed.attempt)
        for call_id in closed.declined:
            log.append(ApprovalDecided(call_id, approved=False, by=SUPERSEDED))
        log.append(TurnStopped(closed.message))
        self.logs.retire(log)

    def _begin(self, turn: Turn, turn_input: TurnInput | None = None) -> None:
        log = self.logs.open(turn.pk, turn.attempt)
        log.running = True
        execution = TurnExecution(turn, model=self.choose(turn.model), store=self.store, log=log, turn_input=turn_input)
        running = self._running[turn.pk] = _Running(turn, asyncio.create_task(execution.run()))
        running.task = asyncio.create_task(self._live(execution, running))
        self._living.add(running.task)
        running.task.add_done_callback(self._living.discard)
        if turn.stop_asked:
            self._stop(turn.pk)

    def _stop(self, turn_id: uuid.UUID) -> None:
        if (running := self._running.get(turn_id)) is not None:
            running.stopping = True
            running.playing.cancel()

    async def _live(self, execution: TurnExecution, running: _Running) -> None:
        """Play a turn, end it, tidy up behind it, and begin the conversation's next."""
        turn = execution.turn
        following: tuple[Turn, TurnInput | None] | None = None
        try:
            ending = await self._outcome(execution, running)
            if ending is not None:
                following = await self._written(execution, ending)
                await self._tidy(turn, ending)
        except TurnLost:
            logger.info("Turn %s is carried on elsewhere.", turn.pk)
        except (DatabaseError, OSError):
            logger.exception("Turn %s was cut off.", turn.pk)
            self._let_fall.add(turn.pk)
        finally:
            execution.log.running = False
            if self._running.get(turn.pk) is running:  # otherwise a decision has let it continue
                del self._running[turn.pk]
            if following is not None:
                self._begin(*following)
        try:
            await self._fill()
        except DatabaseError:
            return  # the keeper finds who waits

    async def _outcome(self, execution: TurnExecution, running: _Running) -> TurnOutcome | None:
        """Play a turn, its growing text saved meanwhile; None where it was let go of for another process."""
        saver = asyncio.create_task(self._save_text(execution))
        try:
            await asyncio.wait({running.playing})
        finally:
            saver.cancel()
            await asyncio.wait({saver})
        if running.playing.cancelled():
            if running.stopping:
                return await execution.stopped()
            await execution.settle()
            await in_database(release, lease_of(execution.turn))
            return None
        error = running.playing.exception()
        if error is None:
            ending = running.playing.result()
            return await execution.stopped() if running.stopping and ending.status == Status.WAITING else ending
        await execution.settle()
        if isinstance(error, TurnLost | OSError) or is_transient(error):
            raise error
        logger.error("Turn %s failed.", execution.turn.pk, exc_info=error)
        return await execution.broken()

    async def _written(self, execution: TurnExecution, ending: TurnOutcome) -> tuple[Turn, TurnInput | None] | None:
        """Write an ending; where it can never be written, that the turn failed."""
        try:
            return await (self._wait if ending.status == Status.WAITING else self._end)(execution, ending)
        except DatabaseError as error:
            if is_transient(error):
                raise
            logger.exception("The end of turn %s cannot be stored.", execution.turn.pk)
            return await self._end(execution, execution.lost())

    async def _end(self, execution: TurnExecution, ending: TurnOutcome) -> tuple[Turn, TurnInput | None] | None:
        """Store and log how a turn ended; return the conversation's next turn, to begin in the free slot."""
        next_owner = None if self._draining else self.owner
        ended, turn_input = await in_database(finish_to_begin, lease_of(execution.turn), ending, next_owner)
        message, warning = ended.message, warning_json(ending.warning)
        last: LastEvent
        if ending.status == Status.FAILED:
            last = TurnFailed(ending.error_code, ending.error_detail, retryable=is_retryable(ending.error_code))
        elif ending.status == Status.STOPPED:
            last = TurnStopped(message, warning)
        else:
            assert message is not None  # noqa: S101 - a finished turn has a reply
            last = TurnFinished(message, ending.usage, warning)
        execution.log.append(last)
        self.logs.retire(execution.log)
        return None if ended.next is None else (ended.next, turn_input)

    async def _wait(self, execution: TurnExecution, ending: TurnOutcome) -> tuple[Turn, TurnInput | None] | None:
        """Let a turn wait for a person; return the conversation's next where that makes the question needless."""
        next_owner = None if self._draining else self.owner
        asked, turn_input = await in_database(ask_to_begin, lease_of(execution.turn), ending, next_owner)
        for event in ending.asks:
            execution.log.append(event)
        if asked.closed is not None:
            self._closed(asked.closed)
        else:
            self.logs.retire(execution.log)  # later questions are answered from the record
        return None if asked.next is None else (asked.next, turn_input)

    async def _tidy(self, turn: Turn, ending: TurnOutcome) -> None:
        """Prune the session to its limit, and notify the user's sockets."""
        await self._prune(turn, ending)
        await notifications.conversation_updated(turn.user_id, turn.conversation_id)

    async def _prune(self, turn: Turn, ending: TurnOutcome) -> None:
        if ending.size is None or ending.size.items <= settings.AGENT_SESSION_MAX_MESSAGES:
            return
        session_id = str(SessionId(turn.user_id, turn.conversation_id))
        try:
            await prune(self.store, session_id, limit=settings.AGENT_SESSION_MAX_MESSAGES)
            left = await self.store.size(session_id)
        except MemoryUnavailable:
            return  # after the next turn, then
        await in_database(update_after_pruning, session_id, before=ending.size, after=left)

    async def _fill(self) -> None:
        """Begin turns that were not given a place, as far as there are places now."""
        if self._crowded and self.free > 0:
            self._crowded = False  # before the query: a turn that arrives meanwhile sets it again
            waiting = await in_database(claim_waiting, owner=self.owner, limit=self.free)
            self._crowded |= bool(waiting)  # until a query finds no waiting turn
            for turn in waiting:
                self._begin(turn)

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

    # -- keeping house

    async def _keep(self) -> None:
        while True:
            await asyncio.sleep(RENEWAL.total_seconds())
            try:
                for turn_id in await in_database(renew, self.owner, list(self._running)):
                    self._stop(turn_id)
                await self._presence.show()
                await self._take_up()
            except (DatabaseError, OSError) as error:
                logger.warning("The database cannot be reached: %s", error)

    async def _take_up(self) -> None:
        """Begin what processes that are gone have left, and what waits though nothing is before it."""
        if self.free > 0:
            fallen, running = frozenset(self._let_fall), list(self._running)
            for turn in await in_database(take_over, self.owner, running=running, limit=self.free, fallen=fallen):
                self._begin(turn)
            self._let_fall -= fallen
        if self.free > 0:
            for turn in await in_database(claim_waiting, owner=self.owner, limit=self.free):
                self._begin(turn)


class _Reserved:
    """Keeps a place for a turn that is being accepted: for the process that may run it, or None where all are taken."""

    def __init__(self, runner: TurnRunner) -> None:
        self._runner = runner
        self._owner = runner.owner if runner.free > 0 else None
        runner._crowded |= self._owner is None

    def __enter__(self) -> uuid.UUID | None:
        self._runner._reserved += 1
        return self._owner

    def __exit__(self, *_: object) -> None:
        self._runner._reserved -= 1
