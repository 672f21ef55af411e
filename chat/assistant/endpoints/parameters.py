"""Request parameters that some endpoints refuse: recognised in an error, and omitted from a body.

A parameter is named as in the body: `store`, or with the list whose entries have it: `tools.strict`,
`messages.refusal`, `input.status`. A name in `tools` is left out at any depth, as keywords of a schema are.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from chat.assistant.endpoints.failures import READ
from config.env import REQUIRED_PARAMETERS

Body = Mapping[str, Any]

REFUSALS = (400, 422)

# Required keys of list entries.
_NEEDED_IN: dict[str, frozenset[str]] = {
    "tools": frozenset({"type", "function", "name", "description", "parameters", "properties", "items", "required"}),
    "messages": frozenset({"role", "content", "tool_calls", "tool_call_id"}),
    "input": frozenset({"role", "content", "type", "call_id", "name", "arguments", "output", "id", "summary", "text"}),
}
_ALIASES = {"strict": "tools.strict", "include_usage": "stream_options"}
# An endpoint that refuses one of the two accepts the other.
_SUCCESSORS = {"max_tokens": "max_completion_tokens", "max_completion_tokens": "max_tokens"}

_REFUSAL = re.compile(
    r"unknown|unsupported|not support|unrecogni[sz]ed|unexpected|extra input|extra_forbidden|extraneous|not permitted"
    r"|not allowed|cannot find field|not a valid|only allowed|invalid (?:parameter|argument|value)|no such",
    re.IGNORECASE,
)
# Accepted parameters, listed after the refused one.
_ACCEPTED = re.compile(
    r"expected one of|valid (?:fields|parameters)|supported (?:fields|parameters)|use '", re.IGNORECASE
)


def normal(name: str) -> str:
    """Return the name of a parameter as this module writes it."""
    return _ALIASES.get(name, name)


def refused(status: int, error: object, body: Body) -> frozenset[str]:
    """Return the parameters of a body that this error refuses; none if the error is about something else.

    `error` is the content of the answer: JSON, or text.
    """
    if status not in REFUSALS:
        return frozenset()
    text = _ACCEPTED.split("\n".join(_texts(error))[:READ])[0]
    if not _REFUSAL.search(text):
        return frozenset()
    named = set(_paths(error))
    return frozenset(name for name in _optional(body) if _is_named(name, named) or _is_mentioned(name, text))


def without(body: Body, omitted: Iterable[str]) -> dict[str, Any]:
    """Return a body without some parameters; a limit of tokens is sent by its other name where that one is accepted."""
    names = {normal(name) for name in omitted}
    sent = {key: value for key, value in body.items() if key not in names}
    for old, new in _SUCCESSORS.items():
        if old in names and old in body and new not in names:
            sent.setdefault(new, body[old])
    for place in _NEEDED_IN:
        inner = {name.partition(".")[2] for name in names if name.startswith(f"{place}.")}
        if inner and isinstance(sent.get(place), list):
            sent[place] = [_stripped(entry, inner, deep=place == "tools") for entry in sent[place]]
    return sent


def _stripped(value: Any, names: set[str], *, deep: bool) -> Any:
    if isinstance(value, list):
        return [_stripped(entry, names, deep=deep) for entry in value]
    if not isinstance(value, dict):
        return value
    kept = {key: entry for key, entry in value.items() if key not in names}
    if not deep:
        return kept
    return {
        # The keys of `properties` are names of arguments, not keywords.
        key: {name: _stripped(schema, names, deep=True) for name, schema in entry.items()}
        if key == "properties" and isinstance(entry, dict)
        else _stripped(entry, names, deep=True)
        for key, entry in kept.items()
    }


def _optional(body: Body) -> Iterator[str]:
    """Yield the optional parameters of a body."""
    yield from (key for key in body if key not in REQUIRED_PARAMETERS)
    for place, needed in _NEEDED_IN.items():
        entries = body.get(place)
        if isinstance(entries, Sequence) and not isinstance(entries, str):
            keys = set(_keywords(entries) if place == "tools" else (key for entry in entries for key in entry))
            yield from (f"{place}.{key}" for key in keys - needed)


def _keywords(value: Any) -> Iterator[str]:
    if isinstance(value, list):
        for entry in value:
            yield from _keywords(entry)
    elif isinstance(value, dict):
        for key, entry in value.items():
            yield key
            yield from _keywords(list(entry.values()) if key == "properties" and isinstance(entry, dict) else entry)


def _paths(content: Any) -> Iterator[tuple[str, ...]]:
    """Yield the paths of parameters that fields of an error name: `param`, and pydantic's `loc`."""
    if isinstance(content, list):
        for entry in content:
            yield from _paths(entry)
    elif isinstance(content, Mapping):
        for key, value in content.items():
            if key == "param" and isinstance(value, str):
                yield tuple(re.findall(r"[A-Za-z_]\w*", value))
            elif key == "loc" and isinstance(value, list | tuple):
                yield tuple(part for part in value if isinstance(part, str) and part != "body")
            else:
                yield from _paths(value)


def _texts(content: Any) -> Iterator[str]:
    if isinstance(content, str):
        yield content
    elif isinstance(content, Mapping):
        # These repeat the input.
        yield from (text for key, value in content.items() if key not in ("input", "type") for text in _texts(value))
    elif isinstance(content, list | tuple):
        yield from (text for value in content for text in _texts(value))


def _is_named(name: str, paths: Iterable[tuple[str, ...]]) -> bool:
    place, _, inner = name.rpartition(".")
    if not place:
        return any(path[:1] == (name,) for path in paths)
    return any(path[:1] == (place,) and path[-1] == inner for path in paths)


def _is_mentioned(name: str, text: str) -> bool:
    """Return whether a text quotes a name, or uses it as the name of a parameter."""
    place, _, inner = name.rpartition(".")
    word = re.escape(inner)
    forms = [
        rf"""['"`\[]{word}['"`\]]""",
        rf"^(?:.*: )?{word}: ",
        rf"(?:parameter|argument|field|param|property|key|supplied)s?:? (?:\w+, )*{word}\b",
    ]
    if place:
        forms.append(rf"\b{place}[.\[][\w.\[\]]*\b{word}\b")
    elif "_" in inner:
        forms.append(rf"(?<![\w.]){word}\b")
    return any(re.search(form, text, re.MULTILINE) for form in forms)
