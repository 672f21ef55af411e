"""Events as JSON, for the logs that server processes share."""

import json
from collections.abc import Sequence
from functools import cache
from typing import Any, get_args

from pydantic import TypeAdapter

from chat.turns.events import Event


def dumps(events: Sequence[Event]) -> bytes:
    """Return events as JSON."""
    pairs = [(event.type, _adapters()[event.type].dump_python(event, mode="json")) for event in events]
    return json.dumps(pairs, separators=(",", ":")).encode()


def loads(text: bytes) -> list[Event]:
    """Return the events of `dumps`. Raise ValueError for those of another version."""
    return [_adapter(name).validate_python(fields) for name, fields in json.loads(text)]


def _adapter(name: str) -> TypeAdapter[Any]:
    if name not in _adapters():
        raise ValueError(f"unknown event {name}")
    return _adapters()[name]


@cache
def _adapters() -> dict[str, TypeAdapter[Any]]:
    return {kind.type: TypeAdapter(kind) for kind in get_args(Event)}
