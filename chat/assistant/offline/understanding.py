"""Parse a message into intents."""

import re
from dataclasses import fields, is_dataclass, replace
from datetime import datetime
from functools import lru_cache
from typing import TypeVar

from chat.assistant.offline import adding, ellipsis, limits, talking
from chat.assistant.offline.budget import checkpoint
from chat.assistant.offline.calendar import week_start
from chat.assistant.offline.checklists import Checklist, has_short_lines, parse_checklist, parse_plain_list
from chat.assistant.offline.clauses import split_clauses, strip_politeness
from chat.assistant.offline.corrections import apply_corrections
from chat.assistant.offline.discourse import SentenceContext, strip_thanks
from chat.assistant.offline.impossible import (
    PLACEHOLDER_DAY,
    PLACEHOLDER_TIME,
    Impossible,
    find_impossible,
    insert_placeholder,
)
from chat.assistant.offline.intents import (
    Add,
    Answer,
    Change,
    Complete,
    Delete,
    Draft,
    Foreign,
    Inspect,
    Intent,
    InvalidDue,
    Mention,
    OffTopic,
    Reopen,
    Show,
    Talk,
    Vague,
)
from chat.assistant.offline.patterns import pattern
from chat.assistant.offline.reading import parse_clause
from chat.assistant.offline.rescheduling import split_settings
from chat.assistant.offline.words import Message, normalize
from chat.assistant.relevance import judge

T = TypeVar("T")
# These fields contain the user's words; other texts of an intent are constants.
_TYPED = frozenset({"title", "description", "phrase", "text", "about", "old", "doubt", "words"})
_CONDITION = pattern(
    r"^\W*(?:(?:if|in case)(?! (?:you|possible|that's|it's (?:ok|okay|fine|possible)))|when(?!'s)|once|unless|as soon as|after)\s"
    r"(?!is\b|are\b|do\b|did\b|was\b).+,\s*\S"
)
_OTHERS_LIST = pattern(
    r"\b(?:to|on|in|into|for|from)\s+(?:user\b|account\b|another|someone|(?:my|the|our) (?!today|tomorrow|this"
    r"|next|week|month|mon|tues|wednes|thurs|fri|satur|sun)\w+'s\s+(?:list|tasks|account|todo)|(?!my\b"
    r"|the\b)\w+'s?\s+(?:\w+ )?(?:list|tasks|account|todo))"
)
_ADDS_TASK = pattern(
    r"(?:add|create|new task|make a task|remind me|i need to|i have to|i must|don't forget|note|todo|task:|rename)\b"
)
_LABELLED_NOTE = re.compile(
    r"^(?:and |with )?(?:the |a )?(?:notes?|details?|description|desc|comment|info|nb|n\.b\.|ps|p\.s\.)\s*[:=-]\s*(?P<text>\S.*)$",
    re.I | re.S,
)
_LABELLED_DUE = pattern(r"^(?:and |the |its )*(?:deadline|due(?: date)?|date)(?: is|'s|:)?\s+(?P<when>\S.*)$")
_THESE = pattern(
    r"\b(?:these|those|them|the following|following)(?: tasks| ones| items| things| todos)?\b|\b(?:my |the )?(?:tasks|ones|items)$"
)
_ASKED = pattern(r"^(?!.*\b(?:add|put|create|note|save)\b)(?:.*\?$|(?:what|which|how|why|who)\b)")
_FEW = 6
# Maximum characters of a message and of a clause: the time of the rules is quadratic in them.
LONGEST, LONGEST_CLAUSE = 1000, 600


def understand(text: str, now: datetime) -> list[Intent]:
    """Return the intents of a message in order, at least one. Raise BudgetExceeded."""
    return list(_understand(text, now, week_start()))


def is_readable(text: str, now: datetime) -> bool:
    """Return whether a message is short enough; a pasted list may be longer, since its lines are short.

    Raise BudgetExceeded.
    """
    if len(text) <= LONGEST:
        return True
    return has_short_lines(text) and (parse_checklist(text) is not None or understand(text, now) != [Vague(text)])


# Each response of a turn parses the same message again.
@lru_cache(maxsize=64)
def _understand(text: str, now: datetime, week_start: int) -> tuple[Intent, ...]:
    if len(text) > LONGEST and not has_short_lines(text):
        return (Vague(text),)
    checklist = parse_checklist(text)
    if checklist is not None and (listed := _read_checklist(checklist, now)):
        return listed
    if len(text) > LONGEST:
        return _read_plain_list(text, now) or (Vague(text),)
    message = normalize(text)
    intents: list[Intent] = []
    clause_before = ""
    context = SentenceContext(strip_thanks(limits.strip_repetition(message.text)))
    clauses = split_clauses(split_settings(apply_corrections(context.text, now), now))
    if any(len(clause) > LONGEST_CLAUSE for clause in clauses):
        return (Vague(text),)
    for raw_clause in clauses:
        checkpoint()
        impossible = find_impossible(raw_clause, now)
        clause = insert_placeholder(raw_clause, impossible) if impossible else raw_clause
        if _is_forbidden(clause):
            intents.append(Foreign())
            clause = talking.strip_command(clause)
            if not clause or _is_forbidden(clause):
                continue
        if intents and isinstance(intents[-1], Add) and len(clause.split()) <= _FEW and adding.SEPARATE.search(clause):
            intents[-1] = adding.split_draft(intents[-1])
            continue
        if intents and isinstance(intents[-1], Add) and (detailed := _with_labelled_detail(intents[-1], clause, now)):
            intents[-1] = restore_typed(detailed, message)
            continue
        for parsed in parse_clause(clause, now):
            parsed_valid = _without_invalid_due(parsed, impossible) if impossible else parsed
            intent = context.resolve(parsed_valid, clause, now)
            if intent is None:
                continue
            last = intents[-1] if intents else None
            if (
                isinstance(intent, Vague)
                and not intent.more
                and isinstance(last, Add)
                and (noted := _with_note(last, intent))
            ):
                intents.pop()
                intent = noted
            elif isinstance(intent, Vague) and intent.more and isinstance(last, Add):
                intent = adding.parse_add(intent.text, now, free=True) or intent
            elif isinstance(intent, Add) and not intent.drafts and isinstance(last, Vague):
                # "I owe Dave money, remind me on Thursday": the sentence before is the task.
                intents.pop()
                intent = Add((replace(intent.defaults, title=adding.clean_title(last.text)),))
            elif isinstance(last, Change) and (filled := _complete_change(last, intent)):
                intents.pop()
                intent = filled
            elif last is not None and (_repeats(last, intent) or _corrects_question(last, intent, parsed_valid)):
                intents.pop()
            elif last is not None and _leads_to(last, intent):
                if isinstance(last, Complete) and isinstance(intent, Delete):
                    # A completed task should be ticked off rather than deleted.
                    intent = replace(intent, unsure=True)
                intents[-1] = Mention(message.restore(_phrase_of(last) or clause_before))
            intents.append(restore_typed(intent, message))
        clause_before = clause
    if _CONDITION.match(message.text):
        # A conditional request is not carried out now.
        intents = [Vague(text) if isinstance(intent, Complete | Delete) else intent for intent in intents]
    return tuple(_drop_forced(_drop_small_talk(intents))) or (Vague(text),)


def _read_checklist(checklist: Checklist, now: datetime) -> tuple[Intent, ...]:
    """Return the intents of a pasted list: a task for each item, or the request in its first line for each item."""
    intro = strip_politeness(normalize(checklist.intro).text.rstrip(" :"))
    intents = parse_clause(intro, now) if intro else []
    if _is_forbidden(intro) or any(isinstance(intent, OffTopic) for intent in intents) or _ASKED.search(intro):
        return ()
    if any(isinstance(intent, Talk) and intent.kind == "keep" for intent in intents):
        return tuple(intents)
    after = _understand(checklist.rest, now, week_start()) if checklist.rest else ()
    rest = [intent for intent in after if not isinstance(intent, Talk | Answer)]
    if any(isinstance(intent, Complete | Delete | Change | Reopen) for intent in intents):
        form = intro if _THESE.search(intro) else f"{intro} these"
        orders = [f'"{item}"'.join(_THESE.split(form, maxsplit=1)) for item, _ in checklist.items]
        return (*(intent for order in orders for intent in _understand(order, now, week_start())), *rest)
    if checklist.orders and not any(isinstance(intent, Add) for intent in intents):
        return (*(intent for text, _ in checklist.items for intent in _understand(text, now, week_start())), *rest)
    message = normalize("\n".join(text for text, _ in checklist.items))
    texts = message.text.split("\n")
    if len(texts) != len(checklist.items):
        return ()
    unread = [find_impossible(text, now) for text in texts]
    texts = [insert_placeholder(text, each) if each else text for text, each in zip(texts, unread, strict=True)]
    items = [(text, done) for text, (_, done) in zip(texts, checklist.items, strict=True)]
    drafts = zip(adding.parse_items(items, intro, now), unread, strict=True)
    titled = tuple(_draft_without_invalid_due(draft, each) if each else draft for draft, each in drafts if draft.title)
    return (restore_typed(Add(titled), message), *rest)


def _read_plain_list(text: str, now: datetime) -> tuple[Intent, ...]:
    """Return the tasks of a long list without bullets: under a line that announces them, or each a request itself."""
    plain = parse_plain_list(text)
    if plain is None:
        return ()
    announced = parse_clause(strip_politeness(normalize(plain.intro).text.rstrip(" :")), now)
    if all(isinstance(intent, Add) and not intent.drafts for intent in announced):
        return _read_checklist(plain, now)
    intents = [intent for line in (plain.intro, *dict(plain.items)) for intent in _understand(line, now, week_start())]
    return tuple(intents) if all(isinstance(intent, Add) and intent.drafts for intent in intents) else ()


def _without_invalid_due(intent: Intent, impossible: Impossible) -> Intent:
    """Return an intent without its invalid day or time, so that the user is asked for it."""
    if isinstance(intent, Add):
        defaults = intent.defaults if intent.drafts else Draft("", invalid_due=impossible.words)
        return replace(
            intent,
            defaults=defaults,
            drafts=tuple(_draft_without_invalid_due(draft, impossible) for draft in intent.drafts),
        )
    if isinstance(intent, Change):
        otherwise = _draft_without_invalid_due(intent.otherwise, impossible) if intent.otherwise else None
        at = None if impossible.is_hour else intent.at
        return replace(intent, day=None, at=at, lacks="due", invalid_due=impossible.words, otherwise=otherwise)
    return InvalidDue(impossible.words)


def _draft_without_invalid_due(draft: Draft, impossible: Impossible) -> Draft:
    if not impossible.is_hour:
        # Keep the time for the corrected day.
        return replace(draft, day=None, invalid_due=impossible.words) if draft.day == PLACEHOLDER_DAY else draft
    if draft.at != PLACEHOLDER_TIME:
        return draft
    return replace(draft, day=draft.day if impossible.of_day else None, at=None, invalid_due=impossible.words)


def _with_labelled_detail(intent: Add, clause: str, now: datetime) -> Add | None:
    """Return the intent with a labelled detail: "Order tiles. Note: the grey ones. Deadline Friday"."""
    if (
        intent.drafts
        and (dated := _LABELLED_DUE.match(clause))
        and (values := ellipsis.parse_fragment(dated["when"], now))
    ):
        return intent.with_last(day=values.day, at=values.at)
    found = _LABELLED_NOTE.match(clause)
    if found is None or not intent.drafts or intent.drafts[-1].description:
        return None
    return intent.with_last(description=found["text"].strip(" .\"'"))


def _with_note(intent: Add, sentence: Vague) -> Add | None:
    """Return the intent with the next sentence as its note: "Buy milk. The one in glass"."""
    text = sentence.text.strip(" .!")
    if (
        not intent.drafts
        or intent.drafts[-1].description
        or text.endswith("?")
        or _ADDS_TASK.match(strip_politeness(text))
    ):
        return None
    if judge(text, ()) == "irrelevant":
        return None
    return intent.with_last(description=text)


def _repeats(last: Intent, intent: Intent) -> bool:
    """Return whether an intent repeats the statement before it: "I did 2 yesterday. Mark it done"."""
    if isinstance(last, Complete) and isinstance(intent, Complete):
        return bool(intent.ref.numbers) and last.ref == intent.ref
    if isinstance(last, Delete) and isinstance(intent, Delete):
        return last.unsure and bool(intent.ref.numbers) and last.ref == intent.ref
    return False


def _complete_change(last: Change, intent: Intent) -> Change | None:
    """Return the change with the value from the next sentence: "There's a typo in 2. Make it Bread"."""
    if not last.lacks or not isinstance(intent, Change) or intent.ref.pronoun != "it":
        return None
    return replace(intent, ref=last.ref)


def _corrects_question(last: Intent, intent: Intent, parsed: Intent) -> bool:
    """Return whether what was parsed as a question introduced a removal: "The date on task 2 is wrong, delete it"."""
    return isinstance(last, Inspect) and isinstance(parsed, Delete) and isinstance(intent, Change)


def _leads_to(last: Intent, intent: Intent) -> bool:
    """Return whether a statement only introduces the request: "The dentist got cancelled, remove it"."""
    stated = (isinstance(last, Complete) and last.statement) or (isinstance(last, Delete) and last.unsure)
    statement = isinstance(last, Complete | Delete) and stated and not last.ref.numbers
    pointing = isinstance(intent, Complete | Delete | Change | Reopen) and intent.ref.pronoun == "it"
    return pointing and statement


def _phrase_of(intent: Intent) -> str:
    return intent.ref.phrase if isinstance(intent, Complete | Delete) else ""


def _is_forbidden(clause: str) -> bool:
    """Return whether a clause is about other users or the instructions, and not only the text of a task."""
    if not (talking.is_foreign(clause) or talking.is_override(clause)):
        return False
    return _OTHERS_LIST.search(clause) is not None or _ADDS_TASK.match(strip_politeness(clause)) is None


def _drop_forced(intents: list[Intent]) -> list[Intent]:
    """Keep only requests to add, show or ask from a message that tries to override the instructions."""
    if not any(isinstance(intent, Foreign) for intent in intents):
        return intents
    asks = [
        intent
        for intent in intents
        if isinstance(intent, Delete | Complete) and intent.ref.every and not intent.ref.narrowed
    ]
    harmless = [intent for intent in intents if isinstance(intent, Add | Show | Inspect) or intent in asks]
    return [Foreign(), *harmless]


def _drop_small_talk(intents: list[Intent]) -> list[Intent]:
    """Drop small talk beside a request, and what makes no sense beside one."""
    relevant: list[Intent] = [intent for intent in intents if not isinstance(intent, Talk | Answer)]
    if not relevant:
        return intents[-1:]
    if any(isinstance(intent, Add) and intent.drafts for intent in relevant):
        # "The meter readings are due Friday, put that on my list" is one task, not two.
        relevant = [intent for intent in relevant if not isinstance(intent, Add) or intent.drafts]
    relevant = [_as_mention(intent, after) for intent, after in zip(relevant, [*relevant[1:], None], strict=True)]
    understood: list[Intent] = [intent for intent in relevant if not isinstance(intent, Vague | OffTopic)]
    if understood and any(isinstance(intent, Answer) for intent in intents[:1]):
        return [intent for intent in intents if not isinstance(intent, Talk | Vague | OffTopic)]
    if understood:
        return understood
    return relevant


def _as_mention(intent: Intent, after: Intent | None) -> Intent:
    """Return unmatched words as a mention if the next intent refers to them: "The report: make it urgent"."""
    pointing = isinstance(after, Complete | Delete | Change | Reopen | Inspect) and after.ref.pronoun in ("it", "them")
    return Mention(intent.text) if isinstance(intent, Vague) and pointing else intent


def restore_typed(value: T, message: Message) -> T:
    """Return the value with every text in it as the user typed it."""
    if isinstance(value, tuple):
        return tuple(restore_typed(entry, message) for entry in value)  # type: ignore[return-value]
    if not is_dataclass(value) or isinstance(value, type):
        return value
    changes: dict[str, object] = {}
    for field in fields(value):
        held = getattr(value, field.name)
        if isinstance(held, str) and field.name in _TYPED:
            changes[field.name] = message.restore(held)
        elif isinstance(held, tuple) or is_dataclass(held):
            changes[field.name] = restore_typed(held, message)
    return replace(value, **changes)
