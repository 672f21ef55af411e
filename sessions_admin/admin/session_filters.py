"""Filters of the list of sessions."""

import uuid
from datetime import datetime, timedelta
from typing import Any

from django.contrib import admin
from django.db.models import Q, QuerySet
from django.http import HttpRequest
from django.utils import timezone

from chat.models import AgentSession, User
from chat.models.session import State, is_held
from sessions_admin.admin.lists import GivenFilter

Sessions = QuerySet[AgentSession]
KB, MB = 1024, 1024 * 1024
ENDING_SOON = timedelta(days=7)
SIZES = {
    "small": ("Under 10 KB", Q(byte_count__lt=10 * KB)),
    "middle": ("10 KB to 100 KB", Q(byte_count__gte=10 * KB, byte_count__lt=100 * KB)),
    "large": ("100 KB to 1 MB", Q(byte_count__gte=100 * KB, byte_count__lt=MB)),
    "huge": ("1 MB and more", Q(byte_count__gte=MB)),
}


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


class ActivityFilter(admin.SimpleListFilter):
    """Filters by the last activity."""

    title = "last activity"
    parameter_name = "activity"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [("today", "Today"), ("week", "Past 7 days"), ("month", "Past 30 days"), ("older", "Older")]

    def queryset(self, request: HttpRequest, queryset: Sessions) -> Sessions:
        now = timezone.now()
        since: dict[str | None, datetime] = {
            "today": timezone.localtime(now).replace(hour=0, minute=0, second=0, microsecond=0),
            "week": now - timedelta(days=7),
            "month": now - timedelta(days=30),
        }
        value = self.value()
        if value == "older":
            return queryset.filter(last_activity_at__lt=since["month"])
        return queryset.filter(last_activity_at__gte=since[value]) if value in since else queryset


class SizeFilter(admin.SimpleListFilter):
    """Filters by size."""

    title = "size"
    parameter_name = "size"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [(name, label) for name, (label, _) in SIZES.items()]

    def queryset(self, request: HttpRequest, queryset: Sessions) -> Sessions:
        chosen = SIZES.get(self.value() or "")
        return queryset.filter(chosen[1]) if chosen else queryset


class HoldFilter(admin.SimpleListFilter):
    """Filters by legal hold."""

    title = "hold"
    parameter_name = "hold"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [("held", "Held"), ("ends", "Hold ends within 7 days"), ("free", "Not held")]

    def queryset(self, request: HttpRequest, queryset: Sessions) -> Sessions:
        now = timezone.now()
        if self.value() == "held":
            return queryset.filter(is_held(now))
        if self.value() == "ends":
            return queryset.filter(is_held(now), held_until__lte=now + ENDING_SOON)
        return queryset.exclude(is_held(now)) if self.value() == "free" else queryset


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
