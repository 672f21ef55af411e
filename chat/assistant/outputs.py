"""Limit the output of a tool to as many list entries as fit into a request."""

import json
from typing import Any

LIMIT = 8_000  # characters of JSON
LISTS = ("tasks", "messages")
_COUNTS = 60  # characters of `total`, `more` and `next_offset`


def bounded(output: dict[str, Any], limit: int | None) -> dict[str, Any]:
    """Return an output with as many list entries as fit into `limit` characters of JSON, and at least one.

    If there are more, `total` and `more` count them, and `next_offset` is where to continue, if the list can be paged.
    """
    name = next((name for name in LISTS if isinstance(output.get(name), list)), None)
    if limit is None or name is None:
        return output
    entries, offset = output[name], output.get("offset", 0)
    kept = _fitting(entries, limit - _length({**output, name: []}) - _COUNTS)
    total = output.get("total", len(entries))
    more = total - offset - len(kept)
    if more <= 0:
        return output
    paged = {"next_offset": offset + len(kept)} if "offset" in output else {}
    return {**output, name: kept, "total": total, "more": more, **paged}


def _fitting(entries: list[Any], room: int) -> list[Any]:
    for count, entry in enumerate(entries):
        room -= _length(entry) + len(", ")
        if room < 0:
            return entries[: max(count, 1)]
    return entries


def _length(value: object) -> int:
    return len(json.dumps(value, ensure_ascii=False))
