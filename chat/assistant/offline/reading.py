"""Parse a clause into intents: the order in which the rules are tried."""

import re
from dataclasses import replace
from datetime import datetime

from chat.assistant.offline import (
    adding,
    asking,
    changing,
    deleting,
    ellipsis,
    finishing,
    imperatives,
    inspecting,
    recalling,
    reopening,
    talking,
    unsupported,
)
from chat.assistant.offline.asides import strip_aside
from chat.assistant.offline.clauses import strip_politeness
from chat.assistant.offline.dates import find_due, strip_due
from chat.assistant.offline.intents import (
    Add,
    Answer,
    Change,
    Complete,
    Delete,
    Draft,
    Fragment,
    Intent,
    OffTopic,
    Pick,
    Reopen,
    Show,
    Talk,
    Vague,
)
from chat.assistant.offline.patterns import pattern
from chat.assistant.offline.references import parse_ref
from chat.assistant.relevance import asks_for_writing, judge, off_topic

_NEED = pattern(
    r"^(?:i|we) (?:also |now |just )*(?:need to|have to|want to|would like to|must|should|'d like to|wanna"
    r"|gotta)\s+(?P<inner>.+)$"
)
_MORE = pattern(r"\s*(?:oh,?\s+)?(?:and|also|plus|as well as|another)\b")
_URGENT_PREFIX = pattern(r"^(?:urgent(?:ly)?|important|asap)[\s,!]+")
_URGENT = pattern(r"^(?:urgent|important|asap|high priority|low priority)\s*[:!-]+\s*\S")
_ADD_AT_END = pattern(
    r"^(?!(?:what|which|when|how|who|where|did|do|does|can|could|have|has|is|was)\b)(?P<what>.+?)[\s,.;:-]+(?:(?:please|pls|can you|could you|would you|will you|so|just)\s+)+(?:add|note|put|save|jot)"
    r"(?:\s+(?:it|that|this|them|both|those|these|all))?(?:\s+(?:down|in|on|(?:to|on) (?:my|the) (?:\w+ )?list|please|pls"
    r"|for me))*$"
)
_STILL = pattern(
    r"^(?:don't|do not|never) forget (?:about )?(?:the|my)\b|^(?:i|we)(?:'ve)? (?:know (?:that )?i )?still (?:need|have|must|ought|should|got)\b"
)
_LEAD_NO = pattern(
    r"^(?:no|nope|nah)(?! \w+ (?:today|tomorrow|tonight|this|next)\b| need\b| longer\b| more\b| due\b| one\b| date\b| note\b)[\s,.!:-]+(?=\S)"
)
_WONDERING = pattern(
    r"^(?:let me know|i(?:'d like| want| would like| need)? to know|i wonder|do you know|i'm curious"
    r"|(?:please )?check|remind me[,:]?(?= (?:what|which) (?:did|have|was)\b)|tell me[,:]?(?= (?:what|which) (?:did|have|was)\b)) (?:if |whether )?(?=(?:what|which|when|how many|is|are|do|there)\b)"
)
_SENTENCE = pattern(
    r"\b(?:is|are|was|were|am|you|i|not|n't|will|would|has|had)\b|n't\b|'ll\b|\b(?:that|it|this|here|what|who|he|she)'s\b"
)
# "It's the ink I bought" means "I bought the ink".
_CLEFT = pattern(
    r"^(?:it's|its|it is|it was|that was|that's) (?:the |my )(?P<thing>[\w' -]+?) (?:that |which )?"
    r"(?P<did>(?:i|we)(?:'ve| have)? (?:just |already |actually )?\w+(?<!n't))[\s.!]*$"
)
_REF_BEFORE_VERB = pattern(
    r"^(?P<ref>(?:task |number |#)?\d{1,6}|(?:the )?(?:first|second|third|fourth|fifth|last)(?: one| task)?)(?: -)? (?:please )?(?P<verb>move|push|postpone|reschedule|delete|remove|reopen|complete"
    r"|tick off)(?= to\b| until\b| till\b| by\b|$)"
)
_CURIOUS = pattern(r"\b(?:know|hear|learn|understand|find out|see|talk|chat|discuss)\b")
_VERB_COLON = pattern(
    r"^(?P<verb>buy|get|purchase|order|pick up|call|ring|email|text|do|fix|clean|pack|book|pay)\s*:\s*"
)
_TICK_LIKE = pattern(r"(?:check|cross|close|clear|find)\b")
_THING_TO_TIME = pattern(r"^(?P<words>(?:the |my )?[\w'-]+(?: [\w'-]+){0,2}) to (?P<when>\S.*)$")
# "The gutters need cleaning" is a request, too.
_NEEDS_DOING = pattern(
    r"^(?!(?:i|we|you|it|that|this|they|what|who|which|nothing|nobody|no|all|everything|only|task)\b)[\w' -]{2,30}? needs? (?:an? |new |some |more |fresh |to be \w+|\w+ing\b)"
)
_HEADED_CHORE = re.compile(r"^(?P<head>[^:\n]{2,40}):\s+(?P<chore>\w.*)$")
_JOINER = pattern(r"\s*,\s*(?:and |but |then |so )*|\s+(?:and|but|then|plus|while)\s+(?:also |then )*|\s+-\s+")
_MAX_WORDS = 12


def parse_clause(clause: str, now: datetime) -> list[Intent]:
    """Parse a clause, and what follows a leading yes, no or thanks."""
    whole = clause.strip()
    bare = talking.parse_answer(whole) or talking.parse_small_talk(whole)
    if bare is not None and not (isinstance(bare, Talk) and bare.kind == "thanks" and len(whole.split()) > _MAX_WORDS):
        return [bare]
    found = re.match(
        r"^(?P<lead>yes|yeah|yep|sure|ok|okay|no(?! \w+ (?:today|tomorrow|tonight|this|next)\b| need\b| longer\b| more\b| due\b| one\b)|nope"
        r"|nah)\b[\s,.!:-]+(?P<rest>.+)$",
        whole,
        re.I | re.S,
    )
    if found:
        rest = _parse(found["rest"], now)
        lead = talking.parse_answer(found["lead"])
        if not isinstance(rest, Vague) or lead is None:
            return [rest]
        return [lead, rest] if isinstance(lead, Answer) and lead.yes else [rest]
    intent = _parse(whole, now)
    if (isinstance(intent, Vague) or (isinstance(intent, Complete) and intent.ref.phrase)) and (
        both := _parse_halves(whole, now)
    ):
        return both
    if isinstance(intent, Vague) and (small := talking.parse_thanks(whole)) is not None:
        return [small]
    if isinstance(intent, Vague) and _MORE.match(whole) and len(whole.split()) <= _MAX_WORDS:
        return [replace(intent, text=pattern(r"\s+(?:too|as well|also)\W*$").sub("", intent.text), more=True)]
    return [intent]


def _parse_halves(clause: str, now: datetime) -> list[Intent]:
    """Parse "the dog has been walked and the parcel is posted" as two statements, if each half is complete."""
    for joint in _JOINER.finditer(clause):
        halves = [_parse(half, now) for half in (clause[: joint.start()], clause[joint.end() :])]
        if all(_is_complete(half) for half in halves):
            return halves
    return []


def _is_complete(intent: Intent) -> bool:
    """Return whether half a sentence is a complete request: it names its task, or the task to add."""
    if isinstance(intent, Add):
        return bool(intent.drafts) and not intent.unannounced
    if not isinstance(intent, Complete | Delete | Change | Reopen):
        return isinstance(intent, Show)
    return not intent.ref.empty and not intent.ref.every


def _parse(clause: str, now: datetime) -> Intent:
    again = asking.parse_other_day(clause, now)
    if again is not None:
        return again
    if cannot := unsupported.parse_unsupported(strip_politeness(clause).strip(" .!?"), now):
        return cannot
    if judge(clause, ()) == "irrelevant":
        return OffTopic()
    clause = strip_politeness(_LEAD_NO.sub("", strip_politeness(clause)))
    whole = _WONDERING.sub("", clause)
    clause = strip_aside(whole)
    aside = whole[len(clause) :].strip(" ,;.()-")
    clause = _CLEFT.sub(r"\g<did> the \g<thing>", clause)
    if last := _ADD_AT_END.match(clause.strip(" .!?")):
        clause = last["what"] if adding.has_prefix(last["what"]) else f"add {last['what']}"
    clause = _REF_BEFORE_VERB.sub(
        r"\g<verb> \g<ref>", clause.strip(" .!") if _REF_BEFORE_VERB.match(clause) else clause
    )
    plain = clause.strip(" .!")
    intent = unsupported.unless_about_tasks(_parse_plain(clause, plain, now), plain)
    if isinstance(intent, Add) and intent.drafts and aside and intent.drafts[-1].description is None:
        # A comment beside a task becomes its note.
        return intent.with_last(description=aside)
    return intent


def _parse_plain(clause: str, plain: str, now: datetime) -> Intent:
    return (
        _parse_conversation(clause, plain)
        or _parse_needed_order(plain, now)
        or _parse_order(plain, now)
        or _parse_question(clause, plain, now)
        or _parse_statement(plain, now)
        or _parse_remainder(clause, plain, now)
    )


def _parse_conversation(clause: str, plain: str) -> Intent | None:
    """Parse what is about the conversation itself."""
    if _is_off_topic(clause):
        return OffTopic()
    return (
        talking.parse_undo(plain)
        or recalling.parse_recall(clause)
        or recalling.parse_preference(plain)
        or recalling.parse_name(plain)
        or reopening.parse_keep(plain)
        or talking.parse_small_talk(plain)
        or talking.parse_answer(plain)
    )


def _is_off_topic(clause: str) -> bool:
    if judge(clause, ()) == "irrelevant":
        return True
    curious = _NEED.match(clause)
    return curious is not None and off_topic(curious["inner"]) and _CURIOUS.match(curious["inner"]) is not None


_ORDER_VERB = pattern(
    r"(?:delete|remove|rename|change|move|push|postpone|reschedule|mark|complete|finish|reopen|update|cancel|set)\b"
)


def _parse_needed_order(plain: str, now: datetime) -> Intent | None:
    """Parse "I need to delete task 3", which is a request, unlike "I need to delete old photos"."""
    found = _NEED.match(plain)
    if not found:
        return None
    inner = found["inner"]
    if pattern(r"(?:see|know|show|list|view|check)\b").match(inner):
        intent = asking.parse_show(pattern(r"^(?:see|know|check)\b").sub("show", inner), now)
        if intent is not None and pattern(r"\b(?:my|the|all|what)\b").search(inner):
            return intent
    if _ORDER_VERB.match(inner):
        order = (
            finishing.parse_complete(inner, now)
            or deleting.parse_delete(inner, now)
            or changing.parse_change(inner, now)
        )
        if order is not None and (order.ref.numbers or order.ref.places):
            return order
    return None


_NEED_DONE = pattern(
    r"(?:i|we) need (?P<ref>.+?) (?:done|finished|ready|completed) (?P<when>by|before|on|until|tomorrow|today"
    r"|tonight)\b(?P<rest>.*)$"
)


def _parse_order(plain: str, now: datetime) -> Intent | None:
    """Parse explicit requests."""
    changed = changing.parse_change(plain, now)
    if changed is not None and (
        changed.description is not None or changed.clear_due or changed.clear_time or changed.lacks == "description"
    ):
        return changed
    reopened = reopening.parse_reopen(plain, now)
    if reopened is not None and not reopened.statement:
        return reopened
    if (
        changed is not None
        and not changed.ref.phrase
        and pattern(r"(?:schedule|set|make|put|remind me)\b").match(plain)
    ):
        return changed
    if found := _NEED_DONE.match(plain):
        return changing.parse_change(f"{found['ref']} is due {found['when']}{found['rest']}", now) or adding.parse_add(
            plain, now
        )
    if changed is not None and pattern(r"(?:add|put) (?:an? |the )?(?:due ?date|deadline)\b").match(plain):
        return changed
    intent = _parse_reminder_question(plain, now) or adding.parse_add(plain, now)
    return replace(intent, may_exist=True) if isinstance(intent, Add) and _STILL.match(plain) else intent


def _parse_reminder_question(plain: str, now: datetime) -> Intent | None:
    """Parse "remind me what is due", which is a question."""
    if pattern(r"remind me (?:what|which|when|how many)\b").match(plain):
        return asking.parse_show(pattern(r"^remind me").sub("tell me", plain), now)
    return None


def _parse_question(clause: str, plain: str, now: datetime) -> Intent | None:
    if asks_for_writing(clause):
        return OffTopic()
    return inspecting.parse_inspect(clause, now) or asking.parse_show(clause.rstrip("? "), now)


def _parse_statement(plain: str, now: datetime) -> Intent | None:
    """Parse requests and statements about existing tasks."""
    reopened = reopening.parse_reopen(plain, now)
    if reopened is not None:
        return reopened
    bare = ellipsis.parse_fragment(plain, now)
    if bare is not None and not pattern(r"(?:make|set|move|it|that|push)\b").match(plain):
        return bare
    if pattern(r"(?:delete|remove|erase|get rid of|trash|scrap|discard)\b").match(plain) and (
        deletion := deleting.parse_delete(plain, now)
    ):
        return deletion
    completion = finishing.parse_complete(plain, now)
    if completion is not None:
        chore = deleting.chore_with_date(completion, plain, now)
        return Add((chore,)) if chore else completion
    return deleting.parse_delete(plain, now) or changing.parse_change(plain, now) or bare


def _change_or_add(words: str, values: Fragment, now: datetime) -> Change:
    draft = Draft(adding.clean_title(words), day=values.day, at=values.at, priority=values.priority or "normal")
    return Change(parse_ref(words, now), day=values.day, at=values.at, priority=values.priority, otherwise=draft)


def _parse_remainder(clause: str, plain: str, now: datetime) -> Intent:
    """Parse the rest: a task in the imperative, a thing with a day, a bare reference."""
    ref = parse_ref(plain, now)
    if not ref.phrase and not ref.empty:
        return Pick(ref)
    if asking.is_question(clause):
        return asking.parse_days_question(clause, now) or Vague(clause)
    if off_topic(plain):
        return OffTopic()
    if hurried := _URGENT_PREFIX.match(plain):
        intent = adding.parse_add(f"urgent: {plain[hurried.end() :]}", now, free=True)
        if intent is not None and imperatives.is_imperative(plain[hurried.end() :]):
            return intent
    if imperatives.is_imperative(plain) or _URGENT.match(plain):
        intent = adding.parse_add(plain, now, free=True)
        return replace(intent, guessed=_TICK_LIKE.match(plain) is not None) if intent else Vague(clause)
    if pattern(r":\s*(?:change|move|set|make)\b").search(plain):
        return Vague(clause)
    if (headed := _HEADED_CHORE.match(plain)) and (values := ellipsis.parse_fragment(headed["chore"], now)):
        # "Rent: Sunday" sets the date of an existing task, or else adds one.
        return _change_or_add(headed["head"], values, now)
    if (
        (found := _THING_TO_TIME.match(plain))
        and (values := ellipsis.parse_fragment(found["when"], now))
        and (values.day or values.at)
    ):
        return _change_or_add(found["words"], values, now)
    if headed and imperatives.is_imperative(headed["chore"]):
        return adding.parse_add(f"add task {headed['head']}: {headed['chore']}", now) or Vague(clause)
    if (verb := _VERB_COLON.match(plain)) and plain[verb.end() :].strip():
        return adding.parse_add(f"{verb['verb']} {plain[verb.end() :]}", now, free=True) or Vague(clause)
    if (
        _NEEDS_DOING.match(plain)
        and len(plain.split()) <= _MAX_WORDS
        and (intent := adding.parse_add(plain, now, free=True))
    ):
        return replace(intent, guessed=True)
    if imperatives.looks_imperative(plain) and len(plain.split()) <= _MAX_WORDS:
        intent = adding.parse_add(plain, now, free=True)
        return replace(intent, guessed=True) if intent is not None else Vague(clause)
    due = find_due(plain, now)
    if (
        due is not None
        and not _SENTENCE.search(plain)
        and not pattern(r"no\b").match(plain)
        and strip_due(plain, due).strip(" ,.")
        and len(plain.split()) <= _MAX_WORDS
    ):
        return adding.parse_add(plain, now, free=True) or Vague(clause)
    return Vague(clause)
