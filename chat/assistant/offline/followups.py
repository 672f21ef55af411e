"""Combine a short answer with the question that it answers."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import time

from chat.assistant.offline.adding import clean_title, parse_add
from chat.assistant.offline.budget import BudgetExceeded
from chat.assistant.offline.changing import parse_change
from chat.assistant.offline.clauses import strip_politeness
from chat.assistant.offline.context import Turn
from chat.assistant.offline.dates import find_due, resolve_due
from chat.assistant.offline.dialog_state import DialogState
from chat.assistant.offline.intents import (
    Add,
    Answer,
    Change,
    Complete,
    Delete,
    Draft,
    Foreign,
    Fragment,
    Inspect,
    Intent,
    OffTopic,
    Pick,
    Recall,
    Ref,
    Reopen,
    Show,
    Span,
    Talk,
    Undo,
    Vague,
)
from chat.assistant.offline.matching import match_tasks
from chat.assistant.offline.patterns import pattern
from chat.assistant.offline.references import parse_ref
from chat.assistant.offline.slots import take_priority
from chat.assistant.offline.understanding import understand

OnTask = Complete | Delete | Reopen | Change | Inspect
Pending = Add | OnTask
_MAX_QUESTIONS = 4
_ASKED_CONSENT = "Shall I"
_SAME = pattern(
    r"^(?:and |also |do )*(?:the )?same (?:thing )?(?:for|with|to|goes for) (?P<ref>.+)$|^(?:and "
    r"|also )*(?P<ref2>(?:task |#|number )?\d+|the \S+(?: one| task)?|[^,]+) (?:too|as well|also)(?:,? (?:(?:also|please|by|to|for|again|the same|as well|too)\b.*|(?:a|one|two|\d) \w+ later))?$"
    r"|^and (?P<ref3>(?:task |#|number )?\d+|(?:the )?(?:first|second|third|fourth|fifth|sixth|last|top|bottom|next|latter"
    r"|other)(?: one| task)?)$"
)
_NOT_THAT = pattern(
    r"\W*(?:(?:oh|oops|no|nope|sorry|wait|ugh|hey)\W+)*not (?:that|this)(?: one| task)?(?:,? sorry| please)?\W*"
)
_SECOND_THOUGHT = pattern(
    r"\W*(?:(?:oh|oops|wait|hm+|sorry|actually|ah|ok|okay)\W+)*"
    r"(?:no|nope|nah|never ?mind|nvm|forget (?:it|that|about it)|scratch that|cancel (?:it|that)|on second thoughts?"
    r"|i(?:'ve| have)? changed my mind)"
    r"(?:\W+(?:actually|wait|no|never ?mind|forget (?:it|that)|cancel (?:it|that)|scratch that"
    r"|i(?:'ve| have)? changed my mind|sorry|please))*\W*"
)
_QUESTION = pattern(
    r"(?:what|which|how|why|who|whose|when|where)\b.*\?$|(?:why|what|how|what for|how so)$"
    r"|(?:is|are|am|was|do|does|did|can|could|will|would|should|shall|may|must|have|has)(?:n't)?"
    r" (?:i|you|it|we|they|that|this|there)\b"
)
_ITS_DUE = pattern(r"\s*(?:(?:and|also|but|oh|actually|it'?s|it is)\s+)+due\b[^?]*$")
_AMOUNT = pattern(
    r"(?:by |another |for |back |forward |out )*(?:\d+|an?|one|two|three|four|five|six|seven|a couple of|a few|another)"
    r"(?: more)? (?:day|week|hour|minute|month)s?(?: (?:earlier|later|back|forward|sooner|more|please))*"
)
_SAME_DAY = pattern(r",?\s+(?:(?:on|for|by|also|too) )*(?:the |that )?same (?:day|date|deadline)\b")
_CORRECTION = pattern(
    r"^(?:(?:oh|oops|sorry|wait)[\s,.!-]+)*(?:no|nope|not that one|wrong one|the wrong one)[\s,.!-]+(?:not that one[\s,.!-]+)?"
    r"(?P<instead>(?:task |number |#)?\d+|(?:the|my) [^,?]+)$"
    r"|^(?:(?:no|nope|oops|whoops|sorry|wait|not that(?: one)?|wrong (?:one|task)|that was the wrong one"
    r"|i)[\s,.!-]+)*(?:i meant|i mean|meant|should have been|it was)\s+(?P<ref>.+)$"
)
_LEADING = pattern(
    r"^(?:(?:no|yes|yeah|wait|only|just|oh|actually|sorry|oops|(?:i (?:only |just |actually )|(?:i )?(?:really )?)mean(?:t)?|maybe|probably"
    r"|i think|i'?d say|let's say|definitely|it was|it's|that would be|that's)[\s,]+)+(?=\S)"
)
_MEANT = pattern(
    r"(?:\W*(?:no|oh|oops|sorry|wait|nope|ah|ok|okay))*\W*(?:i )?(?:only |just |actually |really )?mean(?:t)?\b"
)
_OPTION = pattern(r"(?P<word>option |choice )?(?P<place>\d{1,2})")
_MORE = pattern(r"\s*(?:oh,? )?(?:and|also|plus|as well as|another)\b")


def follow_up(state: DialogState) -> list[Intent]:
    """Return the intents of the newest message, completed by the pending question or the last task."""
    last = state.last_turn
    if last and last.changed and not last.asked and _NOT_THAT.fullmatch(state.message):
        return [Undo()]
    if last and _acted(last) and _SECOND_THOUGHT.fullmatch(state.message):
        return [Undo()]
    if again := _repeat_or_correct(state):
        return again
    intents = understand(_resolve_same_day(state), state.now)
    if len(intents) == 1 and intents[0] in (Undo(), Answer(yes=True)) and _asked_to_undo(state):
        return [Undo(sure=True)]
    pending = _find_pending(state)
    if pending is None:
        return [_apply_to_last(intent, state) for intent in intents] if len(intents) == 1 else intents
    if len(intents) == 2 and isinstance(intents[0], Answer):
        intents = intents[:1] if intents[0].yes and _repeats_pending(intents[1], pending, state) else intents[1:]
    if len(intents) != 1:
        return intents
    answered = _answer_pending(intents[0], pending, state)
    return [answered if answered is not None else _apply_to_last(intents[0], state)]


def _acted(turn: Turn) -> bool:
    """Return whether a turn changed something and asked nothing; after an undo, another would go further back."""
    return bool(turn.changed) and not turn.asked and all(call.name != "undo" for call in turn.tool_calls)


def _resolve_same_day(state: DialogState) -> str:
    """Replace "the same day" by the due date of the last mentioned task."""
    found = _SAME_DAY.search(state.message)
    if found is None:
        return state.message
    seen = state.known_tasks()
    days = [day for number in state.last_mentioned() if number in seen and (day := seen[number].due_date)]
    if not days:
        return state.message
    return f"{state.message[: found.start()]} on {days[-1].isoformat()}{state.message[found.end() :]}"


def _repeat_or_correct(state: DialogState) -> list[Intent]:
    """Parse "the second one too" as a repetition for another task, and "no, I meant task 6" as a correction."""
    last = state.last_turn
    if last is None or not last.changed:
        return []
    text = state.message.strip(" .!?")
    found = _SAME.match(strip_politeness(text)) or _SAME.match(text) or _CORRECTION.match(state.message.strip(" .!"))
    if found is None:
        return []
    ref = parse_ref(next((group for group in found.groups() if group), ""), state.now)
    intents = [
        intent for intent in _understand_turn(last, state) if isinstance(intent, Complete | Delete | Reopen | Change)
    ]
    if not intents or ref.every or ref.pronoun not in ("", "other"):
        return []
    if ref.phrase and not match_tasks(ref.phrase, state.known_tasks().values()).sure:
        return []
    repeated = replace(intents[-1], ref=ref)
    return [repeated] if found.re is _SAME else [Undo(), repeated]


def _understand_turn(turn: Turn, state: DialogState) -> list[Intent]:
    """Return the intents of an earlier message; none if it exceeds the budget."""
    try:
        return understand(turn.message, state.now)
    except BudgetExceeded:
        return []


def offered_numbers(state: DialogState) -> Sequence[int]:
    """Return the numbers of the tasks from which the user was asked to choose."""
    return state.last_turn.listed if state.last_turn and state.last_turn.asked else ()


def _find_pending(state: DialogState) -> Pending | None:
    """Return the intent that the assistant asked about, parsed again from the user's message."""
    for turn in list(reversed(state.earlier_turns))[:_MAX_QUESTIONS]:
        if not turn.asked or turn.changed:
            return None
        found = _open_intent(turn, state)
        if found is not None:
            return found
    return None


def _open_intent(turn: Turn, state: DialogState) -> Pending | None:
    intents = [intent for intent in _understand_turn(turn, state) if isinstance(intent, Pending)]
    open_ones = [intent for intent in intents if not (isinstance(intent, Add) and intent.drafts)]
    return open_ones[-1] if open_ones else None


def _answer_pending(intent: Intent, pending: Pending, state: DialogState) -> Intent | None:
    """Return the pending intent with the answer filled in; None if this is no answer."""
    if isinstance(intent, Undo | Recall | Foreign | OffTopic) or (isinstance(intent, Talk) and intent.kind != "fine"):
        return None
    if isinstance(intent, Answer):
        return _confirm_pending(pending, state) if intent.yes else Talk("keep")
    if _repeats_pending(intent, pending, state):
        return _confirm_pending(pending, state)
    if isinstance(intent, Pick | Show | Vague) and parse_ref(_bare_answer(state), state.now) == Ref(every=True):
        return _confirm_pending(pending, state)
    if isinstance(pending, Add):
        if _is_question(intent, state.message):
            return None
        given = (
            intent
            if isinstance(intent, Add) and intent.drafts
            else parse_add(strip_politeness(state.message), state.now, free=True)
        )
        return _with_defaults(given, pending.defaults) if isinstance(given, Add) else None
    if isinstance(pending, Change) and pending.lacks:
        return _fill_missing_field(intent, pending, state)
    ref = _answered_ref(intent, pending, state)
    return None if ref is None else _without_doubt(replace(pending, ref=ref))


def _is_question(intent: Intent, message: str) -> bool:
    """Return whether the user asks something instead of saying what the task is."""
    asks = isinstance(intent, Show | Inspect) and pattern(r"(?:what|which|how|when|show|list)\b").match(message)
    return bool(asks or _QUESTION.match(message.strip(" .!")))


def _with_defaults(intent: Add, defaults: Draft) -> Add:
    """Return the tasks with the day and the priority that were given before their titles."""
    drafts = [
        replace(
            draft,
            day=draft.day or defaults.day,
            at=draft.at or (defaults.at if draft.day is None else None),
            priority=defaults.priority if draft.priority == "normal" else draft.priority,
        )
        for draft in intent.drafts
    ]
    return Add(tuple(drafts))


def _bare_answer(state: DialogState) -> str:
    """Strip the words before an answer: "no wait, only the bread" is about the bread."""
    return strip_politeness(_LEADING.sub("", strip_politeness(state.message))).strip(" .!?")


def _chosen_ref(state: DialogState) -> Ref | None:
    """Return the reference in an answer; a bare number that is not a listed task is a position."""
    ref, offered = parse_ref(_bare_answer(state), state.now), offered_numbers(state)
    if option := _OPTION.fullmatch(_bare_answer(state)):
        number = int(option["place"])
        return (
            Ref(places=(number,)) if option["word"] or (offered and number not in offered) else Ref(numbers=(number,))
        )
    return None if ref.phrase or ref.every or ref.empty else ref


def _confirm_pending(pending: Pending, state: DialogState) -> Intent | None:
    shown = state.earlier_turns[-1].listed
    if isinstance(pending, Delete) and not shown and pending.otherwise:
        return Add((pending.otherwise,))
    if isinstance(pending, Add):
        return None
    several = isinstance(pending, Complete | Delete) and (pending.ref.every or pending.ref.pronoun == "them")
    if several and not _asked_consent_for(pending, state):
        return Vague("task")
    if len(shown) == 1 or (several and shown):
        return _without_doubt(replace(pending, ref=Ref(numbers=tuple(shown))))
    return Vague("task")


def _asked_consent_for(pending: Pending, state: DialogState) -> bool:
    """Return whether the last reply asked for consent to exactly this."""
    last = state.earlier_turns[-1]
    return (bool(last.undecided) or _ASKED_CONSENT in last.reply) and _open_intent(last, state) == pending


def _asked_to_undo(state: DialogState) -> bool:
    """Return whether the last reply asked for consent to an undo."""
    last = state.last_turn
    if last is None or last.changed or _ASKED_CONSENT not in last.reply:
        return False
    return Undo() in _understand_turn(last, state)


def _repeats_pending(intent: Intent, pending: Pending, state: DialogState) -> bool:
    """Return whether "delete them all" answers the question whether to delete all."""
    if not isinstance(intent, Complete | Delete) or type(intent) is not type(pending):
        return False
    return (intent.ref == Ref(every=True) or intent.ref.pronoun == "them") and _asked_consent_for(pending, state)


def _fill_missing_field(intent: Intent, pending: Change, state: DialogState) -> Intent | None:
    """Return the change with its missing value."""
    text = strip_politeness(state.message).strip(" .!")
    if isinstance(intent, Delete | Complete) and intent.ref.numbers:
        return None
    if pending.lacks == "title":
        return replace(pending, title=clean_title(text.strip("\"'“”")), lacks="")
    if pending.lacks == "description":
        return replace(pending, description=text.strip("\"'“”"), lacks="")
    if pending.lacks == "priority" and (found := take_priority(text, bare=True)[0]):
        return replace(pending, priority=found, lacks="")
    if pending.lacks == "due" and (shifted := _parse_shift(text, state)):
        return replace(pending, shift=shifted.shift, lacks="")
    if pending.lacks == "due" and (due := find_due(text, state.now)):
        day, at = resolve_due(due, state.now)
        return replace(pending, day=day, at=at or pending.at, lacks="")
    if isinstance(intent, Fragment):
        return replace(pending, day=intent.day, at=intent.at or pending.at, priority=intent.priority, lacks="")
    if isinstance(intent, Change) and (intent.ref.pronoun == "it" or intent.ref.empty):
        return replace(intent, ref=pending.ref)
    return None


def _answered_ref(intent: Intent, pending: OnTask, state: DialogState) -> Ref | None:
    """Return the reference to a task in the answer to a pending question."""
    chosen = _chosen_ref(state)
    if chosen is not None and (
        isinstance(intent, Pick | Inspect | Show | Vague | Fragment | Add) or _MEANT.match(state.message)
    ):
        return chosen
    if isinstance(intent, Show):
        return None
    seen, offered = state.known_tasks(), offered_numbers(state)
    candidates = [seen[number] for number in offered if number in seen]
    if isinstance(intent, Pick) or (isinstance(intent, Inspect) and intent.aspect == "all"):
        return intent.ref
    if isinstance(intent, Fragment) and not isinstance(pending, Change) and (intent.day or intent.priority):
        return Ref(span=Span(intent.day, intent.day)) if intent.day else Ref(priority=intent.priority)
    meant = isinstance(intent, Change) and intent.without_verb and _MEANT.match(state.message) is not None
    is_title = isinstance(intent, Add) and bool(match_tasks(state.message, candidates).sure)
    if not (meant or is_title or isinstance(intent, Vague)):
        return None
    ref = parse_ref(_bare_answer(state), state.now)
    return ref if not ref.phrase or match_tasks(ref.phrase, candidates).sure else None


def _without_doubt(intent: Pending) -> Pending:
    return replace(intent, unsure=False) if isinstance(intent, Delete | Complete) else intent


def _parse_shift(text: str, state: DialogState) -> Change | None:
    """Parse a bare "an hour earlier" or "by two days"."""
    words = strip_politeness(text).strip(" .!?")
    if not _AMOUNT.fullmatch(words):
        return None
    intent = parse_change(f"move it {words}", state.now)
    return intent if intent is not None and intent.shift else None


def _apply_to_last(intent: Intent, state: DialogState) -> Intent:
    """Apply a bare day or priority to the last mentioned task or list."""
    last, mentioned = state.last_turn, state.last_mentioned()
    if isinstance(intent, Vague) and mentioned and (shifted := _parse_shift(state.message, state)):
        return shifted
    if isinstance(intent, Vague) and last and _MORE.match(state.message) and not intent.text.rstrip().endswith("?"):
        added = [call for call in last.calls if call.name == "create_task" and call.changed]
        return parse_add(strip_politeness(state.message), state.now, free=True) or intent if added else intent
    if isinstance(intent, Show | Fragment) and intent.span and _ITS_DUE.match(state.message) and len(mentioned) == 1:
        return Change(Ref(pronoun="it"), day=intent.span.first, at=intent.at if isinstance(intent, Fragment) else None)
    if not isinstance(intent, Fragment):
        return intent
    if intent.span is not None and (intent.asking or not (intent.at or mentioned)):
        return Show(status="pending", span=intent.span)
    if last is None or not mentioned:
        return intent
    listing = last.listed and not last.changed
    if listing and len(last.listed) > 1 and intent.day and not intent.at:
        return Show(status="pending", span=intent.span or Span(intent.day, intent.day))
    at = intent.at or (_kept_time(last, state) if intent.day else None)
    return Change(Ref(pronoun="it"), day=intent.day, at=at, priority=intent.priority)


def _kept_time(last: Turn, state: DialogState) -> time | None:
    """Return the time given with an invalid day: it applies to the corrected day."""
    drafts = [draft for intent in _understand_turn(last, state) if isinstance(intent, Add) for draft in intent.drafts]
    return drafts[0].at if len(drafts) == 1 and drafts[0].invalid_due and drafts[0].day is None else None
