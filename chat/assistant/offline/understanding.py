"""From what was said to what is wished: the order in which the readings are tried."""

import re
from dataclasses import fields, is_dataclass, replace
from datetime import datetime
from typing import TypeVar

from chat.assistant.offline import adding, asking, changing, finishing, inspecting, recalling, talking
from chat.assistant.offline.clauses import split_clauses, unwrap
from chat.assistant.offline.corrections import settled
from chat.assistant.offline.dates import find_due, without
from chat.assistant.offline.linking import Thread, without_kindness
from chat.assistant.offline.pointing import read_ref
from chat.assistant.offline.wishes import (
    Add,
    Answer,
    Change,
    Complete,
    Delete,
    Foreign,
    Inspect,
    Mention,
    OffTopic,
    Pick,
    Reopen,
    Show,
    Talk,
    Vague,
    Wish,
)
from chat.assistant.offline.words import Message, prepare
from chat.assistant.relevance import asks_for_writing, judge, off_topic

T = TypeVar("T")

_NEED = re.compile(
    r"^(?:i|we) (?:also |now |just )*(?:need to|have to|want to|would like to|must|should|'d like to|wanna"
    r"|gotta)\s+(?P<inner>.+)$",
    re.I,
)
_ONE_MORE = re.compile(r"\s*(?:oh,?\s+)?(?:and|also|plus|as well as|another)\b", re.I)
_HURRIED = re.compile(r"^(?:urgent(?:ly)?|important|asap)[\s,!]+", re.I)
_URGENT = re.compile(r"^(?:urgent|important|asap|high priority|low priority)\s*[:!-]+\s*\S", re.I)
# These hold words of the person; the other texts in a wish are our own.
_TYPED = frozenset({"title", "description", "phrase", "text", "about", "old"})
_ADD_LAST = re.compile(
    r"^(?P<what>.+?)[\s,.;:-]+(?:(?:please|pls|can you|could you|would you|will you|so|just)\s+)+(?:add|note|put|save|jot)"
    r"(?:\s+(?:it|that|this|them|both|those|these|all))?(?:\s+(?:down|in|on|(?:to|on) (?:my|the) (?:\w+ )?list|please|pls"
    r"|for me))*$",
    re.I,
)
_CONDITION = re.compile(
    r"^\W*(?:(?:if|in case)(?! (?:you|possible|that's|it's (?:ok|okay|fine|possible)))|when(?!'s)|once|unless|as soon as|after)\s"
    r"(?!is\b|are\b|do\b|did\b|was\b).+,\s*\S",
    re.I,
)
_STILL = re.compile(
    r"^(?:don't|do not|never) forget (?:about )?(?:the|my)\b|^(?:i|we)(?:'ve)? (?:know (?:that )?i )?still (?:need|have|must|ought|should|got)\b",
    re.I,
)
_LEAD_NO = re.compile(
    r"^(?:no|nope|nah)(?! \w+ (?:today|tomorrow|tonight|this|next)\b| need\b| longer\b| more\b| due\b| one\b| date\b| note\b)[\s,.!:-]+(?=\S)",
    re.I,
)
_WONDERING = re.compile(
    r"^(?:let me know|i(?:'d like| want| would like| need)? to know|i wonder|do you know|i'm curious"
    r"|(?:please )?check) (?:if |whether )?(?=(?:what|which|when|how many|is|are|do|there)\b)",
    re.I,
)
_INTO_THEIRS = re.compile(
    r"\b(?:to|on|in|into|for|from)\s+(?:user\b|account\b|another|someone|(?:my|the|our) (?!today|tomorrow|this"
    r"|next|week|month|mon|tues|wednes|thurs|fri|satur|sun)\w+'s\s+(?:list|tasks|account|todo)|(?!my\b"
    r"|the\b)\w+'s?\s+(?:\w+ )?(?:list|tasks|account|todo))",
    re.I,
)
_AS_TASK = re.compile(
    r"(?:add|create|new task|make a task|remind me|i need to|i have to|i must|don't forget|note|todo|task:"
    r"|rename)\b",
    re.I,
)
_SENTENCE = re.compile(r"\b(?:is|are|was|were|am|you|i|not|n't)\b|n't\b", re.I)
# "It's the ink I bought" says of the ink what "I bought the ink" does.
_CLEFT = re.compile(
    r"^(?:it's|its|it is|it was|that was|that's) (?:the |my )(?P<thing>[\w' -]+?) (?:that |which )?"
    r"(?P<did>(?:i|we)(?:'ve| have)? (?:just |already |actually )?\w+(?<!n't))[\s.!]*$",
    re.I,
)
_TURNED = re.compile(
    r"^(?P<ref>(?:task |number |#)?\d{1,6}) (?:please )?(?P<verb>move|push|postpone|reschedule|delete|remove|reopen|complete"
    r"|tick off)(?= to\b| until\b| till\b| by\b|$)",
    re.I,
)
_CURIOUS = re.compile(r"\b(?:know|hear|learn|understand|find out|see|talk|chat|discuss)\b", re.I)
_LONG_QUESTION, _FEW = 12, 6


def understand(said: str, now: datetime) -> list[Wish]:
    """Return the wishes in a message, in the order said; never none."""
    message = prepare(said)
    wishes: list[Wish] = []
    clause_before = ""
    thread = Thread(without_kindness(message.text))
    for clause in split_clauses(settled(thread.text, now)):
        if _forbidden(clause):
            wishes.append(Foreign())
            clause = talking.without_command(clause)
            if not clause or _forbidden(clause):
                continue
        if wishes and isinstance(wishes[-1], Add) and len(clause.split()) <= _FEW and adding.SEPARATE.search(clause):
            wishes[-1] = adding.apart(wishes[-1])
            continue
        for said_here in _read_led(clause, now):
            wish = thread.link(said_here, clause, now)
            if wish is None:
                continue
            last = wishes[-1] if wishes else None
            if isinstance(wish, Vague) and wish.more and isinstance(last, Add):
                wish = adding.add(wish.text, now, free=True) or wish
            elif isinstance(wish, Add) and not wish.drafts and isinstance(last, Vague):
                # "I owe Dave money, remind me on Thursday": what was said just before is the task.
                wishes.pop()
                wish = Add((replace(wish.usual, title=adding.clean_title(last.text)),))
            elif last is not None and (_says_again(last, wish) or _read_anew(last, wish, said_here)):
                wishes.pop()
            elif last is not None and _goes_on(last, wish):
                if isinstance(last, Complete) and isinstance(wish, Delete):
                    # Who has done it may want it ticked off, and not lost.
                    wish = replace(wish, unsure=True)
                wishes[-1] = Mention(message.reveal(_named_by(last) or clause_before))
            wishes.append(revealed(wish, message))
        clause_before = clause
    if _CONDITION.match(message.text):
        # What hangs on a condition is not to be done now.
        wishes = [Vague(said) if isinstance(wish, Complete | Delete) else wish for wish in wishes]
    return _unforced(_tidied(wishes)) or [Vague(said)]


def _says_again(last: Wish, wish: Wish) -> bool:
    """Tell whether a wish only puts the statement before it as an order: "I did 2 yesterday. Mark it done"."""
    if isinstance(last, Complete) and isinstance(wish, Complete):
        return bool(wish.ref.numbers) and last.ref == wish.ref
    if isinstance(last, Delete) and isinstance(wish, Delete):
        return last.unsure and bool(wish.ref.numbers) and last.ref == wish.ref
    return False


def _read_anew(last: Wish, wish: Wish, said_here: Wish) -> bool:
    """Tell whether what sounded like a question only led to a removal: "The date on task 2 is wrong, delete it"."""
    return isinstance(last, Inspect) and isinstance(said_here, Delete) and isinstance(wish, Change)


def _goes_on(last: Wish, wish: Wish) -> bool:
    """Tell whether a statement only leads to the wish: "The dentist got cancelled, remove it"."""
    stated = (isinstance(last, Complete) and last.statement) or (isinstance(last, Delete) and last.unsure)
    statement = isinstance(last, Complete | Delete) and stated and not last.ref.numbers
    pointing = isinstance(wish, Complete | Delete | Change | Reopen) and wish.ref.pronoun == "it"
    return pointing and statement


def _named_by(wish: Wish) -> str:
    return wish.ref.phrase if isinstance(wish, Complete | Delete) else ""


def _forbidden(clause: str) -> bool:
    """Tell whether a clause is about other people or the assistant's own rules, not merely the words of a task."""
    if not (talking.foreign(clause) or talking.overriding(clause)):
        return False
    return _INTO_THEIRS.search(clause) is not None or _AS_TASK.match(unwrap(clause)) is None


def _unforced(wishes: list[Wish]) -> list[Wish]:
    """Keep of a message that tries to take over only what adds, shows or asks."""
    if not any(isinstance(wish, Foreign) for wish in wishes):
        return wishes
    asks = [wish for wish in wishes if isinstance(wish, Delete | Complete) and wish.ref.every and not wish.ref.narrowed]
    harmless = [wish for wish in wishes if isinstance(wish, Add | Show | Inspect) or wish in asks]
    return [Foreign(), *harmless]


def _read_led(clause: str, now: datetime) -> list[Wish]:
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
    if isinstance(wish, Vague) and (small := talking.kindness(whole)) is not None:
        return [small]
    if isinstance(wish, Vague) and _ONE_MORE.match(whole) and len(whole.split()) <= _LONG_QUESTION:
        return [replace(wish, text=re.sub(r"\s+(?:too|as well|also)\W*$", "", wish.text, flags=re.I), more=True)]
    return [wish]


def _read(clause: str, now: datetime) -> Wish:
    again = asking.another_day(clause, now)
    if again is not None:
        return again
    if judge(clause, ()) == "irrelevant":
        return OffTopic()
    clause = unwrap(_LEAD_NO.sub("", unwrap(clause)))
    clause = _WONDERING.sub("", clause)
    clause = _CLEFT.sub(r"\g<did> the \g<thing>", clause)
    if last := _ADD_LAST.match(clause.strip(" .!?")):
        clause = last["what"] if adding.announced(last["what"]) else f"add {last['what']}"
    clause = _TURNED.sub(r"\g<verb> \g<ref>", clause.strip(" .!") if _TURNED.match(clause) else clause)
    plain = clause.strip(" .!")
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
        or finishing.kept(plain)
        or talking.talk(plain)
        or talking.answer(plain)
    )


def _is_off_topic(clause: str) -> bool:
    if judge(clause, ()) == "irrelevant":
        return True
    curious = _NEED.match(clause)
    return curious is not None and off_topic(curious["inner"]) and _CURIOUS.match(curious["inner"]) is not None


def _inner(plain: str, now: datetime) -> Wish | None:
    """Read "I need to delete task 3", which is an order, unlike "I need to delete old photos"."""
    found = _NEED.match(plain)
    if not found:
        return None
    inner = found["inner"]
    if re.match(r"(?:see|know|show|list|view|check)\b", inner, re.I):
        wish = asking.show(re.sub(r"^(?:see|know|check)\b", "show", inner, flags=re.I), now)
        if wish is not None and re.search(r"\b(?:my|the|all|what)\b", inner, re.I):
            return wish
    if re.match(
        r"(?:delete|remove|rename|change|move|push|postpone|reschedule|mark|complete|finish|reopen|update|cancel"
        r"|set)\b",
        inner,
        re.I,
    ):
        order = finishing.complete(inner, now) or finishing.delete(inner, now) or changing.change(inner, now)
        if order is not None and (order.ref.numbers or order.ref.places):
            return order
    return None


def _ordered(plain: str, now: datetime) -> Wish | None:
    """Read orders that say plainly what is to be done."""
    changed = changing.change(plain, now)
    if changed is not None and (changed.description is not None or changed.clear_due or changed.lacks == "description"):
        return changed
    reopened = finishing.reopen(plain, now)
    if reopened is not None and not reopened.statement:
        return reopened
    if (
        changed is not None
        and not changed.ref.phrase
        and re.match(r"(?:schedule|set|make|put|remind me)\b", plain, re.I)
    ):
        return changed
    if found := re.match(
        r"(?:i|we) need (?P<ref>.+?) (?:done|finished|ready|completed) (?P<when>by|before|on|until|tomorrow|today"
        r"|tonight)\b(?P<rest>.*)$",
        plain,
        re.I,
    ):
        return changing.change(f"{found['ref']} is due {found['when']}{found['rest']}", now) or adding.add(plain, now)
    if changed is not None and re.match(r"(?:add|put) (?:an? |the )?(?:due ?date|deadline)\b", plain, re.I):
        return changed
    wish = _question_first(plain, now) or adding.add(plain, now)
    return replace(wish, known=True) if isinstance(wish, Add) and _STILL.match(plain) else wish


def _question_first(plain: str, now: datetime) -> Wish | None:
    """Read "remind me what is due", which asks."""
    if re.match(r"remind me (?:what|which|when|how many)\b", plain, re.I):
        return asking.show(re.sub(r"^remind me", "tell me", plain, flags=re.I), now)
    return None


def _asked(clause: str, plain: str, now: datetime) -> Wish | None:
    if asks_for_writing(clause):
        return OffTopic()
    return inspecting.inspect(clause, now) or asking.show(clause.rstrip("? "), now)


def _told(plain: str, now: datetime) -> Wish | None:
    """Read orders and statements about tasks there are."""
    reopened = finishing.reopen(plain, now)
    if reopened is not None:
        return reopened
    bare = changing.fragment(plain, now)
    if bare is not None and not re.match(r"(?:make|set|move|it|that|push)\b", plain, re.I):
        return bare
    if re.match(r"(?:delete|remove|erase|get rid of|trash|scrap|discard)\b", plain, re.I) and (
        gone := finishing.delete(plain, now)
    ):
        return gone
    done = finishing.complete(plain, now)
    if done is not None:
        chore = finishing.chore_with_date(done, plain, now)
        return Add((chore,)) if chore else done
    return finishing.delete(plain, now) or changing.change(plain, now) or bare


def _left_over(clause: str, plain: str, now: datetime) -> Wish:
    """Read what fits no form: a chore in the imperative, a thing with a day, a bare pointer."""
    ref = read_ref(plain, now)
    if not ref.phrase and not ref.empty:
        return Pick(ref)
    if asking.questioning(clause):
        return Vague(clause)
    if off_topic(plain):
        return OffTopic()
    if hurried := _HURRIED.match(plain):
        wish = adding.add(f"urgent: {plain[hurried.end() :]}", now, free=True)
        if wish is not None and adding.imperative(plain[hurried.end() :]):
            return wish
    if adding.imperative(plain) or _URGENT.match(plain):
        return adding.add(plain, now, free=True) or Vague(clause)
    due = find_due(plain, now)
    if re.search(r":\s*(?:change|move|set|make)\b", plain, re.I):
        return Vague(clause)
    if (
        due is not None
        and not _SENTENCE.search(plain)
        and not re.match(r"no\b", plain, re.I)
        and without(plain, due).strip(" ,.")
        and len(plain.split()) <= _LONG_QUESTION
    ):
        return adding.add(plain, now, free=True) or Vague(clause)
    return Vague(clause)


def _tidied(wishes: list[Wish]) -> list[Wish]:
    """Drop small talk that only leads to a wish, and what makes no sense beside one."""
    solid: list[Wish] = [wish for wish in wishes if not isinstance(wish, Talk | Answer)]
    if not solid:
        return wishes[-1:]
    if any(isinstance(wish, Add) and wish.drafts for wish in solid):
        # "The meter readings are due Friday, put that on my list" wishes for one task, not two.
        solid = [wish for wish in solid if not isinstance(wish, Add) or wish.drafts]
    solid = [_mention(wish, after) for wish, after in zip(solid, [*solid[1:], None], strict=True)]
    real: list[Wish] = [wish for wish in solid if not isinstance(wish, Vague | OffTopic)]
    if real and any(isinstance(wish, Answer) for wish in wishes[:1]):
        return [wish for wish in wishes if not isinstance(wish, Talk | Vague | OffTopic)]
    if real:
        return real
    return solid


def _mention(wish: Wish, after: Wish | None) -> Wish:
    """Keep words that fit no form when the next wish speaks of what they name: "The report: make it urgent"."""
    pointing = isinstance(after, Complete | Delete | Change | Reopen | Inspect) and after.ref.pronoun in ("it", "them")
    return Mention(wish.text) if isinstance(wish, Vague) and pointing else wish


def revealed(value: T, message: Message) -> T:
    """Return the value with every text in it as the person typed it."""
    if isinstance(value, tuple):
        return tuple(revealed(entry, message) for entry in value)  # type: ignore[return-value]
    if not is_dataclass(value) or isinstance(value, type):
        return value
    changes: dict[str, object] = {}
    for field in fields(value):
        held = getattr(value, field.name)
        if isinstance(held, str) and field.name in _TYPED:
            changes[field.name] = message.reveal(held)
        elif isinstance(held, tuple) or is_dataclass(held):
            changes[field.name] = revealed(held, message)
    return replace(value, **changes)
