"""Recognise tasks by their form: "buy milk", and "unkink the hose" with an unknown verb."""

import re

from chat.assistant.offline.patterns import pattern
from chat.assistant.offline.slots import take_priority
from chat.assistant.offline.verbs import CHORES, NO_CHORES, NO_OBJECTS

_ABOUT_TASKS = pattern(
    r"\bcompleted\b|\b(?:my|the) (?:tasks|list|todos?)\b(?! of\b)|\b(?:task|tasks|number|#) ?\d|\b(?:due date|deadline"
    r"|priority)\b|\b(?:the|my) (?:first|second|third|last) (?:one|task)\b"
)
_VERB_AND_OBJECT = re.compile(
    r"^(?P<verb>[a-z]{3,}(?:-[a-z]+)?)(?: (?:up|off|out|down|in|over|back|away|through))?"
    r" (?:(?i:the|my|our|his|her|their|an?|some|all the|those|these)\s+[\w'-]+|[A-Z][\w'-]+)"
)
# "Open the settings" is about the app, "open a bank account" is a task.
_OPENING = pattern(
    r"open (?:an?|the|my|our) (?!(?:new |next |other |last |first |\w+ed )?(?:tasks?|chats?|conversations?|lists?|settings|panel|menu|page|app"
    r"|trash|archive|help|ones?|to-?dos?|items?|notes?|details|reminders?)\b)[\w'-]+"
)
_NO_VERB = re.compile(r"(?:ly|ing|[^e]ed|ss|ous|ful|ment|tion)$")
_TO_LEVEL = pattern(r"\S+ to (?:low|normal|high|medium|urgent)(?: priority)?")


def is_imperative(clause: str) -> bool:
    """Return whether a clause reads like a task: "buy milk", "call the bank"."""
    clause = take_priority(clause)[1]
    words = re.findall(r"[\w'-]+", clause.lower())
    if len(words) < 2 or words[0] not in CHORES or clause.rstrip().endswith("?") or _ABOUT_TASKS.search(clause):
        return False
    if re.match(r"\s*[\w'-]+\s*:", clause) or _TO_LEVEL.fullmatch(clause):
        # In "Rent: move to Sunday", rent is a noun.
        return False
    if words[1] in ("it", "that", "this", "them"):
        return False
    return (
        words[1] not in NO_OBJECTS and words[-1] not in ("thing", "things", "stuff", "something")
        if len(words) < 4
        else True
    )


def looks_imperative(clause: str) -> bool:
    """Return whether a clause reads like a task with an unknown verb: "unkink the hose"."""
    if _OPENING.match(clause) and not clause.rstrip().endswith("?"):
        return True
    found = _VERB_AND_OBJECT.match(clause[:1].lower() + clause[1:])
    if found is None or clause.rstrip().endswith("?") or _ABOUT_TASKS.search(clause):
        return False
    return found["verb"] not in NO_CHORES and _NO_VERB.search(found["verb"]) is None
