"""The two names of the time when a task is due: `due` of the API, and `due_date` with `due_time` of the tools.

Each side takes the other's on input, too.
"""

from collections.abc import Mapping
from typing import Any

BOTH = "Give “due”, or “due_date” and “due_time”, but not both."
NO_DATE = "A time needs a date: give “due_date”, too."


def as_due(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return values with one `due`. Raise ValueError."""
    left = dict(values)
    if not {"due_date", "due_time"} & left.keys():
        return left
    if "due" in left:
        raise ValueError(BOTH)
    day, clock = left.pop("due_date", None), left.pop("due_time", None)
    if clock and not day:
        raise ValueError(NO_DATE)
    return {**left, "due": f"{day}T{clock}" if clock else day}


def as_date_and_time(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return values with `due_date` and `due_time`. Raise ValueError."""
    left = dict(values)
    due = left.pop("due", None)
    if due is None:
        return left
    if left.get("due_date") or left.get("due_time"):
        raise ValueError(BOTH)
    day, _, clock = due.partition("T") if isinstance(due, str) else (due, "", "")
    return {**left, "due_date": day, "due_time": clock or None}
