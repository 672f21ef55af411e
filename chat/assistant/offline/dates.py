"""Find and resolve days and times in a message."""

import re
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import MAXYEAR, date, datetime, time, timedelta
from typing import Literal

from chat.assistant.offline.budget import cached
from chat.assistant.offline.calendar import (
    HOLIDAYS,
    month,
    month_end,
    month_start,
    months_until,
    next_weekday,
    saturday_of_weekend,
    week_start_day,
    weekday,
    weekday_of_week,
)
from chat.assistant.offline.clock import TIME, parse_count, parse_time, to_24_hours
from chat.assistant.offline.patterns import pattern

Found = date | datetime | None
Resolver = Callable[[re.Match[str], datetime], Found]
_WEEKDAY = (
    r"(?:mon(?:day)?|tue(?:s(?:day)?)?|wed(?:s|nesday)?|thu(?:r(?:s(?:day)?)?)?|fri(?:day)?|sat(?:urday)?|sun(?:day)?)"
)
_FULL_WEEKDAY = r"(?:monday|tuesday|wednesday|thursday|friday|saturday|sunday)"
_MONTH = (
    r"(?:jan(?:uary)?|feb(?:ruary)?|mar(?:ch)?|apr(?:il)?|may|june?|july?|aug(?:ust)?|sept?(?:ember)?|oct(?:ober)?"
    r"|nov(?:ember)?|dec(?:ember)?)"
)
_COUNT = r"(?:\d{1,3}|a couple of|a couple|a few|an?|one|two|three|four|five|six|seven|eight|nine|ten|eleven|twelve)"
_UNIT = r"(?:minute|min|hour|hr|day|week|fortnight|month|year)s?"
_ORDINALS = ("first", "second", "third", "fourth", "fifth")
_ORDINAL = r"(?:\d{1,2}(?:st|nd|rd|th)|first|second|third|fourth|fifth)"
_PART = r"(?:\s+(?:eod|cob)\b)?(?:\s+(?:in the\s+)?(?:early |late )?(?P<part>morning|afternoon|evening|night|am|pm)\b)?"
_BEFORE = (
    r"(?:(?:(?:that is|that's|which is|it's|it is|is|are)\s+)?(?:due|deadline:?|due date:?)\s+)?"
    r"(?:(?:ideally|preferably|hopefully|probably|maybe|latest|eod|cob|say|no later than|not later than|at the latest(?: by)?|by|on|before|until|till|til|for|from|sometime"
    r"|any time|of"
    r"|starting|this coming|every|each|early|first thing|first thing on|close of business(?: on)?)\s+){0,8}+"
)
_OPTIONAL_WEEKDAY = rf"(?:(?:on\s+)?{_WEEKDAY}\.?,?\s+)?"


@dataclass(frozen=True)
class Due:
    """A due date in a text: a day, a time, or both, and where they are."""

    day: date | None
    at: time | None
    spans: tuple[tuple[int, int], ...]
    overdue: bool = False


@dataclass(frozen=True)
class _Day:
    day: date
    at: time | None
    part: str | None
    start: int
    end: int
    is_explicit: bool


_UNIT_LENGTHS = {
    "minute": timedelta(minutes=1),
    "min": timedelta(minutes=1),
    "hour": timedelta(hours=1),
    "hr": timedelta(hours=1),
    "day": timedelta(days=1),
    "week": timedelta(weeks=1),
    "fortnight": timedelta(weeks=2),
}


def _add_units(count: int, unit: str, base: datetime) -> datetime:
    """Add a number of units to a moment; in a shorter month, use its last day. Raise OverflowError."""
    if span := _UNIT_LENGTHS.get(unit):
        return base + count * span
    years, months = divmod(base.month - 1 + count * (12 if unit == "year" else 1), 12)
    if base.year + years > MAXYEAR:
        raise OverflowError
    first = base.replace(year=base.year + years, month=months + 1, day=1)
    return first.replace(day=min(base.day, month_end(first.date()).day))


def _relative_date(match: re.Match[str], now: datetime) -> Found:
    """Resolve "in 3 days", "two weeks from Monday", "a week after tomorrow"."""
    count, unit = parse_count(match["count"]), match["unit"].lower().rstrip("s")
    base = now.replace(tzinfo=None)
    anchor = (match.groupdict().get("anchor") or "").lower()
    if anchor == "tomorrow":
        base += timedelta(days=1)
    elif anchor and anchor not in ("now", "today"):
        base = datetime.combine(next_weekday(weekday(anchor), now.date()), now.time())
    moved = _add_units(count, unit, base)
    return moved if unit in ("minute", "min", "hour", "hr") else moved.date()


# Every such period contains a 29 February.
_LEAP_YEARS = 9


def _next_calendar_date(day: int, month: int, year: str | None, today: date) -> date | None:
    """Return the next such date, or the one in the given year."""
    years = [int(year) + (2000 if len(year) == 2 else 0)] if year else range(today.year, today.year + _LEAP_YEARS)
    for each in years:
        with suppress(ValueError):
            found = date(each, month, day)
            if year or found >= today:
                return found
    return None


def _named_day(match: re.Match[str], now: datetime) -> Found:
    return _next_calendar_date(int(match["day"]), month(match["month"]), match["year"], now.date())


def _numeric_day(match: re.Match[str], now: datetime) -> Found:
    first, second = int(match["first"]), int(match["second"])
    # 13.3. has the day first; with a slash the month is first, unless it cannot be.
    day, month = (first, second) if match["sep"] == "." or first > 12 else (second, first)
    return _next_calendar_date(day, month, match["year"], now.date())


def _day_of_month(match: re.Match[str], now: datetime) -> Found:
    word = match["day"].lower()
    day, today = _ORDINALS.index(word) + 1 if word in _ORDINALS else int(re.sub(r"\D", "", word)), now.date()
    for months in range(3):
        try:
            found = month_start(today, months).replace(day=day)
        except ValueError:
            continue
        if found >= today and not (months == 0 and match.groupdict().get("next")):
            return found
    return None


def _period_edge(match: re.Match[str], now: datetime) -> Found:
    """Resolve the start, middle or end of a week, a month or a year."""
    today, edge, unit = now.date(), match["edge"].lower(), match["unit"].lower()
    ahead = 1 if (match["which"] or "").lower() == "next" else 0
    if unit in ("day", "today", "tomorrow"):
        return today + timedelta(days=int(unit == "tomorrow"))
    if unit == "week":
        return weekday_of_week({"end": 4, "mid": 2}.get(edge[:3], 0), today, ahead)
    if unit == "year":
        return date(today.year + ahead, 12, 31) if edge == "end" else date(today.year + 1, 1, 1)
    months = ahead if unit == "month" else months_until(month(unit), today)
    if edge == "end":
        return month_end(today, months)
    if edge.startswith("mid"):
        return month_start(today, months).replace(day=15)
    first = month_start(today, months)
    return first if first >= today else month_start(today, months + 1)


def _relative_unit(match: re.Match[str], now: datetime) -> Found:
    today, unit = now.date(), match["unit"].lower()
    ahead = 1 if match["which"].lower() == "next" else 0
    if unit == "week":
        return weekday_of_week(0, today, 1) if ahead else week_start_day(today, 1) - timedelta(days=1)
    if unit == "weekend":
        return saturday_of_weekend(today, ahead)
    if unit == "month":
        return month_start(today, 1) if ahead else month_end(today)
    return date(today.year + 1, 1, 1) if ahead else date(today.year, 12, 31)


def _named_weekday(match: re.Match[str], now: datetime) -> Found:
    wanted, today = weekday(match["weekday"]), now.date()
    which = (match["which"] or match.groupdict().get("after") or "").lower()
    if "next" in which:
        return weekday_of_week(wanted, today, 1)
    if which == "this" and wanted == today.weekday():
        return today
    return next_weekday(wanted, today)


def _holiday(match: re.Match[str], now: datetime) -> Found:
    day, month = HOLIDAYS[match["feast"].lower()]
    return _next_calendar_date(day, month, None, now.date())


def _part_of_day(match: re.Match[str], now: datetime) -> Found:
    # In the morning, "in the morning" means the next one.
    over = {"morning": 9, "afternoon": 17, "evening": 21}[match["alone"].lower()]
    return now.date() + timedelta(days=int(now.hour >= over))


def _plain_day(match: re.Match[str], now: datetime) -> Found:
    words = re.sub(r"\s+", " ", match["plain"].lower())
    if words == "yesterday":
        return now.date() - timedelta(days=1)
    days = 2 if re.search(r"\bafter\b", words) else 1 if words.startswith("tomorrow") else 0
    return now.date() + timedelta(days=days)


def _iso(match: re.Match[str], now: datetime) -> Found:
    try:
        return date(*(int(part) for part in match["iso"].split("-")))
    except ValueError:
        return None


def _half_hour(match: re.Match[str], now: datetime) -> Found:
    return now.replace(tzinfo=None) + timedelta(minutes=30)


def _start_of_month(match: re.Match[str], now: datetime) -> Found:
    months = months_until(month(match["month"]), now.date()) or 12
    return month_start(now.date(), months)


@dataclass(frozen=True)
class _Rule:
    """A way to write a day. The expression is tried only if the text contains all the required words."""

    pattern: re.Pattern[str]
    resolve: Resolver
    required: tuple[re.Pattern[str], ...]


def _rule(text: str, resolve: Resolver, *needs: str) -> _Rule:
    # "Friday's meeting" is about the meeting, not a due date.
    expression = pattern(rf"(?<![\w'-]){text}(?![\w]|'s|-\w)")
    return _Rule(expression, resolve, tuple(pattern(need) for need in needs))


_YEAR = r"(?:,?\s+(?P<year>20\d\d))?"
_HOLIDAY = r"(?:christmas eve|christmas day|christmas|xmas|new year's eve|new year's day|valentine's day|halloween)"
_EDGE = r"(?:end|start|beginning|middle|mid)"
_PLAIN = r"(?:(?:later |earlier )?today|tonight|tomorrow|this (?:morning|afternoon|evening)|eod|cob)"
_RULES: tuple[_Rule, ...] = (
    _rule(_BEFORE + r"(?P<iso>\d{4}-\d{1,2}-\d{1,2})", _iso, r"\d"),
    _rule(
        _BEFORE
        + _OPTIONAL_WEEKDAY
        + rf"(?P<month>{_MONTH})\.?\s+(?:the\s+)?(?P<day>\d{{1,2}})(?:st|nd|rd|th)?{_YEAR}(?!\s*(?:am|pm|:\d))",
        _named_day,
        r"\d",
        _MONTH,
    ),
    _rule(
        _BEFORE
        + _OPTIONAL_WEEKDAY
        + rf"(?:the\s+)?(?P<day>\d{{1,2}})(?:st|nd|rd|th)?\s+(?:of\s+)?(?P<month>{_MONTH})\.?{_YEAR}",
        _named_day,
        r"\d",
        _MONTH,
    ),
    _rule(
        _BEFORE + _OPTIONAL_WEEKDAY + r"(?P<first>\d{1,2})(?P<sep>\.)(?P<second>\d{1,2})\.(?P<year>20\d\d|\d\d)?",
        _numeric_day,
        r"\d",
    ),
    _rule(
        _BEFORE + _OPTIONAL_WEEKDAY + r"(?P<first>\d{1,2})(?P<sep>/)(?P<second>\d{1,2})(?:/(?P<year>20\d\d|\d\d))?",
        _numeric_day,
        r"\d",
    ),
    _rule(_BEFORE + rf"the\s+(?P<day>{_ORDINAL})\s+of (?P<next>next) month", _day_of_month, "month", _ORDINAL),
    _rule(_BEFORE + rf"(?P<next>next) month\s+on\s+the\s+(?P<day>{_ORDINAL})", _day_of_month, "month", _ORDINAL),
    _rule(_BEFORE + rf"{_WEEKDAY}\s+the\s+(?P<day>{_ORDINAL})", _day_of_month, _WEEKDAY, _ORDINAL),
    _rule(
        rf"(?:due|by|on|before|until|till|for|to)\s+(?:on\s+)?the\s+(?P<day>{_ORDINAL})(?: of (?:this|the|each"
        r"|every) month)?(?! (?:ones?|tasks?|items?|floor|street|avenue|round|grade|class|edition|time|page|half))",
        _day_of_month,
        _ORDINAL,
    ),
    _rule(_BEFORE + rf"(?P<feast>{_HOLIDAY})", _holiday, _HOLIDAY),
    _rule(
        _BEFORE + rf"(?:in\s+)?(?P<count>{_COUNT})\s+(?P<unit>{_UNIT})\s+(?:from|after)\s+"
        rf"(?P<anchor>now|today|tomorrow|(?:next )?{_FULL_WEEKDAY})",
        _relative_date,
        _UNIT,
    ),
    _rule(
        rf"(?:due\s+)?(?:in|within)\s+(?:the next\s+)?(?P<count>{_COUNT})\s+(?P<unit>{_UNIT})(?:'?\s+time)?",
        _relative_date,
        _UNIT,
    ),
    _rule(
        _BEFORE
        + rf"(?:in\s+)?(?P<count>a|two|one)\s+(?P<unit>weeks?)\s+(?:on\s+)?(?P<anchor>today|tomorrow|{_FULL_WEEKDAY})",
        _relative_date,
        "week",
    ),
    _rule(
        _BEFORE + rf"(?P<anchor>{_FULL_WEEKDAY})(?P<count>)\s+(?P<unit>week)(?!end)",
        _relative_date,
        "week",
        _FULL_WEEKDAY,
    ),
    _rule(r"(?:due\s+)?in half an hour", _half_hour, "half an hour"),
    _rule(_BEFORE + r"(?P<plain>(?:the\s+)?day\s+after\s+tomorrow)" + _PART, _plain_day, "after"),
    _rule(
        _BEFORE + rf"(?:at\s+)?(?:the\s+|this\s+)?(?P<edge>{_EDGE})[- ](?:of\s+)?(?:the\s+)?"
        rf"(?:(?P<which>this|next)\s+)?(?P<unit>day|today|tomorrow|week|month|year|{_MONTH})",
        _period_edge,
        _EDGE,
    ),
    _rule(
        _BEFORE + rf"(?:(?P<which>next week|this|next|coming|the)\s+(?:on\s+)?)?(?P<weekday>{_FULL_WEEKDAY})"
        r"(?:\s+(?P<after>next week|of next week))?" + _PART,
        _named_weekday,
        _FULL_WEEKDAY,
    ),
    _rule(
        rf"(?:(?:due|by|on|before|until|till|for|to)\s+)?(?P<which>this|next|coming)\s+(?P<weekday>{_WEEKDAY})\.?"
        + _PART,
        _named_weekday,
        _WEEKDAY,
    ),
    _rule(
        rf"(?:due|by|on|before|until|till|for|to)\s+(?P<which>)(?P<weekday>{_WEEKDAY})\.?" + _PART,
        _named_weekday,
        _WEEKDAY,
    ),
    _rule(
        _BEFORE + r"(?:over\s+|at\s+|during\s+|in\s+)?(?P<which>next|this|coming|the)\s+(?P<unit>weekend)",
        _relative_unit,
        "weekend",
    ),
    _rule(
        _BEFORE + r"(?:later\s+|some ?time\s+)?(?:in\s+)?(?P<which>next|this|later this)\s+(?P<unit>week|month|year)",
        _relative_unit,
        "week|month|year",
    ),
    _rule(_BEFORE + rf"(?P<plain>{_PLAIN})" + _PART, _plain_day, _PLAIN),
    _rule(r"due\s+(?:(?:on|by|since)\s+)?(?P<plain>yesterday)", _plain_day, "yesterday"),
    _rule(
        r"(?:first thing )?in the (?P<alone>morning|afternoon|evening)(?=\s*(?:$|[,.;!?]))",
        _part_of_day,
        "morning|afternoon|evening",
    ),
    _rule(r"(?P<which>)(?P<weekday>mon|tues?|wed|thu|thurs|fri)(?=\s*$|\s+(?:at\s+)?\d)", _named_weekday, _WEEKDAY),
    _rule(
        r"(?<!the )(?<!we )(?<!i )(?<!he )(?<!in )(?<!of )(?P<which>)(?P<weekday>sat|sun)(?=\s*$)",
        _named_weekday,
        "sat|sun",
    ),
    _rule(r"(?P<which>)(?P<weekday>sat|sun)(?=\s+(?:at\s+)?\d)", _named_weekday, "sat|sun"),
    _rule(
        rf"(?:due\s+)?(?:in|by|before|until|for|early)\s+(?:early\s+)?(?P<month>{_MONTH})(?=\s*(?:$|[,.;!?]))",
        _start_of_month,
        _MONTH,
    ),
)
_HOUR_AFTER = pattern(
    r"^\s*,?\s*(?:by|before|from|around|about|@)?\s+(?P<hour>[1-9]|1\d|2[0-3])(?:ish)?(?=\s*$|\s*[,.!?])"
)
_HOUR_BEFORE = pattern(r"\b(?:by|before|from|around|at)\s+(?P<hour>[1-9]|1\d|2[0-3])(?:ish)?\s*$")
# Dinner is in the evening.
_EVENING = pattern(r"\b(?:dinner|drinks|party|movies?|cinema|concert|theat(?:er|re)|opera|pub|night out)\b")


@cached
def find_due(text: str, now: datetime, *, prefer: Literal["first", "last"] = "first") -> Due | None:
    """Return the due date in a text, relative to `now`; None if there is none."""
    days = sorted(
        _days(text, now), key=lambda day: (not day.is_explicit, day.start if prefer == "first" else -day.start)
    )
    day = days[0] if days else None
    if day is not None and not day.is_explicit and (last := _repeated_day(day, days, text)):
        day = last
    if day is not None and day.part is None and _EVENING.search(text):
        day = replace(day, part="evening")
    hour = _find_time(text, day) or (_find_time_beside(text, day) if day else None)
    if day is None and hour is None:
        return None
    spans = [(day.start, day.end)] if day else []
    at = day.at if day else None
    if hour is not None:
        at = hour[0]
        spans.append((hour[1], hour[2]))
    on = day.day if day else None
    return Due(on, at, tuple(spans))


def _repeated_day(day: _Day, days: list[_Day], text: str) -> _Day | None:
    """Return the same day if the text repeats it at its end: "2 tomorrow papers tomorrow"."""
    if not text[: day.start].strip() or not _BARE_DAY.fullmatch(text[day.start : day.end]):
        return None
    return next((each for each in days if each.day == day.day and not text[each.end :].strip(" .,!?")), None)


_BARE_DAY = pattern(rf"today|tonight|tomorrow|{_FULL_WEEKDAY}")


def resolve_due(due: Due, now: datetime) -> tuple[date, time | None]:
    """Return the day and the time: a time alone is today, or tomorrow if it has passed."""
    if due.day is not None:
        return due.day, due.at
    past = due.at is not None and due.at <= now.time()
    return now.date() + timedelta(days=int(past)), due.at


_CLOCK_OR_DAY = (
    rf"(?:(?:at|on|by)\s+)?(?:\d{{1,2}}(?:[:.]\d\d)?(?:\s*[ap]m)?|noon|midnight|{_FULL_WEEKDAY}|today|tonight|tomorrow)"
)
_CHOICE_JOINER = (
    r"\s*(?:,?\s*\b(?:or|and|to|till|until|through)\b(?: maybe| even)?|[/&-]|,(?=\s*\w+day\s*(?:,|and\b|or\b|&)))\s*"
)
_NEXT_CHOICE = pattern(
    rf"{_CHOICE_JOINER}{_CLOCK_OR_DAY}(?![\w:.]*\d)\b(?!'s)(?! (?!am|pm|or|and|to|in|at|on|by|next|this)\w)"
)
_PREVIOUS_CHOICE = pattern(rf"\b{_CLOCK_OR_DAY}{_CHOICE_JOINER}$")


def standalone_spans(text: str, due: Due) -> tuple[tuple[int, int], ...]:
    """Return the spans of a due date that are not part of a choice or a range: "at 5pm or 6pm", "from 3 to 5pm"."""
    return tuple(
        (start, end)
        for start, end in due.spans
        if not (_NEXT_CHOICE.match(text[end:]) or _PREVIOUS_CHOICE.search(text[:start]))
    )


def is_choice(text: str, due: Due) -> bool:
    """Return whether the text offers another time: "at 5pm or 6pm"."""
    return any((more := _NEXT_CHOICE.match(text[end:])) and re.search(r"\bor\b", more[0]) for _, end in due.spans)


def strip_due(text: str, due: Due) -> str:
    """Return the text without its due date."""
    for start, end in sorted(due.spans, reverse=True):
        text = f"{text[:start].rstrip()} {text[end:].lstrip()}"
    return text.strip()


def find_calendar_dates(text: str, now: datetime) -> Iterator[tuple[re.Match[str], bool]]:
    """Yield the calendar dates in a text ("31 Feb", "30.2.", "2026-02-30"), and whether each exists."""
    for rule in _RULES:
        if rule.resolve in (_named_day, _numeric_day, _iso):
            for match in rule.pattern.finditer(text):
                yield match, rule.resolve(match, now) is not None


_PARTICLE = pattern(
    r"on\s+(?=today|tonight|tomorrow|later|this (?:morning|afternoon|evening)|(?:this|next) (?:week|month|year)\b|the day|in\b)"
    r"|(?:on|by|for|from|of|before)\s+(?=(?:on|by|before|until|till|for|from|at)\s)"
)


def _days(text: str, now: datetime) -> Iterator[_Day]:
    taken: list[tuple[int, int]] = []
    present: dict[re.Pattern[str], bool] = {}
    for rule in _RULES:
        for need in rule.required:
            if need not in present:
                present[need] = need.search(text) is not None
        if not all(present[need] for need in rule.required):
            continue
        for match in rule.pattern.finditer(text):
            start, end = match.start() + _particle(match[0]), match.end()
            if any(start < other_end and end > other_start for other_start, other_end in taken):
                continue
            found = rule.resolve(match, now)
            if found is None:
                continue
            taken.append((start, end))
            yield _to_day(match, found, start)


def _particle(words: str) -> int:
    """Return the length of a word that belongs to the verb: "turn it on tomorrow", "stop by on Friday"."""
    found = _PARTICLE.match(words)
    return found.end() if found else 0


def _to_day(match: re.Match[str], found: date | datetime, start: int) -> _Day:
    end = match.end()
    firm = pattern(r"(?:due|by|before|until|till|no later|deadline)\b").match(match[0]) is not None
    part = (match.groupdict().get("part") or "").lower() or None
    if part is None and (named := pattern(r"\b(morning|afternoon|evening|tonight)\b").search(match[0])):
        part = named[1].lower()
    if isinstance(found, datetime):
        return _Day(found.date(), time(found.hour, found.minute), part, start, end, firm)
    return _Day(found, None, part, start, end, firm)


def _find_time(text: str, day: _Day | None) -> tuple[time, int, int] | None:
    for match in TIME.finditer(text):
        if day and match.start() < day.end and match.end() > day.start:
            continue
        at = parse_time(match, day.part if day else None)
        if at is not None:
            return at, match.start(), match.end()
    return None


def _find_time_beside(text: str, day: _Day) -> tuple[time, int, int] | None:
    """Find "by 6" and "from 9", which are times only beside a day."""
    for form, part in ((_HOUR_AFTER, text[day.end :]), (_HOUR_BEFORE, text[: day.start])):
        if found := form.search(part):
            offset = day.end if form is _HOUR_AFTER else 0
            return (
                time(to_24_hours(parse_count(found["hour"]) % 24, day.part)),
                offset + found.start(),
                offset + found.end(),
            )
    return None
