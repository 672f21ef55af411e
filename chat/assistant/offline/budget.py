"""The processor time that the rules may take for one response.

The rules run in a thread, and nothing can stop a thread from outside. So they ask themselves, at each step that reads a
text, whether their time is up. A step is short: no pattern is slow on a text of the length that the rules read.
"""

import time
from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import wraps
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")
# Processor time of the thread: on a busy machine the clock on the wall runs while the rules do not.
SECONDS = 0.1


class BudgetExceeded(Exception):
    """The rules have used up their time, or a message holds more than they read at once."""


class TooManyTasks(Exception):
    """There are more tasks than the rules look through by their names."""

    def __init__(self, count: int) -> None:
        super().__init__(count)
        self.count = count


class _Budget:
    def __init__(self, seconds: float) -> None:
        self.results: dict[Hashable, object] = {}
        self._end = time.thread_time() + seconds
        self._next_check = time.monotonic() + seconds

    def check(self) -> None:
        """Raise TooMuch if the time is up."""
        now = time.monotonic()
        # The thread cannot have run for longer than the clock on the wall, which costs less to read.
        if now < self._next_check:
            return
        left = self._end - time.thread_time()
        if left <= 0:
            raise BudgetExceeded
        self._next_check = now + left


_current: ContextVar[_Budget | None] = ContextVar("budget", default=None)


@contextmanager
def limited() -> Iterator[None]:
    """Let the rules run for `SECONDS` of processor time; then `checkpoint` raises TooMuch."""
    token = _current.set(_Budget(SECONDS))
    try:
        yield
    finally:
        _current.reset(token)


def checkpoint() -> None:
    """Raise TooMuch if the time is up. Without a budget there is no limit."""
    budget = _current.get()
    if budget is not None:
        budget.check()


def cached(function: Callable[P, T]) -> Callable[P, T]:
    """Keep the results of a function that depends on nothing but its arguments, for as long as the budget lasts.

    The rules try one reading after another, and most of them look for the same things in the same words.
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
