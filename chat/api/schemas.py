"""Schemas that several routers share."""

from datetime import UTC, datetime
from typing import Annotated

from ninja import Field, Schema
from pydantic import AfterValidator, AwareDatetime, BeforeValidator, ConfigDict

from chat.infra.storable import storable


def _storable(text: str) -> str:
    if storable(text) != text:
        raise ValueError("It has a character that cannot be stored.")
    return text


def needs_text(value: object) -> object:
    """Refuse a number where a text is described: pydantic would read one as a time."""
    if value is not None and not isinstance(value, str):
        raise ValueError("It needs to be a text.")
    return value


def _in_utc(moment: datetime) -> datetime:
    """Return a moment in UTC, or the last or first one there is: PostgreSQL knows neither all offsets nor all years."""
    try:
        return moment.astimezone(UTC)
    except OverflowError:
        return (datetime.max if moment.year > 1 else datetime.min).replace(tzinfo=UTC)


Moment = Annotated[AwareDatetime, BeforeValidator(needs_text), AfterValidator(_in_utc)]
# PostgreSQL takes no NUL, and UTF-8 no half of a surrogate pair.
Text = Annotated[str, AfterValidator(_storable)]


class Input(Schema):
    """The body of a request; a field that is not described is refused by its name."""

    model_config = ConfigDict(extra="forbid")


class Problem(Schema):
    """What went wrong."""

    code: str = Field(description="For programs.", examples=["not_found"])
    detail: str = Field(description="A sentence for people.", examples=["There is no such task."])
    fields: dict[str, str] = Field(
        default_factory=dict, description="What is wrong with which field; only there where fields are."
    )


class ErrorReply(Schema):
    """The body of every failure."""

    error: Problem
