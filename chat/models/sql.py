"""Plain SQL, for what every turn does: composing a queryset takes longer than PostgreSQL takes to answer it."""

from collections.abc import Mapping
from typing import Any, TypeAlias

from django.db import connection

Values: TypeAlias = Mapping[str, Any]

# For the statement that takes a transaction's locks: where the process hangs in the midst of it, PostgreSQL ends it
# before the process's leases end, so that a takeover does not wait for its locks. Also holds behind a pooler.
ENDS_WHEN_IDLE = "set_config('idle_in_transaction_session_timeout', '10s', true)"


def select(statement: str, values: Values) -> list[tuple[Any, ...]]:
    """Return the rows of a statement."""
    with connection.cursor() as cursor:
        cursor.execute(statement, values)
        return list(cursor.fetchall())


def change(statement: str, values: Values) -> int:
    """Carry out a statement; return how many rows it wrote."""
    with connection.cursor() as cursor:
        cursor.execute(statement, values)
        return int(cursor.rowcount)
