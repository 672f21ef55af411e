"""Plain SQL for the queries of every turn: composing a queryset takes longer than its execution."""

from collections.abc import Mapping
from typing import Any, TypeAlias

from django.db import connection

Values: TypeAlias = Mapping[str, Any]

# For the statement that takes a transaction's locks: if the process hangs in the transaction, PostgreSQL ends it before
# the process's leases end, so that the next owner does not wait for its locks. Also works behind a pooler.
ENDS_WHEN_IDLE = "set_config('idle_in_transaction_session_timeout', '10s', true)"


def select(statement: str, values: Values) -> list[tuple[Any, ...]]:
    """Return the rows of a statement."""
    with connection.cursor() as cursor:
        cursor.execute(statement, values)
        return list(cursor.fetchall())


def change(statement: str, values: Values) -> int:
    """Execute a statement; return how many rows it wrote."""
    with connection.cursor() as cursor:
        cursor.execute(statement, values)
        return int(cursor.rowcount)
