"""Read the token counts that an endpoint reports; implausible values are ignored."""

from collections.abc import Mapping
from typing import Any

MOST = 100_000_000  # tokens: no response takes more, and PostgreSQL could not store some that are sent


def count(value: object) -> int:
    """Return a number of tokens; 0 for an invalid or implausible value."""
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= MOST else 0


def repaired_response(data: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return a response of the Responses API, or an event that has one, with its usage in the API's types."""
    if isinstance(data.get("response"), Mapping):
        return {**data, "response": repaired_response(data["response"])}
    return {**data, "usage": _usage(data["usage"])} if "usage" in data else data


def _usage(usage: object) -> dict[str, Any] | None:
    if not isinstance(usage, Mapping):
        return None
    inputs, outputs = count(usage.get("input_tokens")), count(usage.get("output_tokens"))
    return {
        "input_tokens": inputs,
        "output_tokens": outputs,
        "total_tokens": count(usage.get("total_tokens")) or inputs + outputs,
        "input_tokens_details": _details(usage, "input_tokens_details", "cached_tokens", "cache_write_tokens"),
        "output_tokens_details": _details(usage, "output_tokens_details", "reasoning_tokens"),
    }


def _details(usage: Mapping[str, Any], name: str, *counts: str) -> dict[str, int]:
    details = usage.get(name)
    return {key: count(details.get(key) if isinstance(details, Mapping) else 0) for key in counts}
