"""Days, weeks and months relative to a day."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import date, timedelta

WEEKDAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
# The day and the month of each.
HOLIDAYS = {
    "christmas eve": (24, 12),
    "christmas day": (25, 12),
    "christmas": (25, 12),
    "xmas": (25, 12),
    "new year's eve": (31, 12),
    "new year's day": (1, 1),
    "valentine's day": (14, 2),
    "halloween": (31, 10),
}


def weekday(words: str) -> int:
    """Return the number of a weekday; Monday is 0."""
    return next(i for i, name in enumerate(WEEKDAYS) if name.startswith(words.lower()[:3]))


def month(words: str) -> int:
    """Return the number of a month."""
    return MONTHS.index(words.lower()[:3]) + 1


def next_weekday(weekday: int, today: date) -> date:
    """Return the next date after today with this weekday."""
    return today + timedelta(days=(weekday - today.weekday() - 1) % 7 + 1)


_week_start: ContextVar[int] = ContextVar("week_start", default=0)


@contextmanager
def weeks_from(name: str) -> Iterator[None]:
    """Make weeks start on a weekday."""
    token = _week_start.set(weekday(name))
    try:
        yield
    finally:
        _week_start.reset(token)


def week_start() -> int:
    """Return the weekday on which weeks start."""
    return _week_start.get()


def week_start_day(today: date, weeks: int = 0) -> date:
    """Return the first day of this week, or of the week that many weeks later."""
    return today - timedelta(days=(today.weekday() - week_start()) % 7) + timedelta(weeks=weeks)


def weekday_of_week(weekday: int, today: date, weeks: int) -> date:
    """Return the date of a weekday in this week, or in the week that many weeks later."""
    return week_start_day(today, weeks) + timedelta(days=(weekday - week_start()) % 7)


def saturday_of_weekend(today: date, weeks: int) -> date:
    """Return the Saturday of this weekend, which ends on Sunday, or of the weekend that many weeks later."""
    return today - timedelta(days=today.weekday()) + timedelta(weeks=weeks, days=5)


def month_start(today: date, months: int) -> date:
    """Return the first day of the month that is this many months later."""
    years, month = divmod(today.month - 1 + months, 12)
    return date(today.year + years, month + 1, 1)


def month_end(today: date, months: int = 0) -> date:
    """Return the last day of the month that is this many months later."""
    return month_start(today, months + 1) - timedelta(days=1)


def months_until(month: int, today: date) -> int:
    """Count the months until the next such month; zero if it is this one."""
    return (month - today.month) % 12
