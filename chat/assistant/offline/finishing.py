"""Understand wishes to tick off, to reopen and to delete."""

import re
from datetime import datetime

from chat.assistant.offline.adding import clean_title
from chat.assistant.offline.chores import CHORES, UNFINISHING
from chat.assistant.offline.dates import find_due, settle, without
from chat.assistant.offline.matching import PAST, alike, stem
from chat.assistant.offline.pointing import read_ref
from chat.assistant.offline.wishes import Complete, Delete, Draft, Ref, Reopen, Talk, Wish

_DONE = (
    r"(?:done|complete|completed|finished|over with|out of the way|accomplished|closed|ticked off|checked off"
    r"|crossed off|sorted|taken care of|dealt with|all done|all set|off (?:my|the) (?:plate|hands|back|chest)|in the bag|squared away"
    r"|wrapped up|over and done with)"
)
_WHEN = (
    r"(?:\s+(?:now|already|today|yesterday|this morning|last night|earlier|just now|finally|on monday|too|as well"
    r"|for me|please|again))*"
)
_FROM_LIST = r"(?:\s+(?:from|off|off of|on|in|out of)\s+(?:my|the|this)\s+(?:\w+\s+)?(?:list|tasks|todos?|task list))?"
_ADVERB = (
    r"(?:(?:just|already|now|finally|also|actually|totally|completely|recently|successfully|all|both"
    r"|pretty much)\s+)*"
)

_NEGATED = re.compile(
    r"^(?:please )?(?:don't|do not|never|no need to|you don't (?:have|need) to|not)\s+(?:\w+\s+)?(?:delete"
    r"|remove|complete|finish|mark|check|tick|cross|change|rename|move|erase|clear|touch|drop|cancel|undo|add"
    r"|do)\b",
    re.I,
)
_LEFT_ALONE = re.compile(
    r"^(?:please |better |rather |just |maybe |probably |let's |i'd (?:rather|better) |i(?:'ll| will| want to| would like to)? |(?:you )?(?:should|can) |so )*"
    r"(?:keep|leave) (?:it|that|them|those|both|everything|all of (?:it|them)|them all|the list|my list)"
    r"(?: all| alone| as (?:it is|they are|is)| be| there| in| on(?: (?:my|the) list)?| open| for now| please| then| after all)*$",
    re.I,
)
_NONE_DONE = re.compile(
    r"^(?:neither|none|nothing)(?: of (?:them|those|it))? (?:is|are|has been|was) (?:done|finished|complete)", re.I
)
_HEDGED = re.compile(
    r"\b(?:almost|nearly|half(?: ?way)?|partly|partially|mostly|\d+ ?%|about to|going to|will|won't|i'll"
    r"|should i|shall i|can i|could i|may i|when i|once i|after i|before i|if i|until i|unless|planning to"
    r"|trying to|hope to|might|maybe|not sure)\b",
    re.I,
)
_NOT_DONE = (
    re.compile(
        r"^(?:reopen|re-open|unfinish|un-?complete|un-?check|un-?tick|un-?mark|reactivate|resume|un-?do"
        r"|restore)\s+(?:completing |finishing |the completion of )?(?P<ref>.+?)(?:\s+as\s+(?:done|complete"
        r"|completed))?$",
        re.I,
    ),
    re.compile(
        r"^(?:mark|set|change|move|put|make|flag|switch)\s+(?P<ref>.+?)\s+(?:back\s+)?(?:as|to"
        r"|to be)?\s*(?:(?:being )?(?:not|un)[ -]?(?:done|complete|completed|finished|yet done)|pending|open"
        r"|incomplete|unfinished|undone|active|todo|not done|uncompleted|outstanding)(?:\s+again)?$",
        re.I,
    ),
    re.compile(r"^(?:put|move|bring|add)\s+(?P<ref>.+?)\s+back(?:\s+(?:on|onto|to|in|into)\s+(?:my|the)\s+.*)?$", re.I),
    re.compile(r"^(?:mark|set) as (?:not done|pending|open|incomplete|undone)\s*:?\s*(?P<ref>.+)$", re.I),
)
_DENIED = (
    re.compile(
        r"^(?P<ref>.+?)\s+(?:isn't|is not|wasn't|was not|aren't|are not|hasn't been|is still not|is not yet"
        rf"|weren't)\s+(?:actually\s+|really\s+|yet\s+|quite\s+)*{_DONE}(?:\s+(?:yet|after all|actually))?$",
        re.I,
    ),
    re.compile(
        r"^(?:actually |sorry )?i\s+(?:still )?(?:haven't|have not|didn't|did not|never|hadn't)\s+(?:actually\s+"
        r"|really\s+|even\s+|yet\s+)*(?:(?:finish(?:ed)?|complet(?:ed|e)|do|done"
        r"|did)\s+)?(?:with\s+)?(?P<ref>.+?)(?:\s+(?:yet|after all|actually))*$",
        re.I,
    ),
    re.compile(
        r"^i(?:'m| am) not (?:actually |yet )?(?:done|finished)(?: yet)?(?: with)?\s+(?P<ref>.+?)(?:\s+(?:yet"
        r"|after all))*$",
        re.I,
    ),
    re.compile(r"^(?P<ref>.+?)\s+still needs (?:to be done|doing|work)$", re.I),
)
_COMPLETE = (
    re.compile(
        r"^(?:please )?(?:check|tick|cross|strike|mark)\s+(?:(?:off|out)\s+(?P<ref>.+?)|(?P<ref2>.+?)\s+(?:off"
        rf"|out)(?:\s+(?:of\s+)?(?:my|the)\s+(?:\w+\s+)?(?:list|tasks|todos?))?){_FROM_LIST}{_WHEN}$",
        re.I,
    ),
    re.compile(
        r"^(?:mark|set|flag|put|move|change|make|label|consider|update|get|call|log|record|count|declare"
        r"|tag)\s+(?:down\s+)?(?P<ref>.+?)(?:'s status)?\s+(?:as\s+|to\s+|to be\s+|off as\s+|status to\s+"
        rf"|down as\s+|into\s+)?(?:being\s+)?(?:a\s+)?{_DONE}{_FROM_LIST}{_WHEN}$",
        re.I,
    ),
    re.compile(r"^(?:mark|set) (?:as )?(?:done|complete|completed|finished)\s*:?\s+(?P<ref>.+)$", re.I),
    re.compile(
        r"^(?:mark|tick|check|log|record) (?P<ref>.+?) (?:down |off )?as (?:already )?"
        rf"(?!(?:un|in|needed|postponed|cancel|delayed|dated|planned|scheduled|prioriti))(?:\w+ed|{'|'.join(PAST)}){_WHEN}$",
        re.I,
    ),
    re.compile(
        r"^(?:complete|finish|close out|close|tick|wrap up|finalize|finalise|resolve)\s+(?:(?:off"
        rf"|up)\s+)?(?P<ref>.+?){_FROM_LIST}{_WHEN}$",
        re.I,
    ),
    re.compile(rf"^(?:i\s+)?(?:got|have got|i've got|i have|i've|had)\s+(?P<ref>.+?)\s+{_DONE}{_WHEN}$", re.I),
    re.compile(
        rf"^(?:i|we)?(?:'ve| have|'m| am|'re)?\s*{_ADVERB}(?:been\s+)?(?:finished|completed|done|did"
        r"|accomplished|wrapped up|took care of|taken care of|dealt with|handled|knocked out|checked off"
        r"|crossed off"
        r"|ticked off|sorted out|sorted|through|closed|marked off|nailed|all set|squared away"
        rf"|finish)\s+{_ADVERB}(?:up\s+)?(?:with\s+)?(?:doing\s+)?(?P<ref>.+?)(?:\s+(?:off"
        rf"|out))?{_FROM_LIST}{_WHEN}$",
        re.I,
    ),
    re.compile(
        r"^(?P<ref>.+?)\s*(?:\s+(?:is|are|was|were|has been|have been|got|gets|be)|'s"
        rf"|'re)\s+{_ADVERB}{_DONE}{_WHEN}$",
        re.I,
    ),
    re.compile(
        r"^(?P<ref>(?:task |#|number )?\d+(?:[ ,&and]+\d+)*|both|it|that|this|the (?:first|second|third"
        rf"|last)(?: one)?)\s*[:,-]?\s*(?:{_DONE}|check|tick){_WHEN}$",
        re.I,
    ),
    re.compile(rf"^(?:{_DONE})\s*[:,-]\s*(?P<ref>.+)$", re.I),
    re.compile(
        r"^(?!(?:clear|delete|remove|show|list|hide|archive|purge|what|which|get|is|are|not|no|almost|nearly|half"
        rf"|why|how|when)\b)(?P<ref>.+?)\s*(?::|,|-|=)?\s*\s{_DONE}{_WHEN}$",
        re.I,
    ),
)
_BARE_DONE = re.compile(
    rf"^(?:(?:and |all |i'?m |i am |it'?s |now )*{_DONE}|(?:i )?did (?:it|that|this)|i(?:'ve| have) done (?:it"
    rf"|that)){_WHEN}$",
    re.I,
)
_ALL_DONE = re.compile(r"^(?:i'?m |i am )?(?:all done|done with (?:it all|everything|all of it)|all finished)$", re.I)
_PASSIVE = re.compile(
    r"^(?P<thing>.+?)(?:\s+(?:is|are|was|were|has been|have been|got|have)|'s)\s+(?:now |already |all |finally "
    rf"|been |just )*(?P<verb>\w+ed|{'|'.join(PAST)})(?P<rest>{_WHEN})$",
    re.I,
)
_OF_IT = re.compile(
    rf"^(?:it|that|this|that one|this one)(?:'s| is| has been| was| got|'s been| has) {_ADVERB}(?P<deeds>.+?){_WHEN}$",
    re.I,
)
_DEEDS = re.compile(r"\s*,\s*(?:and\s+)?|\s+and\s+", re.I)
_DEED = re.compile(
    rf"{_ADVERB}(?P<verb>\w+)(?: (?:in|off|out|up|away|back|down|for|over|to|with|of|now|already))*", re.I
)
_PAST = re.compile(rf"^(?:(?:i|we)(?:'ve| have)?\s+)?{_ADVERB}(?P<phrase>(?P<verb>[a-z]+)\s+.+?){_WHEN}$", re.I)
# "Bill paid", "plants all watered": a thing and what was done to it, and nothing else.
_NOT_I = re.compile(
    r"^(?:no,? )?i (?:haven't|have not|didn't|did not)(?: (?:actually|really|yet|do|done|finish|finished|complete|it|that))*$",
    re.I,
)
_BY_PEOPLE = frozenset(
    stem(verb)
    for verb in [
        "call",
        "ring",
        "phone",
        "email",
        "text",
        "write",
        "ask",
        "visit",
        "message",
        "tell",
        "meet",
        "see",
        "reply",
        "contact",
        "respond",
        "invite",
        "thank",
    ]
)
_SOMEBODY = re.compile(r"\w+ (?:up |off )?(him|her|them)(?: (?:up|off|back|already))?", re.I)
_BROUGHT_BACK = re.compile(
    r"(?:took|taken|brought|gave|given|sent|carried|dropped) (?:back (?P<after>.+)|(?P<thing>.+?) back(?: to .+)?)",
    re.I,
)
_BOTH_DONE = re.compile(r"\w+ (?:up |off )?(?:them both|both|both of them|the two of them)(?: (?:up|off|back))?", re.I)
_ELLIPTIC = re.compile(
    r"^(?!(?:i|we|you|get|have|has|had|be|make|need|want|not|no|to|by|when|if|what|how|why|is|are|did|do|does|keep|see"
    r"|add|buy|left|set|put)\b)(?P<thing>(?:[\w'-]+\s+){1,4}?)(?:all |finally |now |already |just |successfully )*"
    rf"(?P<verb>\w+ed|{'|'.join(verb for verb, base in PAST.items() if verb != base)})(?:\s+(?:off|up|out|away|in))?{_WHEN}$",
    re.I,
)
_MANAGED = re.compile(
    rf"^(?:i(?:'ve|'m)?\s+)?{_ADVERB}(?:managed to|was able to|remembered to|got around to|got round to"
    r"|made sure to|was finally able to|succeeded in|been (?:to|at)|(?:just )?(?:come|came|got|gotten|am"
    rf"|was) back from|(?:just )?got home from) (?P<phrase>.+?){_WHEN}$",
    re.I,
)
_ANSWERED = re.compile(
    rf"^(?:the |my )?(?P<thing>[^:?]+?)\s*[:?]\s*(?:all |already |just )?(?P<verb>\w+ed|{'|'.join(PAST)})$", re.I
)
_CHORE_STEMS = frozenset(stem(verb) for verb in CHORES)
_CROSSED = re.compile(
    r"^(?P<ref>.+?)\s+(?:can|should|could|may) (?:now )?(?:be )?(?:(?:marked|set)(?: as)? (?:done|complete"
    r"|completed|finished)|ticked off|checked off|crossed off|closed)$",
    re.I,
)

_DELETE = (
    re.compile(
        r"^(?:delete|remove|erase|discard|scrap|trash|get rid of|throw out|throw away|bin|ditch|dump|nuke"
        r"|wipe(?: out)?|purge|eliminate|take out|lose|kill|toss|deleting"
        rf"|removing)\s+(?P<ref>.+?){_FROM_LIST}{_WHEN}$",
        re.I,
    ),
    re.compile(
        r"^(?:clear|empty|reset|clean up|clean out)\s+(?:out\s+)?(?P<ref>(?:all|everything|every|my (?:whole "
        r"|entire )?(?:list|tasks|todos?|task list)|the (?:whole |entire )?(?:list|tasks)|completed"
        rf"|the (?:completed|done|finished)|task|tasks|#?\d).*?){_FROM_LIST}{_WHEN}$",
        re.I,
    ),
    re.compile(
        r"^(?:take|cross|strike|scratch|drop|knock|pull|kick|get)\s+(?P<ref>.+?)\s+(?:off|from|out of"
        r"|off of)\s+(?:of\s+)?(?:my|the|this)\s+(?:\w+\s+)?(?:list|tasks|todos?)$",
        re.I,
    ),
    re.compile(
        r"^(?:drop|cancel|forget(?: about)?|never ?mind(?: about)?|scratch|skip|abandon|call off"
        rf"|delete)\s+(?P<ref>(?!off\b|by\b|in\b|it\b$|that$|to\b).+?){_FROM_LIST}{_WHEN}$",
        re.I,
    ),
    re.compile(
        r"^(?:i|we) (?:don't|do not) (?:really |actually )?(?:need|want"
        r"|have) (?:to (?:do )?)?(?P<ref>.+?)\s+(?:any ?more|any longer|now|on my list|after all)(?: (?:any ?more"
        r"|after all))?$",
        re.I,
    ),
    re.compile(
        r"^(?:i|we) (?:won't|will not) (?:be )?(?:need(?:ing)?|want(?:ing)?) (?P<ref>.+?)(?:\s+(?:any ?more|any longer|now|after all))*$",
        re.I,
    ),
    re.compile(r"^(?:i|we) no longer (?:need|want|have|care about)\s+(?:to (?:do )?)?(?P<ref>.+?)$", re.I),
    re.compile(
        r"^(?:there's |there is )?no (?:more |longer )?need (?:to (?:do )?|for )(?P<ref>.+?)(?:\s+(?:any ?more"
        r"|any longer|now|after all))?$",
        re.I,
    ),
    re.compile(
        r"^(?P<ref>.+?)\s+(?:can|should|could|may) (?:now )?(?:be )?(?:deleted|removed|go|dropped|erased"
        r"|come off the list|be taken off(?: (?:the|my) list)?)$",
        re.I,
    ),
)
_GONE = re.compile(
    r"^(?P<ref>.+?)\s+(?:(?:(?:is|are|was|were|got|has been|'s)\s+)?(?:now |been )?(?:cancelled|canceled|called off"
    r"|off|no longer (?:needed|necessary|relevant|happening)|not (?:needed|necessary|relevant"
    r"|happening)(?: any ?more)?|irrelevant|unnecessary|obsolete)|isn't (?:needed|necessary|happening"
    r"|relevant)(?: any ?more)?|no longer needs (?:to be done|doing))$",
    re.I,
)
_EXCEPT = re.compile(
    r",?\s+(?:but\s+|and\s+)?not\s+(?:yet\s+)?(?:task\s+|#|the\s+)?\w+(?: one)?$"
    r"|,\s*(?:task )?\w+ (?:is )?not(?: yet)?$",
    re.I,
)
_OUT_OF_THE_WAY = re.compile(
    rf"^that's (?P<ref>.+?)\s+{_DONE}$|^(?:managed|i managed) to get (?P<ref2>.+?)\s+{_DONE}$", re.I
)
_THATS_IT = re.compile(
    rf"^that's (?P<thing>(?:the |my |our )?[\w' -]+?) (?:all |finally |now )?(?P<verb>\w+)(?: (?:off|up|out|in))?{_WHEN}$",
    re.I,
)
_REASON = re.compile(
    r"(?:,\s*(?:it|i|that|this|they|we|he|she|it's|i've|i'm|that's)\b|,?\s+(?:because|since|cuz|'cause|as (?:i|it"
    r"|we))\b).*$",
    re.I,
)
_CHORE_LIKE = re.compile(
    r"^(?:cancel|drop|skip|finish|complete|close|get|take out|clean|clear|reset|empty|resolve|scrap|throw|dump"
    r"|wipe|forget|kill|lose|wrap up|strike|put|make|set|change)\b",
    re.I,
)
# What is taken off a list since it is done was done, and is not to be forgotten.
_SCRATCHED = re.compile(
    rf"^(?:scratch|cross|strike|drop|take|knock|check|tick) (?:off )?(?P<ref>.+?)(?: off| out)?{_FROM_LIST}[,;]?\s+(?:(?:because"
    r"|since|as|'cause|cuz) )?(?:i(?:'ve| have)?|that'?s?|it'?s|we(?:'ve)?)?\s*(?:already |just )*(?:did|done|finished"
    r"|completed|is done|sorted|took care of)(?: (?:it|that|them))?(?: already| yesterday| today| earlier| this morning)*$",
    re.I,
)
_UNFINISHING = frozenset(stem(verb) for verb in UNFINISHING)


def kept(clause: str) -> Talk | None:
    """Read a wish that something be left alone."""
    return (
        Talk("keep", clause)
        if _NEGATED.match(clause) or _LEFT_ALONE.match(clause) or _NONE_DONE.match(clause)
        else None
    )


def reopen(clause: str, now: datetime) -> Reopen | None:
    """Read a wish to make a task open again, or the statement that it is not done."""
    if _NOT_I.match(clause):
        return Reopen(Ref(pronoun="it"))
    for form in _NOT_DONE:
        if found := form.match(clause):
            return Reopen(read_ref(found["ref"], now))
    for form in _DENIED:
        if found := form.match(clause):
            return Reopen(read_ref(found["ref"], now), statement=True)
    return None


def complete(clause: str, now: datetime) -> Complete | None:
    """Read a wish to tick something off, or the statement that it is done."""
    if clause.endswith("?") or _HEDGED.search(clause):
        return None
    if found := _SCRATCHED.match(clause):
        return Complete(read_ref(found["ref"], now))
    clause = _EXCEPT.sub("", _REASON.sub("", clause))
    if _deeds_of_it(clause):
        return Complete(Ref(pronoun="it"), statement=True)
    if found := _OUT_OF_THE_WAY.match(clause):
        return Complete(read_ref(found["ref"] or found["ref2"], now), statement=True)
    if (found := _THATS_IT.match(clause)) and _is_past(found["verb"]):
        return _said_done(found["verb"], f"{found['verb']} {found['thing']}")
    if _ALL_DONE.match(clause):
        return Complete(Ref(every=True))
    if _BARE_DONE.match(clause):
        return Complete(Ref(pronoun="it"))
    if re.match(
        r"^(?:mark|set|check|tick)(?: as| off)? (?:done|complete|completed|finished|off)$|^(?:check|tick) off$",
        clause,
        re.I,
    ):
        return Complete(Ref(pronoun="it"))
    if found := _CROSSED.match(clause):
        return Complete(read_ref(found["ref"], now))
    for form in _COMPLETE:
        if found := form.match(clause):
            words = found["ref"] or found.groupdict().get("ref2") or ""
            return Complete(
                read_ref(words, now),
                statement=not re.match(r"(?:mark|complete|check|tick|cross|set|close|finish)\b", clause, re.I),
            )
    return _past(clause)


def _deeds_of_it(clause: str) -> bool:
    """Tell whether a clause says of "it" only that things were done to it: "that's signed and handed in, done"."""
    found = _OF_IT.match(clause)
    deeds = [_DEED.fullmatch(part) for part in _DEEDS.split(found["deeds"])] if found else []
    return bool(deeds) and all(
        deed is not None
        and (
            re.fullmatch(_DONE, deed["verb"], re.I)
            or (_is_past(deed["verb"]) and stem(deed["verb"]) not in _UNFINISHING)
        )
        for deed in deeds
    )


def _past(clause: str) -> Complete | None:
    """Read "I bought the milk" and "the rent has been paid" as statements about a chore."""
    if (found := _PASSIVE.match(clause)) and (stem(found["verb"]) in _CHORE_STEMS or found["verb"].lower() in PAST):
        return _said_done(found["verb"], f"{found['verb']} {found['thing']}")
    if (found := _ANSWERED.match(clause)) and (stem(found["verb"]) in _CHORE_STEMS or found["verb"].lower() in PAST):
        return _said_done(found["verb"], f"{found['verb']} {found['thing']}")
    # "Mum called" says who did it: only of things does it mean that they are done.
    if (found := _ELLIPTIC.match(clause)) and _is_past(found["verb"]) and stem(found["verb"]) not in _BY_PEOPLE:
        return _said_done(found["verb"], f"{found['verb']} {found['thing']}")
    if found := _MANAGED.match(clause):
        return Complete(Ref(phrase=found["phrase"]), statement=True)
    if found := _PAST.match(clause):
        verb, spoken = found["verb"].lower(), re.match(r"(?:i|we)\b", clause, re.I)
        regular = verb.endswith("ed") and (spoken or {verb[:-2], verb[:-1], verb[:-3]} & CHORES)
        regular = regular or bool(spoken and verb.endswith("d") and _slipped(verb))
        irregular = verb in PAST and (spoken or verb != PAST[verb])
        if regular or irregular:
            return _said_done(verb, found["phrase"])
    return None


def _is_past(verb: str) -> bool:
    """Tell whether a word says that a chore is done: "paid", "watered"."""
    verb = verb.lower()
    return (verb.endswith("ed") and stem(verb) in _CHORE_STEMS) or (
        verb in PAST and PAST[verb] in CHORES and verb != PAST[verb]
    )


def _slipped(verb: str) -> bool:
    """Tell whether a word is a chore in the past with a slip of the keyboard: "waterd"."""
    return any(alike(verb, f"{chore.removesuffix('e')}ed") for chore in CHORES)


def _said_done(verb: str, phrase: str) -> Complete:
    """Take "I planned the trip" as done only where planning was the task; "I paid the bill" for a task "Bill" too."""
    if found := _SOMEBODY.fullmatch(phrase):
        return Complete(Ref(pronoun="them") if found[1].lower() == "them" else Ref(pronoun="it"), statement=True)
    if found := _BOTH_DONE.fullmatch(phrase):
        return Complete(Ref(pronoun="them", count=2), statement=True)
    if back := _BROUGHT_BACK.fullmatch(phrase):
        phrase = f"returned {back['thing'] or back['after']}"
    return Complete(Ref(phrase=phrase, literal=stem(verb) in _UNFINISHING), statement=True)


def delete(clause: str, now: datetime) -> Delete | None:
    """Read a wish to delete something."""
    if clause.endswith("?") and not re.match(r"(?:delete|remove|erase)", clause, re.I):
        return None
    clause = re.sub(r"^(it|that|this)'s (?!been)", r"\1 is ", _REASON.sub("", clause), flags=re.I)
    for form in _DELETE:
        if found := form.match(clause):
            return Delete(read_ref(found["ref"], now), otherwise=_as_chore(clause, now))
    if found := _GONE.match(clause):
        return Delete(read_ref(found["ref"], now), unsure=True)
    return None


def _as_chore(clause: str, now: datetime) -> Draft | None:
    """Return the task that "cancel the gym membership" would be, were there none of that name."""
    if not _CHORE_LIKE.match(clause):
        return None
    due = find_due(clause, now)
    day, at = settle(due, now) if due else (None, None)
    return Draft(clean_title(without(clause, due) if due else clause), day=day, at=at)


def chore_with_date(wish: Wish, clause: str, now: datetime) -> Draft | None:
    """Return the task in "finish the report by Friday": what is to be done by a day is not done yet."""
    if (
        not isinstance(wish, Complete)
        or wish.ref.numbers
        or wish.ref.every
        or not re.match(r"(?:finish|complete|close|wrap up)\b", clause, re.I)
    ):
        return None
    return _as_chore(clause, now) if find_due(clause, now) else None
