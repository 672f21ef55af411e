"""Expand a request for several tasks: "add a task to call Ada and one to pay rent" is two requests."""

import re

from chat.assistant.offline.imperatives import looks_imperative
from chat.assistant.offline.patterns import pattern
from chat.assistant.offline.verbs import CHORES

_ADDING = (
    r"(?:add|create|make|set(?: up)?|put|write|note|enter|record|log|start|open|need|want|like|give me|send me|new)"
)
_QUALITY = (
    r"(?:(?:(?:very )?(?:high|low|normal|top)[ -]priority|priority|urgent|important|new|separate|extra|quick|short|little"
    r"|small|further|other|second|third|fourth|fifth|last|final)\s+){0,2}"
)
_NOUN = r"(?:tasks?|to-?dos?(?: items?)?|reminders?|items?)"
_INTRODUCER = r"(?P<says>to remind me to|to|for|about|called|named|titled|saying|that says)"
_WANTING = pattern(r"need|want|like|give me|send me")
_NAMING = ("called", "named", "titled", "saying", "that says")
# A question, a report or a prohibition is not a request to add.
_NO_ORDER = pattern(
    r"\b(?:not|\w+n't|never|nor|do|does|did|is|are|was|were|have|has|had|should|must|what|which|when|where|why|who|how|if"
    r"|delete|remove|complete|finish|undo|show|list|find|remind me)\b"
)
_ORDER = pattern(
    rf"(?P<before>^(?:[\w',:!.-]+\s+){{0,7}}?)(?P<verb>{_ADDING})\s+(?:me\s+|also\s+|in\s+|down\s+)*(?:(?:an?|one|another|one more)\s+)?"
    rf"(?P<quality>{_QUALITY}){_NOUN}\s+(?:(?:on|to) (?:my|the) (?:\w+ )?list\s+)?{_INTRODUCER}\s+"
)
# "Create two tasks, one to call Ada and one to pay rent": the tasks follow the comma.
_ENUMERATED = pattern(
    rf"(?P<before>^(?:[\w',:!.-]+\s+){{0,7}}?){_ADDING}\s+(?:me\s+|also\s+|in\s+|down\s+)*(?:(?:some|several|a few|a couple of|the following|these|two|three|four"
    rf"|five|six|\d+)\s+)?{_QUALITY}{_NOUN}(?: for me)?\s*[:,-]?\s+(?=one {_INTRODUCER}\s)"
)
_JOINER = r"(?:\s*[,;.!]\s*(?:(?:and|then|plus|also|finally|&)\s+)*|\s+(?:and|plus|&|as well as|along with|then)\s+(?:(?:also|then|finally)\s+)*)"
_NEXT = pattern(
    rf"{_JOINER}(?:(?:an?|one|another|one more)\s+(?P<quality>{_QUALITY})(?P<thing>{_NOUN})"
    rf"|(?:another(?: one)?|one(?: more)?|an? (?:second|third|fourth|fifth|last|final|further)(?: one)?))\s+{_INTRODUCER}\s+(?=\S)"
)


def expand(text: str) -> str:
    """Rewrite "a task to" and "another for" that continue a request as separate requests."""
    head = _ORDER.match(text) or _ENUMERATED.match(text)
    if head is None or "\n" in text or _NO_ORDER.search(head["before"]):
        return text
    if head.re is _ENUMERATED:
        first = pattern(rf"one {_INTRODUCER}\s+").match(text, head.end())
        assert first is not None, "the pattern looked ahead"
        orders, begin = [f"{head['before']}add a task {first['says']} "], first.end()
        introducer = first["says"]
    elif _WANTING.fullmatch(head["verb"]):
        # "I'd like a task" is a request only together with what follows.
        orders, begin, introducer = [f"add a {head['quality']}task {head['says']} "], head.end(), head["says"]
    else:
        orders, begin, introducer = [text[: head.end()]], head.end(), head["says"]
    for found in _NEXT.finditer(text, begin):
        if not _is_next_task(found, text[begin : found.start()], text[found.end() :], introducer):
            continue
        orders[-1] += text[begin : found.start()]
        orders.append(f"add a {found['quality'] or ''}task {found['says']} ")
        begin = found.end()
    orders[-1] += text[begin:]
    return "; ".join(orders) if len(orders) > 1 else text


def _is_next_task(found: re.Match[str], before: str, after: str, first_introducer: str) -> bool:
    """Return whether the words introduce a new task, unlike "write a letter to Ann and another to Bob"."""
    introducer, chore = found["says"].lower(), _is_chore(after)
    if found["thing"]:
        if found["thing"].lower().rstrip("s") in before.lower():
            # "Send a reminder to Ann and a reminder to Bob" is one task.
            return False
        return introducer != "to" or chore or found["thing"].lower().startswith(("task", "to"))
    if introducer.startswith("to"):
        return chore
    if introducer in _NAMING:
        return first_introducer.lower() in _NAMING
    # "A table for two and another for four" is one task, unless the first one was introduced by "for".
    return first_introducer.lower() in ("for", "about") and pattern(rf"\b{introducer}\b").search(before) is None


def _is_chore(text: str) -> bool:
    words = re.findall(r"[\w'-]+", re.split(r"[,;.!?]", text)[0].lower())
    return len(words) > 1 and (words[0] in CHORES or looks_imperative(text))
