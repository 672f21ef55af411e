"""Parse statements of a new date or time: "the dentist moved me to the 19th", "Saturday would be good"."""

from dataclasses import replace
from datetime import datetime

from chat.assistant.offline.adding import clean_title
from chat.assistant.offline.dates import Due, find_due, resolve_due, strip_due
from chat.assistant.offline.intents import Change, Draft
from chat.assistant.offline.patterns import pattern
from chat.assistant.offline.references import ref_or_it

_MOVED = pattern(
    r"^(?:(?:they|he|she|someone|somebody|my \w+|the \w+) (?:have |has |just |'ve )*(?:moved|pushed|rescheduled|shifted"
    r"|postponed|brought forward|changed) (?P<ref2>(?!me\b|us\b)(?:the|my|our) .+?)"
    r"|(?P<ref>(?:the |my |our )?.+?)\s+(?:(?:has|have|had|is|are|was|were|got|gets|will be|just)\s+)*(?:been |now )*"
    r"(?:moved|pushed|rescheduled|shifted|postponed|brought forward|changed|bumped|delayed|extended|put (?:back|off)|set back)(?: me| us| it| back"
    r"| forward)*)\s+(?P<when>(?:to|until|till|for|by)\s.+)$"
)
_EVENT_TIME = pattern(
    r"^(?P<ref>.+?)\s+(?:now |actually |really |only )*(?:starts?|begins?|takes place|happens|is happening|opens?|ends"
    r"|(?:needs?|has|have|ought) to (?:be )?(?:done|finished|ready|in|submitted|paid|sent|there|out|complete|completed"
    r"|handed in)|(?:must|should) be (?:done|finished|ready|in|submitted|paid|sent|out|complete|completed)"
    r"|is (?:now|actually) (?=at|on)|is wanted|is needed|can wait|got|deadline is)\b\s*(?P<when>.+)$"
)
_SUITS = pattern(
    r"^(?P<when>.+?)\s+(?:(?:would|will|might|could|should)(?: be| work| do| suit)?|is|works?|suits?|sounds?|seems?|'s)"
    r"(?: be)?(?: me| us)?(?: much| probably)?(?: good| better| best| fine| great| ok| okay| perfect| ideal| enough"
    r"| early enough| soon enough| well| easier)?(?: for me| for us)?(?: (?:for|with) (?P<ref>.+?))?$"
)
_FOR = pattern(
    r"^(?:let's|lets|can we|could we|i'?d|i would|i'll|we'?d)?\s*(?:do|say|make it|go for|go with|prefer|rather do|rather)"
    r"\s+(?P<when>.+?)(?: (?:for|with) (?P<ref>it|that|this|them|that one|this one))?(?: instead)?$"
)
_IN_PLACE = pattern(
    r"^(?:(?:i(?:'d| would)|we(?:'d| would)) (?:rather|prefer to|like to) (?:do|have|make) |(?:can|could|shall|should) (?:we|i) (?:please )?(?:do|have|make|try) )?"
    r"(?P<ref>(?!make\b|how\b|what\b).+)\s+"
    r"(?P<when>(?:at|on|to|for|by)\s.+? (?:(?:instead|rather)(?: (?:of|than) .+)?|not \S+(?: \S+)?))$"
    r"|^i(?:'d| would) (?:rather|prefer to) (?:do|have) (?P<ref2>.+?)\s+(?P<when2>(?:at|on|to|for|by)\s.+)$"
)
_RATHER = pattern(
    r"^(?:how about|what about|maybe|perhaps|rather|better)\s+(?:make (?:it|that) )?(?P<when>.+?)(?P<ref>)\s+(?:instead|rather)$"
)
_ASIDE = pattern(
    r",?\s*(?:(?:at )?the same time|same (?:time|hour)|instead(?: of .+)?|rather than .+|not .+|now|please|this time)\b"
)
# "Move the report to Tuesday and the slides to Wednesday" is two requests, and so is "set 1 high and 2 low".
_SETTING = pattern(
    r"^(?P<verb>(?:\w+,? )?(?:move|reschedule|postpone|push|shift|change|set|make|give|mark|put))\s+(?P<rest>\S.*?)[.!]?$"
)
_AND = pattern(r"\s*,\s*(?:and\s+)?|\s+and\s+")
_LEVEL = r"(?:very )?(?:high|low|normal|medium|urgent|important|top|highest|lowest)(?: priority)?"
_SET = pattern(rf"^(?P<ref>\S.*?)\s+(?:(?:(?:to|as|at)\s+)?(?P<level>{_LEVEL})|(?:to|due)\s+(?P<when>\S.*))$")
_LED = pattern(r"(?:the )?(?P<what>priority|due date|date|deadline) (?:of|for|on) ")
_FILLER = pattern(r"\b(?:to|until|till|for|by|at|on|be|is|now|due|the|a|earliest|latest)\b|\W")


def split_settings(text: str, now: datetime) -> str:
    """Rewrite a request that sets the days or priorities of several tasks as several requests."""
    found = _SETTING.match(text)
    if found is None:
        return text
    orders, piece = [], ""
    field = _LED.match(found["rest"])
    rest = found["rest"][field.end() :] if field else found["rest"]
    for part, joint in zip([*_AND.split(rest)], [*(each[0] for each in _AND.finditer(rest)), ""], strict=True):
        piece += part
        one = _SET.match(piece)
        if _SETTING.match(part):
            return text
        if one is None or not (one["level"] or _is_due_only(one["when"], now)):
            # "Milk and eggs to Friday" is one request.
            piece += joint
            continue
        orders.append(f"{found['verb']} {field[0] if field else ''}{one['ref']} to {one['level'] or one['when']}")
        piece = ""
    return "; ".join(orders) if len(orders) > 1 and not piece else text


def _is_due_only(text: str, now: datetime) -> bool:
    due = find_due(text, now)
    return due is not None and not _FILLER.sub("", strip_due(text, due))


def parse_rescheduled(clause: str, now: datetime) -> Change | None:
    """Parse a statement of a new time; None if it contains more."""
    for form in (_MOVED, _EVENT_TIME, _SUITS, _FOR, _RATHER, _IN_PLACE):
        found = form.match(clause)
        if found is None:
            continue
        when = _ASIDE.sub("", found["when"] or found["when2"])
        due = find_due(when, now)
        if due is None or _FILLER.sub("", strip_due(when, due)):
            continue
        words = found["ref"] or found.groupdict().get("ref2") or None
        if form is _EVENT_TIME and not words:
            continue
        return _with_fallback(Change(ref_or_it(_subject(words), now), day=due.day, at=due.at), now)
    return None


_DUE_WORDS = pattern(r"(?:'s)? (?:deadline|due date|date|time|slot)$|^(?:the )?(?:deadline|due date|date) (?:for|of) ")


def _subject(words: str | None) -> str | None:
    if not words:
        return None
    words = pattern(r"^(?:that|because|so|but|and)\s+").sub("", words)
    return _DUE_WORDS.sub("", words)


def _with_fallback(intent: Change, now: datetime) -> Change:
    """Return the change with the task to add if it matches none."""
    if not intent.ref.phrase:
        return intent
    intent = replace(intent, ref=replace(intent.ref, around=True))
    day, at = resolve_due(Due(intent.day, intent.at, ()), now)
    return replace(intent, otherwise=Draft(clean_title(intent.ref.phrase), day=day, at=at))
