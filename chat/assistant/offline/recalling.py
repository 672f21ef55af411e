"""Parse questions about earlier messages, and preferences for later ones."""

from chat.assistant.offline.asking import parse_sort
from chat.assistant.offline.intents import Prefer, Priority, Recall, Status, Talk
from chat.assistant.offline.patterns import pattern
from chat.assistant.offline.slots import take_priority

_FROM_NOW = pattern(
    r"\b(?:from now on|from here on|from this point|going forward|always|in (?:the )?future|by default|every time"
    r"|whenever|henceforth|as (?:a|the|my) default|my default|i prefer|i'd prefer|i (?:always )?(?:like|want) (?:to "
    r"see |to have )?.*\bfirst$|stop sorting|don't sort|prefer|i like my|each time|never show|until i say)\b"
)
# Every preference contains one of these words, even if misspelt; most messages contain none.
_MAYBE_PREFERENCE = pattern(
    r"don.?t|do\s+not|stop|never|longer|now\s+on|here\s+on|point|forward|always|future|default|time|whenever|henceforth"
    r"|prefer|like|want|wanna|until"
)
_RECALL_FIRST = pattern(
    r"\b(?:(?:first|earliest|very first|initial)\b.{0,30}\b(?:asked?|said|say|told|tell|wrote|write|message|question"
    r"|request|typed|type|mentioned|wanted|requested)|(?:how|where) did (?:we|i|this conversation) (?:start|begin)"
    r"|(?:what did i|did i) (?:first|originally|initially) (?:ask|say|tell|want|type|request)|what (?:did i|was i) "
    r"(?:ask|say|tell|start)\w*(?: \w+){0,3} (?:at|in) the (?:beginning|start)|what did i (?:start|begin|open) with"
    r"|what i (?:said|asked|told you|wrote|wanted)\b.*\b(?:first|beginning|start)|what did i (?:\w+ ){0,2}(?:ask|say"
    r"|tell|want|request|type)\w*(?: you)?(?: to do)? first|my first (?:message|question|request|words))\b"
)
_RECALL_LAST = pattern(
    r"\bwhat (?:did|have) i (?:just |last |previously )*(?:ask|asked|say|said|tell|told|type|write|want"
    r"|request)\w*(?: (?:you|from you|for))?(?: (?:to do|just now|last|before(?: this| that)?|previously"
    r"|a moment ago|earlier|again))?|\bwhat was (?:my|the) (?:last|previous|most recent|latest) (?:message"
    r"|question|request|thing i (?:asked|said|told you))|\b(?:last|previous) (?:thing|message|question"
    r"|request) (?:i|that i) (?:asked|said|told|sent|wrote)|^what was my (?:last|previous) (?:question|message"
    r"|request)|\bremember what i (?:just )?(?:said|asked|told you)\b"
)
_RECALL_NTH = pattern(
    r"\b(?P<nth>second|third|fourth|fifth)\b.{0,20}\b(?:i|my)\b.{0,12}\b(?:asked|said|told|ask|say|message"
    r"|question|request)"
)
_RECALL_ALL = pattern(
    r"^what (?:have|did) (?:i|we) (?:talk|chat|discuss|speak)\w*(?: about)?\W*$|\bwhat (?:have|did) (?:i|we) (?:asked|ask|said|say|told you|tell you|talked? about"
    r"|discuss(?:ed)?)(?: \w+){0,2} (?:so far|today|until now|up to now|in this (?:chat|conversation))"
    r"|\b(?:summari[sz]e|recap) (?:our|this|the) (?:conversation|chat)|\bwhat have (?:i|we) (?:asked|said"
    r"|talked about|discussed)"
)
_RECALL_REPLY = pattern(
    r"\bwhat did you (?:just )?(?:do|say|change|add|tell me|answer|reply)\b|\bwhat was your (?:last|previous) "
    r"(?:answer|reply|message)\b|^(?:repeat (?:that|yourself)|say (?:that|it) again|come again|what did you say)\W*$"
)
_RECALL_DELETED = pattern(
    r"^(?:and |so )*(?:what|which)(?: (?:one|ones|task|tasks|thing))? (?:did|have|was it) (?:i|you|we|that) (?:just |last )*(?:you |i |we )?(?:just |last )*"
    r"(?:delete|remove|erase|drop|take off|get rid of|throw out|cancel)\w*(?: (?:last|just now|earlier|off|a (?:moment|minute|second|while) ago))*\W*$"
    r"|^what was (?:the (?:last )?(?:task|thing|one) (?:that )?(?:i|you|we) (?:just )?(?:deleted|removed)|just (?:deleted|removed))\W*$"
)
_RECALL_ABOUT = pattern(
    r"^(?:(?:and |so |please )*(?:what|when|where) (?:did|have) (?:i|we) (?:ever |already |last )*"
    r"(?:(?:say|said|tell you|told you|ask|asked|ask you|asked you|write|wrote|written|talk|talked|speak|spoken|discuss|discussed)"
    r" (?:to you )?about|mention(?:ed)?)"
    r"|(?:did|have) (?:i|we) (?:ever |already )*(?:mention(?:ed)?|(?:say|said|write|written|tell you|told you) (?:something |anything )about)"
    r"|(?:search|look through) (?:this|our|the) (?:chat|conversation) for)\s+(?P<about>\S.*?)"
    r"(?: (?:in|during) (?:this|our) (?:chat|conversation)| (?:before|earlier|so far|again|already))*\W*$"
)
_NO_TOPIC = pattern(r"(?:it|that|this|today|yesterday|so far|me|you)")
_NAME_GIVEN = pattern(
    r"^(?:please )?(?:you (?:can|may) )?(?:call me|my name is|my name's|i(?:'m| am) called)\s+(?!back|later|tomorrow|today|a\b|an\b|when|if|at|on|by|the\b|after)"
    r"(?P<name>[\w'-]+(?: [\w'-]+)?)$"
)
_NAME_ASKED = pattern(
    r"^(?:what(?:'s| is) my name|what do you call me|do you (?:know|remember) my name|who am i)(?: again)?$"
)


def parse_name(clause: str) -> Talk | None:
    """Parse the user's name."""
    found = _NAME_GIVEN.match(clause.strip(" .!"))
    return Talk("name", found["name"]) if found else None


_RECALL_VERB = pattern(r"\b(?:what|which|remember|recall|tell|remind|how|where|repeat|my first)\b")


def parse_recall(clause: str) -> Recall | None:
    """Parse a question about earlier messages."""
    if _NAME_ASKED.match(clause.strip(" .!?")):
        return Recall(name=True)
    if _RECALL_ALL.search(clause):
        return Recall(whole=True)
    if _RECALL_DELETED.match(clause):
        return Recall(-1, gone=True)
    if _RECALL_REPLY.search(clause):
        return Recall(-1, reply=True)
    if (found := _RECALL_ABOUT.match(clause)) and not _NO_TOPIC.fullmatch(found["about"]):
        return Recall(about=found["about"])
    if found := _RECALL_NTH.search(clause):
        return Recall(("first", "second", "third", "fourth", "fifth").index(found["nth"].lower()) + 1)
    if _RECALL_FIRST.search(clause) and _RECALL_VERB.search(clause):
        return Recall(1)
    return Recall(-1) if _RECALL_LAST.search(clause) else None


def may_be_preference(message: str) -> bool:
    """Return whether a raw message may contain a preference."""
    return _MAYBE_PREFERENCE.search(message) is not None


_HIDE_COMPLETED = pattern(
    r"\b(?:don't|do not|stop|never|no longer) (?:ever |want to |wanna |need to |have to |like to |wish to )*"
    r"(?:show|list|display|see|showing|listing|seeing)\b.*\b(?:completed|done|finished)\b"
)
_OMIT_COMPLETED = pattern(
    r"\b(?:leave out|omit|exclude|skip|hide|without|no)\b.{0,20}\b(?:completed|done|finished|ticked)"
)
_ONLY_PENDING = pattern(
    r"\b(?:hide|don't show|never show|without|not) (?:me )?(?:the |my |any )?(?:completed|done|finished)"
    r"|\bonly (?:show |list |see |the |my |me )*(?:pending|open|unfinished|incomplete)|\b(?:pending"
    r"|open)(?: tasks| ones)? only\b|just (?:the )?(?:pending|open)"
)
_WITH_COMPLETED = pattern(
    r"\b(?:completed|done|finished) (?:ones |tasks )?(?:too|as well|also)|\binclude (?:the )?(?:completed"
    r"|done)|\ball (?:my |the )?tasks\b|\beverything\b"
)


def parse_preference(clause: str) -> Prefer | None:
    """Parse a preference for later messages."""
    if _HIDE_COMPLETED.search(clause):
        return Prefer(status="pending")
    if not _FROM_NOW.search(clause):
        return None
    sort = "number" if pattern(r"\b(?:stop|don't|no longer) sort").search(clause) else parse_sort(clause)
    status: Status | None = None
    if _OMIT_COMPLETED.search(clause):
        status = "pending"
    elif pattern(r"\b(?:show|list|see|display|hide)\b").search(clause):
        if _ONLY_PENDING.search(clause):
            status = "pending"
        elif _WITH_COMPLETED.search(clause):
            status = "all"
        elif sort is None and pattern(r"\b(?:pending|open)\b").search(clause):
            status = "pending"
    priority: Priority | None = None
    if pattern(r"\b(?:new|add|create|make|tasks i add)\b").search(clause) and sort is None and status is None:
        priority = take_priority(clause, bare=True)[0]
    if sort is None and status is None and priority is None:
        if not pattern(r"\b(?:sort|order|list)").search(clause):
            return None
        sort = (
            "priority"
            if pattern(r"priorit|important|urgent").search(clause)
            else "due"
            if pattern(r"\bdue|date").search(clause)
            else None
        )
    return Prefer(sort, status, priority) if sort or status or priority else None
