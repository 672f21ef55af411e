"""Keyset pagination by time, including ties; an index over (time, id) supports it."""

import uuid
from datetime import datetime
from typing import TypeVar

from django.db.models import Model, Q, QuerySet

M = TypeVar("M", bound=Model)
Last = tuple[datetime, uuid.UUID | int]  # the time and the key of the last row that is known


def newest_first(rows: "QuerySet[M]", *, by: str, after: Last | None, limit: int) -> list[M]:
    """Return rows by a time, the newest first, after a cursor; one more than the limit, if there is."""
    if after is not None:
        time, key = after
        rows = rows.filter(Q(**{f"{by}__lte": time}), Q(**{f"{by}__lt": time}) | Q(pk__lt=key))
    return list(rows.order_by(f"-{by}", "-pk")[: limit + 1])


def oldest_first(rows: "QuerySet[M]", *, by: str, after: Last | None, limit: int) -> list[M]:
    """Return rows as `newest_first` does, the oldest first."""
    if after is not None:
        time, key = after
        rows = rows.filter(Q(**{f"{by}__gte": time}), Q(**{f"{by}__gt": time}) | Q(pk__gt=key))
    return list(rows.order_by(by, "pk")[: limit + 1])
