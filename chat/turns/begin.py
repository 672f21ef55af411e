"""Store a step after which a turn may begin, and read the turn's input: one visit to the database."""

from collections.abc import Callable
from typing import Protocol, TypeVar

from django.db import DatabaseError

from chat.models import Turn
from chat.turns.turn_input import TurnInput, read_turn_input


class Step(Protocol):
    """The result of a step."""

    @property
    def begins(self) -> Turn | None:
        """The turn that begins in this process now."""


S = TypeVar("S", bound=Step)


def with_turn_input(step: Callable[[], S]) -> tuple[S, TurnInput | None]:
    """Run a step, and read the input of the turn that begins with it.

    The step is stored by then, so that a turn whose input cannot be read fails by itself.
    """
    result = step()
    try:
        return result, None if result.begins is None else read_turn_input(result.begins)
    except DatabaseError:
        return result, None
