"""Understand wishes to tick off, to reopen and to delete."""

import re
from datetime import datetime

from chat.assistant.offline.adding import CHORES, clean_title
from chat.assistant.offline.dates import find_due, settle, without
from chat.assistant.offline.matching import PAST, stem
from chat.assistant.offline.pointing import read_ref
from chat.assistant.offline.wishes import Complete, Delete, Draft, Ref, Reopen, Talk, Wish

_DONE = r"(?:done|complete|completed|finished|over with|out of the way|accomplished|closed|ticked off|checked off|crossed off|sorted|taken care of|dealt with|all done)"
_WHEN = r"(?:\s+(?:now|already|today|yesterday|this morning|last night|earlier|just now|finally|on monday|too|as well|for me|please|again))*"
_FROM_LIST = r"(?:\s+(?:from|off|off of|on|in|out of)\s+(?:my|the|this)\s+(?:\w+\s+)?(?:list|tasks|todos?|task list))?"
_ADVERB = (
    r"(?:(?:just|already|now|finally|also|actually|totally|completely|recently|successfully|all|both|pretty much)\s+)*"
)

_NEGATED = re.compile(
    r"^(?:please )?(?:don't|do not|never|no need to|you don't (?:have|need) to|not)\s+(?:\w+\s+)?(?:delete|remove|complete|finish|mark|check|tick|cross|change|rename|move|erase|clear|touch|drop|cancel|undo|add|do)\b",
    re.I,
)
_NONE_DONE = re.compile(
    r"^(?:neither|none|nothing)(?: of (?:them|those|it))? (?:is|are|has been|was) (?:done|finished|complete)", re.I
)
_HEDGED = re.compile(
    r"\b(?:almost|nearly|half(?: ?way)?|partly|partially|mostly|\d+ ?%|about to|going to|will|won't|i'll|should i|shall i|can i|could i|may i|when i|once i|after i|before i|if i|until i|unless|planning to|trying to|hope to|might|maybe|not sure)\b",
    re.I,
)
_NOT_DONE = (
    re.compile(r"^(?:reopen|re-open|unfinish|un-?complete|un-?check|un-?tick|un-?mark|reactivate|resume|un-?do|restore)\s+(?:completing |finishing |the completion of )?(?P<ref>.+?)(?:\s+as\s+(?:done|complete|completed))?$", re.I),
    re.compile(r"^(?:mark|set|change|move|put|make|flag|switch)\s+(?P<ref>.+?)\s+(?:back\s+)?(?:as|to|to be)?\s*(?:(?:being )?(?:not|un)[ -]?(?:done|complete|completed|finished|yet done)|pending|open|incomplete|unfinished|undone|active|todo|not done|uncompleted|outstanding)(?:\s+again)?$", re.I),
    re.compile(r"^(?:put|move|bring|add)\s+(?P<ref>.+?)\s+back(?:\s+(?:on|onto|to|in|into)\s+(?:my|the)\s+.*)?$", re.I),
    re.compile(r"^(?:mark|set) as (?:not done|pending|open|incomplete|undone)\s*:?\s*(?P<ref>.+)$", re.I),
)  # fmt: skip
_DENIED = (
    re.compile(rf"^(?P<ref>.+?)\s+(?:isn't|is not|wasn't|was not|aren't|are not|hasn't been|is still not|is not yet|weren't)\s+(?:actually\s+|really\s+|yet\s+|quite\s+)*{_DONE}(?:\s+(?:yet|after all|actually))?$", re.I),
    re.compile(r"^(?:actually |sorry )?i\s+(?:still )?(?:haven't|have not|didn't|did not|never|hadn't)\s+(?:actually\s+|really\s+|even\s+|yet\s+)*(?:(?:finish(?:ed)?|complet(?:ed|e)|do|done|did)\s+)?(?:with\s+)?(?P<ref>.+?)(?:\s+(?:yet|after all|actually))*$", re.I),
    re.compile(r"^i(?:'m| am) not (?:actually |yet )?(?:done|finished)(?: yet)?(?: with)?\s+(?P<ref>.+?)(?:\s+(?:yet|after all))*$", re.I),
    re.compile(r"^(?P<ref>.+?)\s+still needs (?:to be done|doing|work)$", re.I),
)  # fmt: skip
_COMPLETE = (
    re.compile(rf"^(?:please )?(?:check|tick|cross|strike|mark)\s+(?:off\s+(?P<ref>.+?)|(?P<ref2>.+?)\s+(?:off|out)(?:\s+(?:of\s+)?(?:my|the)\s+(?:\w+\s+)?(?:list|tasks|todos?))?){_FROM_LIST}{_WHEN}$", re.I),
    re.compile(rf"^(?:mark|set|flag|put|move|change|make|label|consider|update|get|call|log|record|count|declare|tag)\s+(?:down\s+)?(?P<ref>.+?)(?:'s status)?\s+(?:as\s+|to\s+|to be\s+|off as\s+|status to\s+|down as\s+|into\s+)?(?:being\s+)?(?:a\s+)?{_DONE}{_FROM_LIST}{_WHEN}$", re.I),
    re.compile(r"^(?:mark|set) (?:as )?(?:done|complete|completed|finished)\s*:?\s+(?P<ref>.+)$", re.I),
    re.compile(rf"^(?:complete|finish|close|close out|tick|wrap up|finalize|finalise|resolve)\s+(?:(?:off|up)\s+)?(?P<ref>.+?){_FROM_LIST}{_WHEN}$", re.I),
    re.compile(rf"^(?:i\s+)?(?:got|have got|i've got|i have|i've|had)\s+(?P<ref>.+?)\s+{_DONE}{_WHEN}$", re.I),
    re.compile(
        rf"^(?:i|we)?(?:'ve| have|'m| am|'re)?\s*{_ADVERB}(?:been\s+)?(?:finished|completed|done|did|accomplished|wrapped up|took care of|taken care of|dealt with|handled|knocked out|checked off|crossed off"
        rf"|ticked off|sorted out|sorted|through|closed|marked off|nailed|finish)\s+{_ADVERB}(?:up\s+)?(?:with\s+)?(?:doing\s+)?(?P<ref>.+?)(?:\s+(?:off|out))?{_FROM_LIST}{_WHEN}$", re.I,
    ),
    re.compile(rf"^(?P<ref>.+?)\s*(?:\s+(?:is|are|was|were|has been|have been|got|gets|be)|'s|'re)\s+{_ADVERB}{_DONE}{_WHEN}$", re.I),
    re.compile(rf"^(?P<ref>(?:task |#|number )?\d+(?:[ ,&and]+\d+)*|both|it|that|this|the (?:first|second|third|last)(?: one)?)\s*[:,-]?\s*(?:{_DONE}|check|tick){_WHEN}$", re.I),
    re.compile(rf"^(?:{_DONE})\s*[:,-]\s*(?P<ref>.+)$", re.I),
    re.compile(rf"^(?!(?:clear|delete|remove|show|list|hide|archive|purge|what|which|get|is|are|not|no|almost|nearly|half|why|how|when)\b)(?P<ref>.+?)\s*(?::|,|-|=)?\s*\s{_DONE}{_WHEN}$", re.I),
)  # fmt: skip
_BARE_DONE = re.compile(
    rf"^(?:(?:and |all |i'?m |i am |it'?s |now )*{_DONE}|(?:i )?did (?:it|that|this)|i(?:'ve| have) done (?:it|that)){_WHEN}$",
    re.I,
)
_ALL_DONE = re.compile(r"^(?:i'?m |i am )?(?:all done|done with (?:it all|everything|all of it)|all finished)$", re.I)
_PASSIVE = re.compile(rf"^(?P<thing>.+?)(?:\s+(?:is|are|was|were|has been|have been|got|have)|'s)\s+(?:now |already |all |finally |been |just )*(?P<verb>\w+ed|{'|'.join(PAST)})(?P<rest>{_WHEN})$", re.I)  # fmt: skip
_PAST = re.compile(rf"^(?:(?:i|we)(?:'ve| have)?\s+)?{_ADVERB}(?P<phrase>(?P<verb>[a-z]+)\s+.+?){_WHEN}$", re.I)
_MANAGED = re.compile(
    rf"^i(?:'ve)? {_ADVERB}(?:managed to|was able to|remembered to|got around to|got round to|made sure to|was finally able to|succeeded in|been (?:to|at)) (?P<phrase>.+?){_WHEN}$",
    re.I,
)
_CROSSED = re.compile(
    r"^(?P<ref>.+?)\s+(?:can|should|could|may) (?:now )?(?:be )?(?:(?:marked|set)(?: as)? (?:done|complete|completed|finished)|ticked off|checked off|crossed off|closed)$",
    re.I,
)

_DELETE = (
    re.compile(rf"^(?:delete|remove|erase|discard|scrap|trash|get rid of|throw out|throw away|bin|ditch|dump|nuke|wipe(?: out)?|purge|eliminate|take out|lose|kill|deleting|removing)\s+(?P<ref>.+?){_FROM_LIST}{_WHEN}$", re.I),
    re.compile(rf"^(?:clear|empty|reset|clean up|clean out)\s+(?:out\s+)?(?P<ref>(?:all|everything|every|my (?:whole |entire )?(?:list|tasks|todos?|task list)|the (?:whole |entire )?(?:list|tasks)|completed|the (?:completed|done|finished)|task|tasks|#?\d).*?){_FROM_LIST}{_WHEN}$", re.I),
    re.compile(r"^(?:take|cross|strike|scratch|drop|knock|pull|kick|get)\s+(?P<ref>.+?)\s+(?:off|from|out of|off of)\s+(?:of\s+)?(?:my|the|this)\s+(?:\w+\s+)?(?:list|tasks|todos?)$", re.I),
    re.compile(rf"^(?:drop|cancel|forget(?: about)?|never ?mind(?: about)?|scratch|skip|abandon|call off|delete)\s+(?P<ref>(?!off\b|by\b|in\b|it\b$|that$|to\b).+?){_FROM_LIST}{_WHEN}$", re.I),
    re.compile(r"^(?:i|we) (?:don't|do not) (?:really |actually )?(?:need|want|have) (?:to (?:do )?)?(?P<ref>.+?)\s+(?:any ?more|any longer|now|on my list|after all)(?: (?:any ?more|after all))?$", re.I),
    re.compile(r"^(?:i|we) no longer (?:need|want|have|care about)\s+(?:to (?:do )?)?(?P<ref>.+?)$", re.I),
    re.compile(r"^(?:there's |there is )?no (?:more |longer )?need (?:to (?:do )?|for )(?P<ref>.+?)(?:\s+(?:any ?more|any longer|now|after all))?$", re.I),
    re.compile(r"^(?P<ref>.+?)\s+(?:can|should|could|may) (?:now )?(?:be )?(?:deleted|removed|go|dropped|erased|come off the list|be taken off(?: (?:the|my) list)?)$", re.I),
)  # fmt: skip
_GONE = re.compile(
    r"^(?P<ref>.+?)\s+(?:(?:is|are|was|were|got|has been|'s)\s+(?:now |been )?(?:cancelled|canceled|called off|off|no longer (?:needed|necessary|relevant|happening)|not (?:needed|necessary|relevant|happening)(?: any ?more)?|irrelevant|unnecessary|obsolete)|isn't (?:needed|necessary|happening|relevant)(?: any ?more)?|no longer needs (?:to be done|doing))$",
    re.I,
)
_REASON = re.compile(
    r"(?:,\s*(?:it|i|that|this|they|we|he|she|it's|i've|i'm|that's)\b|,?\s+(?:because|since|cuz|'cause|as (?:i|it|we))\b).*$",
    re.I,
)
_CHORE_LIKE = re.compile(
    r"^(?:cancel|drop|skip|finish|complete|close|get|take out|clean|clear|reset|empty|resolve|scrap|throw|dump|wipe|forget|kill|lose|wrap up|strike|put|make|set|change)\b",
    re.I,
)
_UNFINISHING = frozenset(
    stem(verb)
    for verb in (
        "start begin plan schedule cancel postpone delay check look open see find forget miss skip need want try change move "
        "discuss continue pause stop ask talk think add reschedule rename update remember consider decide lose hate love like "
        "block require expect prepare review work hope wish call book mention describe"
    ).split()
    if verb not in ("call", "book")
)


def kept(clause: str) -> Talk | None:
    """Read a wish that something be left alone."""
    return Talk("keep") if _NEGATED.match(clause) or _NONE_DONE.match(clause) else None


def reopen(clause: str, now: datetime) -> Reopen | None:
    """Read a wish to make a task open again, or the statement that it is not done."""
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
    clause = _REASON.sub("", clause)
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


def _past(clause: str) -> Complete | None:
    """Read "I bought the milk" and "the rent has been paid" as statements about a chore."""
    if found := _PASSIVE.match(clause):
        return _said_done(found["verb"], f"{found['verb']} {found['thing']}")
    if found := _MANAGED.match(clause):
        return Complete(Ref(phrase=found["phrase"]), statement=True)
    if found := _PAST.match(clause):
        verb, spoken = found["verb"].lower(), re.match(r"(?:i|we)\b", clause, re.I)
        regular = verb.endswith("ed") and (spoken or {verb[:-2], verb[:-1], verb[:-3]} & CHORES)
        irregular = verb in PAST and (spoken or verb != PAST[verb])
        if regular or irregular:
            return _said_done(verb, found["phrase"])
    return None


def _said_done(verb: str, phrase: str) -> Complete:
    """Take "I planned the trip" as done only where planning was the task; "I paid the bill" for a task "Bill" too."""
    return Complete(Ref(phrase=phrase, literal=stem(verb) in _UNFINISHING), statement=True)


def delete(clause: str, now: datetime) -> Delete | None:
    """Read a wish to delete something."""
    if clause.endswith("?") and not re.match(r"(?:delete|remove|erase)", clause, re.I):
        return None
    clause = _REASON.sub("", clause)
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
        or not re.match(r"(?:finish|complete|close|wrap up)\b", clause, re.I)
    ):
        return None
    return _as_chore(clause, now) if find_due(clause, now) else None
