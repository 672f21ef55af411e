"""Parse a bare day, time or priority, and a denied day."""

import re
from datetime import datetime

from chat.assistant.offline.budget import cached
from chat.assistant.offline.dates import find_due, strip_due
from chat.assistant.offline.intents import Fragment
from chat.assistant.offline.patterns import pattern
from chat.assistant.offline.slots import take_priority
from chat.assistant.offline.spans import parse_span

_FRAGMENT_LEAD = pattern(
    r"^(?:(?:no|oh|oops|whoops|sorry|wait|ah|hey)[, !.]+)*(?:no[, ]+|i meant?|meant|i said|rather|better|it's|that's|is|maybe|perhaps|say|for|let's say|make it)\s+"
)
_DUE_LABEL = pattern(
    r"^(?:and |the |with )*(?:deadline|due(?: date| by| on)?|date|when|by when)(?:\s+is|\s*[:=])?\s+(?=\S)"
)
_FRAGMENT_END = pattern(r"\s+(?:instead|then|please|rather|is fine|works|would be (?:good|great|fine))$")
_FRAGMENT_FILLER = pattern(r"\b(?:and|it|due|at|on|by|with|make|is|a|the|to|task|one|for)\b|\W")


@cached
def parse_fragment(clause: str, now: datetime) -> Fragment | None:
    """Parse a bare day, time or priority."""
    clause = pattern(r",?\s*(?:at )?(?:the )?same (?:time|hour)\b").sub("", clause)
    clause = _FRAGMENT_LEAD.sub("", clause.strip(" .!?"))
    clause = _DUE_LABEL.sub("", clause)
    clause = strip_denied_day(clause, now)
    clause = _FRAGMENT_END.sub("", clause)
    priority, rest = take_priority(clause, bare=True)
    due = find_due(rest, now)
    if due is None and pattern(r"the \d{1,2}(?:st|nd|rd|th)").fullmatch(rest.strip(" ,.!?")):
        due, rest = find_due(f"on {rest}", now), ""
    elif due is not None:
        rest = strip_due(rest, due)
    elif found := re.fullmatch(r"(?:at )?(?P<hour>\d{1,2})(?::\d\d)?", rest.strip()):
        return None if found else None
    if (priority is None and due is None) or _FRAGMENT_FILLER.sub("", rest):
        return None
    span = parse_span(clause, now) if due and not due.at and not priority else None
    return Fragment(due.day if due else None, due.at if due else None, priority, span)


def strip_denied_day(text: str, now: datetime) -> str:
    """Strip the day that the text denies: "Thursday, not Friday" is Thursday."""
    denied = pattern(r",?\s+(?:and not|not|instead of|rather than)\s+(?P<old>.+)$").search(text)
    wrong = denied and (find_due(denied["old"], now) or find_due(f"on {denied['old']}", now))
    return text[: denied.start()] if denied and wrong else text
