"""Apply corrections within a message: "on Monday, no wait, Tuesday" means Tuesday."""

import re
from datetime import datetime

from chat.assistant.offline.budget import BudgetExceeded
from chat.assistant.offline.clauses import strip_politeness
from chat.assistant.offline.dates import find_due, strip_due
from chat.assistant.offline.patterns import pattern

# Markers of a correction. The strong ones need no comma before them.
_STRONG_MARKER = (
    r"(?:no,? wait|wait,? no|oh no|scratch that|strike that|correction|make that|or rather|sorry,? i mean(?:t)?"
    r"|i mean(?:t)?(?: to say)?|no,? actually|actually,? no)"
)
_WEAK_MARKER = (
    r"(?:no|nope|nah|wait|hang on|hold on|sorry|oops|whoops|actually|rather|oh|er+m?|uh+|um+|hm+|ah|ugh|my bad|not)"
)
# Longer markers contain shorter ones: there is only one way to match a sequence.
_ANY_MARKER = rf"(?:scratch that|strike that|correction|make that|or rather|i mean(?:t)?(?: to say)?|{_WEAK_MARKER})"
_SECOND_THOUGHT = pattern(
    rf"(?:\s*[,;.!?(-]+\s*(?:{_ANY_MARKER}\b[\s,.!:-]*)*{_ANY_MARKER}\b|\s+{_STRONG_MARKER}\b"
    rf"(?:[\s,.!:-]+{_ANY_MARKER}\b)*)[\s,.!:-]+(?=\S)"
)
_ONLY_WEAK = pattern(r"[\s,;.!?(-]*(?:not|actually|rather|oh|no|oops|whoops|ugh)[\s,.!:-]*")
_ONLY_NOT = pattern(r"\s*[,;-]\s*not\s+")
_NO = pattern(r"\b(?:no|nope|nah|oh|actually)\b")
_BARE = pattern(
    r"\b(?:make it|make that|it's|that's|it is|for|on|at|by|due|to|and|a|it|instead|please|rather|the|better|of"
    r"|course|not)\b|\W"
)
_REF = pattern(
    r"(?:(?:task|number|no\.?|item|#)\s*#?\d+|#?\d+|the (?:first|second|third|fourth|fifth|last)(?: one| task)?)"
    r"(?:\s+(?:instead|please))?"
)
_ANY_REF = pattern(
    r"\b(?:task|number|item)\s*#?\d+|#\d+|\bthe (?:first|second|third|fourth|fifth|last)(?: one| task)?\b"
    r"|(?<![\d:.])\b\d{1,4}\b(?![\d:.%]|\s*(?:am|pm))"
)
_ORDER = pattern(
    r"(?:please )?(?:add|create|delete|remove|complete|mark|rename|move|set|change|make|show|list|remind|tick|check"
    r"|cross|push|postpone|reschedule|drop|update|reopen|undo|put)\b"
)
_RETRACTION = pattern(
    r"(?:please )?(?:(?:don't|do not)(?! (?:let|forget))|leave (?:it|that|them)|keep (?:it|that|them|everything|all)|never ?mind|forget (?:it|that|about)|cancel that|not (?:that|yet|now)"
    r"|ignore that|it's not|i haven't|i didn't|that's wrong|stop|skip (?:it|that))\b"
)
_MAX_WORDS = 6
# In one message. Beyond that, the user is asked to rephrase.
_MAX_CORRECTIONS = 12


def apply_corrections(text: str, now: datetime) -> str:
    """Return the message after its corrections. Raise BudgetExceeded."""
    for _ in range(_MAX_CORRECTIONS):
        better = _apply_first(text, now)
        if better is None:
            return text
        text = better
    raise BudgetExceeded


def _apply_first(text: str, now: datetime) -> str | None:
    """Return the message after its first correction; None if there is none."""
    for count, thought in enumerate(_SECOND_THOUGHT.finditer(text), 1):
        if count > _MAX_CORRECTIONS:
            raise BudgetExceeded
        before, after = text[: thought.start()], text[thought.end() :].strip()
        if not re.search(r"\w", strip_politeness(before)) or len(before.split()) < 2:
            continue
        if _ONLY_NOT.fullmatch(thought[0]) and not _RETRACTION.match(f"not {after}"):
            # "Friday, not Saturday" retracts nothing.
            wrong = find_due(after, now)
            if wrong and find_due(before, now) and not _BARE.sub("", strip_due(after, wrong)):
                return before
            continue
        found = _correct(
            before,
            after,
            now,
            is_weak=_ONLY_WEAK.fullmatch(thought[0]) is not None,
            is_denied=_NO.search(thought[0]) is not None,
        )
        if found is not None:
            return found
    return None


def _correct(before: str, after: str, now: datetime, *, is_weak: bool, is_denied: bool) -> str | None:
    """Replace the corrected words; None if nothing is corrected."""
    if _RETRACTION.match(after):
        return None if is_weak and not is_denied else after
    redated = _correct_due(before, after, now)
    if redated is not None:
        return redated
    if _REF.fullmatch(after.strip(" .!?)")):
        pointed = list(_ANY_REF.finditer(before))
        return (
            f"{before[: pointed[-1].start()]}{after.strip(' .!?)')}{before[pointed[-1].end() :]}" if pointed else None
        )
    if is_weak:
        return None
    return after if _ORDER.match(after) else _correct_words(before, after)


def _correct_due(before: str, after: str, now: datetime) -> str | None:
    new = find_due(after, now) or (find_due(f"at {after}", now) if re.match(r"\d{1,2}\b", after) else None)
    if new is None:
        return None
    rest = re.sub(r"^\d{1,2}\b", "", after) if not new.spans or find_due(after, now) is None else strip_due(after, new)
    old = find_due(before, now, prefer="last")
    if _BARE.sub("", rest) or (old is None and re.match(r"\d{1,2}\b", after)):
        return None
    if old is None:
        return f"{before} {after}"
    spans = list(old.spans)
    if old.day is not None and old.at is not None and len(spans) > 1:
        # A new day keeps the time, and a new time keeps the day.
        spans = [span for span, value in zip(spans, (new.day, new.at), strict=False) if value is not None]
    for start, end in sorted(spans, reverse=True):
        before = f"{before[:start].rstrip()} {before[end:].lstrip()}"
    correction = pattern(r"^(?:make (?:it|that)|it's|that's)\s+").sub("", after.strip(" .!)"))
    return f"{before.rstrip()} {'at ' if correction.isdigit() else ''}{correction}"


def _correct_words(before: str, after: str) -> str | None:
    """Replace the words from the same first word on, or as many words as there are new ones."""
    words, new = before.split(), after.strip(" .!?)").split()
    if not new or len(new) > _MAX_WORDS or "," in after or after.endswith("?"):
        return None
    same = [place for place, word in enumerate(words) if place and word.lower() == new[0].lower()]
    place = same[-1] if same else len(words) - len(new)
    return " ".join(words[:place] + new) if place > 0 else None
