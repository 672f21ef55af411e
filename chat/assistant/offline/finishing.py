"""Parse requests to complete tasks, and statements that something is done."""

from datetime import datetime

from chat.assistant.offline.completion_phrases import (
    ADVERBS,
    CHORE_STEMS,
    DONE,
    FROM_LIST,
    NOT_COMPLETING_STEMS,
    REASON,
    WHEN,
    is_past,
)
from chat.assistant.offline.intents import Complete, Ref
from chat.assistant.offline.matching import PAST_TENSE, similar, stem
from chat.assistant.offline.patterns import pattern, patterns
from chat.assistant.offline.references import parse_ref
from chat.assistant.offline.verbs import CHORES
from chat.assistant.offline.vocabulary import words

_HEDGED = pattern(
    r"\b(?:almost|nearly|half(?: ?way)?|partly|partially|mostly|\d+ ?%|about to|going to|will|won't|i'll"
    r"|should i|shall i|can i|could i|may i|when i|once i|after i|before i|if i|until i|unless|planning to"
    r"|trying to|hope to|might|maybe|not sure)\b"
)
_COMPLETE = patterns(
    r"^(?:please )?(?:check|tick|cross|strike|mark)\s+(?:(?:off|out)\s+(?P<ref>.+?)|(?P<ref2>.+?)\s+(?:off"
    rf"|out)(?:\s+(?:of\s+)?(?:my|the)\s+(?:\w+\s+)?(?:list|tasks|todos?))?){FROM_LIST}{WHEN}$",
    r"^(?:mark|set|flag|put|move|change|make|label|consider|update|get|call|log|record|count|declare"
    r"|tag)\s+(?:down\s+)?(?P<ref>.+?)(?:'s status)?\s+(?:as\s+|to\s+|to be\s+|off as\s+|status to\s+"
    rf"|down as\s+|into\s+)?(?:being\s+)?(?:a\s+)?{DONE}{FROM_LIST}{WHEN}$",
    r"^(?:mark|set) (?:as )?(?:done|complete|completed|finished)\s*:?\s+(?P<ref>.+)$",
    r"^(?:mark|tick|check|log|record) (?P<ref>.+?) (?:down |off )?as (?:already )?"
    rf"(?!(?:un|in|needed|postponed|cancel|delayed|dated|planned|scheduled|prioriti))(?:\w+ed|{'|'.join(PAST_TENSE)}){WHEN}$",
    r"^(?:complete|finish|close out|close|tick|wrap up|finalize|finalise|resolve)\s+(?:(?:off"
    rf"|up)\s+)?(?P<ref>.+?){FROM_LIST}{WHEN}$",
    rf"^(?:i\s+)?(?:got|have got|i've got|i have|i've|had)\s+(?P<ref>.+?)\s+{DONE}{WHEN}$",
    rf"^(?:i|we)?(?:'ve| have|'m| am|'re)?\s*{ADVERBS}(?:been\s+)?(?:finished|completed|done|did"
    r"|accomplished|wrapped up|took care of|taken care of|dealt with|handled|knocked out|checked off|crossed off"
    r"|ticked off|sorted out|sorted|through|closed|marked off|nailed|all set|squared away"
    rf"|finish)\s+{ADVERBS}(?:up\s+)?(?:with\s+)?(?:doing\s+)?(?P<ref>.+?)(?:\s+(?:off|out))?{FROM_LIST}{WHEN}$",
    r"^(?P<ref>.+?)\s*(?:\s+(?:is|are|was|were|has been|have been|got|gets|be)|'s"
    rf"|'re)\s+{ADVERBS}{DONE}{WHEN}$",
    r"^(?P<ref>(?:task |#|number )?\d+(?:[ ,&and]+\d+)*|both|it|that|this|the (?:first|second|third"
    rf"|last)(?: one)?)\s*[:,-]?\s*(?:{DONE}|check|tick){WHEN}$",
    rf"^(?:{DONE})\s*[:,-]\s*(?P<ref>.+)$",
    r"^(?!(?:clear|delete|remove|show|list|hide|archive|purge|what|which|get|is|are|not|no|almost|nearly|half"
    rf"|why|how|when)\b)(?P<ref>.+?)\s*(?::|,|-|=)?\s*\s{DONE}{WHEN}$",
)
_BARE_DONE = pattern(
    rf"^(?:(?:and |all |i'?m |i am |it'?s |now )*{DONE}|(?:i )?did (?:it|that|this)|i(?:'ve| have) done (?:it"
    rf"|that)){WHEN}$"
)
_NO_OBJECT = pattern(r"(?:i|we)(?:'ve| have)?(?: just| already| finally)* (?:finished|completed)")
_ALL_DONE = pattern(r"^(?:i'?m |i am )?(?:all done|done with (?:it all|everything|all of it)|all finished)$")
_PASSIVE = pattern(
    r"^(?P<thing>.+?)(?:\s+(?:is|are|was|were|has been|have been|got|have)|'s)\s+(?:now |already |all |finally "
    rf"|been |just )*(?P<verb>\w+ed|{'|'.join(PAST_TENSE)})(?P<rest>{WHEN})$"
)
_OF_IT = pattern(
    rf"^(?:it|that|this|that one|this one)(?:'s| is| has been| was| got|'s been| has) {ADVERBS}(?P<deeds>.+?){WHEN}$"
)
_DEED_JOINER = pattern(r"\s*,\s*(?:and\s+)?|\s+and\s+")
_DEED = pattern(rf"{ADVERBS}(?P<verb>\w+)(?: (?:in|off|out|up|away|back|down|for|over|to|with|of|now|already))*")
_PAST = pattern(rf"^(?:(?:i|we)(?:'ve| have)?\s+)?{ADVERBS}(?P<phrase>(?P<verb>[a-z]+)\s+.+?){WHEN}$")
_PERSON_VERBS = frozenset(
    stem(verb)
    for verb in words(
        "call ring phone email text write ask visit message tell meet see reply contact respond invite thank"
    )
)
_VERB_AND_PERSON = pattern(r"\w+ (?:up |off )?(him|her|them)(?: (?:up|off|back|already))?")
_BROUGHT_BACK = pattern(
    r"(?:took|taken|brought|gave|given|sent|carried|dropped) (?:back (?P<after>.+)|(?P<thing>.+?) back(?: to .+)?)"
)
_BOTH_DONE = pattern(r"\w+ (?:up |off )?(?:them both|both|both of them|the two of them)(?: (?:up|off|back))?")
_ELLIPTIC = pattern(
    r"^(?!(?:i|we|you|get|have|has|had|be|make|need|want|not|no|to|by|when|if|what|how|why|is|are|did|do|does|keep|see"
    r"|add|buy|left|set|put)\b)(?P<thing>(?:[\w'-]+\s+){1,4}?)(?:all |finally |now |already |just |successfully )*"
    rf"(?P<verb>\w+ed|{'|'.join(verb for verb, base in PAST_TENSE.items() if verb != base)})(?:\s+(?:off|up|out|away|in))?{WHEN}$"
)
_MANAGED = pattern(
    rf"^(?:i(?:'ve|'m)?\s+)?{ADVERBS}(?:managed to|was able to|remembered to|got around to|got round to"
    r"|made sure to|was finally able to|succeeded in|been (?:to|at)|(?:just )?(?:come|came|got|gotten|am"
    rf"|was) back from|(?:just )?got home from) (?P<phrase>.+?){WHEN}$"
)
_ANSWERED = pattern(
    rf"^(?:the |my )?(?P<thing>[^:?]+?)\s*[:?]\s*(?:all |already |just )?(?P<verb>\w+ed|{'|'.join(PAST_TENSE)})$"
)
_CROSSED = pattern(
    r"^(?P<ref>.+?)\s+(?:can|should|could|may) (?:now )?(?:be )?(?:(?:marked|set)(?: as)? (?:done|complete"
    r"|completed|finished)|ticked off|checked off|crossed off|closed)$"
)
_EXCEPT = pattern(
    r",?\s+(?:but\s+|and\s+)?not\s+(?:yet\s+)?(?:task\s+|#|the\s+)?\w+(?: one)?$|,\s*(?:task )?\w+ (?:is )?not(?: "
    r"yet)?$|,?\s+(?:but |and )?(?:the |task |#)*[\w']+(?: one)? (?:(?:is|are) )?(?:still (?:to go|to do|open|pending"
    r"|left|not done)|not (?:yet|done)(?: yet)?|isn't|aren't)(?: yet)?$"
)
_GOT_DONE = pattern(rf"^that's (?P<ref>.+?)\s+{DONE}$|^(?:managed|i managed) to get (?P<ref2>.+?)\s+{DONE}$")
_THATS_IT = pattern(
    rf"^that's (?P<thing>(?:the |my |our )?[\w' -]+?) (?:all |finally |now )?(?P<verb>\w+)(?: (?:off|up|out|in))?{WHEN}$"
)
# A shop is closed: that completes no task.
_AMBIGUOUS_CLOSED = pattern(
    r"^(?!(?:task |#)?\d)(?:the |my |our )?[\w' -]+? (?:is|are|was|were)(?: now| already)? closed$"
)
_MARKED = pattern(rf"^mark (?P<ref>.+?)(?<! as)(?<! to) (?P<verb>\w+){WHEN}$")
# "Take it off the list, it's done" completes a task and does not delete it.
_OFF_LIST_AS_DONE = pattern(
    rf"^(?:scratch|cross|strike|drop|take|knock|check|tick) (?:off )?(?P<ref>.+?)(?: off| out)?{FROM_LIST}[,;]?\s+(?:(?:because"
    r"|since|as|'cause|cuz) )?(?:i(?:'ve| have)?|that'?s?|it'?s|we(?:'ve)?)?\s*(?:already |just )*(?:did|done|finished"
    r"|completed|is done|sorted|took care of)(?: (?:it|that|them))?(?: already| yesterday| today| earlier| this morning)*$"
)
_MARK_DONE = pattern(
    r"^(?:mark|set|check|tick)(?: as| off)? (?:done|complete|completed|finished|off)$|^(?:check|tick) off$"
)


def parse_complete(clause: str, now: datetime) -> Complete | None:
    """Parse a request to complete a task, or the statement that it is done."""
    if clause.endswith("?") or _HEDGED.search(clause):
        return None
    if found := _OFF_LIST_AS_DONE.match(clause):
        return Complete(parse_ref(found["ref"], now))
    clause = _EXCEPT.sub("", REASON.sub("", clause))
    if (found := _MARKED.match(clause)) and is_past(found["verb"]):
        return Complete(parse_ref(found["ref"], now))
    if _is_done_to_it(clause):
        return Complete(Ref(pronoun="it"), statement=True)
    if found := _GOT_DONE.match(clause):
        return Complete(parse_ref(found["ref"] or found["ref2"], now), statement=True)
    if (found := _THATS_IT.match(clause)) and is_past(found["verb"]):
        return _completed(found["verb"], f"{found['verb']} {found['thing']}")
    if _ALL_DONE.match(clause):
        return Complete(Ref(every=True))
    if _NO_OBJECT.fullmatch(clause):
        return Complete(Ref())
    if _BARE_DONE.match(clause):
        return Complete(Ref(pronoun="it"))
    if _MARK_DONE.match(clause):
        return Complete(Ref(pronoun="it"))
    if found := _CROSSED.match(clause):
        return Complete(parse_ref(found["ref"], now))
    for form in _COMPLETE:
        if found := form.match(clause):
            words = found["ref"] or found.groupdict().get("ref2") or ""
            return Complete(
                parse_ref(words, now),
                unsure=_AMBIGUOUS_CLOSED.search(clause) is not None,
                statement=not pattern(r"(?:mark|complete|check|tick|cross|set|close|finish)\b").match(clause),
            )
    return _parse_past(clause)


def _is_done_to_it(clause: str) -> bool:
    """Return whether a clause only lists what was done to "it": "that's signed and handed in, done"."""
    found = _OF_IT.match(clause)
    deeds = [_DEED.fullmatch(part) for part in _DEED_JOINER.split(found["deeds"])] if found else []
    return bool(deeds) and all(
        deed is not None
        and (
            pattern(DONE).fullmatch(deed["verb"])
            or (is_past(deed["verb"]) and stem(deed["verb"]) not in NOT_COMPLETING_STEMS)
        )
        for deed in deeds
    )


def _parse_past(clause: str) -> Complete | None:
    """Parse "I bought the milk" and "the rent has been paid" as statements about a task."""
    if (found := _PASSIVE.match(clause)) and (
        stem(found["verb"]) in CHORE_STEMS or found["verb"].lower() in PAST_TENSE
    ):
        return _completed(found["verb"], f"{found['verb']} {found['thing']}")
    if (found := _ANSWERED.match(clause)) and (
        stem(found["verb"]) in CHORE_STEMS or found["verb"].lower() in PAST_TENSE
    ):
        return _completed(found["verb"], f"{found['verb']} {found['thing']}")
    # "Mum called" names the person who did it: only a thing is an object.
    if (found := _ELLIPTIC.match(clause)) and is_past(found["verb"]) and stem(found["verb"]) not in _PERSON_VERBS:
        return _completed(found["verb"], f"{found['verb']} {found['thing']}")
    if found := _MANAGED.match(clause):
        return Complete(Ref(phrase=found["phrase"]), statement=True)
    if found := _PAST.match(clause):
        verb, has_subject = found["verb"].lower(), pattern(r"(?:i|we)\b").match(clause)
        regular = verb.endswith("ed") and (has_subject or {verb[:-2], verb[:-1], verb[:-3]} & CHORES)
        regular = regular or bool(has_subject and verb.endswith("d") and _is_misspelt_past(verb))
        irregular = verb in PAST_TENSE and (has_subject or verb != PAST_TENSE[verb])
        if regular or irregular:
            return _completed(verb, found["phrase"])
    return None


def _is_misspelt_past(verb: str) -> bool:
    """Return whether a word is a misspelt past tense: "waterd"."""
    return any(similar(verb, f"{chore.removesuffix('e')}ed") for chore in CHORES)


def _completed(verb: str, phrase: str) -> Complete:
    """Return a completion: "I planned the trip" matches only a task to plan it, "I paid the bill" also a task "Bill"."""
    if found := _VERB_AND_PERSON.fullmatch(phrase):
        return Complete(Ref(pronoun="them") if found[1].lower() == "them" else Ref(pronoun="it"), statement=True)
    if found := _BOTH_DONE.fullmatch(phrase):
        return Complete(Ref(pronoun="them", count=2), statement=True)
    if back := _BROUGHT_BACK.fullmatch(phrase):
        phrase = f"returned {back['thing'] or back['after']}"
    return Complete(Ref(phrase=phrase, literal=stem(verb) in NOT_COMPLETING_STEMS), statement=True)
