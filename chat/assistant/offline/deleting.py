"""Parse requests to delete, unlike tasks that only begin like one."""

from datetime import datetime

from chat.assistant.offline.adding import clean_title
from chat.assistant.offline.completion_phrases import FROM_LIST, REASON, WHEN
from chat.assistant.offline.dates import find_due, resolve_due, strip_due
from chat.assistant.offline.intents import Complete, Delete, Draft, Intent, Ref
from chat.assistant.offline.patterns import pattern, patterns
from chat.assistant.offline.references import parse_ref

_DELETE = patterns(
    r"^(?:delete|remove|erase|discard|scrap|trash|get rid of|throw out|throw away|bin|ditch|dump|nuke"
    r"|wipe(?: out)?|purge|eliminate|take out|lose|kill|toss|deleting"
    rf"|removing)\s+(?P<ref>.+?){FROM_LIST}{WHEN}$",
    r"^(?:clear|empty|reset|clean up|clean out)\s+(?:out\s+)?(?P<ref>(?:all|everything|every|my (?:whole "
    r"|entire )?(?:list|tasks|todos?|task list)|the (?:whole |entire )?(?:list|tasks)|completed"
    rf"|the (?:completed|done|finished)|task|tasks|#?\d).*?){FROM_LIST}{WHEN}$",
    r"^(?:take|cross|strike|scratch|drop|knock|pull|kick|get)\s+(?P<ref>.+?)\s+(?:off|from|out of"
    r"|off of)\s+(?:of\s+)?(?:my|the|this)\s+(?:\w+\s+)?(?:list|tasks|todos?)$",
    r"^(?:drop|cancel|forget(?: about)?|never ?mind(?: about)?|scratch|skip|abandon|call off"
    rf"|delete)\s+(?P<ref>(?!(?:the |its )?priority\b|off\b|by\b|in\b|it\b$|that$|to\b).+?){FROM_LIST}{WHEN}$",
    r"^(?:i|we) (?:don't|do not) (?:really |actually )?(?:need|want|have) (?:to (?:do )?)?(?P<ref>.+?)\s+(?:any ?more"
    r"|any longer|now|on my list|after all)(?: (?:any ?more|after all))?$",
    r"^(?:i|we) (?:won't|will not) (?:be )?(?:need(?:ing)?|want(?:ing)?) (?P<ref>.+?)(?:\s+(?:any ?more|any longer|now|after all))*$",
    r"^(?:i|we) no longer (?:need|want|have|care about)\s+(?:to (?:do )?)?(?P<ref>.+?)$",
    r"^(?:there's |there is )?no (?:more |longer )?need (?:to (?:do )?|for )(?P<ref>.+?)(?:\s+(?:any ?more"
    r"|any longer|now|after all))?$",
    r"^(?P<ref>.+?)\s+(?:can|should|could|may) (?:now )?(?:be )?(?:deleted|removed|go|dropped|erased"
    r"|come off the list|be taken off(?: (?:the|my) list)?)$",
)
_CLEARED_OF_DONE = pattern(
    r"^(?:clear|empty|clean(?: up| out)?|purge) (?:my|the) (?:(?:to-?do |task )?list|tasks|to-?dos) (?:of|from) (?:all )?(?:the |my )?"
    r"(?:done|completed|finished|ticked(?: off)?)(?: (?:items|tasks|ones|things|entries|to-?dos))?$"
)
_CANCELLED = pattern(
    r"^(?P<ref>.+?)\s+(?:(?:(?:is|are|was|were|got|has been|'s)\s+)?(?:now |been )?(?:cancelled|canceled|called off"
    r"|off|no longer (?:needed|necessary|relevant|happening)|not (?:needed|necessary|relevant"
    r"|happening)(?: any ?more)?|irrelevant|unnecessary|obsolete)|isn't (?:needed|necessary|happening"
    r"|relevant)(?: any ?more)?|no longer needs (?:to be done|doing))$"
)
_NOT_NOW = pattern(r"\b(?:for now|for the moment|this time|this week|today|tonight|tomorrow|until|till|yet)\W*$")
_KEEP_OTHERS = pattern(r"\s*,?\s*(?:but|and)\s+(?:please )?(?:keep|leave|don't (?:touch|delete|remove)|not)\b.*$")
# Children are dropped at school, and letters in the box: neither is a deletion.
_DROPPED_SOMEWHERE = pattern(
    r"^(?:drop|throw|dump|toss|take|knock|bin) (?!.*\b(?:list|tasks?|todos?)\b).+? (?:at|by|in|into|over|to|with|round)\b"
)
_CHORE_LIKE = pattern(
    r"^(?:cancel|drop|skip|finish|complete|close|get|take out|clean|clear|reset|empty|resolve|scrap|throw|dump"
    r"|wipe|forget|kill|lose|wrap up|strike|put|make|set|change)\b"
)


def parse_delete(clause: str, now: datetime) -> Delete | None:
    """Parse a request to delete."""
    if clause.endswith("?") and not pattern(r"(?:delete|remove|erase)").match(clause):
        return None
    clause = pattern(r"^(it|that|this)'s (?!been)").sub(r"\1 is ", REASON.sub("", _KEEP_OTHERS.sub("", clause)))
    if _DROPPED_SOMEWHERE.match(clause):
        return None
    if _CLEARED_OF_DONE.match(clause):
        return Delete(Ref(every=True, status="completed"))
    for form in _DELETE:
        if found := form.match(clause):
            put_off = pattern(r"(?:skip|drop|forget|never ?mind|leave)\b").match(clause) and _NOT_NOW.search(clause)
            return Delete(parse_ref(found["ref"], now), unsure=bool(put_off), otherwise=_chore_draft(clause, now))
    if found := _CANCELLED.match(clause):
        return Delete(parse_ref(found["ref"], now), unsure=True)
    return None


def _chore_draft(clause: str, now: datetime) -> Draft | None:
    """Return the task to add if "cancel the gym membership" matches none."""
    if not _CHORE_LIKE.match(clause):
        return None
    due = find_due(clause, now)
    day, at = resolve_due(due, now) if due else (None, None)
    return Draft(clean_title(strip_due(clause, due) if due else clause), day=day, at=at)


def chore_with_date(intent: Intent, clause: str, now: datetime) -> Draft | None:
    """Return the task in "finish the report by Friday": a task with a due date is not done yet."""
    if (
        not isinstance(intent, Complete)
        or intent.ref.numbers
        or intent.ref.every
        or not pattern(r"(?:finish|complete|close|wrap up)\b").match(clause)
    ):
        return None
    return _chore_draft(clause, now) if find_due(clause, now) else None
