"""The dashboard on the admin's start page."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from django import template
from django.template.context import Context
from django.template.defaultfilters import date as shown_date
from django.template.defaultfilters import filesizeformat

from chat.models.session import State
from sessions_admin.metrics import charts
from sessions_admin.metrics.charts import Bars
from sessions_admin.metrics.overview import overview
from sessions_admin.metrics.stats import Day
from sessions_admin.reports import counted

register = template.Library()

# The order of the states in the stacked bar.
IN_ORDER = (State.ACTIVE, State.IDLE, State.DUE, State.HELD, State.QUARANTINED)


@dataclass(frozen=True, slots=True)
class Scale:
    """The labels at the left edge of a chart: its highest figure, and half of it if that is round."""

    top: str
    half: str


@register.inclusion_tag("admin/dashboard/board.html", takes_context=True)
def board(context: Context) -> dict[str, Any]:
    """Draw the dashboard."""
    metrics, perms = overview(), context["perms"]
    state_counts = [counted for state in IN_ORDER for counted in metrics.states if counted.state == state]
    messages = _bars(metrics.days, [day.messages for day in metrics.days], "message")
    active_sessions = _bars(metrics.days, [day.sessions for day in metrics.days], "session")
    highest = charts.ceiling(max((max(one.file_bytes, one.bytes) for one in metrics.growth), default=0), unit=1024)
    return {
        "overview": metrics,
        "perms": perms,
        "may_see_runs": "sessions_admin.view_cleanuprun" in perms or "sessions_admin.run_cleanup" in perms,
        "state_counts": state_counts,
        "state_parts": charts.parts(
            [counted.sessions for counted in state_counts],
            [f"{counted.state.label}: {counted.sessions:,}" for counted in state_counts],
            [counted.state.value for counted in state_counts],
        ),
        "gone": metrics.count(State.GONE),
        "due": metrics.count(State.DUE),
        "held": metrics.count(State.HELD),
        "quarantined": metrics.count(State.QUARANTINED),
        "today": metrics.days[-1],
        "messages": messages,
        "messages_scale": _counts(messages),
        "active_sessions": active_sessions,
        "active_sessions_scale": _counts(active_sessions),
        "growth": charts.area([(one.at.timestamp(), one.file_bytes) for one in metrics.growth], top=highest),
        "growth_of_items": charts.area([(one.at.timestamp(), one.bytes) for one in metrics.growth], top=highest),
        "growth_scale": Scale(filesizeformat(highest), filesizeformat(highest / 2)),
    }


@register.filter
def grouped(count: int) -> str:
    """Format a count with thousands separators."""
    return f"{count:,}"


def _bars(days: Sequence[Day], figures: list[int], noun: str) -> Bars:
    return charts.bars(figures, [_label(day, n, noun) for day, n in zip(days, figures, strict=True)])


def _label(day: Day, count: int, noun: str) -> str:
    return f"{shown_date(day.date, 'j M')}: {counted(count, noun)}"


def _counts(bars: Bars) -> Scale:
    return Scale(f"{bars.top:,.0f}", f"{bars.top / 2:,.0f}" if bars.top % 2 == 0 else "")
