"""Filters of the list of sessions."""

import uuid
from datetime import timedelta
from typing import Any

from django.contrib import admin
from django.db.models import Q, QuerySet
from django.http import HttpRequest
from django.utils import timezone

from chat.models import AgentSession, User
from chat.models.session import State, is_held
from sessions_admin.admin.lists import ConditionFilter, GivenFilter

Sessions = QuerySet[AgentSession]
KB, MB = 1024, 1024 * 1024


class StateFilter(admin.SimpleListFilter):
    """Filters by state."""

    title = "state"
    parameter_name = "state"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [(state.value, str(state.label)) for state in State]

    def queryset(self, request: HttpRequest, queryset: Sessions) -> Sessions:
        value = self.value()
        if value not in State.values:
            return queryset
        return queryset.in_state(State(value))  # type: ignore[attr-defined,no-any-return]  # an AgentSessionQuerySet


class ActivityFilter(ConditionFilter):
    """Filters by the last activity."""

    title = "last activity"
    parameter_name = "activity"

    def conditions(self) -> dict[str, tuple[str, Q]]:
        now = timezone.now()
        today = timezone.localtime(now).replace(hour=0, minute=0, second=0, microsecond=0)
        month = now - timedelta(days=30)
        return {
            "today": ("Today", Q(last_activity_at__gte=today)),
            "week": ("Past 7 days", Q(last_activity_at__gte=now - timedelta(days=7))),
            "month": ("Past 30 days", Q(last_activity_at__gte=month)),
            "older": ("Older", Q(last_activity_at__lt=month)),
        }


class SizeFilter(ConditionFilter):
    """Filters by size."""

    title = "size"
    parameter_name = "size"

    def conditions(self) -> dict[str, tuple[str, Q]]:
        return {
            "small": ("Under 10 KB", Q(byte_count__lt=10 * KB)),
            "middle": ("10 KB to 100 KB", Q(byte_count__gte=10 * KB, byte_count__lt=100 * KB)),
            "large": ("100 KB to 1 MB", Q(byte_count__gte=100 * KB, byte_count__lt=MB)),
            "huge": ("1 MB and more", Q(byte_count__gte=MB)),
        }


class HoldFilter(ConditionFilter):
    """Filters by legal hold."""

    title = "hold"
    parameter_name = "hold"

    def conditions(self) -> dict[str, tuple[str, Q]]:
        now = timezone.now()
        return {
            "held": ("Held", is_held(now)),
            "ends": ("Hold ends within 7 days", is_held(now) & Q(held_until__lte=now + timedelta(days=7))),
            "free": ("Not held", ~is_held(now)),
        }


class OwnerFilter(GivenFilter):
    """Filters by user, through a link from their page."""

    title = "person"
    parameter_name = "user__id__exact"

    def label_of(self, value: str) -> str:
        return next(iter(User.objects.filter(pk__in=_parse_ids(value)).values_list("email", flat=True)), "Unknown")

    def queryset(self, request: HttpRequest, queryset: Sessions) -> Sessions:
        value = self.value()
        return queryset.filter(user__in=_parse_ids(value)) if value else queryset


def _parse_ids(text: str) -> list[uuid.UUID]:
    try:
        return [uuid.UUID(text)]
    except ValueError:
        return []
