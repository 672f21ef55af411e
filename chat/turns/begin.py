"""Steps of the record with which a turn may begin at once, and what it needs then: one visit to the database."""

import uuid
from collections.abc import Callable

from django.db import DatabaseError

from chat.models import Turn
from chat.models.turn import Status
from chat.turns.accept import Accepted
from chat.turns.approvals import ApprovalRequest, Decided, ask
from chat.turns.finish import FinishedTurn, TurnOutcome, finish
from chat.turns.lease import Lease
from chat.turns.turn_input import TurnInput, read_turn_input


def accept_to_begin(
    accepting: Callable[[uuid.UUID | None], Accepted], owner: uuid.UUID | None
) -> tuple[Accepted, TurnInput | None]:
    """Accept, and read what the turn needs where it begins at once."""
    accepted = accepting(owner)
    begins = accepted.is_new and accepted.turn.status == Status.RUNNING
    return accepted, _turn_input(accepted.turn) if begins else None


def finish_to_begin(
    lease: Lease, ending: TurnOutcome, next_owner: uuid.UUID | None
) -> tuple[FinishedTurn, TurnInput | None]:
    """End a turn, and read what the conversation's next one needs."""
    ended = finish(lease, ending, next_owner=next_owner)
    return ended, _turn_input(ended.next) if ended.next else None


def ask_to_begin(
    lease: Lease, ending: TurnOutcome, next_owner: uuid.UUID | None
) -> tuple[ApprovalRequest, TurnInput | None]:
    """Let a turn wait, or close it and read what the conversation's next one needs."""
    asked = ask(lease, ending, next_owner=next_owner)
    return asked, _turn_input(asked.next) if asked.next else None


def decide_to_begin(
    deciding: Callable[[uuid.UUID | None], Decided], owner: uuid.UUID | None
) -> tuple[Decided, TurnInput | None]:
    """Decide, and read what the turn needs if it continues at once."""
    decided = deciding(owner)
    goes_on = decided.is_last and decided.turn.status == Status.RUNNING
    return decided, _turn_input(decided.turn) if goes_on else None


def _turn_input(turn: Turn) -> TurnInput | None:
    """Read what a turn needs; what came before is stored by now, so that a failure is left to the turn itself."""
    try:
        return read_turn_input(turn)
    except DatabaseError:
        return None
