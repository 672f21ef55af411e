"""From a clause to what is wished: the order in which the readings are tried."""

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
from chat.assistant.offline.asides import without_aside
from chat.assistant.offline.clauses import unwrap
from chat.assistant.offline.dates import find_due, without
from chat.assistant.offline.intents import (
    Add,
    Answer,
    Change,
    Complete,
    Delete,
    Draft,
    Fragment,
    OffTopic,
    Pick,
    Reopen,
    Show,
    Talk,
    Vague,
    Wish,
)
from chat.assistant.offline.patterns import pattern
from chat.assistant.offline.references import read_ref
from chat.assistant.relevance import asks_for_writing, judge, off_topic

_NEED = pattern(
    r"^(?:i|we) (?:also |now |just )*(?:need to|have to|want to|would like to|must|should|'d like to|wanna"
    r"|gotta)\s+(?P<inner>.+)$"
)
_ONE_MORE = pattern(r"\s*(?:oh,?\s+)?(?:and|also|plus|as well as|another)\b")
_HURRIED = pattern(r"^(?:urgent(?:ly)?|important|asap)[\s,!]+")
_URGENT = pattern(r"^(?:urgent|important|asap|high priority|low priority)\s*[:!-]+\s*\S")
_ADD_LAST = pattern(
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
# "It's the ink I bought" says of the ink what "I bought the ink" does.
_CLEFT = pattern(
    r"^(?:it's|its|it is|it was|that was|that's) (?:the |my )(?P<thing>[\w' -]+?) (?:that |which )?"
    r"(?P<did>(?:i|we)(?:'ve| have)? (?:just |already |actually )?\w+(?<!n't))[\s.!]*$"
)
_TURNED = pattern(
    r"^(?P<ref>(?:task |number |#)?\d{1,6}|(?:the )?(?:first|second|third|fourth|fifth|last)(?: one| task)?)(?: -)? (?:please )?(?P<verb>move|push|postpone|reschedule|delete|remove|reopen|complete"
    r"|tick off)(?= to\b| until\b| till\b| by\b|$)"
)
_CURIOUS = pattern(r"\b(?:know|hear|learn|understand|find out|see|talk|chat|discuss)\b")
_VERB_COLON = pattern(
    r"^(?P<verb>buy|get|purchase|order|pick up|call|ring|email|text|do|fix|clean|pack|book|pay)\s*:\s*"
)
_TICK_LIKE = pattern(r"(?:check|cross|close|clear|find)\b")
_TO_THEN = pattern(r"^(?P<words>(?:the |my )?[\w'-]+(?: [\w'-]+){0,2}) to (?P<when>\S.*)$")
# "The gutters need cleaning" is as good as an order.
_LACKING = pattern(
    r"^(?!(?:i|we|you|it|that|this|they|what|who|which|nothing|nobody|no|all|everything|only|task)\b)[\w' -]{2,30}? needs? (?:an? |new |some |more |fresh |to be \w+|\w+ing\b)"
)
_HEADED_CHORE = re.compile(r"^(?P<head>[^:\n]{2,40}):\s+(?P<chore>\w.*)$")
_JOINT = pattern(r"\s*,\s*(?:and |but |then |so )*|\s+(?:and|but|then|plus|while)\s+(?:also |then )*|\s+-\s+")
_LONG_QUESTION = 12


def read_clause(clause: str, now: datetime) -> list[Wish]:
    """Read a clause, and what follows a leading yes, no or thanks."""
    whole = clause.strip()
    bare = talking.answer(whole) or talking.talk(whole)
    if bare is not None and not (
        isinstance(bare, Talk) and bare.kind == "thanks" and len(whole.split()) > _LONG_QUESTION
    ):
        return [bare]
    found = re.match(
        r"^(?P<lead>yes|yeah|yep|sure|ok|okay|no(?! \w+ (?:today|tomorrow|tonight|this|next)\b| need\b| longer\b| more\b| due\b| one\b)|nope"
        r"|nah)\b[\s,.!:-]+(?P<rest>.+)$",
        whole,
        re.I | re.S,
    )
    if found:
        rest = _read(found["rest"], now)
        lead = talking.answer(found["lead"])
        if not isinstance(rest, Vague) or lead is None:
            return [rest]
        return [lead, rest] if isinstance(lead, Answer) and lead.yes else [rest]
    wish = _read(whole, now)
    if (isinstance(wish, Vague) or (isinstance(wish, Complete) and wish.ref.phrase)) and (both := _both(whole, now)):
        return both
    if isinstance(wish, Vague) and (small := talking.kindness(whole)) is not None:
        return [small]
    if isinstance(wish, Vague) and _ONE_MORE.match(whole) and len(whole.split()) <= _LONG_QUESTION:
        return [replace(wish, text=pattern(r"\s+(?:too|as well|also)\W*$").sub("", wish.text), more=True)]
    return [wish]


def _both(clause: str, now: datetime) -> list[Wish]:
    """Read "the dog has been walked and the parcel is posted" as two statements, if each half is one by itself."""
    for joint in _JOINT.finditer(clause):
        halves = [_read(half, now) for half in (clause[: joint.start()], clause[joint.end() :])]
        if all(_stands_alone(half) for half in halves):
            return halves
    return []


def _stands_alone(wish: Wish) -> bool:
    """Return whether half a sentence is a wish of its own: it names its task, or what is to be added."""
    if isinstance(wish, Add):
        return bool(wish.drafts) and not wish.bare
    if not isinstance(wish, Complete | Delete | Change | Reopen):
        return isinstance(wish, Show)
    return not wish.ref.empty and not wish.ref.every


def _read(clause: str, now: datetime) -> Wish:
    again = asking.another_day(clause, now)
    if again is not None:
        return again
    if cannot := unsupported.unsupported(unwrap(clause).strip(" .!?"), now):
        return cannot
    if judge(clause, ()) == "irrelevant":
        return OffTopic()
    clause = unwrap(_LEAD_NO.sub("", unwrap(clause)))
    whole = _WONDERING.sub("", clause)
    clause = without_aside(whole)
    aside = whole[len(clause) :].strip(" ,;.()-")
    clause = _CLEFT.sub(r"\g<did> the \g<thing>", clause)
    if last := _ADD_LAST.match(clause.strip(" .!?")):
        clause = last["what"] if adding.announced(last["what"]) else f"add {last['what']}"
    clause = _TURNED.sub(r"\g<verb> \g<ref>", clause.strip(" .!") if _TURNED.match(clause) else clause)
    plain = clause.strip(" .!")
    wish = unsupported.unless_about_tasks(_understood(clause, plain, now), plain)
    if isinstance(wish, Add) and wish.drafts and aside and wish.drafts[-1].description is None:
        # What is told beside a task is no part of its title, and not lost either.
        return replace(wish, drafts=(*wish.drafts[:-1], replace(wish.drafts[-1], description=aside)))
    return wish


def _understood(clause: str, plain: str, now: datetime) -> Wish:
    return (
        _about_talk(clause, plain)
        or _inner(plain, now)
        or _ordered(plain, now)
        or _asked(clause, plain, now)
        or _told(plain, now)
        or _left_over(clause, plain, now)
    )


def _about_talk(clause: str, plain: str) -> Wish | None:
    """Read what is about the conversation itself."""
    if _is_off_topic(clause):
        return OffTopic()
    return (
        talking.undo(plain)
        or recalling.recall(clause)
        or recalling.preference(plain)
        or recalling.name_given(plain)
        or reopening.kept(plain)
        or talking.talk(plain)
        or talking.answer(plain)
    )


def _is_off_topic(clause: str) -> bool:
    if judge(clause, ()) == "irrelevant":
        return True
    curious = _NEED.match(clause)
    return curious is not None and off_topic(curious["inner"]) and _CURIOUS.match(curious["inner"]) is not None


_ORDER_VERB = pattern(
    r"(?:delete|remove|rename|change|move|push|postpone|reschedule|mark|complete|finish|reopen|update|cancel"
    r"|set)\b"
)


def _inner(plain: str, now: datetime) -> Wish | None:
    """Read "I need to delete task 3", which is an order, unlike "I need to delete old photos"."""
    found = _NEED.match(plain)
    if not found:
        return None
    inner = found["inner"]
    if pattern(r"(?:see|know|show|list|view|check)\b").match(inner):
        wish = asking.show(pattern(r"^(?:see|know|check)\b").sub("show", inner), now)
        if wish is not None and pattern(r"\b(?:my|the|all|what)\b").search(inner):
            return wish
    if _ORDER_VERB.match(inner):
        order = finishing.complete(inner, now) or deleting.delete(inner, now) or changing.change(inner, now)
        if order is not None and (order.ref.numbers or order.ref.places):
            return order
    return None


_NEED_DONE = pattern(
    r"(?:i|we) need (?P<ref>.+?) (?:done|finished|ready|completed) (?P<when>by|before|on|until|tomorrow|today"
    r"|tonight)\b(?P<rest>.*)$"
)


def _ordered(plain: str, now: datetime) -> Wish | None:
    """Read orders that say plainly what is to be done."""
    changed = changing.change(plain, now)
    if changed is not None and (
        changed.description is not None or changed.clear_due or changed.clear_time or changed.lacks == "description"
    ):
        return changed
    reopened = reopening.reopen(plain, now)
    if reopened is not None and not reopened.statement:
        return reopened
    if (
        changed is not None
        and not changed.ref.phrase
        and pattern(r"(?:schedule|set|make|put|remind me)\b").match(plain)
    ):
        return changed
    if found := _NEED_DONE.match(plain):
        return changing.change(f"{found['ref']} is due {found['when']}{found['rest']}", now) or adding.add(plain, now)
    if changed is not None and pattern(r"(?:add|put) (?:an? |the )?(?:due ?date|deadline)\b").match(plain):
        return changed
    wish = _question_first(plain, now) or adding.add(plain, now)
    return replace(wish, known=True) if isinstance(wish, Add) and _STILL.match(plain) else wish


def _question_first(plain: str, now: datetime) -> Wish | None:
    """Read "remind me what is due", which asks."""
    if pattern(r"remind me (?:what|which|when|how many)\b").match(plain):
        return asking.show(pattern(r"^remind me").sub("tell me", plain), now)
    return None


def _asked(clause: str, plain: str, now: datetime) -> Wish | None:
    if asks_for_writing(clause):
        return OffTopic()
    return inspecting.inspect(clause, now) or asking.show(clause.rstrip("? "), now)


def _told(plain: str, now: datetime) -> Wish | None:
    """Read orders and statements about tasks there are."""
    reopened = reopening.reopen(plain, now)
    if reopened is not None:
        return reopened
    bare = ellipsis.fragment(plain, now)
    if bare is not None and not pattern(r"(?:make|set|move|it|that|push)\b").match(plain):
        return bare
    if pattern(r"(?:delete|remove|erase|get rid of|trash|scrap|discard)\b").match(plain) and (
        gone := deleting.delete(plain, now)
    ):
        return gone
    done = finishing.complete(plain, now)
    if done is not None:
        chore = deleting.chore_with_date(done, plain, now)
        return Add((chore,)) if chore else done
    return deleting.delete(plain, now) or changing.change(plain, now) or bare


def _dated(words: str, said: Fragment, now: datetime) -> Change:
    draft = Draft(adding.clean_title(words), day=said.day, at=said.at, priority=said.priority or "normal")
    return Change(read_ref(words, now), day=said.day, at=said.at, priority=said.priority, otherwise=draft)


def _left_over(clause: str, plain: str, now: datetime) -> Wish:
    """Read what fits no form: a chore in the imperative, a thing with a day, a bare pointer."""
    ref = read_ref(plain, now)
    if not ref.phrase and not ref.empty:
        return Pick(ref)
    if asking.questioning(clause):
        return asking.about_days(clause, now) or Vague(clause)
    if off_topic(plain):
        return OffTopic()
    if hurried := _HURRIED.match(plain):
        wish = adding.add(f"urgent: {plain[hurried.end() :]}", now, free=True)
        if wish is not None and imperatives.imperative(plain[hurried.end() :]):
            return wish
    if imperatives.imperative(plain) or _URGENT.match(plain):
        wish = adding.add(plain, now, free=True)
        return replace(wish, guessed=_TICK_LIKE.match(plain) is not None) if wish else Vague(clause)
    if pattern(r":\s*(?:change|move|set|make)\b").search(plain):
        return Vague(clause)
    if (headed := _HEADED_CHORE.match(plain)) and (said := ellipsis.fragment(headed["chore"], now)):
        # "Rent: Sunday" dates the rent that there is, or else adds it.
        return _dated(headed["head"], said, now)
    if (found := _TO_THEN.match(plain)) and (said := ellipsis.fragment(found["when"], now)) and (said.day or said.at):
        return _dated(found["words"], said, now)
    if headed and imperatives.imperative(headed["chore"]):
        return adding.add(f"add task {headed['head']}: {headed['chore']}", now) or Vague(clause)
    if (verb := _VERB_COLON.match(plain)) and plain[verb.end() :].strip():
        return adding.add(f"{verb['verb']} {plain[verb.end() :]}", now, free=True) or Vague(clause)
    if _LACKING.match(plain) and len(plain.split()) <= _LONG_QUESTION and (wish := adding.add(plain, now, free=True)):
        return replace(wish, guessed=True)
    if imperatives.guessed(plain) and len(plain.split()) <= _LONG_QUESTION:
        wish = adding.add(plain, now, free=True)
        return replace(wish, guessed=True) if wish is not None else Vague(clause)
    due = find_due(plain, now)
    if (
        due is not None
        and not _SENTENCE.search(plain)
        and not pattern(r"no\b").match(plain)
        and without(plain, due).strip(" ,.")
        and len(plain.split()) <= _LONG_QUESTION
    ):
        return adding.add(plain, now, free=True) or Vague(clause)
    return Vague(clause)
