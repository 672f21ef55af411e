"""Lists that stay fast at any length: bounded counts, and filters that never query all rows."""

from calendar import monthrange
from datetime import date
from typing import Any

from django.contrib import admin
from django.contrib.admin.views.main import ChangeList
from django.core.paginator import Paginator
from django.db.models import Max, Min, Q, QuerySet
from django.http import HttpRequest
from django.utils import timezone
from django.utils.formats import date_format
from django.utils.functional import cached_property

from sessions_admin.admin.base import ReadOnlyAdmin
from sessions_admin.site import M

MAX_COUNTED = 5_000  # rows; beyond them, staff filter the list


class BoundedPaginator(Paginator[Any]):
    """Counts at most `MAX_COUNTED` rows, and pages through these."""

    @cached_property
    def _found(self) -> int:
        rows: QuerySet[Any] = self.object_list  # type: ignore[assignment]
        return rows.order_by().values("pk")[: MAX_COUNTED + 1].count()

    @cached_property
    def count(self) -> int:
        return min(self._found, MAX_COUNTED)

    @property
    def is_cut(self) -> bool:
        """Whether there are more rows than were counted."""
        return self._found > MAX_COUNTED


class LongListAdmin(ReadOnlyAdmin[M]):
    """A list that may be very long."""

    paginator = BoundedPaginator
    show_facets = admin.ShowFacets.NEVER
    change_list_template = "admin/long_list.html"


class ConditionFilter(admin.SimpleListFilter):
    """A filter with a few choices, each with its label and its condition."""

    def conditions(self) -> dict[str, tuple[str, Q]]:
        """Return the label and the condition of each choice."""
        raise NotImplementedError

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [(name, label) for name, (label, _) in self.conditions().items()]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        chosen = self.conditions().get(self.value() or "")
        return queryset.filter(chosen[1]) if chosen else queryset


class GivenFilter(admin.SimpleListFilter):
    """A filter that is set by a link and has no choices: there would be too many."""

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        value = request.GET.get(str(self.parameter_name))
        return [(value, self.label_of(value))] if value else []

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        value = self.value()
        return queryset.filter(**{str(self.parameter_name): value}) if value else queryset

    def label_of(self, value: str) -> str:
        """Return the label of the filter's value."""
        return value


def drilldown(changes: ChangeList) -> dict[str, object]:
    """Return years, months and days between the first and the last row, with two queries on an index.

    Django's own query reads the day of every row. The result is the context of its date hierarchy template.
    """
    name = str(changes.date_hierarchy)
    bounds = changes.model._default_manager.aggregate(first=Min(name), last=Max(name))
    if bounds["first"] is None:
        return {"show": False}
    first, last = timezone.localdate(bounds["first"]), timezone.localdate(bounds["last"])
    year, month, day = (_parse_number(changes.params.get(f"{name}__{part}")) for part in ("year", "month", "day"))

    def link(**parts: int) -> str:
        return changes.get_query_string({f"{name}__{part}": number for part, number in parts.items()}, [f"{name}__"])

    if year and month and 1 <= month <= 12:
        days = [date(year, month, number) for number in range(1, monthrange(year, month)[1] + 1)]
        choices = [
            {
                "link": None if day else link(year=year, month=month, day=each.day),
                "title": _format_date(each, "MONTH_DAY"),
            }
            for each in days
            if first <= each <= last and day in (None, each.day)
        ]
        back = {"link": link(year=year, month=month), "title": _format_date(days[0], "YEAR_MONTH")} if day else None
        return {"show": True, "back": back or {"link": link(year=year), "title": str(year)}, "choices": choices}
    if year or first.year == last.year:
        months = [date(year or first.year, number, 1) for number in range(1, 13)]
        choices = [
            {"link": link(year=each.year, month=each.month), "title": _format_date(each, "YEAR_MONTH")}
            for each in months
            if first.replace(day=1) <= each <= last
        ]
        return {"show": True, "back": {"link": link(), "title": "All dates"} if year else None, "choices": choices}
    years = range(first.year, last.year + 1)
    return {"show": True, "choices": [{"link": link(year=each), "title": str(each)} for each in years]}


def _parse_number(text: object) -> int | None:
    return int(text) if isinstance(text, str) and text.isdecimal() and 0 < int(text) < 10_000 else None


def _format_date(day: date, how: str) -> str:
    return date_format(day, f"{how}_FORMAT")
