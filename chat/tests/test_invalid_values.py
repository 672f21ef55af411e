"""Validation errors are reported as plain sentences that name the field."""

import uuid
from typing import Annotated, Any, Literal

import pytest
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from chat.infra.invalid_values import invalid_values, listed
from chat.realtime.client_frames import BadFrame, parse


class Part(BaseModel):
    model_config = ConfigDict(extra="forbid")

    text: Annotated[str, Field(max_length=3)] = ""


@pytest.mark.parametrize(
    ("kind", "value", "sentence"),
    [
        (str, 5, "It needs to be a text"),
        (int, "one", "It needs to be a whole number"),
        (int, 1.5, "It needs to be a whole number"),
        (bool, "perhaps", "It needs to be true or false"),
        (float, None, "It needs to be a number"),
        (uuid.UUID, "7", "It needs to be a UUID"),
        (AwareDatetime, "2026-01-01T10:00:00", "It needs to be a date and a time with an offset"),
        (AwareDatetime, "soon", "It needs to be a date and a time with an offset"),
        (Literal["low", "high"], "much", "It needs to be 'low' or 'high'"),
        (Annotated[int, Field(ge=1)], 0, "It needs to be at least 1"),
        (Annotated[int, Field(le=100)], 101, "It needs to be at most 100"),
        (Annotated[list[int], Field(min_length=1)], [], "It needs at least 1 entry"),
        (Annotated[list[int], Field(max_length=2)], [1, 2, 3], "It has at most 2 entries"),
        (Annotated[str, Field(max_length=2)], "abc", "It has at most 2 characters"),
        (Annotated[str, Field(pattern="^a$")], "b", "It has a character or a form that is not allowed"),
        (list[int], {}, "It needs to be a list"),
        (Part, 5, "It needs to be an object"),
        (dict[str, int], [], "It needs to be an object"),
        (complex, "x", "It cannot be used"),
    ],
)
def test_sentence_describes_the_required_value(kind: Any, value: object, sentence: str) -> None:
    with pytest.raises(ValidationError) as caught:
        TypeAdapter(kind).validate_python(value)
    assert invalid_values(caught.value) == {"": sentence}


def test_line_lists_the_invalid_fields() -> None:
    with pytest.raises(ValidationError) as caught:
        TypeAdapter(list[Part]).validate_python([{"text": "long"}, {"txt": "a"}])
    assert listed(invalid_values(caught.value)) == (
        "0.text: it has at most 3 characters; 1.txt: there is no such field"
    )


@pytest.mark.parametrize(
    ("frame", "detail"),
    [
        ('{"type": "message.send", "client_id": 5}', "client_id: it needs to be a UUID; text: it is missing"),
        ("{}", "The field 'type' is missing."),
        ('{"type": "x"}', "The field 'type' needs to be one of 'message.send', 'message.edit'"),
        ("5", "It needs to be an object."),
    ],
)
def test_invalid_frame_is_refused_with_such_sentences(frame: str, detail: str) -> None:
    with pytest.raises(BadFrame) as caught:
        parse(frame)
    assert caught.value.detail.startswith(f"The frame cannot be read: {detail}")
