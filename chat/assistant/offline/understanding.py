"""From what was said to what is wished: the order in which the readings are tried."""

import re
from dataclasses import fields, is_dataclass, replace
from datetime import datetime
from functools import lru_cache
from typing import TypeVar

from chat.assistant.offline import adding, ellipsis, limits, talking
from chat.assistant.offline.budget import checkpoint
from chat.assistant.offline.calendar import week_start
from chat.assistant.offline.checklists import Checklist, is_list_of_short_lines, read_checklist
from chat.assistant.offline.clauses import split_clauses, unwrap
from chat.assistant.offline.corrections import settled
from chat.assistant.offline.discourse import Thread, without_kindness
from chat.assistant.offline.impossible import NO_DAY, NO_HOUR, Impossible, find_impossible, with_stand_in
from chat.assistant.offline.intents import (
    Add,
    Answer,
    Change,
    Complete,
    Delete,
    Doubt,
    Draft,
    Foreign,
    Inspect,
    Mention,
    OffTopic,
    Reopen,
    Show,
    Talk,
    Vague,
    Wish,
)
from chat.assistant.offline.patterns import pattern
from chat.assistant.offline.reading import read_clause
from chat.assistant.offline.rescheduling import each_set
from chat.assistant.offline.words import Message, prepare
from chat.assistant.relevance import judge

T = TypeVar("T")
# These hold words of the person; the other texts in a wish are our own.
_TYPED = frozenset({"title", "description", "phrase", "text", "about", "old", "doubt", "words"})
_CONDITION = pattern(
    r"^\W*(?:(?:if|in case)(?! (?:you|possible|that's|it's (?:ok|okay|fine|possible)))|when(?!'s)|once|unless|as soon as|after)\s"
    r"(?!is\b|are\b|do\b|did\b|was\b).+,\s*\S"
)
_INTO_THEIRS = pattern(
    r"\b(?:to|on|in|into|for|from)\s+(?:user\b|account\b|another|someone|(?:my|the|our) (?!today|tomorrow|this"
    r"|next|week|month|mon|tues|wednes|thurs|fri|satur|sun)\w+'s\s+(?:list|tasks|account|todo)|(?!my\b"
    r"|the\b)\w+'s?\s+(?:\w+ )?(?:list|tasks|account|todo))"
)
_AS_TASK = pattern(
    r"(?:add|create|new task|make a task|remind me|i need to|i have to|i must|don't forget|note|todo|task:"
    r"|rename)\b"
)
_LABELLED_NOTE = re.compile(
    r"^(?:and |with )?(?:the |a )?(?:notes?|details?|description|desc|comment|info|nb|n\.b\.|ps|p\.s\.)\s*[:=-]\s*(?P<text>\S.*)$",
    re.I | re.S,
)
_DUE_SAID = pattern(r"^(?:and |the |its )*(?:deadline|due(?: date)?|date)(?: is|'s|:)?\s+(?P<when>\S.*)$")
_THESE = pattern(
    r"\b(?:these|those|them|the following|following)(?: tasks| ones| items| things| todos)?\b|\b(?:my |the )?(?:tasks|ones|items)$"
)
_ASKED = pattern(r"^(?!.*\b(?:add|put|create|note|save)\b)(?:.*\?$|(?:what|which|how|why|who)\b)")
_FEW = 6
# Characters of a message, and of a sentence in it: the rules take time with the square of it.
LONGEST, LONGEST_CLAUSE = 1000, 600


def understand(said: str, now: datetime) -> list[Wish]:
    """Return the wishes in a message, in the order said; never none. Raise TooMuch."""
    return list(_understood(said, now, week_start()))


def is_readable(said: str) -> bool:
    """Return whether a message is short enough to be read; a pasted list may be longer, since its lines are short."""
    return len(said) <= LONGEST or is_list_of_short_lines(said)


# Each response in a turn reads the turn's message again, and it says the same.
@lru_cache(maxsize=64)
def _understood(said: str, now: datetime, week_start: int) -> tuple[Wish, ...]:
    if not is_readable(said):
        return (Vague(said),)
    checklist = read_checklist(said)
    if checklist is not None and (listed := _listed(checklist, now)):
        return listed
    if len(said) > LONGEST:
        return (Vague(said),)
    message = prepare(said)
    wishes: list[Wish] = []
    clause_before = ""
    thread = Thread(without_kindness(limits.without_repetition(message.text)))
    clauses = split_clauses(each_set(settled(thread.text, now), now))
    if any(len(clause) > LONGEST_CLAUSE for clause in clauses):
        return (Vague(said),)
    for said_clause in clauses:
        checkpoint()
        impossible = find_impossible(said_clause, now)
        clause = with_stand_in(said_clause, impossible) if impossible else said_clause
        if _forbidden(clause):
            wishes.append(Foreign())
            clause = talking.without_command(clause)
            if not clause or _forbidden(clause):
                continue
        if wishes and isinstance(wishes[-1], Add) and len(clause.split()) <= _FEW and adding.SEPARATE.search(clause):
            wishes[-1] = adding.apart(wishes[-1])
            continue
        if wishes and isinstance(wishes[-1], Add) and (noted := _noted(wishes[-1], clause, now)):
            wishes[-1] = revealed(noted, message)
            continue
        for read_here in read_clause(clause, now):
            said_here = _doubted(read_here, impossible) if impossible else read_here
            wish = thread.link(said_here, clause, now)
            if wish is None:
                continue
            last = wishes[-1] if wishes else None
            if isinstance(wish, Vague) and not wish.more and isinstance(last, Add) and (told := _told_of(last, wish)):
                wishes.pop()
                wish = told
            elif isinstance(wish, Vague) and wish.more and isinstance(last, Add):
                wish = adding.add(wish.text, now, free=True) or wish
            elif isinstance(wish, Add) and not wish.drafts and isinstance(last, Vague):
                # "I owe Dave money, remind me on Thursday": what was said just before is the task.
                wishes.pop()
                wish = Add((replace(wish.usual, title=adding.clean_title(last.text)),))
            elif isinstance(last, Change) and (filled := _completed_by(last, wish)):
                wishes.pop()
                wish = filled
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
    return tuple(_unforced(_tidied(wishes))) or (Vague(said),)


def _listed(checklist: Checklist, now: datetime) -> tuple[Wish, ...]:
    """Return what a pasted list wishes for: a task for each item, or what its first line orders to be done with each."""
    intro = unwrap(prepare(checklist.intro).text.rstrip(" :"))
    wishes = read_clause(intro, now) if intro else []
    if _forbidden(intro) or any(isinstance(wish, OffTopic) for wish in wishes) or _ASKED.search(intro):
        return ()
    if any(isinstance(wish, Talk) and wish.kind == "keep" for wish in wishes):
        return tuple(wishes)
    after = _understood(checklist.rest, now, week_start()) if checklist.rest else ()
    rest = [wish for wish in after if not isinstance(wish, Talk | Answer)]
    if any(isinstance(wish, Complete | Delete | Change | Reopen) for wish in wishes):
        form = intro if _THESE.search(intro) else f"{intro} these"
        orders = [f'"{item}"'.join(_THESE.split(form, maxsplit=1)) for item, _ in checklist.items]
        return (*(wish for order in orders for wish in _understood(order, now, week_start())), *rest)
    if checklist.orders and not any(isinstance(wish, Add) for wish in wishes):
        return (*(wish for text, _ in checklist.items for wish in _understood(text, now, week_start())), *rest)
    message = prepare("\n".join(text for text, _ in checklist.items))
    texts = message.text.split("\n")
    if len(texts) != len(checklist.items):
        return ()
    unread = [find_impossible(text, now) for text in texts]
    texts = [with_stand_in(text, each) if each else text for text, each in zip(texts, unread, strict=True)]
    items = [(text, done) for text, (_, done) in zip(texts, checklist.items, strict=True)]
    drafts = zip(adding.listed(items, intro, now), unread, strict=True)
    titled = tuple(_draft_doubted(draft, each) if each else draft for draft, each in drafts if draft.title)
    return (revealed(Add(titled), message), *rest)


def _doubted(wish: Wish, impossible: Impossible) -> Wish:
    """Return a wish without the day or the hour that does not exist, which is asked for anew."""
    if isinstance(wish, Add):
        usual = wish.usual if wish.drafts else Draft("", doubt=impossible.words)
        return replace(wish, usual=usual, drafts=tuple(_draft_doubted(draft, impossible) for draft in wish.drafts))
    if isinstance(wish, Change):
        otherwise = _draft_doubted(wish.otherwise, impossible) if wish.otherwise else None
        at = None if impossible.is_hour else wish.at
        return replace(wish, day=None, at=at, lacks="due", doubt=impossible.words, otherwise=otherwise)
    return Doubt(impossible.words)


def _draft_doubted(draft: Draft, impossible: Impossible) -> Draft:
    if not impossible.is_hour:
        # The hour stays, for the day that is named instead.
        return replace(draft, day=None, doubt=impossible.words) if draft.day == NO_DAY else draft
    if draft.at != NO_HOUR:
        return draft
    return replace(draft, day=draft.day if impossible.of_day else None, at=None, doubt=impossible.words)


def _noted(wish: Add, clause: str, now: datetime) -> Add | None:
    """Return the wish with what a sentence of its own says of it: "Order tiles. Note: the grey ones. Deadline Friday"."""
    if wish.drafts and (dated := _DUE_SAID.match(clause)) and (said := ellipsis.fragment(dated["when"], now)):
        return replace(wish, drafts=(*wish.drafts[:-1], replace(wish.drafts[-1], day=said.day, at=said.at)))
    found = _LABELLED_NOTE.match(clause)
    if found is None or not wish.drafts or wish.drafts[-1].description:
        return None
    return replace(wish, drafts=(*wish.drafts[:-1], replace(wish.drafts[-1], description=found["text"].strip(" .\"'"))))


def _told_of(wish: Add, said: Vague) -> Add | None:
    """Return the wish with a sentence that only tells more of its task as the note: "Buy milk. The one in glass"."""
    text = said.text.strip(" .!")
    if not wish.drafts or wish.drafts[-1].description or text.endswith("?") or _AS_TASK.match(unwrap(text)):
        return None
    if judge(text, ()) == "irrelevant":
        return None
    return replace(wish, drafts=(*wish.drafts[:-1], replace(wish.drafts[-1], description=text)))


def _says_again(last: Wish, wish: Wish) -> bool:
    """Return whether a wish only puts the statement before it as an order: "I did 2 yesterday. Mark it done"."""
    if isinstance(last, Complete) and isinstance(wish, Complete):
        return bool(wish.ref.numbers) and last.ref == wish.ref
    if isinstance(last, Delete) and isinstance(wish, Delete):
        return last.unsure and bool(wish.ref.numbers) and last.ref == wish.ref
    return False


def _completed_by(last: Change, wish: Wish) -> Change | None:
    """Return what a sentence says of the task that the one before it only named: "There's a typo in 2. Make it Bread"."""
    if not last.lacks or not isinstance(wish, Change) or wish.ref.pronoun != "it":
        return None
    return replace(wish, ref=last.ref)


def _read_anew(last: Wish, wish: Wish, said_here: Wish) -> bool:
    """Return whether what sounded like a question only led to a removal: "The date on task 2 is wrong, delete it"."""
    return isinstance(last, Inspect) and isinstance(said_here, Delete) and isinstance(wish, Change)


def _goes_on(last: Wish, wish: Wish) -> bool:
    """Return whether a statement only leads to the wish: "The dentist got cancelled, remove it"."""
    stated = (isinstance(last, Complete) and last.statement) or (isinstance(last, Delete) and last.unsure)
    statement = isinstance(last, Complete | Delete) and stated and not last.ref.numbers
    pointing = isinstance(wish, Complete | Delete | Change | Reopen) and wish.ref.pronoun == "it"
    return pointing and statement


def _named_by(wish: Wish) -> str:
    return wish.ref.phrase if isinstance(wish, Complete | Delete) else ""


def _forbidden(clause: str) -> bool:
    """Return whether a clause is about other people or the assistant's own rules, not merely the words of a task."""
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
