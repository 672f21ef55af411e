"""Model usage per user and day."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, timedelta
from decimal import Decimal

from django.utils import timezone

from chat.assistant.usage import SUMS
from chat.models import ModelUsage
from sessions_admin.reports import Report


@dataclass(frozen=True, slots=True)
class UsageLine(Report):
    """A user's day: the sums over all models, or of one."""

    day: date
    email: str
    model: str  # empty for all
    responses: int
    input_tokens: int
    output_tokens: int
    cost: Decimal | None


def usage_lines(*, within: timedelta, email: str | None = None, by_model: bool = False) -> Iterator[UsageLine]:
    """Yield sums per user and day (UTC), the newest day first; optionally of one user, or per model."""
    since = (timezone.now() - within).astimezone(UTC).date()
    rows = ModelUsage.objects.filter(day__gt=since)
    if email is not None:
        rows = rows.filter(user__email=email)
    by = ("day", "user__email", "model") if by_model else ("day", "user__email")
    for row in rows.values(*by).annotate(**SUMS).order_by("-day", *by[1:]).iterator():
        figures = (row[name] for name in SUMS)
        yield UsageLine(row["day"], row["user__email"], row.get("model", ""), *figures)
