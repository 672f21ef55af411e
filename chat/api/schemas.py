"""Schemas that several routers share."""

from datetime import UTC, datetime
from typing import Annotated, Any, get_type_hints

from ninja import Field, Schema
from pydantic import AfterValidator, AwareDatetime, BeforeValidator, ConfigDict, create_model

from chat.infra.storable import storable
from chat.read_models import Shape


def _storable(text: str) -> str:
    if storable(text) != text:
        raise ValueError("It has a character that cannot be stored.")
    return text


def needs_text(value: object) -> object:
    """Refuse a number in the place of a text: pydantic would read one as a time."""
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


def schema_of(shape: type[Shape], fields: str = "", **names: str) -> Any:
    """Return a schema of a read model's JSON form or some fields of it; `names` are other names of some."""
    hints = get_type_hints(shape, include_extras=True)
    schema: dict[str, Any] = {}
    for field in fields.split() or shape.JSON:
        if isinstance(computed := getattr(shape, field), property):
            hints[field] = get_type_hints(computed.fget, include_extras=True)["return"]
        schema[names.get(field, field)] = Annotated[hints[field], Field(validation_alias=field)]
    return create_model(shape.__name__, __base__=Schema, **schema)
