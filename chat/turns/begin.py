"""Store a step after which a turn may begin, and read the turn's input: one visit to the database."""

from collections.abc import Callable
from typing import TypeVar

from django.db import DatabaseError

from chat.turns.accept import Accepted
from chat.turns.approvals import Decided
from chat.turns.finish import StoredOutcome
from chat.turns.turn_input import TurnInput, read_turn_input

S = TypeVar("S", Accepted, Decided, StoredOutcome)


def with_turn_input(step: Callable[[], S]) -> tuple[S, TurnInput | None]:
    """Run a step, and read the input of the turn that begins with it.

    The step is stored by then, so that a turn whose input cannot be read fails by itself.
    """
    result = step()
    try:
        return result, None if result.begins is None else read_turn_input(result.begins)
    except DatabaseError:
        return result, None
