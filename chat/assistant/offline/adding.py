"""Parse requests to add tasks."""

import re
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

from chat.assistant.offline.budget import checkpoint
from chat.assistant.offline.dates import Due, find_due, is_choice, resolve_due, standalone_spans, strip_due
from chat.assistant.offline.intents import Add, Draft, Priority
from chat.assistant.offline.matching import PAST_TENSE
from chat.assistant.offline.pairs import are_two_things
from chat.assistant.offline.patterns import pattern
from chat.assistant.offline.prefixes import ONLY_WITH_DATE, OWN_LIST, strip_prefix
from chat.assistant.offline.slots import take_note, take_priority
from chat.assistant.offline.verbs import CHORES, WITH_OTHERS
from chat.assistant.offline.words import has_quote, is_quote

_PLURAL = pattern(
    r"^\W*(?:please )?(?:add|create|make|put|set|i need to|i have to|i need|remind me|here|new|two|three|note"
    r"|jot|insert|enter|log|i've got|i have|there are|we need|i must|don't|my)\b[^:\n]{0,60}?\b(?:tasks"
    r"|to-?dos|items|things|reminders|the following|these|following|todos)\b[^:\n]{0,40}?(?:[:\n]|\s-\s)"
)
_BARE_ADD = pattern(r"\s*(?:please )?(?:add|put|jot|note|write)(?: down)?(?: (?:to|on) (?:my|the) (?:\w+ )?list)?\W*")
# "Call Mum, but not today" is not due today; another day may follow: "not tomorrow but on Friday".
_DAY = (
    r"(?:today|tonight|tomorrow|(?:this |next )?(?:(?:mon|tues|wednes|thurs|fri|satur|sun)day|week(?:end)?|month)"
    r"|this (?:morning|afternoon|evening))"
)
_NOT_THAT_DAY = pattern(
    rf"(?:\s*[,;]\s*(?:(?:but|just) )?|\s+(?:but|just) )not (?:for |on |by )?{_DAY}(?=\W*$|\s*[,;.])"
    rf"|\bnot (?:for |on |by )?{_DAY}\s*,?\s*but (?=(?:on |by |for |at )?\w)"
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
_PERFECT_VERB = pattern(rf"(?:have|'ve|of) (?:\w+ed|been|{'|'.join(PAST_TENSE)})\b")
_AFTER_NOTE = re.compile(r"\s*[,;]\s*(?:and )?(?P<more>[^,;]+)$")
_QUOTED_ALONE = pattern("^([\ue100-\ue7ff])(?:[\\s,.;]|\\b(?:with|and|by|for|on|due|at|set|a|the|it|as|is)\\b)*$")
_HEADED = pattern(r"[^\n:]{2,80}:[ ]*\n+[^\n]+\n")
_BULLET = pattern(r"(?:^|\n)\s*(?:[-*•+]|\d{1,2}[.)]|\[ ?\])\s+")
_INLINE_NUMBERS = re.compile(r"(?:^|[\s,;:])\(?\d{1,2}[.)]\s+")
_COMMA = pattern(r"\s*[,;]\s*(?:and\s+|then\s+|also\s+|&\s+)*|\s+(?:and|&|plus|as well as)\s+(?:(?:also|then)\s+)*")
_ALSO = pattern(r"\s*[,;]\s*(?:and\s+|plus\s+)?also\s+|\s+(?:and|plus)\s+also\s+")
_AND = pattern(r"\s*,?\s+(?:and|&|plus)\s+(?:also\s+)?")
# Refers to the tasks just named: "two separate tasks please", "one task each".
SEPARATE = pattern(
    r"\b(?:(?:as )?(?:(?:two|three|four|five|several|\d) )?(?:separate|different|individual|distinct) (?:tasks?|ones|items"
    r"|todos?|entries|reminders)|one (?:task|todo|item|entry|each)(?: for)? each|a task each|each (?:as )?(?:an? |its )"
    r"?(?:own |separate )?(?:task|item|todo)|as (?:two|three|four|five|\d) tasks|separately|individually)\b"
)
_COMMA_ONLY = pattern(r"\s*[,;]\s*(?:and\s+|then\s+|also\s+|&\s+)?")
_TO_LIST = pattern(
    rf"\s+(?:(?:on|onto|to|in|into)\s+{OWN_LIST}(?:list|tasks?|todos?"
    r"|to-dos?)(?:\s+(?:list|items?))?|as (?:a |an |my |another )?(?:(?:new|next|separate)\s+)?(?:tasks?"
    r"|todos?|to-dos?|reminders?|items?))(?=\s*(?:$|[,.;:]|\s(?:for|by|on|with|due|at|please|too|as well)\b))"
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
# What remains of the words before a date or a priority that was removed.
_DANGLING_END = pattern(r"(?:\s+(?:and|due|with|is|the|a)(?=\s*$)|[\s,;:.!?-])++$")
_PLACEHOLDER_TITLES = frozenset(
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


def parse_add(clause: str, now: datetime, *, free: bool = False) -> Add | None:
    """Parse a request to add; with `free`, an imperative such as "buy milk" is one too."""
    if pattern(r"no (?:more |longer )?need\b").match(clause):
        return None
    clause = _NOT_THAT_DAY.sub("", clause)
    if clause.endswith("?") and pattern(r"(?:should|must|do|have|need|shall|better|want)\b").match(clause):
        return None
    if (
        _PLURAL.match(clause)
        or _DAYS_LIST.match(clause)
        or (":" in clause and SEPARATE.search(clause.split(":", 1)[0]))
        or _HEADED.match(clause)
        or _BULLET.search(clause)
    ):
        listed = _parse_list(clause, now)
        if listed is not None:
            return listed
    if (until := _UNTIL.match(clause)) and find_due(until["when"], now):
        clause = f"add {until['what']} by {until['when']}"
    header, rest = strip_prefix(_normalize_put_in(clause, now))
    if (
        header is not None
        and _PERFECT_VERB.match(rest)
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
    return replace(_parse_drafts(rest, header or "", now), unannounced=header is None)


def _normalize_put_in(clause: str, now: datetime) -> str:
    """Rewrite "put the rehearsal in for Monday" as "add the rehearsal for Monday"."""
    found = _PUT_IN.match(clause)
    if found is None or not (is_quote(found["what"]) or find_due(found["when"] or "", now)):
        return clause
    return f"add {found['what']} {found['when'] or ''}"


def has_prefix(clause: str) -> bool:
    """Return whether the clause announces a task: "I have to call Bob"."""
    return strip_prefix(clause)[0] is not None


def _parse_list(clause: str, now: datetime) -> Add | None:
    """Parse tasks that are on separate lines, numbered, or after a colon."""
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
    return Add(tuple(draft for draft in parse_items([(item, False) for item in items], header, now) if draft.title))


def parse_items(items: Sequence[tuple[str, bool]], header: str, now: datetime) -> list[Draft]:
    """Parse one task from each text and its "done" flag; the header may give a day, a priority or a verb to all.

    The title is empty if a text names nothing.
    """
    due, (priority, _) = find_due(header, now), take_priority(header)
    verb = header.strip(" :-").lower()
    lead = f"{verb} " if verb in CHORES else ""
    drafts = []
    for text, done in items:
        checkpoint()
        drafts.append(replace(_parse_draft(f"{lead}{text}", now, due=due, priority=priority), done=done))
    return drafts


def _parse_drafts(rest: str, header: str, now: datetime) -> Add:
    rest = _TO_LIST.sub("", rest) if not is_quote(rest) else rest
    rest = _DOWN.sub("", rest) if _PUT.match(header) else rest
    if (own := SEPARATE.search(rest)) and not rest[own.end() :].strip(" ,.!?"):
        kept = pattern(r"[\s,;(-]+(?:as|into|in|but|all|each)?\s*$").sub("", rest[: own.start()])
        return split_draft(_parse_drafts(kept, header, now))
    if pattern(r"get (?:a)?round to\s*$").search(header):
        rest = _gerund_to_verb(rest)
    due, (priority, _) = (find_due(header, now) if header else None), take_priority(header, bare=True)
    bare = _parse_draft(rest, now, due=due, priority=priority) if rest.strip(" .,:!?") else Draft("")
    if header and (not rest.strip(" .,:!?") or _is_only_detail(rest)):
        day, at = resolve_due(due, now) if due else (bare.day, bare.at)
        return Add(defaults=Draft("", None, day, at, priority or bare.priority))
    items = _INLINE_NUMBERS.split(f" {rest}") if re.search(r"(?:^|\s)\(?1[.)]\s", rest) else [rest]
    items = [item for item in items if item.strip(" ,;")]
    if len(items) > 1 and _is_only_detail(items[0].strip(" ,:")):
        # "Tomorrow: 1) call the bank 2) buy stamps".
        due, items = find_due(items[0], now) or due, items[1:]
    if len(items) == 1:
        items = _split_items(items[0], header)
    drafts = [_parse_draft(item, now, due=due, priority=priority) for item in items]
    if (
        len(drafts) > 1
        and drafts[-1].day
        and not any(draft.day for draft in drafts[:-1])
        and " and " in rest
        and "," not in rest
    ):
        # "pay the rent and call Bob by Friday": the date at the end applies to both.
        drafts = [replace(draft, day=drafts[-1].day, at=draft.at or drafts[-1].at) for draft in drafts]
    return Add(tuple(draft for draft in drafts if draft.title and draft.title.lower() not in _PLACEHOLDER_TITLES))


def _gerund_to_verb(text: str) -> str:
    """Rewrite "cleaning out the garage" as "clean out the garage"."""
    gerund, _, rest = text.partition(" ")
    stem = gerund.lower().removesuffix("ing")
    verb = next((verb for verb in (stem, f"{stem}e", stem[:-1]) if verb in CHORES), gerund)
    return pattern(r"\s+(?:one of these days|at some point|some ?day|eventually)$").sub("", f"{verb} {rest}")


def _split_items(text: str, header: str) -> list[str]:
    """Split "buy milk, call Bob and pay rent", but not "buy milk, eggs and bread"."""
    note, plain = take_note(text)
    if note is not None:
        return [text]
    if re.search(r"\([^)]*,[^)]*\)", plain):
        return [text]
    if len(parts := _AND.split(plain)) == 2 and all(_has_thing_and_due(part) for part in parts):
        return [item for part in parts for item in _split_items(part, header)]
    also = [piece for piece in _ALSO.split(plain) if piece.strip()]
    if len(also) > 1 and all(_first_word(piece) in CHORES for piece in also):
        return [item for piece in also for item in _split_items(piece, header)]
    pieces = [piece for piece in _COMMA.split(plain) if piece.strip()]
    if len(pieces) > 1 and all(is_quote(piece.strip()[:1]) for piece in pieces):
        return pieces
    if len(pieces) > 1 and all(_is_own_action(piece) for piece in pieces):
        return pieces
    commas = [piece for piece in _COMMA_ONLY.split(plain) if piece.strip()]
    adding = pattern(r"\s*(?:please )?(?:add|put|create|jot|write|note)\b").match(header)
    if _BARE_ADD.fullmatch(header) and len(pieces) == 2 and are_two_things(*pieces):
        return pieces
    plain_things = all(_is_plain_thing(piece) for piece in pieces)
    several = len(commas) > 1 and len(pieces) > 2
    if several and ((adding and plain_things) or all(_first_word(piece) in CHORES for piece in pieces)):
        return pieces
    if len(pieces) > 1 and all(is_quote(piece) for piece in pieces):
        return pieces
    return [text]


def _is_plain_thing(piece: str) -> bool:
    """Return whether a piece is a thing without a verb; a word alone is one: "eggs, milk and mail"."""
    count = len(piece.split())
    return (count == 1 or (count <= 3 and _first_word(piece) not in CHORES)) and not _is_detail(piece)


def _has_thing_and_due(piece: str) -> bool:
    """Return whether a piece has both a thing and a due date: "the cake for Sunday"."""
    due = find_due(piece, datetime(2000, 1, 1, 12))
    return due is not None and due.day is not None and not _is_only_detail(piece)


def split_draft(intent: Add) -> Add:
    """Split a task that names several things: "buy candles and balloons" followed by "two tasks"."""
    if len(intent.drafts) != 1:
        return intent
    draft, verb = intent.drafts[0], _first_word(intent.drafts[0].title)
    pieces = [piece for piece in _COMMA.split(draft.title) if piece.strip()]
    lead = f"{verb} " if verb in CHORES else ""
    titles = [piece if _first_word(piece) in CHORES else f"{lead}{piece}" for piece in pieces]
    return replace(intent, drafts=tuple(replace(draft, title=title) for title in titles))


def _first_word(piece: str) -> str:
    words = re.findall(r"[\w'-]+", re.sub(r"^\s*to\s+", "", piece.lower()))
    return words[0] if words else ""


def _is_own_action(piece: str) -> bool:
    due = find_due(piece, datetime(2000, 1, 1, 12))
    if due is not None and due.spans[0][0] <= 1:
        # "On Monday return the projector".
        piece = piece[due.spans[0][1] :].lstrip(" ,")
    first, words = _first_word(piece), piece.split()
    too_short = len(words) < 2 or pattern(r"\b(?:them|it|him|her|there)\b").search(piece)
    return first in CHORES and first not in WITH_OTHERS and not too_short


def _is_detail(piece: str) -> bool:
    """Return whether a piece is only a due date or a priority."""
    due = find_due(piece, datetime(2000, 1, 1, 12))
    priority, rest = take_priority(f", {piece}", bare=True)
    return due is not None or (priority is not None and not rest.strip(" ,"))


def _is_only_detail(text: str) -> bool:
    """Return whether a text consists of due dates and priorities only."""
    due = find_due(text, datetime(2000, 1, 1, 12))
    _, rest = take_priority(f", {strip_due(text, due) if due else text}", bare=True)
    return not pattern(r"\b(?:for|on|at|by|due|with|and|a|it)\b|\W").sub("", rest) and not has_quote(text)


def _parse_draft(text: str, now: datetime, *, due: Due | None = None, priority: Priority | None = None) -> Draft:
    """Parse one task: its note, its priority, its due date, and the rest as its title."""
    note, rest = take_note(
        pattern(r"\b(notes?|description|comment|details)\s+(?=[\ue100-\ue7ff])").sub(r"\1: ", text.strip())
    )
    rest = _AS_PRIORITY_TASK.sub(", ", rest)
    own_priority, rest = take_priority(rest)
    own_due, first = find_due(rest, now), False
    if own_due is not None:
        first = is_choice(rest, own_due)
        bare = strip_due(rest, replace(own_due, spans=standalone_spans(rest, own_due)))
        # A title is required: "add: Friday" has nothing else.
        rest, due = (bare, own_due) if bare.strip(" .,:;!?-") else (rest, own_due)
    if note and not has_quote(note):
        note, own_priority, note_due = _split_note(note, own_priority, now)
        own_due, due = (own_due, due) if own_due or note_due is None else (note_due, note_due)
    if note and own_due is None and (own_due := find_due(note, now)) and not strip_due(note, own_due).strip(" ,.;"):
        note, due = None, own_due
    day, at = resolve_due(due, now) if due else (None, None)
    if rest.split()[-1:] != text.split()[-1:]:
        rest = _DANGLING_END.sub("", rest) or rest
    if named := _QUOTED_ALONE.match(rest):
        rest = named[1]
    return Draft(clean_title(rest), note, day, at, own_priority or priority or "normal", first=first)


def _split_note(note: str, priority: Priority | None, now: datetime) -> tuple[str, Priority | None, Due | None]:
    """Split the priority and the date off the end of a note: "notes: hinge is loose, due Saturday, low priority"."""
    rest_of_note, due = note, None
    while found := _AFTER_NOTE.search(rest_of_note):
        checkpoint()
        more_priority, rest = take_priority(found["more"])
        when = find_due(found["more"], now)
        if more_priority and not rest.strip(" ,."):
            priority = priority or more_priority
        elif when and pattern(r"due\b").match(found["more"]) and not strip_due(found["more"], when).strip(" ,."):
            due = when
        else:
            break
        rest_of_note = rest_of_note[: found.start()]
    return rest_of_note, priority, due


_SOME_TIME = pattern(
    r"\s+(?:at some point|one of these days|some ?day|eventually|whenever|when i (?:get (?:a chance|(?:the )?time)|can|have (?:a )?(?:time|chance|moment)))$"
)


def clean_title(text: str) -> str:
    """Strip the words before and after a title that are not part of it."""
    # "Fertiliser: buy fertiliser" repeats the thing.
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
