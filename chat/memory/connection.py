"""A connection of aiosqlite that does many statements in one visit to its thread."""

import sqlite3
from collections.abc import Callable
from typing import TypeVar, cast

import aiosqlite

T = TypeVar("T")


class Connection(aiosqlite.Connection):
    """Each method of aiosqlite's own goes to its thread and back, which costs more than most statements."""

    async def run(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """Do work with the connection in its thread; who is cancelled meanwhile does not stop it.

        Raise what the work raises, and ValueError when the connection is closed.
        """
        # Private, since aiosqlite has no public way; all of its own methods are made of these two.
        return cast(T, await self._execute(lambda: work(self._conn)))  # type: ignore[no-untyped-call]
