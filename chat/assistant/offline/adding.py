"""Understand wishes to add tasks."""

import re
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

from chat.assistant.offline.budget import checkpoint
from chat.assistant.offline.dates import Due, alone, find_due, is_choice, settle, without
from chat.assistant.offline.intents import Add, Draft, Priority
from chat.assistant.offline.matching import PAST
from chat.assistant.offline.patterns import pattern
from chat.assistant.offline.prefixes import ONLY_WITH_DATE, OWN_LIST, strip_opening
from chat.assistant.offline.slots import take_note, take_priority
from chat.assistant.offline.verbs import CHORES, WITH_OTHERS
from chat.assistant.offline.words import has_quote, quoted

_PLURAL = pattern(
    r"^\W*(?:please )?(?:add|create|make|put|set|i need to|i have to|i need|remind me|here|new|two|three|note"
    r"|jot|insert|enter|log|i've got|i have|there are|we need|i must|don't|my)\b[^:\n]{0,60}?\b(?:tasks"
    r"|to-?dos|items|things|reminders|the following|these|following|todos)\b[^:\n]{0,40}?(?:[:\n]|\s-\s)"
)
_DAYS_LIST = pattern(
    r"^(?:(?:for|on) )?(?:today|tomorrow|tonight|this \w+|next \w+|(?:mon|tues|wednes|thurs|fri|satur|sun)day)\s*:\s*[^,:]+,"
    r"[^:]+$"
)
_UNTIL = pattern(
    r"^(?:i|we)(?:'ve| have)? (?:have |got |only have |only got |have got )?(?:until|till) (?P<when>.{3,30}?) to (?P<what>\w+ .+)$"
)
_PUT_IN = pattern(
    r"^(?:put|pencil|pop|slot|stick|get|throw|chuck|squeeze|book|jot|note)\s+(?P<what>\S.*?)\s+(?:in|down)"
    r"(?P<when>\s+(?:for|on|at|by|tomorrow|today|tonight|next|this)\b.*)?$"
)
_REGRETTED = pattern(rf"(?:have|'ve|of) (?:\w+ed|been|{'|'.join(PAST)})\b")
_AFTER_NOTE = re.compile(r"\s*[,;]\s*(?:and )?(?P<more>[^,;]+)$")
_QUOTED_ALONE = pattern("^([\ue100-\ue7ff])(?:[\\s,.;]|\\b(?:with|and|by|for|on|due|at|set|a|the|it|as|is)\\b)*$")
_HEADED = pattern(r"[^\n:]{2,80}:[ ]*\n+[^\n]+\n")
_BULLET = pattern(r"(?:^|\n)\s*(?:[-*•+]|\d{1,2}[.)]|\[ ?\])\s+")
_INLINE_NUMBERS = re.compile(r"(?:^|[\s,;:])\(?\d{1,2}[.)]\s+")
_COMMA = pattern(r"\s*[,;]\s*(?:and\s+|then\s+|also\s+|&\s+)*|\s+(?:and|&|plus|as well as)\s+(?:(?:also|then)\s+)*")
_ALSO = pattern(r"\s*[,;]\s*(?:and\s+|plus\s+)?also\s+|\s+(?:and|plus)\s+also\s+")
_AND = pattern(r"\s*,?\s+(?:and|&|plus)\s+(?:also\s+)?")
# Said of tasks just named: "two separate tasks please", "one task each".
SEPARATE = pattern(
    r"\b(?:(?:as )?(?:(?:two|three|four|five|several|\d) )?(?:separate|different|individual|distinct) (?:tasks?|ones|items"
    r"|todos?|entries|reminders)|one (?:task|todo|item|entry|each)(?: for)? each|a task each|each (?:as )?(?:an? |its )"
    r"?(?:own |separate )?(?:task|item|todo)|as (?:two|three|four|five|\d) tasks|separately|individually)\b"
)
_COMMA_ONLY = pattern(r"\s*[,;]\s*(?:and\s+|then\s+|also\s+|&\s+)?")
_TO_LIST = pattern(
    rf"\s+(?:(?:on|onto|to|in|into)\s+{OWN_LIST}(?:list|tasks?|todos?"
    r"|to-dos?)(?:\s+(?:list|items?))?|as (?:a |an |my |another )?(?:(?:new|next|separate)\s+)?(?:tasks?"
    r"|todos?|to-dos?|reminders?|items?))(?=\s*(?:$|[,.;:]|\s(?:for|by|on|with|due|at"
    r"|please|too|as well)\b))"
)
# "Put milk down" puts it on the list, "tear the shed down" does not.
_PUT = pattern(r"\W*(?:please )?(?:put|write|note|jot|take|get|pop|stick|throw|chuck)\b")
_DOWN = pattern(r"\s+(?:down|(?:on|in) there)(?=\s*(?:$|[,.;:]|\s(?:for|by|on|with|due|at|please|too|as well)\b))")
_AS_PRIORITY_TASK = pattern(r"\s+as an?\s+(?=(?:high|low|normal|urgent|important))")
_LEADING = pattern(
    r"^(?:(?:to|me to|not forget(?: to| about)?|that i (?:need|have) to|i (?:need|have|must) to|remember to|about|that|:|-|=|,|called|named|titled"
    r"|also|and|please|remind me (?:to|about)|(?:a |the )?(?:task|reminder) (?:to|for|called|about|of))\s+)++"
)
_TRAILING = pattern(r"(?:\s+(?:please|too|as well|also)(?=\s*$)|[\s,;:.!?-])++$")
# What led to a date or a priority that has been taken out.
_LOOSE_END = pattern(r"(?:\s+(?:and|due|with|is|the|a)(?=\s*$)|[\s,;:.!?-])++$")
_NOTHING_YET = frozenset(
    [
        "something",
        "something else",
        "some",
        "stuff",
        "things",
        "one",
        "another",
        "another one",
        "one more",
        "it",
        "this",
        "a new one",
        "some things",
        "some tasks",
        "a few things",
        "new tasks",
        "tasks",
        "task",
        "new task",
        "an item",
        "one thing",
        "one more thing",
        "that",
        "them",
        "those",
        "these",
        "the following",
        "reminder",
        "a reminder",
        "todo",
        "both",
        "to",
        "to do",
        "both of them",
        "both of those",
        "all of them",
        "all of those",
    ]
)


def add(clause: str, now: datetime, *, free: bool = False) -> Add | None:
    """Read a wish to add; with `free` an imperative such as "buy milk" is one too."""
    if pattern(r"no (?:more |longer )?need\b").match(clause):
        return None
    if clause.endswith("?") and pattern(r"(?:should|must|do|have|need|shall|better|want)\b").match(clause):
        return None
    if (
        _PLURAL.match(clause)
        or _DAYS_LIST.match(clause)
        or (":" in clause and SEPARATE.search(clause.split(":", 1)[0]))
        or _HEADED.match(clause)
        or _BULLET.search(clause)
    ):
        listed = _listed(clause, now)
        if listed is not None:
            return listed
    if (until := _UNTIL.match(clause)) and find_due(until["when"], now):
        clause = f"add {until['what']} by {until['when']}"
    header, rest = strip_opening(_put_in(clause, now))
    if (
        header is not None
        and _REGRETTED.match(rest)
        and pattern(r"\b(?:should|must|ought to|could|would)\s*$").search(header)
    ):
        # "I should have paid the rent" adds nothing.
        return None
    if header is not None and ONLY_WITH_DATE.match(header) and find_due(clause, now) is None:
        return None
    if header is None:
        if not free:
            return None
        rest = clause
    return replace(_drafts(rest, header or "", now), bare=header is None)


def _put_in(clause: str, now: datetime) -> str:
    """Return "put the rehearsal in for Monday" as the order to add it."""
    found = _PUT_IN.match(clause)
    if found is None or not (quoted(found["what"]) or find_due(found["when"] or "", now)):
        return clause
    return f"add {found['what']} {found['when'] or ''}"


def announced(clause: str) -> bool:
    """Return whether the words say themselves that they are a task: "I have to call Bob"."""
    return strip_opening(clause)[0] is not None


def _listed(clause: str, now: datetime) -> Add | None:
    """Read tasks written one below the other, numbered, or after a colon."""
    if _BULLET.search(clause):
        header, *items = _BULLET.split(clause)
    elif len(lines := [line.strip() for line in clause.split("\n") if line.strip()]) > 2:
        header, *items = lines
    else:
        header, _, rest = clause.partition("\n") if "\n" in clause else re.split(r"(:|\s-\s)", clause, maxsplit=1)
        items = [piece for piece in _INLINE_NUMBERS.split(f" {rest}") if piece.strip()]
        if len(items) < 2:
            items = _COMMA.split(rest) if len(_COMMA_ONLY.split(rest)) > 1 or rest.count(" and ") == 1 else [rest]
    items = [item.strip(" ,;.\n") for item in items if item.strip(" ,;.\n")]
    return Add(tuple(draft for draft in listed([(item, False) for item in items], header, now) if draft.title))


def listed(items: Sequence[tuple[str, bool]], header: str, now: datetime) -> list[Draft]:
    """Read a task from each text, with whether it is done; the header may give a day, a priority or a verb to all.

    The title is empty where a text names nothing.
    """
    due, (priority, _) = find_due(header, now), take_priority(header)
    verb = header.strip(" :-").lower()
    lead = f"{verb} " if verb in CHORES else ""
    drafts = []
    for text, done in items:
        checkpoint()
        drafts.append(replace(_draft(f"{lead}{text}", now, due=due, priority=priority), done=done))
    return drafts


def _drafts(rest: str, header: str, now: datetime) -> Add:
    rest = _TO_LIST.sub("", rest) if not quoted(rest) else rest
    rest = _DOWN.sub("", rest) if _PUT.match(header) else rest
    if (own := SEPARATE.search(rest)) and not rest[own.end() :].strip(" ,.!?"):
        kept = pattern(r"[\s,;(-]+(?:as|into|in|but|all|each)?\s*$").sub("", rest[: own.start()])
        return apart(_drafts(kept, header, now))
    if pattern(r"get (?:a)?round to\s*$").search(header):
        rest = _plain_verb(rest)
    due, (priority, _) = (find_due(header, now) if header else None), take_priority(header, bare=True)
    bare = _draft(rest, now, due=due, priority=priority) if rest.strip(" .,:!?") else Draft("")
    if header and (not rest.strip(" .,:!?") or _only_detail(rest)):
        day, at = settle(due, now) if due else (bare.day, bare.at)
        return Add(usual=Draft("", None, day, at, priority or bare.priority))
    items = _INLINE_NUMBERS.split(f" {rest}") if re.search(r"(?:^|\s)\(?1[.)]\s", rest) else [rest]
    items = [item for item in items if item.strip(" ,;")]
    if len(items) > 1 and _only_detail(items[0].strip(" ,:")):
        # "Tomorrow: 1) call the bank 2) buy stamps".
        due, items = find_due(items[0], now) or due, items[1:]
    if len(items) == 1:
        items = _items(items[0], header)
    drafts = [_draft(item, now, due=due, priority=priority) for item in items]
    if (
        len(drafts) > 1
        and drafts[-1].day
        and not any(draft.day for draft in drafts[:-1])
        and " and " in rest
        and "," not in rest
    ):
        # "pay the rent and call Bob by Friday": the one date at the end stands for both.
        drafts = [replace(draft, day=drafts[-1].day, at=draft.at or drafts[-1].at) for draft in drafts]
    return Add(tuple(draft for draft in drafts if draft.title and draft.title.lower() not in _NOTHING_YET))


def _plain_verb(text: str) -> str:
    """Return "cleaning out the garage" as the order it is."""
    gerund, _, rest = text.partition(" ")
    stem = gerund.lower().removesuffix("ing")
    verb = next((verb for verb in (stem, f"{stem}e", stem[:-1]) if verb in CHORES), gerund)
    return pattern(r"\s+(?:one of these days|at some point|some ?day|eventually)$").sub("", f"{verb} {rest}")


def _items(text: str, header: str) -> list[str]:
    """Split "buy milk, call Bob and pay rent", but not "buy milk, eggs and bread"."""
    note, plain = take_note(text)
    if note is not None:
        return [text]
    if re.search(r"\([^)]*,[^)]*\)", plain):
        return [text]
    if len(parts := _AND.split(plain)) == 2 and all(_dated_thing(part) for part in parts):  # noqa: PLR2004
        return [item for part in parts for item in _items(part, header)]
    also = [piece for piece in _ALSO.split(plain) if piece.strip()]
    if len(also) > 1 and all(_first(piece) in CHORES for piece in also):
        return [item for piece in also for item in _items(piece, header)]
    pieces = [piece for piece in _COMMA.split(plain) if piece.strip()]
    if len(pieces) > 1 and all(quoted(piece.strip()[:1]) for piece in pieces):
        return pieces
    if len(pieces) > 1 and all(_own_action(piece) for piece in pieces):
        return pieces
    commas = [piece for piece in _COMMA_ONLY.split(plain) if piece.strip()]
    adding = pattern(r"\s*(?:please )?(?:add|put|create|jot|write|note)\b").match(header)
    plain_things = all(
        _first(piece) not in CHORES and len(piece.split()) <= 3 and not _is_detail(piece) for piece in pieces
    )
    several = len(commas) > 1 and len(pieces) > 2
    if several and ((adding and plain_things) or all(_first(piece) in CHORES for piece in pieces)):
        return pieces
    if len(pieces) > 1 and all(quoted(piece) for piece in pieces):
        return pieces
    return [text]


def _dated_thing(piece: str) -> bool:
    """Return whether a piece says both what and when: "the cake for Sunday"."""
    due = find_due(piece, datetime(2000, 1, 1, 12))
    return due is not None and due.day is not None and not _only_detail(piece)


def apart(wish: Add) -> Add:
    """Make several tasks of one that names several things: "buy candles and balloons" said to be two."""
    if len(wish.drafts) != 1:
        return wish
    draft, verb = wish.drafts[0], _first(wish.drafts[0].title)
    pieces = [piece for piece in _COMMA.split(draft.title) if piece.strip()]
    lead = f"{verb} " if verb in CHORES else ""
    titles = [piece if _first(piece) in CHORES else f"{lead}{piece}" for piece in pieces]
    return replace(wish, drafts=tuple(replace(draft, title=title) for title in titles))


def _first(piece: str) -> str:
    words = re.findall(r"[\w'-]+", re.sub(r"^\s*to\s+", "", piece.lower()))
    return words[0] if words else ""


def _own_action(piece: str) -> bool:
    due = find_due(piece, datetime(2000, 1, 1, 12))
    if due is not None and due.spans[0][0] <= 1:
        # "On Monday return the projector".
        piece = piece[due.spans[0][1] :].lstrip(" ,")
    first, words = _first(piece), piece.split()
    lonely = len(words) < 2 or pattern(r"\b(?:them|it|him|her|there)\b").search(piece)
    return first in CHORES and first not in WITH_OTHERS and not lonely


def _is_detail(piece: str) -> bool:
    """Return whether a piece says when or how important rather than what."""
    due = find_due(piece, datetime(2000, 1, 1, 12))
    priority, rest = take_priority(f", {piece}", bare=True)
    return due is not None or (priority is not None and not rest.strip(" ,"))


def _only_detail(text: str) -> bool:
    """Return whether a text says when or how important, and nothing else."""
    due = find_due(text, datetime(2000, 1, 1, 12))
    _, rest = take_priority(f", {without(text, due) if due else text}", bare=True)
    return not pattern(r"\b(?:for|on|at|by|due|with|and|a|it)\b|\W").sub("", rest) and not has_quote(text)


def _draft(text: str, now: datetime, *, due: Due | None = None, priority: Priority | None = None) -> Draft:
    """Read one task: its note, its priority, when it is due, and what is left as its title."""
    note, rest = take_note(
        pattern(r"\b(notes?|description|comment|details)\s+(?=[\ue100-\ue7ff])").sub(r"\1: ", text.strip())
    )
    rest = _AS_PRIORITY_TASK.sub(", ", rest)
    said, rest = take_priority(rest)
    own, first = find_due(rest, now), False
    if own is not None:
        first = is_choice(rest, own)
        bare = without(rest, replace(own, spans=alone(rest, own)))
        # A title is needed: "add: Friday" has nothing else.
        rest, due = (bare, own) if bare.strip(" .,:;!?-") else (rest, own)
    if note and not has_quote(note):
        note, said, own_due = _note_alone(note, said, now)
        own, due = (own, due) if own or own_due is None else (own_due, own_due)
    if note and own is None and (own := find_due(note, now)) and not without(note, own).strip(" ,.;"):
        note, due = None, own
    day, at = settle(due, now) if due else (None, None)
    if rest.split()[-1:] != text.split()[-1:]:
        rest = _LOOSE_END.sub("", rest) or rest
    if named := _QUOTED_ALONE.match(rest):
        rest = named[1]
    return Draft(clean_title(rest), note, day, at, said or priority or "normal", first=first)


def _note_alone(note: str, said: Priority | None, now: datetime) -> tuple[str, Priority | None, Due | None]:
    """Return a note without the priority and the date that follow it: "notes: hinge is loose, due Saturday, low priority"."""
    kept, due = note, None
    while found := _AFTER_NOTE.search(kept):
        checkpoint()
        priority, rest = take_priority(found["more"])
        when = find_due(found["more"], now)
        if priority and not rest.strip(" ,."):
            said = said or priority
        elif when and pattern(r"due\b").match(found["more"]) and not without(found["more"], when).strip(" ,."):
            due = when
        else:
            break
        kept = kept[: found.start()]
    return kept, said, due


_SOME_TIME = pattern(
    r"\s+(?:at some point|one of these days|some ?day|eventually|whenever|when i (?:get (?:a chance|(?:the )?time)|can|have (?:a )?(?:time|chance|moment)))$"
)


def clean_title(text: str) -> str:
    """Return a title without what announces it and what trails behind it."""
    # "Fertiliser: buy fertiliser" says the thing twice.
    text = pattern(r"^(\w+):\s+(?=.*\b\1\b)").sub("", text)
    text = re.sub(r"\(\s+(?=\w)", "(", text)
    text = re.sub(r"\(\s*[,;]?\s*\)", " ", re.sub(r"\s+([,;:!?])(?=\s|$)", r"\1", text))
    text = re.sub(r"\s+", " ", text).strip(" ,.;:!?-=\"'")
    text = _SOME_TIME.sub("", _TO_LIST.sub("", text))
    previous = None
    while previous != text:
        checkpoint()
        previous = text
        text = _TRAILING.sub("", _LEADING.sub("", text)) or text
    return text
