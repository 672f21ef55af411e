"""An aiosqlite connection that executes many statements in one call to its thread."""

import sqlite3
from collections.abc import Callable
from typing import TypeVar, cast

import aiosqlite

T = TypeVar("T")


class Connection(aiosqlite.Connection):
    """Each method of aiosqlite goes to its thread and back, which costs more than most statements."""

    async def run(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """Run a function with the connection in its thread; cancelling the caller does not stop it.

        Raise what the function raises, and ValueError when the connection is closed.
        """
        # Private, since aiosqlite has no public way; all of its own methods use these two.
        return cast(T, await self._execute(lambda: work(self._conn)))  # type: ignore[no-untyped-call]
