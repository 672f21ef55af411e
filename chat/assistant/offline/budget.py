"""The processor time that the rules may use for one response.

The rules run in a thread, which cannot be stopped from outside. They check their budget before each step that reads a
text. A step is short: no expression is slow on a text of the accepted length.
"""

import time
from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import wraps
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")
# Processor time of the thread: on a busy machine, wall-clock time passes while the rules do not run.
SECONDS = 0.25


class BudgetExceeded(Exception):
    """The rules have used their time, or a message contains more than they accept at once."""


class TooManyTasks(Exception):
    """There are more tasks than the rules search by name."""

    def __init__(self, count: int) -> None:
        super().__init__(count)
        self.count = count


class _Budget:
    def __init__(self, seconds: float) -> None:
        self.results: dict[Hashable, object] = {}
        self._end = time.thread_time() + seconds
        self._next_check = time.monotonic() + seconds

    def check(self) -> None:
        """Raise BudgetExceeded if the time is used up."""
        now = time.monotonic()
        # The thread cannot have run for longer than the wall-clock time, which is cheaper to read.
        if now < self._next_check:
            return
        left = self._end - time.thread_time()
        if left <= 0:
            raise BudgetExceeded
        self._next_check = now + left


_current: ContextVar[_Budget | None] = ContextVar("budget", default=None)


@contextmanager
def limited() -> Iterator[None]:
    """Limit the rules to `SECONDS` of processor time; then `checkpoint` raises BudgetExceeded."""
    token = _current.set(_Budget(SECONDS))
    try:
        yield
    finally:
        _current.reset(token)


def checkpoint() -> None:
    """Raise BudgetExceeded if the time is used up. Without a budget there is no limit."""
    budget = _current.get()
    if budget is not None:
        budget.check()


def cached(function: Callable[P, T]) -> Callable[P, T]:
    """Cache the results of a pure function for as long as the budget lasts.

    Most rules look for the same things in the same words.
    """

    @wraps(function)
    def remember(*args: P.args, **kwargs: P.kwargs) -> T:
        budget = _current.get()
        if budget is None:
            return function(*args, **kwargs)
        budget.check()
        key = (function, args, *kwargs.items())
        if key not in budget.results:
            budget.results[key] = function(*args, **kwargs)
        return budget.results[key]  # type: ignore[return-value]

    return remember
