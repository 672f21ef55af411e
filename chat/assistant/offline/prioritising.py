"""Parse requests to make a task more or less important."""

from datetime import datetime

from chat.assistant.offline.intents import Change
from chat.assistant.offline.patterns import pattern
from chat.assistant.offline.references import parse_ref, ref_or_it
from chat.assistant.offline.slots import take_priority

_PRIORITISING = pattern(
    r"^(?P<how>prioriti[sz]e|(?:de|un)-?prioriti[sz]e|(?:raise|increase|bump up|up|lower|decrease|reduce"
    r"|drop) (?:the )?priority (?:of|on|for)|(?:raise|lower|increase|decrease"
    r"|reduce) (?P<inner>.+?)(?:'s)? priority$)\s*(?P<ref>.*)$"
)
_NOT_URGENT = pattern(
    r"^(?P<ref>.+?)\s*(?:\s+(?:is|are) (?:not|no longer)|(?:\s+is|\s+are)n't|'s (?:not|no longer))\s+(?:actually "
    r"|really |that |so |very |all that |too |as )*(?:urgent|important|high priority|a (?:high )?priority"
    r"|critical)(?P<anymore>\s+(?:any ?more|any longer|now))?(?:\s+(?:after all|though|anyway|really|actually|to be honest|i think|i guess))*$"
)
_LEVEL_GIVEN = pattern(
    r"^(?:(?:the )?priority (?:of|for|on) (?P<ref>.+?)|(?P<ref2>.+?)(?:'s)? priority)\s*(?::|=|-|\bis\b"
    r"|\bshould be\b|\bto\b|\bmust be\b|->)+\s*(?P<level>\w+(?: priority)?)(?: please| now)?$"
)
_MORE_OR_LESS = pattern(r"^make (?P<ref>.+?) (?P<way>more|less) (?:important|urgent|of a priority)$")
_LEVEL_FOR = pattern(r"^(?:set )?(?P<level>high|low|normal|medium|top|highest|lowest) priority (?:for|on) (?P<ref>.+)$")


def parse_priority_change(clause: str, now: datetime) -> Change | None:
    """Parse "prioritise the report", "make it less important", "priority of 2: high"."""
    if found := _LEVEL_GIVEN.match(clause):
        given, _ = take_priority(found["level"], bare=True)
        words = pattern(r"^(?:change|set|make|update|put|raise|lower|turn|switch)\s+").sub(
            "", found["ref"] or found["ref2"]
        )
        return Change(ref_or_it(words, now), priority=given) if given else None
    if found := _MORE_OR_LESS.match(clause):
        return Change(ref_or_it(found["ref"], now), priority="low" if found["way"].lower() == "less" else "high")
    if found := _LEVEL_FOR.match(clause):
        return Change(parse_ref(found["ref"], now), priority=take_priority(found["level"], bare=True)[0])
    if found := _NOT_URGENT.match(clause):
        return Change(ref_or_it(found["ref"], now), priority="normal" if found["anymore"] else "low")
    found = _PRIORITISING.match(clause)
    if not found or take_priority(clause, bare=True)[0]:
        return None
    down = pattern(r"de|un|lower|decrease|reduce|drop").match(found["how"])
    return Change(ref_or_it(found["inner"] or found["ref"], now), priority="low" if down else "high")
