"""Parse requests to change a task: its title, note, priority or due date."""

import re
from dataclasses import replace
from datetime import datetime, timedelta

from chat.assistant.offline.adding import clean_title
from chat.assistant.offline.budget import checkpoint
from chat.assistant.offline.clock import NUMBERS
from chat.assistant.offline.dates import Due, find_due, resolve_due, strip_due
from chat.assistant.offline.ellipsis import parse_fragment, strip_denied_day
from chat.assistant.offline.intents import Change, Draft, Ref, Slot
from chat.assistant.offline.patterns import pattern, patterns
from chat.assistant.offline.prioritising import parse_priority_change
from chat.assistant.offline.references import REF, parse_ref, ref_or_it
from chat.assistant.offline.rescheduling import parse_rescheduled
from chat.assistant.offline.slots import take_priority
from chat.assistant.offline.verbs import CHORES
from chat.assistant.offline.wording import CLEAR_NOTE, parse_note_change, parse_rename
from chat.assistant.offline.words import is_quote

_DUE_NOUN = r"(?:due[ -]?dates?|due|deadline|date|due time|time|schedule|reminder date)"
_CLEAR = patterns(
    r"^(?:remove|clear|delete|drop|unset|cancel|erase|get rid of|take (?:off|away)|lose|strip)\s+(?:the |its "
    rf"|any |that |my )?{_DUE_NOUN}(?:\s+(?:from|of|for|on|off)\s+(?P<ref>.+))?$",
    rf"^(?:remove|clear|delete|drop|unset|cancel)\s+(?P<ref>.+?)'s\s+{_DUE_NOUN}$",
    rf"^(?:take|get|strip|knock|pull)\s+(?:the |its |that |any )?{_DUE_NOUN}\s+(?:off|away from|from|out of)\s+(?:of )?"
    r"(?P<ref>.+?)(?:,.*)?$",
    r"^(?P<ref>.+?)\s+(?:has|have|needs?|should have|with|doesn't (?:have|need)|does not (?:have|need)"
    rf"|no longer has)\s+(?:no |a |any |an )*{_DUE_NOUN}(?: any ?more| after all)?$",
    rf"^no (?:more )?{_DUE_NOUN}(?:\s+(?:for|on)\s+(?P<ref>.+))?$",
    rf"^(?:set|change|make)\s+(?:the\s+)?{_DUE_NOUN}\s+(?:of|for|on)\s+(?P<ref>.+?)\s+to\s+(?:none|nothing"
    r"|never|no date|empty)$",
)
_TIME_ONLY = pattern(r"\w+(?: rid of| away| off)?\s+(?:the |its |that |any |my )*(?:due )?time\b")
_INSTEAD = pattern(
    r"^(?:i meant|i mean|it should(?: have)? be(?:en)?|it was supposed to be|should be|make it"
    r"|make that)\s*:?\s*(?P<text>.+?)(?:\s*,?\s*not\s+(?P<old>.+))?$"
)
_MOVE = (
    r"(?:make|set|move|push(?: back| out)?|postpone|reschedule|re-?date|delay|change|shift|bring(?: forward)?"
    r"|defer|put off|put|update|extend|bump|edit|mark|give|raise|lower|increase|decrease|flag|switch|turn|adjust"
    r"|schedule|assign|modify|have|get|let|upgrade|downgrade|pull(?: forward| in)?|snooze|remind me (?:about|of)"
    r"|add (?:an? |the )?(?:due ?date|deadline))"
)
_MOVING = pattern(rf"^{_MOVE}\b\s*")
_DATING = pattern(
    r"^(?:move|push|postpone|reschedule|re-?date|delay|shift|defer|put off|extend|snooze|bring forward)\b"
)
_REF_THEN = pattern(
    rf"^(?P<ref>{REF}|both(?: of (?:them|those))?|all of them|they(?: are| both)*)\s*(?:[,:-]|\bto\b)?\s*(?P<rest>.+)$"
)
_LEADING_REF = pattern(
    rf"^(?:for|on|to|in|about|regarding|as for|concerning)\s+(?P<ref>{REF}|(?:the |my )?.+? task"
    r"|[^,:]+(?=[,:]))\s*[,:]?\s+(?P<rest>(?:please )?(?:add|set|put|write|make|change|move|update|rename|include"
    r"|attach|call|push|postpone|reschedule|mark|remove|clear)\b.+)$"
)
_BARE_HOUR = pattern(
    r"\s(?:to|for|at|until|till)\s+(?P<hour>[1-9]|1\d|2[0-3])(?:\s+instead)?(?:\s+(?:instead of|not)\s+\d+)?$"
)
_ASKING = pattern(
    r"(?:is|are|was|were|do (?:i|you|we|they|any)|does|did|what|which|when|how|who|why|am|any|anything|where)\b"
)
_UNITS = {
    "day": timedelta(days=1),
    "week": timedelta(days=7),
    "hour": timedelta(hours=1),
    "minute": timedelta(minutes=1),
}
_SHIFT = pattern(
    r"\b(?:by |back |forward |out |ahead |for )*(?P<count>\d+|a|an|one|two|three|four|five|six|seven"
    r"|a couple of|a few|another|half an)\s+(?:more\s+)?(?P<unit>day|week|hour|minute)s?(?:\s+(?P<way>later|earlier"
    r"|back|forward|sooner|out))?\b(?! (?:from|after))"
)
_IS_DUE = pattern(
    r"^(?P<ref>.+?)\s*(?:\s+(?:can wait|(?:has been|have been|was|were|got|is|are|will be|needs to be|should be|must "
    r"be|has to be) (?:now )?(?:moved|postponed|pushed(?: back)?|rescheduled|shifted|delayed|put off|brought "
    r"forward))(?: back)?\s+(?:to|until|till|for)\b|(?:\s+(?:is|are|should be|must be|needs to be|has to be|will be"
    r"|can be|was|ought to be)|(?<=it)'s|(?<=that)'s)\s+(?:actually |really |now |also |only |in fact )*(?:due|done by"
    r"|done|finished by|for|at|on|by|not due until|set for|needed)|\s+(?:is|has|with)?\s*due)\b"
)
_IS_PRIORITY = pattern(
    r"^(?P<ref>.+?)\s*(?:\s+(?:is|are|should be|has|must be|needs to be|gets)|'s)\s+(?:actually |really |now "
    r"|very |super |also |more |quite |so |not |that |a )*(?:urgent|important|high|low|normal|medium|top|critical)\b"
)
_LEAD = pattern(
    rf"\s*(?:the |its )?(?:{_DUE_NOUN}|priority|urgency|importance)\s+(?:of|for|on|to)\s+|\s*(?:to|for|on|of)\s+"
)
_CONNECTOR = pattern(
    r"\s*\b(?:to|as|be|is|so it's|so that it's|due|for|until|till|by|on|at|and|a|an|with|the"
    r"|from|back|out|forward|up|down|it|instead|rather|now|please|again|of|'s|task|should|must|needs?|has"
    r"|ought|will|can|could|really|actually|only|gets?|done|finished|ready|super|very|quite|extremely|so|more"
    r"|most|pretty|wait|been|have|was|were|got|moved|postponed|pushed|rescheduled|delayed|shifted)\b|[\s,.;:'!?-]"
)
_ONLY_TASK_WORDS = pattern(r"^(?:the |its |my )?(?:priority|due date|deadline|date|due|time)?$")
_SAME_HOUR = pattern(
    rf"^(?!{_MOVE}\b)(?P<ref>\w[\w' -]{{1,40}}?),? (?:at )?(?:the )?same (?:time|hour),? (?P<when>\S.*)$"
)
_DEADLINE_IS = pattern(
    r"^(?:the )?(?:deadline|due date)(?: for| of| on)? (?P<ref>.+?) (?:is|was|has been|got)(?: now| actually)?(?: set (?:to|for)| moved to| changed to)? (?P<when>\S.*)$"
)
_LATER = pattern(
    rf"^(?!{_MOVE}\b)(?P<ref>\S+(?: \S+){{0,4}}?),? (?P<amount>(?:an?|one|two|three|half an|a few|a couple of|\d+) (?:day|week|hour|minute|month)s?"
    r" (?:later|earlier|sooner))$"
)
_CAN_WAIT = pattern(
    r"^can (?P<ref>.+?) (?:wait|be (?:moved|done|pushed|postponed|rescheduled)|move)(?: back)? (?P<when>(?:to"
    r"|until|till|by|on) .+?)\??$"
)
_DO_IT = pattern(
    rf"^(?:do|finish|handle|schedule|take care of|tackle)\s+(?P<ref>{REF}|that one"
    r"|this one)\s+(?P<rest>.+)$"
)


def parse_change(clause: str, now: datetime) -> Change | None:
    """Parse a request to change a task."""
    if found := _CAN_WAIT.match(clause):
        return parse_change(f"move {found['ref']} {found['when']}", now)
    clause = pattern(r"(?<!rather)\s+than (?:i|we|it|before|expected|planned|usual)\b.*$").sub("", clause)
    if found := _SAME_HOUR.match(clause):
        return parse_change(f"move {found['ref']} to {found['when']}", now)
    if found := _DEADLINE_IS.match(clause):
        return parse_change(f"{found['ref']} is due {found['when']}", now)
    if found := _LATER.match(clause):
        return parse_change(f"move {found['ref']} {found['amount']}", now)
    if pattern(r"(?:how|what) about\b").match(clause):
        return parse_rescheduled(clause.rstrip("? "), now)
    if (
        clause.endswith("?")
        or pattern(r"(?:n't| not| no longer) (?:\w+ )?(?:due|for|on)\b").search(clause)
        or _ASKING.match(clause)
    ):
        return None
    if found := _DO_IT.match(clause):
        values = parse_fragment(found["rest"], now)
        return Change(parse_ref(found["ref"], now), day=values.day, at=values.at) if values and values.day else None
    if (found := _REF_THEN.match(clause)) and (values := parse_fragment(found["rest"], now)):
        return Change(parse_ref(found["ref"], now), day=values.day, at=values.at, priority=values.priority)
    if leading := _LEADING_REF.match(clause):
        inner = parse_change(leading["rest"], now)
        return (
            replace(inner, ref=parse_ref(leading["ref"], now), otherwise=None)
            if inner and inner.ref.pronoun == "it"
            else None
        )
    return (
        _parse_clear(clause, now)
        or parse_note_change(clause, now)
        or parse_priority_change(clause, now)
        or parse_rescheduled(clause, now)
        or _parse_due(clause, now)
        or _parse_instead(clause, now)
        or parse_rename(clause, now)
        or _parse_correction(clause, now)
    )


def _parse_instead(clause: str, now: datetime) -> Change | None:
    """Parse "call the bank at 11 instead" as a new time for an existing task."""
    found = pattern(r"^(?P<said>.+?)\s+(?:instead|rather)$").match(clause)
    due = find_due(found["said"], now, prefer="last") if found else None
    if found is None or due is None or _MOVING.match(clause):
        return None
    words = _strip_to_ref(strip_due(found["said"], due))
    return Change(ref_or_it(words, now), day=due.day, at=due.at) if words else None


def _parse_clear(clause: str, now: datetime) -> Change | None:
    for form in _CLEAR:
        if found := form.match(clause):
            ref = ref_or_it(found.groupdict().get("ref"), now)
            only_time = _TIME_ONLY.match(clause) is not None
            return Change(ref, clear_due=not only_time, clear_time=only_time)
    if found := CLEAR_NOTE.match(clause):
        return Change(ref_or_it(found["ref"], now), description="")
    return None


def _parse_due(clause: str, now: datetime) -> Change | None:
    """Parse what sets a date or a priority: "move X to Friday", "X is due tomorrow", "make it urgent"."""
    moving = _MOVING.match(clause)
    if not (moving or _IS_DUE.match(clause) or _IS_PRIORITY.match(clause)):
        return None
    rest = clause[moving.end() :] if moving else clause
    shifted = _parse_shift(clause, rest, now)
    if shifted is not None:
        return shifted
    # "From three to four", "from low to high": the old value does not matter.
    rest = pattern(r"\s+from\s+(?:(?!\bto\b).)+?\s+(?=to\b)").sub(" ", rest) if moving else rest
    due, rest = _split_new_due(rest, now)
    priority, rest = take_priority(rest, bare=True)
    if due is None and priority is None and (hour := _BARE_HOUR.search(rest)) and moving:
        # "Push it to 5" means the hour: a bare number can be nothing else here.
        due, rest = find_due(f"tomorrow at {hour['hour']}", now), rest[: hour.start()]
        due = Due(None, due.at, ()) if due else None
    if due is None and priority is None:
        return _parse_missing_value(clause, rest, now)
    words = _strip_to_ref(rest)
    if words[:1] > "\ue000" and not is_quote(words):
        return None
    intent = Change(ref_or_it(words, now), day=due.day if due else None, at=due.at if due else None, priority=priority)
    return replace(intent, otherwise=_fallback_draft(clause, rest, intent, now, moving is not None))


def _split_new_due(rest: str, now: datetime) -> tuple[Due | None, str]:
    """Return the new date and the rest: the Monday in "the Friday call to Monday"."""
    rest = strip_denied_day(rest, now)
    if found := pattern(r"(?P<ref>.+)\s(?P<when>(?:to|until|till|for)\s.+)$").match(rest):
        due = find_due(found["when"], now)
        if due is not None and not pattern(r"^(?:to|until|till|for)\b|\b(?:instead|please|now|rather)\b|\W").sub(
            "", strip_due(found["when"], due)
        ):
            return due, found["ref"]
    due = find_due(rest, now, prefer="last")
    return due, strip_due(rest, due) if due else rest


def _strip_to_ref(rest: str) -> str:
    """Strip the words around the reference to a task."""
    if _IT_ALONE.fullmatch(rest.strip(" ,.;:!?-")):
        return rest.strip(" ,.;:!?-")
    previous = None
    while previous != rest:
        checkpoint()
        previous = rest
        shorter = _OUTER_PUNCTUATION.sub("", _strip_connectors(rest))
        if not shorter and (pointed := pattern(r"(it|that|this)\b").match(rest)):
            return pointed[1]
        rest = pattern(r"(?:'s)?\s+(?:due date|deadline|date|due|priority|time)$").sub("", shorter)
        if _IT_ALONE.fullmatch(rest):
            break
    return "" if _ONLY_TASK_WORDS.match(rest) else rest


def _strip_connectors(text: str) -> str:
    """Strip the connecting words at the start and at the end."""
    lead = _LEAD.match(text)
    begin = end = lead.end() if lead else 0
    tail = begin
    for found in _CONNECTOR.finditer(text, begin):
        tail = tail if found.start() == end else found.start()
        end = found.end()
    return text[begin:tail] if end == len(text) else text[begin:]


# Punctuation around a reference; the minus of a number is kept.
_OUTER_PUNCTUATION = re.compile(r"^(?:[ ,.;:!?]|-(?!\d))+|[ ,.;:!?-]+$")
_IT_ALONE = pattern(r"(?:it|that|this|them|those|both)(?: one| task)?")
_PUTTING_OFF = pattern(r"(?:push|postpone|delay|move|bring|extend|shift|bump|put off|defer|snooze|make|pull)\b")
_DAY_AFTER = pattern(
    r"\b(?:the )?(?:(?P<next>next|following) (?P<unit>day|week)|(?P<unit2>day|week) (?P<way>after"
    r"|before))\b(?! tomorrow)"
)


def _parse_shift(clause: str, rest: str, now: datetime) -> Change | None:
    if not _PUTTING_OFF.match(clause):
        return None
    if following := _DAY_AFTER.search(rest):
        size = 7 if (following["unit"] or following["unit2"]).lower() == "week" else 1
        words = _strip_to_ref(f"{rest[: following.start()]} {rest[following.end() :]}")
        if following["unit"] is None or size == 1:
            return Change(
                ref_or_it(words, now),
                shift=timedelta(days=-size if (following["way"] or "").lower() == "before" else size),
            )
    found = _SHIFT.search(rest)
    if not found or pattern(r"\b(?:in|within)\s*$").search(rest[: found.start()]):
        return None
    if pattern(r"make\b").match(clause) and not found["way"]:
        return None
    count = found["count"].lower()
    moved = (int(count) if count.isdigit() else 0.5 if count == "half an" else NUMBERS.get(count, 1)) * _UNITS[
        found["unit"].lower()
    ]
    earlier = pattern(r"\bearlier\b|\bforward\b|\bsooner\b|\bpull\b").search(clause)
    words = _strip_to_ref(f"{rest[: found.start()]} {rest[found.end() :]}")
    return Change(ref_or_it(words, now), shift=-moved if earlier else moved)


_FIELD_LACKS_VALUE = pattern(
    rf"^(?:change|set|update|edit|adjust|add|give|put)\s+(?:the |an? |another |new )*(?P<what>{_DUE_NOUN}"
    r"|priority)\s+(?:of|for|on|to)\s+(?P<ref>[^:]+)$"
)
_CHANGE_IT = pattern(rf"^(?:change|update|edit|modify|adjust)\s+(?P<ref>{REF}|.*\btask)$")


def _parse_missing_value(clause: str, rest: str, now: datetime) -> Change | None:
    """Parse "reschedule the dentist" and "change the priority of task 2", which lack the new value."""
    if found := _FIELD_LACKS_VALUE.match(clause):
        if re.search(r"\bto\b", found["ref"]):
            return None
        return Change(parse_ref(found["ref"], now), lacks="priority" if found["what"].lower() == "priority" else "due")
    if _DATING.match(clause) and not re.search(r"\b(?:to|until|till|by)\b", clause):
        return Change(ref_or_it(_strip_to_ref(rest), now), lacks="due")
    if (
        found := pattern(r"^(?:change|edit|modify|adjust)\s+(?P<ref>(?:the|my) [^:,]+)$").match(clause)
    ) and not re.search(r"\b(?:to|into|from|by|for|with)\b", found["ref"]):
        return Change(parse_ref(found["ref"], now), lacks="anything", otherwise=Draft(clean_title(clause)))
    if found := _CHANGE_IT.match(clause):
        lacks: Slot = "anything"
        return Change(parse_ref(found["ref"], now), lacks=lacks)
    return None


_TO_DAY = pattern(r"\b(?:to|until|till)(?: (?:the|next|this|[\w-]+))?$")
_SHIFTING = frozenset({"move", "change", "push", "shift", "switch", "bump"})


def _fallback_draft(clause: str, rest: str, intent: Change, now: datetime, moving: bool) -> Draft | None:
    """Return the task to add if "make dinner on Friday" or "the report is due Monday" matches none."""
    if not intent.ref.phrase:
        return None
    verb = clause.split(" ", 1)[0].lower()
    if moving and verb not in CHORES | {"schedule", "bring", "put", "get", "have"}:
        return None
    due = find_due(clause, now, prefer="last")
    if (
        due
        and verb in _SHIFTING
        and _TO_DAY.search(clause[: due.spans[0][0]] + clause[slice(*due.spans[0])].split(" ")[0])
    ):
        # Something moved to a day already exists or does not: it is not a new task.
        return None
    day, at = resolve_due(due, now) if due else (None, None)
    title = clean_title(take_priority(strip_due(clause, due))[1]) if moving and due else intent.ref.phrase
    return Draft(
        re.sub(r"\s+(?:is|are|should be|has|'s)$", "", title), day=day, at=at, priority=intent.priority or "normal"
    )


def _parse_correction(clause: str, now: datetime) -> Change | None:
    """Parse "I meant oat milk" as the new title of the last task."""
    found = _INSTEAD.match(clause)
    if not found or parse_fragment(found["text"], now) or parse_ref(found["text"], now).phrase == "":
        return None
    return Change(
        Ref(pronoun="it"), title=clean_title(found["text"]), old_words=(found["old"] or "").strip(), without_verb=True
    )
