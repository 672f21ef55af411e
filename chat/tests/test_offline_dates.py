"""Dates and times in ordinary English, relative to Wednesday 2026-03-11, 10:00."""

from datetime import date, datetime, time
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chat.assistant.offline.calendar import weeks_from
from chat.assistant.offline.dates import find_due, resolve_due, strip_due
from chat.assistant.offline.impossible import find_impossible
from chat.assistant.offline.spans import parse_span

NOW = datetime(2026, 3, 11, 10, tzinfo=ZoneInfo("Europe/Berlin"))


@pytest.mark.parametrize(
    ("text", "day", "at"),
    [
        ("today", (3, 11), None),
        ("tomorrow at 5", (3, 12), time(17)),
        ("the day after tomorrow", (3, 13), None),
        ("by Friday", (3, 13), None),
        ("on Wednesday", (3, 18), None),
        ("next Friday at 3:30pm", (3, 20), time(15, 30)),
        ("next Monday", (3, 16), None),
        ("Monday, March 16", (3, 16), None),
        ("in two weeks", (3, 25), None),
        ("a week from Friday", (3, 20), None),
        ("by the end of the month", (3, 31), None),
        ("on the 5th of next month", (4, 5), None),
        ("on the first", (4, 1), None),
        ("March 20th", (3, 20), None),
        ("13.3.", (3, 13), None),
        ("2026-04-01", (4, 1), None),
        ("tomorrow by 6", (3, 12), time(18)),
        ("at 9", (3, 12), time(9)),
        ("at 5pm", (3, 11), time(17)),
        ("at half past four tomorrow", (3, 12), time(16, 30)),
        ("tonight at 8", (3, 11), time(20)),
        ("in half an hour", (3, 11), time(10, 30)),
        ("in 90 minutes", (3, 11), time(11, 30)),
        ("in 3 weeks", (4, 1), None),
        ("two fortnights from tomorrow", (4, 9), None),
        ("in three months", (6, 11), None),
        ("tomorrow at 3:30", (3, 12), time(15, 30)),
        ("tomorrow at 03:30", (3, 12), time(3, 30)),
        ("ideally by Sunday", (3, 15), None),
        ("this afternoon at 3", (3, 11), time(15)),
    ],
)
def test_date_and_time_are_found(text: str, day: tuple[int, int], at: time | None) -> None:
    due = find_due(f"water the plants {text}", NOW)
    assert due is not None
    assert resolve_due(due, NOW) == (date(2026, *day), at)
    assert strip_due(f"water the plants {text}", due) == "water the plants"


@pytest.mark.parametrize(
    "text",
    [
        "tomorrow's show tickets", "march for peace", "buy 2 tickets", "Friday's meeting notes", "february 30",
        "with that one",
    ],
)  # fmt: skip
def test_text_without_a_date_stays_in_the_title(text: str) -> None:
    assert find_due(text, NOW) is None


def test_past_day_of_this_year_is_in_the_next_year() -> None:
    due = find_due("on January 5", NOW)
    assert due is not None
    assert due.day == date(2027, 1, 5)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("on 31 Feb", "31 Feb"),
        ("due April 31st", "April 31st"),
        ("by 30.02.", "30.02."),
        ("is due 32 March", "32 March"),
        ("on 2027-02-29", "2027-02-29"),
        ("tomorrow at 25:00", "25:00"),
        ("at 13am", "13am"),
    ],
)
def test_nonexistent_date_or_time_is_found(text: str, words: str) -> None:
    found = find_impossible(f"water the plants {text}", NOW)
    assert found is not None
    assert found.words == words.rstrip(".")


@pytest.mark.parametrize(
    "text", ["99 April songs", "a 16:90 screen", "section 4.15.", "31/4 screws", "29 Feb", "at 17:00"]
)
def test_other_numbers_are_not_nonexistent_dates(text: str) -> None:
    assert find_impossible(f"get {text}", NOW) is None


def test_leap_day_is_the_next_existing_one() -> None:
    due = find_due("on 29 Feb", NOW)
    assert due is not None
    assert due.day == date(2028, 2, 29)


def test_month_after_the_31st_is_the_last_day_of_a_shorter_month() -> None:
    due = find_due("in a month", datetime(2028, 1, 31, 10, tzinfo=ZoneInfo("Europe/Berlin")))
    assert due is not None
    assert due.day == date(2028, 2, 29)


@given(st.text(max_size=80), st.datetimes(datetime(2020, 1, 1), datetime(2035, 1, 1)))
def test_any_text_is_parsed_without_an_error(text: str, moment: datetime) -> None:
    due = find_due(text, moment)
    if due is not None:
        resolve_due(due, moment)
        strip_due(text, due)


SUNDAY = datetime(2026, 11, 29, 10, tzinfo=ZoneInfo("Europe/Berlin"))


@pytest.mark.parametrize(
    ("text", "week_start", "first", "last"),
    [
        ("this week", "Monday", (11, 23), (11, 29)),
        ("this week", "Sunday", (11, 29), (12, 5)),
        ("this week", "Saturday", (11, 28), (12, 4)),
        ("next week", "Monday", (11, 30), (12, 6)),
        ("next week", "Sunday", (12, 6), (12, 12)),
        ("this weekend", "Sunday", (11, 28), (11, 29)),
    ],
)
def test_weeks_start_on_the_configured_day(
    text: str, week_start: str, first: tuple[int, int], last: tuple[int, int]
) -> None:
    with weeks_from(week_start):
        span = parse_span(text, SUNDAY)
    assert span is not None
    assert (span.first, span.last) == (date(2026, *first), date(2026, *last))
