"""Find days and times that do not exist: "31 Feb", "25:00", "in -3 days"."""

import re
from dataclasses import dataclass, replace
from datetime import date, datetime, time

from chat.assistant.offline.budget import cached
from chat.assistant.offline.clock import TIME, parse_time
from chat.assistant.offline.dates import find_calendar_dates, find_due
from chat.assistant.offline.patterns import pattern


@dataclass(frozen=True)
class Impossible:
    """The words for a day or a time that does not exist; a time may belong to a valid day."""

    words: str
    start: int
    end: int
    is_hour: bool = False
    of_day: bool = False


# Replace the invalid value while the rest is parsed.
PLACEHOLDER_DAY, PLACEHOLDER_TIME = date(2999, 12, 31), time(23, 58)
_DUE_PREPOSITION = pattern(r"(?:(?:is|are|it's)\s+)?(?:due|by|on|before|until|till|deadline|to|for|from|at|@)\b")
_LEAD_IN = pattern(r"^(?:(?:is|are|it's|due|by|on|before|until|till|deadline:?|to|for|from|at|@|the)\s*)+\b")
_NEGATIVE_COUNT = pattern(r"\b(?:due\s+)?in\s+(?P<count>-\d{1,9}\s+(?:minute|hour|day|week|month|year)s?)\b")
_OF = pattern(r"\b(?:of|is|was|ratio|score|version)\s*$")
_MAX_DAYS, _MONTHS, _MAX_MINUTES = 31, 12, 59


@cached
def find_impossible(text: str, now: datetime) -> Impossible | None:
    """Return the first invalid day or time in a text, or None."""
    for match, exists in find_calendar_dates(text, now):
        if not exists and (_DUE_PREPOSITION.match(match[0]) or _looks_like_day(match)):
            return _to_impossible(match)
    if found := _NEGATIVE_COUNT.search(text):
        return Impossible(f"day “in {found['count']}”", found.start(), found.end())
    for match in TIME.finditer(text):
        timed = match["clock"] or match["half"]
        if not timed or parse_time(match, None) is not None:
            continue
        due = find_due(f"{text[: match.start()]} {text[match.end() :]}", now)
        of_day = due is not None and due.day is not None
        # "At 25 Main Street" and "a ratio of 16:90" are not times.
        if match["half"] or _DUE_PREPOSITION.match(match[0]) or (of_day and _looks_like_time(match)):
            return replace(_to_impossible(match), is_hour=True, of_day=of_day)
    return None


def insert_placeholder(text: str, impossible: Impossible) -> str:
    """Replace the invalid value with `PLACEHOLDER_DAY` or `PLACEHOLDER_TIME`."""
    stand_in = f"at {PLACEHOLDER_TIME:%H:%M}" if impossible.is_hour else f"by {PLACEHOLDER_DAY}"
    due = "due " if pattern(r"due\b").match(text[impossible.start :]) else ""
    return f"{text[: impossible.start]}{due}{stand_in}{text[impossible.end :]}"


def _looks_like_day(match: re.Match[str]) -> bool:
    """Return whether the numbers look like a date, although the month has no such day."""
    groups = match.groupdict()
    if groups.get("sep") == "/":
        return False
    if groups.get("sep"):
        return int(match["first"]) <= _MAX_DAYS and int(match["second"]) <= _MONTHS
    return "iso" in groups or int(match["day"]) <= _MAX_DAYS


def _looks_like_time(match: re.Match[str]) -> bool:
    """Return whether "25:00" beside a day is a time, without a preposition before it."""
    return int(match["minutes"]) <= _MAX_MINUTES and not _OF.search(match.string[: match.start()])


def _to_impossible(match: re.Match[str]) -> Impossible:
    lead = _LEAD_IN.match(match[0])
    begin = match.start() + (lead.end() if lead else 0)
    return Impossible(match.string[begin : match.end()].strip(" ,."), match.start(), match.end())
