"""Extract the priority and the note from a request."""

import re

from chat.assistant.offline.budget import cached
from chat.assistant.offline.intents import Priority
from chat.assistant.offline.patterns import pattern
from chat.assistant.offline.words import is_quote

_LEVEL = r"(?P<level>very high|highest|high|top|urgent|critical|low|lowest|normal|medium|regular|default|standard)"
_LEVEL_WORDS: dict[Priority, str] = {
    "high": "high, very high, highest, top, urgent, critical, important, p1",
    "low": "low, lowest, unimportant, p3, p4, !!3, !!4",
    "normal": "normal, medium, regular, default, standard, p2, !!2",
}
_LEVELS = {word: level for level, words in _LEVEL_WORDS.items() for word in words.split(", ")}
_LEAD = (
    r"(?:(?:,|;|-|\band\b|\bbut\b)\s*){0,8}+(?:\b(?:with|at|as|of|to|is|it's|it is|that's|make it|mark it|set it|set"
    r"|having|this is|a|an|its|the)\s+){0,8}+"
)
_IT_IS = (
    r"(?:it's|it is|that's|this is|this one is|that is|this one's)\s+(?:really |very |super |quite |pretty |kind of )*"
)
_FORMS = (
    pattern(_LEAD + rf"(?:{_LEVEL})[ -]*priority\b(?:\s+(?=task\b))?"),
    pattern(_LEAD + rf"\bpriority\s*(?:level\s*)?(?:of|is|to|as|:|=|-)?\s*(?:of\s+)?{_LEVEL}\b"),
    pattern(r"[\[(]\s*(?P<level>high|low|normal|urgent|important|p1|p2|p3)(?:[ -]priority)?\s*[\])]"),
    pattern(
        rf"(?:,|;|\.|-|\band\b|\bbut\b|^)\s*(?:and\s+|but\s+)?{_IT_IS}"
        r"(?P<level>urgent|important|high|low|critical|not (?:that |so |very )?(?:urgent|important))\b"
    ),
    pattern(r"^(?P<level>urgent|important|high|low|critical)\s*(?::|!+|-)\s*"),
    re.compile(
        r"(?<=\s)(?<!\ba )(?<!\bthe )(?P<level>p[1-4]|!![1-4]?)"
        r"(?=\s*(?:$|[,;.#@])|\s+(?:today|tonight|tomorrow|next|this|on|by|at|due|in|\w+day|\d)\b)"
    ),
    pattern(r"[,(]\s*(?P<level>urgent|important|high|low|normal|medium)\s*[)!]*\s*$"),
    pattern(r"(?P<level>\basap\b|\bas soon as possible\b|\burgently\b|!!+)"),
)
_BARE = pattern(r"\b(?P<level>urgent|important|unimportant|high|low|normal|medium|critical|top|p1|p2|p3)\b")
_NOTE = re.compile(
    r"[,;.(\s-]*(?:\b(?:and |with )?(?:(?:add|put|include|set|using) )?(?:with )?(?:(?:the|a|an|this|as) )?(?:short "
    r")?(?:description|notes?|comment|details?)\s*[:=]\s*|\b(?:with|and add|and put|and include) (?:(?:the|a|an|this"
    r"|as) )?(?:short )?(?:description|notes?|comment|details?)(?: that says| saying| of| that| being)?\s+|\b(?:and "
    r")?describe(?:d)?(?: it)? as\s*:?\s+)(?P<note>.+?)\)?$",
    re.I | re.S,
)


def priority_of(word: str) -> Priority:
    """Return the priority for a word."""
    word = re.sub(r"\s+", " ", word.lower())
    if word.startswith("not "):
        return "low"
    return _LEVELS.get(word, "high")


@cached
def take_priority(text: str, *, bare: bool = False) -> tuple[Priority | None, str]:
    """Return the priority in the text and the rest; with `bare`, a lone "high" counts too."""
    for form in (*_FORMS, _BARE) if bare else _FORMS:
        if found := form.search(text):
            rest = f"{text[: found.start()].rstrip()} {text[found.end() :].lstrip()}"
            return priority_of(found["level"]), re.sub(r" +([,.;])", r"\1", rest).strip()
    return None, text


def take_note(text: str) -> tuple[str | None, str]:
    """Return the note in the text and the rest."""
    found = _NOTE.search(text)
    if not found or not text[: found.start()].strip():
        return None, text
    if is_quote(found["note"][:1]):
        # What follows a quoted note is not part of it: with the note "by the door", due Monday.
        return found["note"][0], f"{text[: found.start()].strip()} {found['note'][1:].strip(' ,;)')}".strip()
    return found["note"].strip(" .\"'"), text[: found.start()].strip()
