"""Steps of the record with which a turn may begin at once, and what it needs then: one visit to the database."""

import uuid
from collections.abc import Callable

from django.db import DatabaseError

from chat.models import Turn
from chat.models.turn import Status
from chat.turns.accept import Accepted
from chat.turns.approvals import Asked, Decided, ask
from chat.turns.finish import Ended, Ending, finish
from chat.turns.lease import Hold
from chat.turns.turn_input import Brief, read_brief


def accept_to_begin(
    accepting: Callable[[uuid.UUID | None], Accepted], owner: uuid.UUID | None
) -> tuple[Accepted, Brief | None]:
    """Accept, and read what the turn needs where it begins at once."""
    accepted = accepting(owner)
    begins = accepted.is_new and accepted.turn.status == Status.RUNNING
    return accepted, _brief(accepted.turn) if begins else None


def finish_to_begin(hold: Hold, ending: Ending, next_owner: uuid.UUID | None) -> tuple[Ended, Brief | None]:
    """End a turn, and read what the conversation's next one needs."""
    ended = finish(hold, ending, next_owner=next_owner)
    return ended, _brief(ended.next) if ended.next else None


def ask_to_begin(hold: Hold, ending: Ending, next_owner: uuid.UUID | None) -> tuple[Asked, Brief | None]:
    """Let a turn wait, or close it and read what the conversation's next one needs."""
    asked = ask(hold, ending, next_owner=next_owner)
    return asked, _brief(asked.next) if asked.next else None


def decide_to_begin(
    deciding: Callable[[uuid.UUID | None], Decided], owner: uuid.UUID | None
) -> tuple[Decided, Brief | None]:
    """Decide, and read what the turn needs where it goes on at once."""
    decided = deciding(owner)
    goes_on = decided.is_last and decided.turn.status == Status.RUNNING
    return decided, _brief(decided.turn) if goes_on else None


def _brief(turn: Turn) -> Brief | None:
    """Read a turn's brief; what came before is stored by now, so that a failure is left to the turn itself."""
    try:
        return read_brief(turn)
    except DatabaseError:
        return None
