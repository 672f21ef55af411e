"""Parse references to tasks."""

import re
from datetime import datetime

from chat.assistant.offline.budget import cached
from chat.assistant.offline.clock import COUNTING
from chat.assistant.offline.dates import find_due, strip_due
from chat.assistant.offline.intents import Ref, Status
from chat.assistant.offline.patterns import pattern
from chat.assistant.offline.slots import take_priority
from chat.assistant.offline.spans import parse_span
from chat.assistant.offline.vocabulary import pairs
from chat.assistant.offline.words import has_quote

REF = (
    r"(?:it|that|this|that one|this one|them|(?:the )?(?:task|number|no\.?|#|item)\s*(?:number )?#?(?:\d+|one|two"
    r"|three|four|five)|#?\d+|the (?:first|second|third|fourth|fifth|last|other|new)(?: one| task)?|(?:that|this|the) "
    r"task|[\ue100-\ue7ff])"
)
_POSITIONS = {
    word: int(place)
    for word, place in pairs(
        """
    first=1 1st=1 second=2 2nd=2 third=3 3rd=3 fourth=4 4th=4 fifth=5 5th=5 sixth=6 6th=6 seventh=7 7th=7 eighth=8
    8th=8 ninth=9 9th=9 tenth=10 10th=10 last=-1 final=-1 bottom=-1 top=1 latter=-1 former=1
        """
    ).items()
}
_POSITION = "|".join(_POSITIONS)
_NUMBER = r"(?:\d{1,6}|" + "|".join(COUNTING) + ")"
_NUMBER_NOUN = r"(?:tasks?|items?|todo|numbers?|nos?\.?|nr\.?|#|entry|entries)"
_JOIN = r"\s*(?:(?:,|and|&|\+|plus|or)\s*)++"
_NUMBERS = pattern(
    rf"(?:the\s+)?(?:{_NUMBER_NOUN}\s*)*({_NUMBER}(?:{_JOIN}(?:{_NUMBER_NOUN}\s*)*{_NUMBER})*)(?:\s*(?:please|too|as well))?"
)
# A separate dash begins a list entry: "complete - 1".
_NEGATIVE = pattern(rf"(?:the\s+)?(?:{_NUMBER_NOUN}\s*)*(-\d{{1,6}})(?:\s+(?:please|too|as well))?")
_RANGE = pattern(rf"(?:{_NUMBER_NOUN}\s*)*(\d+)\s*(?:-|to|through)\s*(?:{_NUMBER_NOUN}\s*)*(\d+)")
_AT_POSITIONS = pattern(
    rf"(?:the\s+|my\s+)?((?:{_POSITION})(?:{_JOIN}(?:the\s+)?(?:{_POSITION}))*)"
    r"(?:\s+(?:ones?|tasks?|items?|two of them|entry|thing))*(?:\s+(?:on|in|of|from) (?:(?:the|that|this"
    r"|my) (?:list|tasks?)|those|these|them|the ones? you (?:just )?(?:showed|listed)(?: me)?))?(?:\s+(?:there|please))?"
)
_FIRST_FEW = pattern(r"(?:the\s+)?(first|last|top)\s+(two|three|four|five|\d)(?:\s+(?:ones?|tasks?|items?))?")
_IT = pattern(
    r"(?:it|that|this|that one|this one|that task|this task|the task|that thing|the one|the item|the reminder|that "
    r"item|the same one|it all|that too|it too|the (?:task|one) (?:i|you|we) just (?:added|created|made|changed"
    r"|updated|mentioned)|that last one|the new one|the new task)"
)
_THEM = pattern(
    r"(?:them|they|they are|those|these|those ones|all of (?:them|those|these)|them all|those tasks|these tasks|all those"
    r"|all these)"
)
_ALL_OF_COUNT = pattern(
    r"(?:(?:all|the|those|these|all of (?:the|those|these))\s+)+(two|three|four|five|six|seven"
    r"|\d)(?: of (?:them|those)| tasks| ones)?"
)
_BOTH = pattern(
    r"(?:both|they(?: are)? both|they both are|both of (?:them|those)|the two(?: of them)?|both tasks|both ones|them both)"
)
_OTHER = pattern(r"the other(?: one| task)?")
_NEWEST = pattern(
    r"(?:the |my )?(?:last|latest|newest|most recent)(?: one| task| thing| item)?(?: that)? (?:i|you|we)(?:'ve"
    r"| have)? (?:just )?(?:added|created|made|put in)|(?:the |my )?(?:newest|latest|most recent)(?: one| task)?"
)
_ALL = pattern(
    r"(?:absolutely )?(?:everything|every ?(?:single )?(?:task|one|thing|item)|(?:all|each)(?: of)?(?: (?:the|my|of my"
    r"|of the|our))*(?: (?:tasks?|items?|things|stuff|list|reminders))?|(?:my|the) (?:whole|entire|full"
    r"|complete)?\s*(?:tasks|list|todo list|todo|todos|task list|lot)|the lot|it all|tasks|all)(?: for (?:today|now"
    r"|the day))?(?: (?:on|in|from|off) (?:my|the) (?:list|todo list|todo|tasks))?(?: (?:i have|there is))?"
)
_ALL_OF_KIND = pattern(
    r"(?:(?:all|every|any|each|(?:all )?(?:of )?(?:the|my|those))\s+(?:of\s+)?(?:the\s+|my\s+|of\s+)*"
    r"|(?=\w+ (?:tasks|ones|items|things|todos)\b)|(?=(?:completed|finished|done)$))(?:(?P<status>completed?"
    r"|finished|done|closed|ticked|checked|pending|open|unfinished|remaining|incomplete|outstanding)"
    r"\s*)(?P<noun>tasks?|ones?|items?|things|stuff|todos?)?(?: (?:on|from|in) (?:my|the) list)?"
)
_LEADING_WORDS = pattern(
    r"^(?:(?:the|my|this|that)\s+)?(?:(?:task|todo|item|reminder|entry)s?\s+)?(?:(?:called|named|titled|about"
    r"|labell?ed|saying|that says|for|to|of|regarding)\s+)?"
)
_TRAILING_WORDS = pattern(
    r"(?:\s+(?:task|todo|item|reminder|entry|one))?(?:\s+(?:on|from|off|in|of)\s+(?:of\s+)?(?:my"
    r"|the)\s+(?:\w+\s+)?(?:list|tasks|todo|todos))?"
    r"(?:\s+(?:please|too|as well|already|now|yet|anymore|any more|then|instead|again|without asking"
    r"|immediately|at once|right now|right away|for good|altogether|completely|today|at last|finally))*\s*$"
)
_ALL_OF_STATUS = pattern(
    r"(?:everything|anything|all|whatever|the (?:tasks|ones|things))(?: of it)? (?:that(?:'s| is| are)|which (?:is|are)|i(?:'ve| have)|already)? ?(?:already |been )*"
    r"(?P<status>done|finished|completed?|ticked off|checked off|crossed off|open|pending)"
)
_ATTRIBUTE = pattern(
    r"(?P<every>all |every |all of )?(?:the |my |that |those )*(?P<before>[\w -]*?)\s*\b(?P<noun>tasks?|ones?"
    r"|items?|things?|everything|anything|all|stuff)\b(?P<after>.*)"
)
_POINTER = pattern(
    rf"(?:\b{_NUMBER_NOUN}\s*#?|#)\d{{1,6}}\b|\bthe (?:{_POSITION}) (?:one|task|item|entry)\b|\bthe (?:first|last)(?=\s*(?:$|[,.]|is\b|has\b))"
)
_ADVERB_TAIL = pattern(
    r"(?:,?\s+(?:then|please|instead|though|anyway|again|too|as well|already|actually|after all|for me))+$"
)
# "one" alone is a pronoun, "task one" a number.
_NO_NUMBER = frozenset({"one", "the one", "item", "the two", "the three", "the four"})


def pointer_in(text: str, now: datetime) -> Ref | None:
    """Return the one reference by number or position in a text."""
    found = {pointer[0].lower() for pointer in _POINTER.finditer(text)}
    return parse_ref(found.pop(), now) if len(found) == 1 else None


def _parse_number(word: str) -> int:
    return int(word) if word.isdigit() else COUNTING.index(word.lower()) + 1


_PRONOUN_TAIL = pattern(r"^(it|that|this|them|those|these|both)(?: (?:then|now|please|instead|though|anyway|again))+$")


@cached
def parse_ref(text: str, now: datetime) -> Ref:
    """Parse a reference; any other text is a phrase of a title."""
    text = re.sub(r"\s+", " ", text).strip(" ,.;:!?")
    if found := _NEGATIVE.fullmatch(text):
        return Ref(numbers=(int(found[1]),))
    text = _PRONOUN_TAIL.sub(r"\1", text).strip(" ,.;:!?-")
    if not text:
        return Ref()
    text = _ADVERB_TAIL.sub("", text) or text
    if has_quote(text):
        return Ref(phrase=_phrase(text))
    return _by_number(text) or _by_position(text) or _by_pronoun(text) or _by_kind(text, now) or _number_or_phrase(text)


def _by_number(text: str) -> Ref | None:
    if found := _RANGE.fullmatch(text):
        low, high = int(found[1]), int(found[2])
        if low <= high <= low + 50:
            return Ref(numbers=tuple(range(low, high + 1)))
    text = pattern(r"^(?:both|all(?: of)?) (?=(?:tasks? |numbers? )?#?\d)").sub("", text)
    if (found := _NUMBERS.fullmatch(text)) and text.lower() not in _NO_NUMBER:
        return Ref(
            numbers=tuple(dict.fromkeys(_parse_number(word) for word in pattern(rf"\b{_NUMBER}\b").findall(found[1])))
        )
    return None


def _by_position(text: str) -> Ref | None:
    if found := _FIRST_FEW.fullmatch(text):
        many = _parse_number(found[2])
        return Ref(places=tuple(range(-many, 0)) if found[1].lower() == "last" else tuple(range(1, many + 1)))
    if found := _AT_POSITIONS.fullmatch(text):
        return Ref(
            places=tuple(_POSITIONS[word.lower()] for word in pattern(rf"\b(?:{_POSITION})\b").findall(found[1]))
        )
    return None


def _by_pronoun(text: str) -> Ref | None:
    if _NEWEST.fullmatch(text):
        return Ref(pronoun="newest")
    if _BOTH.fullmatch(text):
        return Ref(pronoun="them", count=2)
    if found := _ALL_OF_COUNT.fullmatch(text):
        return Ref(pronoun="them", count=_parse_number(found[1]))
    if _THEM.fullmatch(text):
        return Ref(pronoun="them")
    if _OTHER.fullmatch(text):
        return Ref(pronoun="other")
    if _IT.fullmatch(text) and text.lower() != "it all":
        return Ref(pronoun="it")
    return None


_KIND_FILLER = pattern(r"\b(?:that|which|with|is|are|it|has|have|due|a|the|my|of|and|'s|on|priority|for)\b")


def _by_kind(text: str, now: datetime) -> Ref | None:
    if _ALL.fullmatch(text):
        return Ref(every=True)
    if found := _ALL_OF_STATUS.fullmatch(text):
        return Ref(every=True, status="pending" if found["status"].lower() in ("open", "pending") else "completed")
    if found := _ALL_OF_KIND.fullmatch(text):
        done = pattern(r"complete|finished|done|closed|ticked|checked").match(found["status"])
        status: Status = "completed" if done else "pending"
        return Ref(every=(found["noun"] or "").lower() not in ("task", "one", "item", "todo"), status=status)
    found = _ATTRIBUTE.fullmatch(text)
    if not found:
        return None
    described = f"{found['before'] or ''} {found['after']}".strip()
    priority, rest = take_priority(described, bare=True)
    span = None
    if pattern(r"\boverdue\b|\bpast due\b").search(rest):
        span, rest = parse_span("overdue", now), pattern(r"\boverdue\b|\bpast due\b").sub("", rest)
    elif due := find_due(rest, now):
        span, rest = parse_span(rest, now), strip_due(rest, due)
    rest = _KIND_FILLER.sub(" ", rest)
    if (priority is None and span is None) or rest.strip(" ,.'"):
        return None
    return Ref(
        every=bool(found["every"]) or found["noun"].lower() not in ("task", "one", "item", "thing"),
        span=span,
        priority=priority,
    )


_NUMBER_AND_TITLE = pattern(
    r"(?:the )?(?:task|item|number|no\.?|#)\s*(?:number |no\.? ?|#)?(\d+)\b(?:\s*[,(:-]|\s+please)"
)


def _number_or_phrase(text: str) -> Ref:
    """Parse "task 3, buy milk" and "task 3 (buy milk)" as the number, and any other text as a phrase."""
    if found := _NUMBER_AND_TITLE.match(text):
        return Ref(numbers=(int(found[1]),))
    return Ref(phrase=_phrase(text))


def _phrase(text: str) -> str:
    stripped = _TRAILING_WORDS.sub("", text)
    return _LEADING_WORDS.sub("", stripped or text).strip(" ,.;:!?-") or text.strip()


def ref_or_it(words: str | None, now: datetime) -> Ref:
    """Parse a reference; an empty one is "it"."""
    return parse_ref(words, now) if words and words.strip() else Ref(pronoun="it")
