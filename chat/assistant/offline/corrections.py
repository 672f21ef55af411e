"""Read a message with what was taken back in it taken back: "on Monday, no wait, Tuesday" says Tuesday."""

import re
from datetime import datetime

from chat.assistant.offline.budget import TooMuch
from chat.assistant.offline.clauses import unwrap
from chat.assistant.offline.dates import find_due, without
from chat.assistant.offline.patterns import pattern

# Words of second thoughts. The strong ones need no comma before them.
_STRONG = (
    r"(?:no,? wait|wait,? no|oh no|scratch that|strike that|correction|make that|or rather|sorry,? i mean(?:t)?"
    r"|i mean(?:t)?(?: to say)?|no,? actually|actually,? no)"
)
_WEAK = r"(?:no|nope|nah|wait|hang on|hold on|sorry|oops|whoops|actually|rather|oh|er+m?|uh+|um+|hm+|ah|ugh|my bad|not)"
# In a row of them the longer ones are made of shorter ones, and there is one way to read it.
_ANY = rf"(?:scratch that|strike that|correction|make that|or rather|i mean(?:t)?(?: to say)?|{_WEAK})"
_TURN = pattern(
    rf"(?:\s*[,;.!?(-]+\s*(?:{_ANY}\b[\s,.!:-]*)*{_ANY}\b|\s+{_STRONG}\b"
    rf"(?:[\s,.!:-]+{_ANY}\b)*)[\s,.!:-]+(?=\S)"
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
_POINTING = pattern(
    r"\b(?:task|number|item)\s*#?\d+|#\d+|\bthe (?:first|second|third|fourth|fifth|last)(?: one| task)?\b"
    r"|(?<![\d:.])\b\d{1,4}\b(?![\d:.%]|\s*(?:am|pm))"
)
_ORDER = pattern(
    r"(?:please )?(?:add|create|delete|remove|complete|mark|rename|move|set|change|make|show|list|remind|tick|check"
    r"|cross|push|postpone|reschedule|drop|update|reopen|undo|put)\b"
)
_TAKEN_BACK = pattern(
    r"(?:please )?(?:(?:don't|do not)(?! (?:let|forget))|leave (?:it|that|them)|keep (?:it|that|them|everything|all)|never ?mind|forget (?:it|that|about)|cancel that|not (?:that|yet|now)"
    r"|ignore that|it's not|i haven't|i didn't|that's wrong|stop|skip (?:it|that))\b"
)
_MOST_WORDS = 6
# Of one message. Who takes back more than that is better asked to say it again.
_MOST_THOUGHTS = 12


def settled(text: str, now: datetime) -> str:
    """Return the message as it stands after its second thoughts. Raise TooMuch."""
    for _ in range(_MOST_THOUGHTS):
        better = _once_settled(text, now)
        if better is None:
            return text
        text = better
    raise TooMuch


def _once_settled(text: str, now: datetime) -> str | None:
    """Return the message after the first second thought that corrects something; None if none does."""
    for count, turn in enumerate(_TURN.finditer(text), 1):
        if count > _MOST_THOUGHTS:
            raise TooMuch
        before, after = text[: turn.start()], text[turn.end() :].strip()
        if not re.search(r"\w", unwrap(before)) or len(before.split()) < 2:  # noqa: PLR2004
            continue
        if _ONLY_NOT.fullmatch(turn[0]) and not _TAKEN_BACK.match(f"not {after}"):
            # "Friday, not Saturday" takes nothing back that was said.
            wrong = find_due(after, now)
            if wrong and find_due(before, now) and not _BARE.sub("", without(after, wrong)):
                return before
            continue
        found = _settled(
            before, after, now, weak=_ONLY_WEAK.fullmatch(turn[0]) is not None, denied=_NO.search(turn[0]) is not None
        )
        if found is not None:
            return found
    return None


def _settled(before: str, after: str, now: datetime, *, weak: bool, denied: bool) -> str | None:
    """Put what was said after a second thought in the place of what it corrects; None if it corrects nothing."""
    if _TAKEN_BACK.match(after):
        return None if weak and not denied else after
    redated = _redated(before, after, now)
    if redated is not None:
        return redated
    if _REF.fullmatch(after.strip(" .!?)")):
        pointed = list(_POINTING.finditer(before))
        return (
            f"{before[: pointed[-1].start()]}{after.strip(' .!?)')}{before[pointed[-1].end() :]}" if pointed else None
        )
    if weak:
        return None
    return after if _ORDER.match(after) else _reworded(before, after)


def _redated(before: str, after: str, now: datetime) -> str | None:
    new = find_due(after, now) or (find_due(f"at {after}", now) if re.match(r"\d{1,2}\b", after) else None)
    if new is None:
        return None
    rest = re.sub(r"^\d{1,2}\b", "", after) if not new.spans or find_due(after, now) is None else without(after, new)
    old = find_due(before, now, prefer="last")
    if _BARE.sub("", rest) or (old is None and re.match(r"\d{1,2}\b", after)):
        return None
    if old is None:
        return f"{before} {after}"
    spans = list(old.spans)
    if old.day is not None and old.at is not None and len(spans) > 1:
        # A new day keeps the hour, and a new hour the day.
        spans = [span for span, told in zip(spans, (new.day, new.at), strict=False) if told is not None]
    for start, end in sorted(spans, reverse=True):
        before = f"{before[:start].rstrip()} {before[end:].lstrip()}"
    said = pattern(r"^(?:make (?:it|that)|it's|that's)\s+").sub("", after.strip(" .!)"))
    return f"{before.rstrip()} {'at ' if said.isdigit() else ''}{said}"


def _reworded(before: str, after: str) -> str | None:
    """Put a few words in the place of those they resemble: those from the same first word on, or as many."""
    words, new = before.split(), after.strip(" .!?)").split()
    if not new or len(new) > _MOST_WORDS or "," in after or after.endswith("?"):
        return None
    same = [place for place, word in enumerate(words) if place and word.lower() == new[0].lower()]
    place = same[-1] if same else len(words) - len(new)
    return " ".join(words[:place] + new) if place > 0 else None
