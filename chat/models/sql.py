"""Plain SQL, for what every turn does: composing a queryset takes longer than PostgreSQL takes to answer it."""

from collections.abc import Mapping
from typing import Any, TypeAlias

from django.db import connection

Values: TypeAlias = Mapping[str, Any]


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
