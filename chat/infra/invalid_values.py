"""Say in plain sentences what is wrong with values from outside; most of pydantic's messages are for programmers."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from pydantic import ValidationError

UNUSABLE = "It cannot be used"
OBJECT, MOMENT = "It needs to be an object", "It needs to be a date and a time with an offset"
# By the type of the error, or by its first word; `{…}` is in its context.
SENTENCES: Mapping[str, str] = {
    "missing": "It is missing",
    "extra_forbidden": "There is no such field",
    "string": "It needs to be a text",
    "string_pattern_mismatch": "It has a character or a form that is not allowed",
    "string_unicode": "It has a character that cannot be stored",
    "int": "It needs to be a whole number",
    "float": "It needs to be a number",
    "finite": "It needs to be a number",
    "bool": "It needs to be true or false",
    "list": "It needs to be a list",
    "dict": OBJECT,
    "model": OBJECT,
    "json_invalid": "It is not JSON",
    "literal": "It needs to be {expected}",
    "enum": "It needs to be {expected}",
    "greater_than": "It needs to be more than {gt}",
    "greater_than_equal": "It needs to be at least {ge}",
    "less_than": "It needs to be less than {lt}",
    "less_than_equal": "It needs to be at most {le}",
    "uuid": "It needs to be a UUID",
    "date": "It needs to be a date",
    "datetime": MOMENT,
    "timezone": MOMENT,
    "none_required": "It needs to be null",
    "union_tag_invalid": "The field {discriminator} needs to be one of {expected_tags}",
    "union_tag_not_found": "The field {discriminator} is missing",
}


def invalid_values(error: ValidationError, *, skip: int = 0) -> dict[str, str]:
    """Return for each invalid value what is wrong with it, by its place without the first `skip` parts."""
    errors = error.errors(include_url=False, include_input=False)
    return by_place((one["loc"][skip:], one) for one in errors)


def by_place(errors: Iterable[tuple[Sequence[object], Mapping[str, Any]]]) -> dict[str, str]:
    """Return the first sentence of each place; an empty text stands for the whole."""
    fields: dict[str, str] = {}
    for place, error in errors:
        fields.setdefault(".".join(map(str, place)), sentence_of(error))
    return fields


def listed(fields: Mapping[str, str]) -> str:
    """Return the first few as one line, as in “title: it is missing; due: it needs to be a text”."""
    return "; ".join(
        f"{name}: {message[:1].lower()}{message[1:].rstrip('.')}" if name else message.rstrip(".")
        for name, message in list(fields.items())[:5]
    )


def sentence_of(error: Mapping[str, Any]) -> str:
    """Return a sentence, without its full stop, about one of pydantic's errors."""
    kind: str = error["type"]
    limits: Mapping[str, Any] = error.get("ctx") or {}
    is_text = kind.startswith("string") or limits.get("field_type") == "Value"
    match kind:
        case "value_error":  # of our validators, after a prefix of pydantic's
            return str(error["msg"]).removeprefix("Value error, ")
        case "string_pattern_mismatch" if limits.get("pattern") == r"\S":
            return "It needs some text"
        case "too_long" | "string_too_long":
            return f"It has at most {_count(limits['max_length'], is_text)}"
        case "too_short" | "string_too_short" if is_text and limits["min_length"] == 1:
            return "It needs some text"
        case "too_short" | "string_too_short":
            return f"It needs at least {_count(limits['min_length'], is_text)}"
    sentence = SENTENCES.get(kind) or SENTENCES.get(kind.partition("_")[0], UNUSABLE)
    return sentence.format_map(limits)


def _count(count: int, is_text: bool) -> str:
    one, many = ("character", "characters") if is_text else ("entry", "entries")
    return f"{count:,} {one if count == 1 else many}"
