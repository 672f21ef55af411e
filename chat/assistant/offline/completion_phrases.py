"""Phrases for completed tasks: done, when, and why."""

from chat.assistant.offline.matching import PAST_TENSE, stem
from chat.assistant.offline.patterns import pattern
from chat.assistant.offline.verbs import CHORES, UNFINISHING

DONE = (
    r"(?:done|complete|completed|finished|over with|out of the way|accomplished|closed|ticked off|checked off"
    r"|crossed off|sorted|taken care of|dealt with|all done|all set|off (?:my|the) (?:plate|hands|back|chest)|in the bag|squared away"
    r"|wrapped up|over and done with)"
)
WHEN = (
    r"(?:\s+(?:now|already|today|yesterday|this morning|last night|earlier|just now|finally|on monday|too|as well"
    r"|for me|please|again))*"
)
FROM_LIST = r"(?:\s+(?:from|off|off of|on|in|out of)\s+(?:my|the|this)\s+(?:\w+\s+)?(?:list|tasks|todos?|task list))?"
ADVERBS = (
    r"(?:(?:just|already|now|finally|also|actually|totally|completely|recently|successfully|all|both|pretty much)\s+)*"
)
CHORE_STEMS = frozenset(stem(verb) for verb in CHORES)
REASON = pattern(
    r"(?:,\s*(?:it|i|that|this|they|we|he|she|it's|i've|i'm|that's)\b|,?\s+(?:because|since|cuz|'cause|as (?:i|it"
    r"|we))\b).*$"
)
NOT_COMPLETING_STEMS = frozenset(stem(verb) for verb in UNFINISHING)


def is_past(verb: str) -> bool:
    """Return whether a word is a completed action: "paid", "watered"."""
    verb = verb.lower()
    return (verb.endswith("ed") and stem(verb) in CHORE_STEMS) or (
        verb in PAST_TENSE and PAST_TENSE[verb] in CHORES and verb != PAST_TENSE[verb]
    )
