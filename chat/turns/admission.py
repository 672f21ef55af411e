"""Admit what people send: store it, and begin its turn in this process if a slot is free."""

import uuid
from asyncio import create_task
from collections.abc import Callable, Iterable
from functools import partial

from chat.exceptions import NotFound
from chat.infra import notifications
from chat.infra.db_threads import finish_despite_cancel, in_database
from chat.infra.metrics import MESSAGES
from chat.models.turn import Status
from chat.turns.accept import Accepted, accept, accept_edit, accept_retry
from chat.turns.approvals import Decided, decide
from chat.turns.begin import with_turn_input
from chat.turns.cancel import Cancelled
from chat.turns.events import TurnQueued
from chat.turns.running import RunningTurns
from chat.turns.stop import request_stop


class Admission:
    """The verbs of people. Each completes although its caller is cancelled: a disconnected client stops nothing."""

    def __init__(self, turns: RunningTurns) -> None:
        self.turns = turns

    async def send(
        self, *, user_id: uuid.UUID, conversation_id: uuid.UUID, client_id: uuid.UUID, text: str, model: str = ""
    ) -> Accepted:
        """Accept a message. Raise what `accept` raises."""
        theirs = {"user_id": user_id, "conversation_id": conversation_id, "client_id": client_id}
        return await finish_despite_cancel(create_task(self._admit(partial(accept, **theirs, text=text, model=model))))

    async def retry(
        self, *, user_id: uuid.UUID, conversation_id: uuid.UUID, turn_id: uuid.UUID, client_id: uuid.UUID
    ) -> Accepted:
        """Accept another try at a turn that has ended. Raise what `accept_retry` raises."""
        theirs = {"user_id": user_id, "conversation_id": conversation_id, "client_id": client_id}
        return await finish_despite_cancel(create_task(self._admit(partial(accept_retry, **theirs, turn_id=turn_id))))

    async def edit(
        self, *, user_id: uuid.UUID, conversation_id: uuid.UUID, message_id: uuid.UUID, client_id: uuid.UUID, text: str
    ) -> Accepted:
        """Accept a message that replaces an earlier one. Raise what `accept_edit` raises."""
        theirs = {"user_id": user_id, "conversation_id": conversation_id, "client_id": client_id}
        edit = partial(accept_edit, **theirs, message_id=message_id, text=text)
        return await finish_despite_cancel(create_task(self._admit(edit)))

    async def decide(
        self, *, user_id: uuid.UUID, conversation_id: uuid.UUID, turn_id: uuid.UUID, call_id: str, approve: bool
    ) -> None:
        """Store a user's decision; after its last one a turn continues. Raise what `decide` raises."""
        theirs = {"user_id": user_id, "conversation_id": conversation_id, "turn_id": turn_id}
        decision = partial(decide, **theirs, call_id=call_id, approve=approve)
        await finish_despite_cancel(create_task(self._decide(decision)))

    async def stop(self, *, user_id: uuid.UUID, conversation_id: uuid.UUID, turn_id: uuid.UUID) -> None:
        """Stop a user's turn that runs or waits; one that has ended stays as it is. Raise NotFound."""
        turn = self.turns.find(turn_id)
        if turn is None:
            closed = await in_database(request_stop, user_id=user_id, conversation_id=conversation_id, turn_id=turn_id)
            if closed is not None:
                self.turns.log_cancelled(closed)
                await notifications.conversation_updated(user_id, conversation_id)
        elif (turn.user_id, turn.conversation_id) != (user_id, conversation_id):
            raise NotFound("There is no such turn.")
        self._stop_anywhere(turn_id)

    def stop_at_once(self, cancelled: Iterable[Cancelled], requested: Iterable[uuid.UUID]) -> None:
        """Log turns that were cancelled in the database, and stop those that run here."""
        for closed in cancelled:
            self.turns.log_cancelled(closed)
        for turn_id in requested:
            self._stop_anywhere(turn_id)

    def _stop_anywhere(self, turn_id: uuid.UUID) -> None:
        """Stop a turn at once if it runs here, or in a process that can be notified; others read the request soon."""
        if self.turns.find(turn_id) is None:
            notifications.to_servers("turn.stop", turn_id)
        self.turns.stop(turn_id)

    async def _admit(self, accept: Callable[..., Accepted]) -> Accepted:
        with self.turns.reserved() as owner:
            accepted, turn_input = await in_database(with_turn_input, partial(accept, runner=owner))
            turn = accepted.turn
            if accepted.closed is not None:
                self.turns.log_cancelled(accepted.closed)
            if accepted.is_new:
                if turn.prompt.turn_id == turn.pk:  # not the message of a turn that is tried again
                    MESSAGES.inc()
                if turn.status == Status.RUNNING:
                    self.turns.begin(turn, turn_input, is_new=True)
                else:
                    self.turns.logs.open(turn.pk, turn.attempt).append(TurnQueued())
                    if owner is None:
                        notifications.to_servers("turns.waiting")
                await notifications.turn_accepted(turn.user_id, turn.conversation_id, turn.pk)
        await self.turns.fill()
        return accepted

    async def _decide(self, decide: Callable[..., Decided]) -> None:
        logs = self.turns.logs
        with self.turns.reserved() as owner:
            decided, turn_input = await in_database(with_turn_input, partial(decide, runner=owner))
            turn = decided.turn
            log = logs.open(turn.pk, turn.attempt) if decided.is_last else logs.get(turn.pk)
            if log is not None:
                log.append(decided.event)
            logs.touch(turn.pk)
            if log is not None and decided.is_last:
                if turn.status == Status.RUNNING:
                    self.turns.begin(turn, turn_input)
                else:
                    log.append(TurnQueued())
                    notifications.to_servers("turns.waiting")
            if turn.status != Status.RUNNING:
                notifications.to_servers("turn.changed", turn.pk)
        await notifications.conversation_updated(turn.user_id, turn.conversation_id)
        await self.turns.fill()
