"""The ids of the request, the socket and the turn that the running task works for, which the log shows."""

from collections.abc import Mapping
from contextvars import ContextVar

_ids: ContextVar[Mapping[str, str]] = ContextVar("log_ids")


def bind(**ids: object) -> None:
    """Add ids to the messages that this task, and those it starts, log from now on."""
    _ids.set({**bound(), **{name: str(value) for name, value in ids.items()}})


def bound() -> Mapping[str, str]:
    """Return the ids of the running task."""
    return _ids.get({})
