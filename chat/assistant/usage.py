"""The cost of a user's turns, by model."""

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal

from django.conf import settings
from django.db.models import Sum

from chat.assistant.model_config import configured
from chat.models import ModelUsage

_FIELDS = {"total": "responses", "given": "input_tokens", "generated": "output_tokens", "price": "cost"}
SUMS = {name: Sum(field) for name, field in _FIELDS.items()}


@dataclass(frozen=True, slots=True)
class Usage:
    """Sums for one model; `cost` is in AGENT_CURRENCY, and None where no response had a price."""

    model: str  # the display name
    responses: int
    input_tokens: int
    output_tokens: int
    cost: Decimal | None

    @property
    def priced(self) -> str:
        """The formatted cost."""
        return price(self.cost)


def of_month(user_id: uuid.UUID, *, now: datetime) -> Sequence[Usage]:
    """Return a user's sums of the current month (UTC), the most used model first."""
    labels = {model.name: model.label or model.name for model in configured()}
    rows = ModelUsage.objects.filter(user=user_id, day__gte=month_began(now)).values("model").order_by("model")
    counts = rows.annotate(**SUMS).values_list("model", *SUMS)
    found = [Usage(labels.get(model, model), *counted) for model, *counted in counts]
    return sorted(found, key=lambda usage: -usage.input_tokens - usage.output_tokens)


def price(cost: Decimal | None) -> str:
    """Format a sum of money: four places below ten, two above; a dash for None."""
    if cost is None:
        return "–"
    return f"{cost:,.{4 if cost < 10 else 2}f} {settings.AGENT_CURRENCY}"


def month_began(now: datetime) -> date:
    """Return the first day of a moment's month, UTC."""
    return now.astimezone(UTC).date().replace(day=1)
