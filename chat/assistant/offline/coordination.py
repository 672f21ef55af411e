"""Spell out an order for several tasks: "add a task to call Ada and one to pay rent" is two orders."""

import re

from chat.assistant.offline.imperatives import guessed
from chat.assistant.offline.patterns import pattern
from chat.assistant.offline.verbs import CHORES

_ADDING = (
    r"(?:add|create|make|set(?: up)?|put|write|note|enter|record|log|start|open|need|want|like|give me|send me|new)"
)
_QUALITY = (
    r"(?:(?:(?:very )?(?:high|low|normal|top)[ -]priority|priority|urgent|important|new|separate|extra|quick|short|little"
    r"|small|further|other|second|third|fourth|fifth|last|final)\s+){0,2}"
)
_THING = r"(?:tasks?|to-?dos?(?: items?)?|reminders?|items?)"
_SAYS = r"(?P<says>to remind me to|to|for|about|called|named|titled|saying|that says)"
_WISHING = pattern(r"need|want|like|give me|send me")
_NAMING = ("called", "named", "titled", "saying", "that says")
# Who asks, tells or forbids orders nothing.
_NO_ORDER = pattern(
    r"\b(?:not|\w+n't|never|nor|do|does|did|is|are|was|were|have|has|had|should|must|what|which|when|where|why|who|how|if"
    r"|delete|remove|complete|finish|undo|show|list|find|remind me)\b"
)
_ORDER = pattern(
    rf"(?P<before>^(?:[\w',:!.-]+\s+){{0,7}}?)(?P<verb>{_ADDING})\s+(?:me\s+|also\s+|in\s+|down\s+)*(?:(?:an?|one|another|one more)\s+)?"
    rf"(?P<quality>{_QUALITY}){_THING}\s+(?:(?:on|to) (?:my|the) (?:\w+ )?list\s+)?{_SAYS}\s+"
)
# "Create two tasks, one to call Ada and one to pay rent": each is named after the comma.
_ANNOUNCED = pattern(
    rf"(?P<before>^(?:[\w',:!.-]+\s+){{0,7}}?){_ADDING}\s+(?:me\s+|also\s+|in\s+|down\s+)*(?:(?:some|several|a few|a couple of|the following|these|two|three|four"
    rf"|five|six|\d+)\s+)?{_QUALITY}{_THING}(?: for me)?\s*[:,-]?\s+(?=one {_SAYS}\s)"
)
_JOINT = r"(?:\s*[,;.!]\s*(?:(?:and|then|plus|also|finally|&)\s+)*|\s+(?:and|plus|&|as well as|along with|then)\s+(?:(?:also|then|finally)\s+)*)"
_NEXT = pattern(
    rf"{_JOINT}(?:(?:an?|one|another|one more)\s+(?P<quality>{_QUALITY})(?P<thing>{_THING})"
    rf"|(?:another(?: one)?|one(?: more)?|an? (?:second|third|fourth|fifth|last|final|further)(?: one)?))\s+{_SAYS}\s+(?=\S)"
)


def spelled_out(text: str) -> str:
    """Return the text with "a task to" and "another for" that go on with an order written as orders of their own."""
    head = _ORDER.match(text) or _ANNOUNCED.match(text)
    if head is None or "\n" in text or _NO_ORDER.search(head["before"]):
        return text
    if head.re is _ANNOUNCED:
        first = pattern(rf"one {_SAYS}\s+").match(text, head.end())
        assert first is not None, "the pattern looked ahead"
        orders, begin = [f"{head['before']}add a task {first['says']} "], first.end()
        says = first["says"]
    elif _WISHING.fullmatch(head["verb"]):
        # "I'd like a task" is an order only for whoever knows what follows.
        orders, begin, says = [f"add a {head['quality']}task {head['says']} "], head.end(), head["says"]
    else:
        orders, begin, says = [text[: head.end()]], head.end(), head["says"]
    for found in _NEXT.finditer(text, begin):
        if not _one_more(found, text[begin : found.start()], text[found.end() :], says):
            continue
        orders[-1] += text[begin : found.start()]
        orders.append(f"add a {found['quality'] or ''}task {found['says']} ")
        begin = found.end()
    orders[-1] += text[begin:]
    return "; ".join(orders) if len(orders) > 1 else text


def _one_more(found: re.Match[str], before: str, after: str, said: str) -> bool:
    """Return whether the words announce one more task, and belong to none: "write a letter to Ann and another to Bob"."""
    says, chore = found["says"].lower(), _chore(after)
    if found["thing"]:
        if found["thing"].lower().rstrip("s") in before.lower():
            # "Send a reminder to Ann and a reminder to Bob" is one errand.
            return False
        return says != "to" or chore or found["thing"].lower().startswith(("task", "to"))
    if says.startswith("to"):
        return chore
    if says in _NAMING:
        return said.lower() in _NAMING
    # "A table for two and another for four" is one thing to do, unless the task itself was "for".
    return said.lower() in ("for", "about") and pattern(rf"\b{says}\b").search(before) is None


def _chore(text: str) -> bool:
    words = re.findall(r"[\w'-]+", re.split(r"[,;.!?]", text)[0].lower())
    return len(words) > 1 and (words[0] in CHORES or guessed(text))
