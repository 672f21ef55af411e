"""The session store in PostgreSQL: all processes share it, and each uses its own database threads."""

from collections.abc import Callable, Sequence
from typing import ParamSpec, TypeVar

from django.db import Error

from chat.exceptions import MemoryUnavailable
from chat.infra.database_limits import summary
from chat.infra.db_threads import in_database
from chat.memory import database_tables
from chat.memory.items import Item
from chat.memory.statements import Size, Stored, Write
from chat.memory.store import SessionStore

P = ParamSpec("P")
T = TypeVar("T")


class DatabaseStore(SessionStore):
    """Reads and writes sessions of one database, named by its alias in the settings."""

    def __init__(self, alias: str) -> None:
        super().__init__()
        self._alias = alias

    async def _read(self, session_ids: Sequence[str]) -> dict[str, Stored]:
        return await self._call(database_tables.read, self._alias, session_ids)

    async def _measure(self, session_id: str) -> Size:
        return (await self._call(database_tables.measure, self._alias, [session_id]))[session_id]

    async def _commit(self, writes: Sequence[Write]) -> Sequence[Item | Exception | None]:
        results = await self._call(database_tables.commit, self._alias, writes)
        return [unavailable(result) if isinstance(result, Error) else result for result in results]

    async def _call(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        def call() -> T:
            database_tables.ensure_tables(self._alias)
            return function(*args, **kwargs)

        try:
            return await in_database(call)
        except Error as error:
            raise unavailable(error) from error


def unavailable(error: Error) -> MemoryUnavailable:
    """Convert a database error into MemoryUnavailable."""
    database_tables.look_again(error)
    return MemoryUnavailable(f"The session store cannot be used: {summary(error)}")
