"""Parse the days of a question: "this week", "by Friday", "in the next three days"."""

import re
from datetime import date, datetime, timedelta

from chat.assistant.offline.budget import cached
from chat.assistant.offline.calendar import MONTHS, saturday_of_weekend, week_start_day
from chat.assistant.offline.dates import find_due, resolve_due
from chat.assistant.offline.intents import Span
from chat.assistant.offline.patterns import pattern

_WEEK = pattern(r"\b(?P<which>this|next|the coming|coming|the) (?P<unit>week|weekend|month)\b|\bthe week(?P<end>end)\b")
_WITHIN = pattern(r"\b(?:in|within|over|for|during) the (?:next|coming) (?P<count>\w+)?\s*(?P<unit>day|week|month)s?\b")
_MONTH = pattern(
    r"\b(?:in|during|for) (january|february|march|april|may|june|july|august|september|october|november"
    r"|december)\b(?! \d)"
)
_BETWEEN = pattern(r"\b(?:between|from) (?P<first>.+?) (?:and|to|until|till) (?P<last>.+?)$")
_UP_TO = pattern(r"\b(?:by|before|until|till|up to)\b")
_OR_DAY = pattern(r"\s*(?:or|and|&|/)\s+(?:on )?(?P<day>today|tomorrow|\w+day)\b")
_WORDS = {"two": 2, "three": 3, "four": 4, "five": 5, "six": 6, "seven": 7, "ten": 10, "few": 3, "couple": 2}
_OVERDUE = pattern(r"\b(?:overdue|past due|late|missed|behind|past (?:the )?(?:their )?deadline)\b")
_UNDATED = pattern(r"\b(?:no|without(?: an?| any)?|lack(?:ing)?(?: a)?) (?:due )?(?:date|deadline)s?\b|\bundated\b")


@cached
def parse_span(text: str, now: datetime) -> Span | None:
    """Return the days in a question, or None."""
    today = now.date()
    text = pattern(r"\b(today|tomorrow|tonight|week|weekend|month|\w+day)'s\b").sub(r"\1", text)
    if pattern(r"\b(?:soon|upcoming|coming up)\b").search(text) and not find_due(text, now):
        return Span(first=today, words="coming up")
    if (found := _BETWEEN.search(text)) and (between := _between(found, now)):
        return between
    if _OVERDUE.search(text):
        return Span(last=today - timedelta(days=1), overdue=True, words="overdue")
    if found := _MONTH.search(text):
        month = MONTHS.index(found[1].lower()[:3]) + 1
        first = date(today.year + (month < today.month), month, 1)
        return Span(first, (first + timedelta(days=32)).replace(day=1) - timedelta(days=1), words=f"due in {first:%B}")
    if _UNDATED.search(text):
        return Span(undated=True, words="without a due date")
    if found := pattern(r"\b(?:after|later than|beyond|past)\s+(?P<rest>.+)$").search(text):
        until = parse_span(found["rest"], now)
        if (
            until is not None
            and until.last is not None
            and not pattern(r"(?:the )?(?:day after|work|lunch)").match(found["rest"])
        ):
            return Span(
                first=until.last + timedelta(days=1),
                words=f"due after {until.last:%A} {until.last.day} {until.last:%B}",
            )
    if found := _WITHIN.search(text):
        count = found["count"] or "1"
        days = (int(count) if count.isdigit() else _WORDS.get(count.lower(), 1)) * {"day": 1, "week": 7, "month": 30}[
            found["unit"].lower()
        ]
        return Span(today, today + timedelta(days=days), words=f"due in the next {days} days")
    if (found := _WEEK.search(text)) and (
        edge := pattern(r"\b(?:before|by|until|till)\s+$").search(text[: found.start()])
    ):
        named = _named_period(found, today)
        before = edge[0].strip().lower() == "before" and named.first is not None
        return Span(
            last=named.first - timedelta(days=1) if before and named.first else named.last,
            words=f"due {edge[0].strip()} {found[0]}",
        )
    if (found := _WEEK.search(text)) and not pattern(r"\bend of\b").search(text):
        return _named_period(found, today)
    if pattern(r"\bmy (?:day|today)\b").search(text) and not pattern(r"\btomorrow\b").search(text):
        return Span(today, today)
    if pattern(r"\bmy (?:week)\b").search(text):
        return parse_span("this week", now)
    due = find_due(text, now)
    if due is None or due.day is None:
        return None
    if found := _OR_DAY.match(text[due.spans[0][1] :]):
        other = find_due(found["day"], now)
        if other and other.day and abs((other.day - due.day).days) == 1:
            return Span(
                min(due.day, other.day),
                max(due.day, other.day),
                words=f"due {text[due.spans[0][0] : due.spans[0][1]].strip().removeprefix('due ')} or {found['day']}",
            )
    day, _ = resolve_due(due, now)
    words = text[due.spans[0][0] : due.spans[0][1]].strip()
    if pattern(r"\bbefore\s*(?:the\s*)?$").search(text[: due.spans[0][0]]) or pattern(r"\bbefore\b").search(words):
        day -= timedelta(days=1)
        return Span(last=day, words=f"due by {day:%A} {day.day} {day:%B}")
    if _UP_TO.search(text[max(0, due.spans[0][0] - 8) : due.spans[0][0]] + words):
        return Span(last=day, words=f"due by {day:%A} {day.day} {day:%B}")
    return Span(day, day, words="")


def _between(found: re.Match[str], now: datetime) -> Span | None:
    """Return the days of "between Monday and Friday"; from today if Monday has passed."""
    first, last = find_due(found["first"], now), find_due(found["last"], now)
    if first is None or last is None or first.day is None or last.day is None:
        return None
    begin = first.day if first.day <= last.day else now.date()
    return Span(begin, last.day, words=f"due between {found['first']} and {found['last']}")


def _named_period(found: re.Match[str], today: date) -> Span:
    which = (found["which"] or "").lower()
    ahead = which == "next"
    unit = "weekend" if found["end"] else found["unit"].lower()
    named = f"due {'next' if ahead else 'this'} {unit}"
    if unit == "month":
        first = (today.replace(day=1) + timedelta(days=32)).replace(day=1) if ahead else today.replace(day=1)
        return Span(first, (first + timedelta(days=32)).replace(day=1) - timedelta(days=1), words=named)
    if unit == "weekend":
        saturday = saturday_of_weekend(today, ahead)
        return Span(saturday, saturday + timedelta(days=1), words=named)
    first = week_start_day(today, ahead)
    last = first + timedelta(days=6)
    # The first day of the week is a setting.
    return Span(first, last, words=f"{named} (until {last:%A} {last.day} {last:%B})")
