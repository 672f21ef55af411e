"""Understand wishes to change a task: its title, its note, its priority, when it is due."""

import re
from dataclasses import replace
from datetime import datetime, timedelta

from chat.assistant.offline.adding import CHORES, clean_title
from chat.assistant.offline.dates import NUMBERS, Due, find_due, settle, without
from chat.assistant.offline.pointing import read_ref
from chat.assistant.offline.spans import read_span
from chat.assistant.offline.slots import take_priority
from chat.assistant.offline.wishes import Change, Draft, Fragment, Ref, Slot
from chat.assistant.offline.words import quoted

_POINTED = (
    r"(?:it|that|this|that one|this one|them|(?:the )?(?:task|number|no\.?|#|item)\s*(?:number )?#?(?:\d+|one|two|three|four|five)"
    r"|#?\d+|the (?:first|second|third|fourth|fifth|last|other|new)(?: one| task)?|(?:that|this|the) task|[\ue100-\ue7ff])"
)
_DUE_NOUN = r"(?:due[ -]?dates?|due|deadline|date|due time|time|schedule|reminder date)"
_CLEAR = (
    re.compile(rf"^(?:remove|clear|delete|drop|unset|cancel|erase|get rid of|take (?:off|away)|lose|strip)\s+(?:the |its |any |that |my )?{_DUE_NOUN}(?:\s+(?:from|of|for|on|off)\s+(?P<ref>.+))?$", re.I),
    re.compile(rf"^(?:remove|clear|delete|drop|unset|cancel)\s+(?P<ref>.+?)'s\s+{_DUE_NOUN}$", re.I),
    re.compile(rf"^(?P<ref>.+?)\s+(?:has|have|needs?|should have|with|doesn't (?:have|need)|does not (?:have|need)|no longer has)\s+(?:no |a |any |an )*{_DUE_NOUN}(?: any ?more| after all)?$", re.I),
    re.compile(rf"^no (?:more )?{_DUE_NOUN}(?:\s+(?:for|on)\s+(?P<ref>.+))?$", re.I),
    re.compile(rf"^(?:set|change|make)\s+(?:the\s+)?{_DUE_NOUN}\s+(?:of|for|on)\s+(?P<ref>.+?)\s+to\s+(?:none|nothing|never|no date|empty)$", re.I),
)  # fmt: skip
_NOTE_NOUN = r"(?:notes?|descriptions?|comments?|details?|desc)"
_DESCRIBE = (
    re.compile(rf"^(?:set|change|update|edit|make|replace|put)\s+(?:the |its )?{_NOTE_NOUN}\s+(?:of|for|on|to|in)\s+(?P<ref>.+?)\s*(?:\bto\b|\bas\b|:|=|\bsaying\b)\s*(?P<text>.+)$", re.I),
    re.compile(rf"^(?:set|change|update|edit|make)\s+(?!(?:an?|the|another|some)\s+{_NOTE_NOUN})(?P<ref>.+?)(?:'s)?\s+{_NOTE_NOUN}\s+(?:to|as|:|say)\s*(?P<text>.+)$", re.I),
    re.compile(rf"^(?:set|change|update|make)\s+(?:the |its )?{_NOTE_NOUN}\s+(?:to|as|:)\s*(?P<text>.+)$", re.I),
    re.compile(rf"^(?:add|put|attach|leave|write|include|append|make|give)\s+(?:a |an |the |this |another |some |following )*{_NOTE_NOUN}\s+(?:to|on|for|in|under|of)\s+(?P<ref>.+?)\s*(?::|,|\bthat says\b|\bsaying\b|\bsays\b|\bthat\b|-\s)\s*(?P<text>.+)$", re.I),
    re.compile(rf"^(?:add|put|attach|leave|write|include|append)\s+(?:a |an |the |this |another |following )*{_NOTE_NOUN}\s*:?\s*(?P<text>[^\s:].*?)\s+(?:to|on|for|in|under)\s+(?P<ref>{_POINTED}|(?:the )?.+? task|(?:the )?task .+|[^:]+?)$", re.I),
    re.compile(rf"^(?:add|put|attach|leave|write|include)\s+(?:a |an |the |this |another )*{_NOTE_NOUN}\s*(?::|that|saying|that says|-)\s*(?P<text>.+)$", re.I),
    re.compile(rf"^(?:give|update|edit)\s+(?P<ref>.+?)\s+(?:with )?(?:a |the |this )*{_NOTE_NOUN}\s*(?::|of|saying|that says|that|-)?\s*(?P<text>.+)$", re.I),
    re.compile(rf"^(?:add|append|write|put)\s+(?:to|in|into|on|under)\s+(?:the |its )?{_NOTE_NOUN}(?:\s+(?:of|on|for|in)\s+(?P<ref>.+?))?\s*(?::|,|\bthat\b|-\s)\s*(?P<text>.+)$", re.I),
    re.compile(rf"^(?P<ref>{_POINTED})\s+{_NOTE_NOUN}\s*[:=-]\s*(?P<text>.+)$", re.I),
    re.compile(r"^(?:note|comment)\s+(?:for|on|to)\s+(?!self\b|myself\b)(?P<ref>.+?)\s*[:,-]\s*(?P<text>.+)$", re.I),
    re.compile(r"^note\s+(?:on|for|in)\s+(?P<ref>.+?)\s+that\s+(?P<text>.+)$", re.I),
    re.compile(r"^describe\s+(?P<ref>.+?)\s+as\s*:?\s*(?P<text>.+)$", re.I),
    re.compile(rf"^(?:the )?{_NOTE_NOUN}\s+(?:of|for|on)\s+(?P<ref>.+?)\s*(?:\bshould be\b|\bis\b|\bshould say\b|\bto\b|=|:)\s*:?\s*(?P<text>.+)$", re.I),
    re.compile(rf"^(?P<ref>.+?)'s\s+{_NOTE_NOUN}\s+(?:should be|is|should say|to)\s*:?\s*(?P<text>.+)$", re.I),
    re.compile(rf"^(?:add|append|attach)\s+(?P<text>.+?)\s+(?:to|in|as)\s+(?:the |a |its )?{_NOTE_NOUN}(?:\s+(?:of|on|for|in|to)\s+(?P<ref>.+))?$", re.I),
    re.compile(rf"^(?:add|append|attach)\s+(?:to\s+)?(?P<ref>{_POINTED})\s*(?::|that)\s*(?P<text>.+)$", re.I),
    re.compile(r"^(?:add|append|attach)\s+(?P<text>.+?)\s+to\s+(?P<ref>(?:task|number|#)\s*#?\d+)$", re.I),
)  # fmt: skip
_NOTE_MISSING = re.compile(
    rf"^(?:add|put|attach|write|set|change|update|edit)\s+(?:a |an |the |another )*{_NOTE_NOUN}(?:\s+(?:to|on|for|of|in)\s+(?P<ref>.+))?$",
    re.I,
)
_ONLY_NOTE = re.compile(rf"(?:an? |the |another |some )*{_NOTE_NOUN}", re.I)
_NOTE_GONE = re.compile(
    rf"^(?:remove|clear|delete|erase|drop)\s+(?:the |its |any )?{_NOTE_NOUN}(?:\s+(?:from|of|for|on)\s+(?P<ref>.+))?$",
    re.I,
)
_RENAME = (
    re.compile(r"^(?:rename|re-name|retitle|reword)\s+(?P<ref>.+?)\s+(?:to(?: be| say)?|as|into|so it says|=>|->)\s*:?\s+?(?P<text>.+)$", re.I),
    re.compile(rf"^(?:rename|retitle)\s+(?P<ref>{_POINTED})\s*[:,]?\s+(?P<text>.+)$", re.I),
    re.compile(r"^(?:change|edit|update|set|make|correct|fix)\s+(?:the )?(?:title|name|text|wording|label)\s+(?:of|for|on)\s+(?P<ref>.+?)\s+(?:to|as|into)\s*:?\s*(?P<text>.+)$", re.I),
    re.compile(r"^(?:change|edit|update|set|correct)\s+(?P<ref>.+?)(?:'s)?\s+(?:title|name|text|wording)\s+(?:to|as|into)\s*:?\s*(?P<text>.+)$", re.I),
    re.compile(r"^(?:change|edit|update|set)\s+(?:the |its )?(?:title|name|text|wording)\s+to\s*:?\s*(?P<text>.+)$", re.I),
    re.compile(rf"^(?:call|name|title)\s+(?P<ref>{_POINTED})\s+(?P<text>.+?)(?:\s+instead)?$", re.I),
    re.compile(r"^(?P<ref>.+?)\s+(?:should|must|ought to)\s+(?:really |actually |instead )*(?:be (?:called|named|titled|renamed(?: to)?)|say|read)\s*:?\s*(?P<text>.+?)(?:\s+instead)?$", re.I),
    re.compile(r"^(?:the )?(?:title|name)(?:\s+of\s+(?P<ref>.+?))?\s+should be\s*:?\s*(?P<text>.+)$", re.I),
    re.compile(r"^(?:make|have|let)\s+(?P<ref>.+?)\s+(?:say|read)\s*:?\s*(?P<text>.+)$", re.I),
    re.compile(r"^(?:change|edit|update|replace|correct|switch|turn|swap|modify)\s+(?P<ref>.+?)\s+(?:to|into|with|for|by)(?: say| read)?\s*:?\s*(?P<text>.+)$", re.I),
    re.compile(rf"^(?P<ref>{_POINTED})\s+(?:should|must)\s+(?:really |actually |instead )*be\s*:?\s*(?P<text>.+?)(?:\s+instead)?$", re.I),
    re.compile(r"^instead of (?P<ref>.+?),? (?:it should|make it|call it|it must|please write|write|put) (?:say |be |read )?(?P<text>.+)$", re.I),
    re.compile(r"^(?:edit|update|change|rename|correct)\s+(?P<ref>[^:]+?)\s*:\s+(?P<text>.+)$", re.I),
    re.compile(rf"^(?:make)\s+(?P<ref>{_POINTED})\s+(?:into\s+)?(?P<text>.+)$", re.I),
)  # fmt: skip
_RENAME_MISSING = re.compile(r"^(?:rename|retitle|change the (?:title|name|wording) of)\s+(?P<ref>.+)$", re.I)
_INSTEAD = re.compile(
    r"^(?:i meant|i mean|it should(?: have)? be(?:en)?|it was supposed to be|should be|make it|make that)\s*:?\s*(?P<text>.+?)(?:\s*,?\s*not\s+(?P<old>.+))?$",
    re.I,
)

_MOVE = r"(?:make|set|move|push(?: back| out)?|postpone|reschedule|re-?date|delay|change|shift|bring(?: forward)?|defer|put off|put|update|extend|bump|edit|mark|give|raise|lower|increase|decrease|flag|switch|turn|adjust|schedule|assign|modify|have|get|let|upgrade|downgrade|pull(?: forward| in)?|snooze|remind me (?:about|of)|add (?:an? |the )?(?:due ?date|deadline))"
_MOVING = re.compile(rf"^{_MOVE}\b\s*", re.I)
_DATING = re.compile(
    r"^(?:move|push|postpone|reschedule|re-?date|delay|shift|defer|put off|extend|snooze|bring forward)\b", re.I
)
_PRIORITISING = re.compile(
    r"^(?P<how>prioriti[sz]e|(?:de|un)-?prioriti[sz]e|(?:raise|increase|bump up|up|lower|decrease|reduce|drop) (?:the )?priority (?:of|on|for)|(?:raise|lower|increase|decrease|reduce) (?P<inner>.+?)(?:'s)? priority$)\s*(?P<ref>.*)$",
    re.I,
)
_NOT_URGENT = re.compile(r"^(?P<ref>.+?)\s*(?:\s+(?:is|are) (?:not|no longer)|(?:\s+is|\s+are)n't|'s (?:not|no longer))\s+(?:actually |really |that |so |very |all that |too |as )*(?:urgent|important|high priority|a (?:high )?priority|critical)(?P<anymore>\s+(?:any ?more|any longer|now))?$", re.I)  # fmt: skip
_POINTED_THEN = re.compile(rf"^(?P<ref>{_POINTED})\s*(?:[,:-]|\bto\b)?\s*(?P<rest>.+)$", re.I)
_LED = re.compile(
    rf"^(?:for|on|to|in|about|regarding|as for|concerning)\s+(?P<ref>{_POINTED}|(?:the |my )?.+? task|[^,:]+(?=[,:]))\s*[,:]?\s+(?P<rest>(?:please )?(?:add|set|put|write|make|change|move|update|rename|include|attach|call|push|postpone|reschedule|mark|remove|clear)\b.+)$",
    re.I,
)
_LEVEL_GIVEN = re.compile(
    r"^(?:(?:the )?priority (?:of|for|on) (?P<ref>.+?)|(?P<ref2>.+?)(?:'s)? priority)\s*(?::|=|-|\bis\b|\bshould be\b|\bto\b|\bmust be\b|->)+\s*(?P<level>\w+(?: priority)?)(?: please| now)?$",
    re.I,
)
_ASKING = re.compile(
    r"(?:is|are|was|were|do (?:i|you|we|they|any)|does|did|what|which|when|how|who|why|am|any|anything|where)\b", re.I
)
_SHIFT = re.compile(
    r"\b(?:by |back |forward |out |ahead |for )*(?P<count>\d+|a|an|one|two|three|four|five|six|seven|a couple of|a few|another)\s+(?:more\s+)?(?P<unit>day|week)s?(?:\s+(?P<way>later|earlier|back|forward|sooner|out))?\b(?! (?:from|after))",
    re.I,
)
_IS_DUE = re.compile(r"^(?P<ref>.+?)\s*(?:\s+(?:can wait|(?:has been|have been|was|were|got|is|are|will be|needs to be|should be|must be|has to be) (?:now )?(?:moved|postponed|pushed(?: back)?|rescheduled|shifted|delayed|put off|brought forward))(?: back)?\s+(?:to|until|till|for)\b|(?:\s+(?:is|are|should be|must be|needs to be|has to be|will be|can be|was|ought to be)|(?<=it)'s|(?<=that)'s)\s+(?:actually |really |now |also |only |in fact )*(?:due|done by|done|finished by|for|at|on|by|not due until|set for|needed)|\s+(?:is|has|with)?\s*due)\b", re.I)  # fmt: skip
_IS_PRIORITY = re.compile(r"^(?P<ref>.+?)\s*(?:\s+(?:is|are|should be|has|must be|needs to be|gets)|'s)\s+(?:actually |really |now |very |super |also |more |quite |so |not |that |a )*(?:urgent|important|high|low|normal|medium|top|critical)\b", re.I)  # fmt: skip
_CONNECTORS = re.compile(
    rf"^(?:\s*(?:the |its )?(?:{_DUE_NOUN}|priority|urgency|importance)\s+(?:of|for|on|to)\s+)|^\s*(?:to|for|on|of)\s+|(?:\s*\b(?:to|as|be|is|so it's|so that it's|due|for|until|till|by|on|at|and|a|an|with|the|from|back|out|forward|up|down|it|instead|rather|now|please|again|of|'s|task|should|must|needs?|has|ought|will|can|could|really|actually|only|gets?|done|finished|ready|super|very|quite|extremely|so|more|most|pretty|wait|been|have|was|were|got|moved|postponed|pushed|rescheduled|delayed|shifted)\b|[\s,.;:'!?-]+)+$",
    re.I,
)
_DUE_ASKED = re.compile(rf"^(?:the |its |my )?(?:{_DUE_NOUN}|priority)$", re.I)
_ONLY_TASK_WORDS = re.compile(r"^(?:the |its |my )?(?:priority|due date|deadline|date|due|time)?$", re.I)


def change(clause: str, now: datetime) -> Change | None:
    """Read a wish to change a task."""
    if clause.endswith("?") or _ASKING.match(clause):
        return None
    if found := re.match(
        r"^(?:do|finish|handle|schedule|take care of|tackle)\s+(?P<ref>it|that|this|them|that one|this one)\s+(?P<rest>.+)$",
        clause,
        re.I,
    ):
        said = fragment(found["rest"], now)
        return Change(read_ref(found["ref"], now), day=said.day, at=said.at) if said and said.day else None
    if (found := _POINTED_THEN.match(clause)) and (said := fragment(found["rest"], now)):
        return Change(read_ref(found["ref"], now), day=said.day, at=said.at, priority=said.priority)
    if led := _LED.match(clause):
        inner = change(led["rest"], now)
        return (
            replace(inner, ref=read_ref(led["ref"], now), otherwise=None)
            if inner and inner.ref.pronoun == "it"
            else None
        )
    return _cleared(clause, now) or _described(clause, now) or _prioritised(clause, now) or _dated(clause, now) or _instead(clause, now) or _renamed(clause, now) or _corrected(clause, now)  # fmt: skip


def fragment(clause: str, now: datetime) -> Fragment | None:
    """Read a bare day, hour or priority."""
    clause = re.sub(
        r"^(?:no[, ]+|i meant?|i said|rather|better|it's|that's|is|maybe|perhaps|say|for|let's say|make it)\s+",
        "",
        clause.strip(" .!?"),
        flags=re.I,
    )
    clause = re.sub(
        r"\s+(?:instead|then|please|rather|is fine|works|would be (?:good|great|fine))$", "", clause, flags=re.I
    )
    priority, rest = take_priority(clause, bare=True)
    due = find_due(rest, now)
    if due is not None:
        rest = without(rest, due)
    elif found := re.fullmatch(r"(?:at )?(?P<hour>\d{1,2})(?::\d\d)?", rest.strip()):
        return None if found else None
    if (priority is None and due is None) or re.sub(
        r"\b(?:and|it|due|at|on|by|with|make|is|a|the|to|task|one|for)\b|\W", "", rest, flags=re.I
    ):
        return None
    span = read_span(clause, now) if due and not due.at and not priority else None
    return Fragment(due.day if due else None, due.at if due else None, priority, span)


def _instead(clause: str, now: datetime) -> Change | None:
    """Read "call the bank at 11 instead" as a new time for a task there is."""
    found = re.match(r"^(?P<said>.+?)\s+(?:instead|rather)$", clause, re.I)
    due = find_due(found["said"], now, prefer="last") if found else None
    if found is None or due is None or _MOVING.match(clause):
        return None
    words = _bare_ref(without(found["said"], due))
    return Change(_ref(words, now), day=due.day, at=due.at) if words else None


def _ref(words: str | None, now: datetime) -> Ref:
    return read_ref(words, now) if words and words.strip() else Ref(pronoun="it")


def _cleared(clause: str, now: datetime) -> Change | None:
    for form in _CLEAR:
        if found := form.match(clause):
            return Change(_ref(found.groupdict().get("ref"), now), clear_due=True)
    if found := _NOTE_GONE.match(clause):
        return Change(_ref(found["ref"], now), description="")
    return None


def _described(clause: str, now: datetime) -> Change | None:
    for form in _DESCRIBE:
        if (found := form.match(clause)) and not _ONLY_NOTE.fullmatch(found["text"]):
            adding = re.match(r"(?:add|append|attach|include|put|leave|write|note|comment)\b", clause, re.I) is not None
            text = found["text"].strip(" \"'")
            return Change(_ref(found.groupdict().get("ref"), now), description=text, appended=adding)
    found = _NOTE_MISSING.match(clause)
    return Change(_ref(found["ref"], now), lacks="description") if found else None


def _prioritised(clause: str, now: datetime) -> Change | None:
    if found := _LEVEL_GIVEN.match(clause):
        given, _ = take_priority(found["level"], bare=True)
        words = re.sub(
            r"^(?:change|set|make|update|put|raise|lower|turn|switch)\s+", "", found["ref"] or found["ref2"], flags=re.I
        )
        return Change(_ref(words, now), priority=given) if given else None
    if found := _NOT_URGENT.match(clause):
        return Change(_ref(found["ref"], now), priority="normal" if found["anymore"] else "low")
    found = _PRIORITISING.match(clause)
    if not found or take_priority(clause, bare=True)[0]:
        return None
    down = re.match(r"de|un|lower|decrease|reduce|drop", found["how"], re.I)
    return Change(_ref(found["inner"] or found["ref"], now), priority="low" if down else "high")


def _dated(clause: str, now: datetime) -> Change | None:
    """Read what sets a date or a priority: "move X to Friday", "X is due tomorrow", "make it urgent"."""
    moving = _MOVING.match(clause)
    if not (moving or _IS_DUE.match(clause) or _IS_PRIORITY.match(clause)):
        return None
    rest = clause[moving.end() :] if moving else clause
    shifted = _shifted(clause, rest, now)
    if shifted is not None:
        return shifted
    # "From three to four", "from low to high": what it was before does not matter.
    rest = re.sub(r"\s+from\s+(?:(?!\bto\b).)+?\s+(?=to\b)", " ", rest, flags=re.I) if moving else rest
    due, rest = _new_due(rest, now)
    priority, rest = take_priority(rest, bare=True)
    if due is None and priority is None:
        return _lacking(clause, rest, now)
    words = _bare_ref(rest)
    if words[:1] > "\ue000" and not quoted(words):
        return None
    wish = Change(_ref(words, now), day=due.day if due else None, at=due.at if due else None, priority=priority)
    return replace(wish, otherwise=_as_draft(clause, rest, wish, now, moving is not None))


def _new_due(rest: str, now: datetime) -> tuple[Due | None, str]:
    """Return the date that something is moved to, and what is left; in "the Friday call to Monday" that is the Monday."""
    if (denied := re.search(r",?\s+(?:and not|not|instead of|rather than)\s+(?P<old>.+)$", rest, re.I)) and find_due(
        denied["old"], now
    ):
        rest = rest[: denied.start()]
    if found := re.match(r"(?P<ref>.+)\s(?P<when>(?:to|until|till|for)\s.+)$", rest, re.I):
        due = find_due(found["when"], now)
        if due is not None and not re.sub(
            r"^(?:to|until|till|for)\b|\b(?:instead|please|now|rather)\b|\W",
            "",
            without(found["when"], due),
            flags=re.I,
        ):
            return due, found["ref"]
    due = find_due(rest, now, prefer="last")
    return due, without(rest, due) if due else rest


def _bare_ref(rest: str) -> str:
    """Strip what holds a wish together until only the words that point at a task are left."""
    if _IT_ALONE.fullmatch(rest.strip(" ,.;:!?-")):
        return rest.strip(" ,.;:!?-")
    previous = None
    while previous != rest:
        previous = rest
        shorter = _CONNECTORS.sub("", rest).strip(" ,.;:!?-")
        if not shorter and (pointed := re.match(r"(it|that|this)\b", rest, re.I)):
            return pointed[1]
        rest = re.sub(r"(?:'s)?\s+(?:due date|deadline|date|due|priority|time)$", "", shorter, flags=re.I)
        if _IT_ALONE.fullmatch(rest):
            break
    return "" if _ONLY_TASK_WORDS.match(rest) else rest


_IT_ALONE = re.compile(r"(?:it|that|this|them|those|both)(?: one| task)?", re.I)


def _shifted(clause: str, rest: str, now: datetime) -> Change | None:
    if not re.match(
        r"(?:push|postpone|delay|move|bring|extend|shift|bump|put off|defer|snooze|make|pull)\b", clause, re.I
    ):
        return None
    found = _SHIFT.search(rest)
    if not found or re.search(r"\b(?:in|within)\s*$", rest[: found.start()], re.I):
        return None
    if re.match(r"make\b", clause, re.I) and not found["way"]:
        return None
    count = found["count"].lower()
    days = (int(count) if count.isdigit() else NUMBERS.get(count, 1)) * (7 if found["unit"].lower() == "week" else 1)
    earlier = re.search(r"\bearlier\b|\bforward\b|\bsooner\b|\bpull\b", clause, re.I)
    words = _bare_ref(f"{rest[: found.start()]} {rest[found.end() :]}")
    return Change(_ref(words, now), shift=timedelta(days=-days if earlier else days))


def _lacking(clause: str, rest: str, now: datetime) -> Change | None:
    """Read "reschedule the dentist" and "change the priority of task 2", which do not say to what."""
    if found := re.match(
        rf"^(?:change|set|update|edit|adjust|add|give|put)\s+(?:the |an? |another |new )*(?P<what>{_DUE_NOUN}|priority)\s+(?:of|for|on|to)\s+(?P<ref>[^:]+)$",
        clause,
        re.I,
    ):
        if re.search(r"\bto\b", found["ref"]):
            return None
        return Change(read_ref(found["ref"], now), lacks="priority" if found["what"].lower() == "priority" else "due")
    if _DATING.match(clause) and not re.search(r"\b(?:to|until|till|by)\b", clause):
        return Change(_ref(_bare_ref(rest), now), lacks="due")
    if found := re.match(rf"^(?:change|update|edit|modify|adjust)\s+(?P<ref>{_POINTED}|.*\btask)$", clause, re.I):
        lacks: Slot = "anything"
        return Change(read_ref(found["ref"], now), lacks=lacks)
    return None


def _as_draft(clause: str, rest: str, wish: Change, now: datetime, moving: bool) -> Draft | None:
    """Return the task that "make dinner on Friday" or "the report is due Monday" would be, were there none of that name."""
    if not wish.ref.phrase:
        return None
    verb = clause.split(" ", 1)[0].lower()
    if moving and verb not in CHORES | {"schedule", "bring", "put", "get", "have"}:
        return None
    due = find_due(clause, now, prefer="last")
    day, at = settle(due, now) if due else (None, None)
    title = clean_title(take_priority(without(clause, due))[1]) if moving and due else wish.ref.phrase
    return Draft(
        re.sub(r"\s+(?:is|are|should be|has|'s)$", "", title), day=day, at=at, priority=wish.priority or "normal"
    )


def _renamed(clause: str, now: datetime) -> Change | None:
    for form in _RENAME:
        if found := form.match(clause):
            text = clean_title(found["text"]) if not quoted(found["text"]) else found["text"].strip()
            return Change(_ref(found.groupdict().get("ref"), now), title=text)
    if found := _RENAME_MISSING.match(clause):
        return Change(_ref(found["ref"], now), lacks="title")
    return None


def _corrected(clause: str, now: datetime) -> Change | None:
    """Read "I meant oat milk" as what the task that was just spoken of should be called."""
    found = _INSTEAD.match(clause)
    if not found or fragment(found["text"], now) or read_ref(found["text"], now).phrase == "":
        return None
    return Change(Ref(pronoun="it"), title=clean_title(found["text"]))
