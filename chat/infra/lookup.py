"""Look up one row."""

from typing import Any, TypeVar

from django.db.models import QuerySet

from chat.exceptions import NotFound

R = TypeVar("R")


def get_one(rows: "QuerySet[Any, R]", noun: str) -> R:
    """Return the first row of a query. Raise NotFound, with a sentence about the noun, if there is none."""
    row = rows.first()
    if row is None:
        raise NotFound(f"There is no such {noun}.")
    return row
