"""Parse requests to reopen a task or to leave it, and statements that it is not done."""

from datetime import datetime

from chat.assistant.offline.completion_phrases import DONE, is_past
from chat.assistant.offline.intents import Ref, Reopen, Talk
from chat.assistant.offline.patterns import pattern, patterns
from chat.assistant.offline.references import parse_ref

_NEGATED = pattern(
    r"^(?:please )?(?:don't|do not|never|no need to|you don't (?:have|need) to|not)\s+(?:\w+\s+)?(?:delete"
    r"|remove|complete|finish|mark|check|tick|cross|change|rename|move|erase|clear|touch|drop|cancel|undo|add|do)\b"
)
_LEFT_ALONE = pattern(
    r"^(?:please |better |rather |just |maybe |probably |let's |i'd (?:rather|better) |i(?:'ll| will| want to| would like to)? |(?:you )?(?:should|can) |so )*"
    r"(?:keep|leave) (?:it|that|them|those|both|everything|all of (?:it|them)|them all|the list|my list)"
    r"(?: all| alone| as (?:it is|they are|is)| be| there| in| on(?: (?:my|the) list)?| open| for now| please| then| after all)*$"
)
_NONE_DONE = pattern(
    r"^(?:neither|none|nothing)(?: of (?:them|those|it))? (?:is|are|has been|was) (?:done|finished|complete)"
)
_NOT_DONE = patterns(
    r"^(?:reopen|re-open|unfinish|un-?complete|un-?check|un-?tick|un-?mark|reactivate|resume|un-?do"
    r"|restore)\s+(?:completing |finishing |the completion of )?(?P<ref>.+?)(?:\s+as\s+(?:done|complete|completed))?$",
    r"^(?:mark|set|change|move|put|make|flag|switch)\s+(?P<ref>.+?)\s+(?:back\s+)?(?:as|to"
    r"|to be)?\s*(?:(?:being )?(?:not|un)[ -]?(?:done|complete|completed|finished|yet done)|pending|open"
    r"|incomplete|unfinished|undone|active|todo|not done|uncompleted|outstanding)(?:\s+again)?$",
    r"^(?:put|move|bring|add)\s+(?P<ref>.+?)\s+back(?:\s+(?:on|onto|to|in|into)\s+(?:my|the)\s+.*)?$",
    r"^(?:mark|set) as (?:not done|pending|open|incomplete|undone)\s*:?\s*(?P<ref>.+)$",
)
_DENIED = patterns(
    r"^(?P<ref>.+?)\s+(?:isn't|is not|wasn't|was not|aren't|are not|hasn't been|is still not|is not yet"
    rf"|weren't)\s+(?:actually\s+|really\s+|yet\s+|quite\s+)*{DONE}(?:\s+(?:yet|after all|actually))?$",
    r"^(?:actually |sorry )?i\s+(?:still )?(?:haven't|have not|didn't|did not|never|hadn't)\s+(?:actually\s+"
    r"|really\s+|even\s+|yet\s+)*(?:(?:finish(?:ed)?|complet(?:ed|e)|do|done"
    r"|did)\s+)?(?:with\s+)?(?P<ref>.+?)(?:\s+(?:yet|after all|actually))*$",
    r"^i(?:'m| am) not (?:actually |yet )?(?:done|finished)(?: yet)?(?: with)?\s+(?P<ref>.+?)(?:\s+(?:yet"
    r"|after all))*$",
    r"^(?P<ref>(?:task |number |#)?\d+|the \w+ one) (?:isn't|is not|aren't|wasn't|not)(?: yet)?$",
    r"^(?P<ref>.+?)\s+still needs (?:to be done|doing|work)$",
)
_NOT_I = pattern(
    r"^(?:no,? )?i (?:haven't|have not|didn't|did not)(?: (?:actually|really|yet|do|done|finish|finished|complete|it|that))*$"
)
_NOT_SO = pattern(
    r"^(?P<thing>.+?) (?:isn't|aren't|wasn't|weren't|hasn't been|haven't been|is not|are not|has not been) (?:actually |really |even |quite )*(?P<verb>\w+)"
    r"(?: yet| after all| actually)*$"
)


def parse_keep(clause: str) -> Talk | None:
    """Parse a request to leave something as it is."""
    return (
        Talk("keep", clause)
        if _NEGATED.match(clause) or _LEFT_ALONE.match(clause) or _NONE_DONE.match(clause)
        else None
    )


def parse_reopen(clause: str, now: datetime) -> Reopen | None:
    """Parse a request to reopen a task, or the statement that it is not done."""
    if _NOT_I.match(clause):
        return Reopen(Ref(pronoun="it"))
    for form in _NOT_DONE:
        if found := form.match(clause):
            return Reopen(parse_ref(found["ref"], now))
    for form in _DENIED:
        if found := form.match(clause):
            return Reopen(parse_ref(found["ref"], now), statement=True)
    if (found := _NOT_SO.match(clause)) and is_past(found["verb"]):
        return Reopen(parse_ref(found["thing"], now), statement=True)
    return None
