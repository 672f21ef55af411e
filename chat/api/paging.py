"""Lists a page at a time: a cursor names the last place that was seen, so that nothing is missed or seen twice.

A list is ordered by a time and an id, or by a place; the function behind it takes what stands after that and is asked
for one more than the page holds.
"""

import base64
import binascii
import json
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Generic, TypeVar

from ninja import Field, Schema

from chat.exceptions import BadCursor

T = TypeVar("T")
U = TypeVar("U")
Moment = tuple[datetime, uuid.UUID]
NumberedMoment = tuple[datetime, int]

MOST = 100


class Paging(Schema):
    """The parameters of a page."""

    limit: int = Field(50, ge=1, le=MOST, description="How many at most.")
    after: str = Field("", max_length=200, description="The `after` of the page before; none for the first page.")

    @property
    def moment(self) -> Moment | None:
        """The cursor of a list by time and id. Raise BadCursor."""
        return moment_of(self.after) if self.after else None

    @property
    def numbered(self) -> NumberedMoment | None:
        """The cursor of a list by time and number. Raise BadCursor."""
        return numbered_moment_of(self.after) if self.after else None

    @property
    def place(self) -> int | None:
        """The cursor of a list by place. Raise BadCursor."""
        return place_of(self.after) if self.after else None


class Page(Schema, Generic[T]):
    """A part of a list."""

    items: list[T]
    has_more: bool = Field(description="Whether there are more.")
    after: str | None = Field(description="The cursor of the next page, to be sent as `after`; null on the last page.")


@dataclass(frozen=True, slots=True)
class Listed(Generic[T]):
    """A page before the schema of its reply is applied."""

    items: Sequence[T]
    has_more: bool
    after: str | None

    def map(self, show: Callable[[T], U]) -> "Listed[U]":
        """Return the page with other items."""
        return Listed([show(item) for item in self.items], self.has_more, self.after)


def page(rows: Sequence[T], *, limit: int, cursor: Callable[[T], str]) -> Listed[T]:
    """Make a page of rows, of which one more than the limit was read."""
    items, has_more = rows[:limit], len(rows) > limit
    return Listed(items, has_more, cursor(items[-1]) if has_more else None)


def moment_cursor(time: datetime, key: uuid.UUID | int) -> str:
    """Name a place in a list by time and id, or number."""
    return _encoded([time.isoformat(), key if isinstance(key, int) else str(key)])


def moment_of(cursor: str) -> Moment:
    """Read what `moment_cursor` wrote. Raise BadCursor."""
    match _decoded(cursor):
        case [str(time), str(key)]:
            try:
                return _time(time), uuid.UUID(key)
            except ValueError:
                raise BadCursor from None
    raise BadCursor


def numbered_moment_of(cursor: str) -> NumberedMoment:
    """Read what `moment_cursor` wrote of a number. Raise BadCursor."""
    match _decoded(cursor):
        case [str(time), int(number)] if 0 <= number < 2**63 and not isinstance(number, bool):
            return _time(time), number
    raise BadCursor


def place_cursor(place: int) -> str:
    """Name a place in a list by places."""
    return _encoded([place])


def place_of(cursor: str) -> int:
    """Read what `place_cursor` wrote. Raise BadCursor."""
    match _decoded(cursor):
        case [int(place)] if 0 <= place < 2**31:
            return place
    raise BadCursor


def _time(text: str) -> datetime:
    try:
        time = datetime.fromisoformat(text)
    except ValueError:
        raise BadCursor from None
    if time.tzinfo is None:
        raise BadCursor
    return time


def _encoded(values: list[object]) -> str:
    return base64.urlsafe_b64encode(json.dumps(values, separators=(",", ":")).encode()).decode().rstrip("=")


def _decoded(cursor: str) -> object:
    try:
        return json.loads(base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True))
    except (binascii.Error, ValueError, RecursionError):
        raise BadCursor from None
