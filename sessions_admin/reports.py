"""What long verbs share: batches, progress, reports, and counts in words."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import TypeVar

from django.template.defaultfilters import pluralize

T = TypeVar("T")

OnProgress = Callable[[int, int], None]  # given how many are done, of how many


def ignore_progress(done: int, total: int) -> None:
    """Report no progress."""


@dataclass(frozen=True, slots=True)
class Report:
    """A result that programs receive as JSON."""

    def as_json(self) -> dict[str, object]:
        """Return the fields as a dict."""
        return asdict(self)


def batches(chosen: Sequence[T], size: int) -> Iterator[Sequence[T]]:
    """Yield consecutive parts of at most this size."""
    for start in range(0, len(chosen), size):
        yield chosen[start : start + size]


def counted(number: int, noun: str) -> str:
    """Return a count with its noun: "1 session", "2,000 sessions"."""
    return f"{number:,} {noun}{pluralize(number)}"
