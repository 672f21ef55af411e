"""What long verbs share: batches, progress, reports, and counts in words."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from datetime import date
from decimal import Decimal
from enum import Enum
from typing import Any, TypeVar
from uuid import UUID

from django.template.defaultfilters import pluralize

T = TypeVar("T")

OnProgress = Callable[[int, int], None]  # given how many are done, of how many


def ignore_progress(done: int, total: int) -> None:
    """Report no progress."""


@dataclass(frozen=True, slots=True)
class Report:
    """A result that programs receive as JSON."""

    def as_json(self) -> dict[str, object]:
        """Return the fields as a dict for JSON."""
        return {name: plain(value) for name, value in asdict(self).items()}


def plain(value: Any) -> Any:
    """Return a value in the form of JSON: times, ids and decimals are text."""
    match value:
        case dict():
            return {name: plain(part) for name, part in value.items()}
        case list() | tuple():
            return [plain(part) for part in value]
        case Enum():
            return value.value
        case date():
            return value.isoformat()
    return str(value) if isinstance(value, UUID | Decimal) else value


def batches(chosen: Sequence[T], size: int) -> Iterator[Sequence[T]]:
    """Yield consecutive parts of at most this size."""
    for start in range(0, len(chosen), size):
        yield chosen[start : start + size]


def counted(number: int, noun: str) -> str:
    """Return a count with its noun: "1 session", "2,000 sessions"."""
    return f"{number:,} {noun}{pluralize(number)}"
