"""Link the sentences of one message: what "it" refers to, and which thanks to ignore."""

from dataclasses import replace
from datetime import datetime

from chat.assistant.offline.budget import checkpoint
from chat.assistant.offline.intents import (
    Add,
    Change,
    Complete,
    Delete,
    Inspect,
    Intent,
    Mention,
    Pick,
    Ref,
    Reopen,
    Show,
    Talk,
    Vague,
)
from chat.assistant.offline.patterns import pattern
from chat.assistant.offline.references import parse_ref

_DATE = r"(?:due[ -]?dates?|deadline|due time|date|reminder date|due day)"
_NOTE = r"(?:notes?|description)"
_FIELD = rf"(?:{_DATE}|{_NOTE}|reminder)"
_THANKS = r"(?:(?:many |big |huge )?(?:thanks|thank (?:you|u)|thankyou|thx|thnx|tysm|ty|cheers|much appreciated|appreciate it|bless you))"
_MUCH = r"(?:\s+(?:so|very|really|much|a|lot|lots|ton|million|bunch|again|in advance|for (?:that|this|your help|everything)))*"
_YOU = r"(?:you're|youre|you are|your|ur|u r|u are|you)"
_PRAISE = (
    rf"(?:{_YOU} (?:really |truly |just |honestly |such )*(?:(?:a|an|the|my|such) (?:\w+ )?(?:best|life ?saver|star|legend|hero"
    r"|heroes|angel|gem|treasure|saint|champ|champion|genius|godsend|goat|rock|darling|love|wonder)|(?:amazing|awesome|great|the best|brilliant"
    r"|wonderful|fantastic|rock|rule|rock!|so (?:kind|helpful|good)|very kind|too kind))|(?:i )?(?:really )?(?:love|appreciate) (?:you|u))"
)
# Without a comma before it, "thank you" may belong to the task; "thank you so much" does not.
_THANKS_AT_END = pattern(
    rf"(?:[\s,.!;-]*[,.!;-]\s*(?:and |oh )?(?:{_THANKS}{_MUCH}|{_PRAISE})|\s+(?:{_THANKS}\s+(?:so much|very much|a lot|a million|a ton)|{_PRAISE}))"
    r"(?:\s+(?:mate|buddy|man|dear|bot|assistant|lol|xx*|again))*[\s,.!)]*$"
)
_KEEP_TASK = pattern(
    rf"(?:[,;.!(-]+\s*(?:just |only |i (?:only |just )?mean(?:t)? )*(?:the |its )?(?P<field>{_FIELD})(?:,? i mean(?:t)?)?"
    r"(?=[\s,;.!(-]+(?:but |and )?(?:not|don't|do not|keep|leave)\b))?"
    r"[\s,;.!(-]+(?:but |and |please )*(?:not|(?:don't|do not) (?:delete|remove)|keep|leave) (?:the|that) (?:whole |entire |actual )?task"
    r"(?: itself| though| please| in| there| alone| on (?:my|the) list)*(?=\s*(?:$|[.!,;)]))[.!)]*"
)
_FIELD_NAMED = pattern(rf"\b(?P<field>{_FIELD})\b(?!\s+(?:to|about|that)\b)")
_FIELD_OF = pattern(
    rf"\b{_FIELD} (?:on|of|for|from|in) (?P<ref>.+?) (?:is|was|has|isn't|wasn't|makes|doesn't|can|should|got)\b"
)
_ITS_FIELD = pattern(rf"\b(?:the|its|that|this|a|any) {_FIELD}\b")
_NUMBERED = pattern(r"(?:\b(?:task|number|item)s?\s*#?|#)(?P<number>\d{1,6})\b")
OnTasks = Complete | Delete | Change | Reopen | Inspect | Pick


def strip_thanks(text: str) -> str:
    """Strip the thanks and the praise at the end of a message."""
    previous = None
    while previous != text:
        checkpoint()
        previous, found = text, _THANKS_AT_END.search(text)
        if found and len(text[: found.start()].split()) > 1:
            text = text[: found.start()]
    return text


class SentenceContext:
    """The context of the sentences of one message: the number of the last task, and the last sentence."""

    def __init__(self, text: str) -> None:
        found = _KEEP_TASK.search(text)
        self.text = f"{text[: found.start()]}{text[found.end() :]}" if found else text
        self._keeps_task = found is not None
        self._field_to_clear = (found["field"] or "") if found else ""
        self._last_number: int | None = None
        self._last_clause = ""
        self._last_intent: Intent | None = None

    def resolve(self, intent: Intent, clause: str, now: datetime) -> Intent | None:
        """Return the intent with "it" resolved from earlier sentences; None if they already include it."""
        if isinstance(intent, OnTasks) and intent.ref.pronoun == "it" and self._last_number is not None:
            linked: Intent | None = replace(intent, ref=Ref(numbers=(self._last_number,)))
        else:
            linked = intent
        if isinstance(linked, Delete):
            linked = self._as_field_removal(linked, intent, clause, now)
        self._record(linked or intent, clause)
        return linked

    def _as_field_removal(self, intent: Delete, original: Intent, clause: str, now: datetime) -> Intent | None:
        """Parse the removal of a date or a note; a task is not deleted if a field may be meant."""
        it = (
            isinstance(original, Delete)
            and original.ref.pronoun == "it"
            and not pattern(r"\b(?:task|one)\b").search(clause)
        )
        field = _FIELD_NAMED.search(self._last_clause) if it else None
        if field is None and not self._keeps_task:
            return intent
        if (
            it
            and isinstance(self._last_intent, Change)
            and (self._last_intent.clear_due or self._last_intent.description == "")
        ):
            return None
        name = self._field_to_clear or (field["field"] if field else "")
        if not name:
            return Talk("keep")
        note = pattern(_NOTE).fullmatch(name) is not None
        cleared = Change(intent.ref, clear_due=not note, description="" if note else None)
        if intent.ref.pronoun != "it" or self._keeps_task:
            return cleared
        if found := _FIELD_OF.search(self._last_clause):
            return replace(cleared, ref=parse_ref(found["ref"], now))
        by_words = isinstance(self._last_intent, Complete | Delete) and self._last_intent.ref.phrase
        if name.lower() != "reminder" and not by_words and _ITS_FIELD.search(self._last_clause):
            return cleared
        return replace(intent, unsure=True)

    def _record(self, intent: Intent, clause: str) -> None:
        numbers = {int(found["number"]) for found in _NUMBERED.finditer(clause)}
        if isinstance(intent, OnTasks):
            if len(intent.ref.numbers) == 1:
                self._last_number = intent.ref.numbers[0]
            elif intent.ref.pronoun != "it":
                self._last_number = None
        elif isinstance(intent, Add | Show):
            self._last_number = None
        elif len(numbers) == 1 and isinstance(intent, Vague | Mention | Talk):
            self._last_number = numbers.pop()
        self._last_clause = "" if isinstance(intent, Add) else clause
        self._last_intent = intent
