"""Parse questions about the list."""

import re
from datetime import datetime

from chat.assistant.offline.clock import NUMBERS
from chat.assistant.offline.dates import find_due, strip_due
from chat.assistant.offline.intents import Fragment, Priority, Show, Sort, Status
from chat.assistant.offline.patterns import pattern
from chat.assistant.offline.slots import take_priority
from chat.assistant.offline.spans import parse_span
from chat.assistant.relevance import off_topic

_TASKS = (
    r"(?:tasks?|to-?dos?|to do|todo|list|lists|items|things|stuff|reminders?|agenda|plate|schedule|deadlines?"
    r"|chores|errands|jobs|ones|mine|work)"
)
_LIST_QUESTION = pattern(
    r"^(?:(?:show|list|display|view|pull up|bring up|let me see|tell|remind me (?:what|which)|(?:see|print"
    r"|give|get|read|fetch|check|review|go through|look at|open|find|summari[sz]e)(?= (?:me )?(?:(?:an? "
    r"|the )?(?:quick |short |full |complete |brief )?(?:overview|rundown|summary|list|recap|look|view"
    r"|breakdown) (?:of|at) )?(?:(?:what's|what is) |all |my |the |every|of |out |open |pending |current "
    r"|high[- ]priority )*(?:tasks|todos|list|everything|to do|completed|pending|due|overdue|what|reminders"
    r"|agenda|schedule)\b)|what|which|how many|any|is there|are there|is any|is anything|is something|are any"
    rf"|do i|have i|did i|was there|am i)\b.*\b(?:{_TASKS[3:-1]}"
    r"|due|overdue|pending|left|remaining|remains?|open|completed?|finished|done|accomplished|everything|all"
    r"|outstanding|urgent|important|priority|to do|do i|i do|should i|must i|(?:do|due|work on|start with"
    r"|tackle|comes?|is|what's) (?:first|next)|unfinished|incomplete|today|tomorrow|anything|this week"
    r"|next week|weekend|something|late|upcoming|coming up)\b"
    r"|(?:what|which) (?:have|did) i (?:already |just |actually |manage to )*(?:finish|complete|get done|done|finished|completed|accomplish|(?:tick|check|cross|mark|knock|strike)(?:ed)? (?:off|out)"
    r"|got done|gotten done|achieve|manage|get through|got through)\w*(?: .*)?$|(?:show|list|display)(?: me| them| all| it| everything)*$)"
)
_BARE_LIST = pattern(
    r"^(?:(?:and |just |only |now )*(?:(?:all|my|the|open|pending|completed?|finished|done|remaining|overdue"
    r"|outstanding|unfinished|incomplete|today's|tomorrow's|this week's|next week's|high|low|normal|priority"
    r"|urgent|important|current|full|whole|entire|upcoming|of|monday's|tuesday's|wednesday's"
    r"|thursday's|friday's|saturday's|sunday's)[\s-]*)*"
    rf"(?:{_TASKS[3:-1]}|overdue|pending|completed|open|everything)(?:\s+(?:please|again|now|once more|only|for|due|tomorrow"
    r"|this|next|week|weekend|month|by|on|with|high|low|normal|list|left|sorted|order(?:ed)?|priority|date"
    r"|status|overview|\w+day))*)\s*\??$"
    r"|^(?:(?:have (?:i|you) )?got )?(?:anything|any tasks?|something)\b.*\b(?:today|tomorrow|about|related to"
    r"|concerning|with|this week|next week|weekend|\w+day)\b.*$|^is my (?:list|todo list) empty\??$|^(?:search"
    r"|look)(?: for)? (?:my )?(?:tasks? )?.+$|^(?:anything|something|what)\s+(?:else\s+)?(?:is\s+)?(?:due|left"
    r"|overdue|for|on|urgent|important|high|low|pending|open|else|next|to do)\b.*$|^(?:(?:give|show|tell|send)(?: me)? )?(?:(?:an?|the|my) )?(?:quick |short |full )?(?:status|overview|summary|recap|run-?down|lay of the land|breakdown|update"
    r"|progress)(?: please)?\??$|^(?:how(?:'s| is| does)|what(?:'s| is| does)) my (?:day|week|weekend|list"
    r"|schedule|today|tomorrow|agenda|month)\b.*$|^due (?:today|tomorrow|this week|next week)\??$"
    r"|^what else\??$|^(?:so |and |ok )*(?:what(?:'ve| have) (?:i|we) got|what do (?:i|we) have|what(?:'s| is) (?:there|on there|in there|it look like))"
    r"(?: so far| now| right now| then| on there| in there| to do| left| today| at the moment| currently| again)*\??$"
    r"|^(?:show|list|display|read|give|see|print)(?: me)?(?: (?:them|those|it|these))?(?: all)?(?: (?:again|once more|one more time|now|please))+$"
    r"|^what(?:'s| is) (?:next|up next|on|left|due|pending|open|overdue|urgent|important"
    r"|remaining|outstanding|coming up|still)\b.*$"
)
_ABOUT = pattern(
    r"\b(?:tasks?|todos?|items?|anything|something|things|reminders?) (?:(?:that|which) )?(?:about|related to"
    r"|regarding|containing|contains?|mention(?:s|ing)?|with the words?|concerning|involving|to do with|including"
    r"|called|named|with)\s+(?P<about>.+?)(?:\s+(?:on|in) (?:(?:my|the) (?:list|tasks)|there|it|here))?\??$"
)
_PENDING = pattern(
    r"\b(?:pending|open|left|remaining|remains?|outstanding|active|unfinished|undone|incomplete|uncompleted|still"
    r"|unchecked|not (?:yet )?(?:done|completed?|finished)|haven't|have not|hasn't|isn't done|to be done|(?:need|have"
    r"|supposed|got|must|should|want|going|what|things|stuff|anything|something|else|left|more|much)\s+(?:\w+\s+)?to "
    r"(?:do|get done|finish|complete)|should i|must i|do i (?:still )?(?:need|have)|needs? (?:to be )?(?:done|doing)"
    r"|am i|waiting|plate|what(?:'s| is) (?:still )?on (?:my|the)|what do i have|to go|what have i got|do i have|due"
    r"|next|upcoming|agenda|anything|i need to do|to do (?:today|tomorrow|this|next))\b"
)
_COMPLETED = pattern(
    r"\b(?:completed|finished|done|closed|ticked|checked off|crossed (?:off|out)|knocked (?:off|out)|got through|get through|accomplished|achieved|complete"
    r"|did i finish|did i (?:\w+ )?(?:do|finish|complete|get done)|have i (?:\w+ )?(?:done|finished|completed))\b"
)
_ALL = pattern(
    r"\b(?:complete list|all (?:of )?(?:my |the )?(?:tasks|todos|items|things)|everything|both|whole|entire|full"
    r"|done (?:and|or) (?:un|not )|completed? (?:and|or) (?:pending|open|incomplete)|(?:pending|open) (?:and"
    r"|or) (?:completed|done)|show all|list all)\b"
)
_SORT: dict[Sort, re.Pattern[str]] = {
    "priority": pattern(
        r"\b(?:by|in order of|on|according to|in|with) (?:their |the )?(?:priority|priorities|importance"
        r"|urgency)\b|\b(?:most |more )?(?:important|urgent|pressing|high(?:est)?[ -]priority)(?: (?:ones?|tasks?"
        r"|stuff|things))? (?:first|at the top|on top|up top)\b|\bpriority (?:order|first)\b|\bmost (?:important"
        r"|urgent|pressing)\b|\bhighest priority\b|\bpriorit(?:y|ies)[ -]sort"
    ),
    "due": pattern(
        r"\b(?:by|in order of|on|according to) (?:their |the |its )?(?:due|deadline|date|when|time|due-date)\b"
        r"|\b(?:earliest|soonest|nearest)(?: \w+)* first\b|\bdue date order\b|\bdate order\b|\bchronological"
    ),
    "number": pattern(
        r"\b(?:by|in order of|in) (?:their |the |task )?(?:number|numbers|id|numerical order|number order"
        r"|order (?:of creation|added)|creation)\b|\bin the order (?:i|they)\b|\bnormal(?:ly)? order\b"
        r"|\b(?:default|original) (?:order|sort)"
    ),
}
_COUNT = pattern(
    r"^(?:and )?(?:how many|how much\b(?=.*\b(?:left|to do|remain\w*)\b)|count|what(?:'s| is) the (?:number"
    r"|count) of|number of)\b"
)
_SEARCH = pattern(r"^(?:search|look)(?: for)? (?:my tasks for |tasks? (?:about|with|for) )?(?P<about>.+)$")
_FIND = pattern(
    r"^(?:find|locate|where(?:'s| is)|look up) (?:me )?(?:the |my )?(?P<about>.+?) (?:tasks?|ones?|todos?|items?|reminders?)$"
)
_OF_A_KIND = pattern(
    r"^(?:how many|show(?: me)?(?: all)?(?: the| my)?|list(?: all)?(?: the| my)?|what|which|any|all)\s+(?P<about>(?!all\b|more\b|other"
    r"|new|old|my\b|the\b|your|current|next|first|last|top|only|just|recent|overdue|late|upcoming|active|remaining|due|sorted|many|few"
    r"|two|three|four|five|these|those|it\b|me\b|of\b|\d)[a-z]{3,})\s+(?:tasks|ones|todos|chores|errands|reminders)\b"
)
_COUNTED = pattern(
    r"\b(?:tasks?|todos?|to do|things|items|list|left|due|pending|open|overdue|done|completed?|finished|remain\w*"
    r"|reminders|ones|high|low|urgent|important|do i have|have i|i have|did i)\b"
)
_TOP = pattern(
    r"\b(?:most (?:important|urgent|pressing)|top[- ]priority|highest[- ]priority|number one)(?: (?:task|thing|one"
    r"|todo|item|priority))?(?: (?:right )?now| on my list| i have)?\W*$"
)
NEXT_DUE = pattern(
    r"\b(?:next|earliest|nearest|closest|soonest|upcoming) (?:deadline|due date)\b|\bnext (?:thing|task|one"
    r"|item) (?:that is |that's |is )?due\b|\bdue (?:the )?(?:next|first|soonest|earliest)\W*$"
)
_LIMIT = pattern(r"\b(?:first|top|only|just|next) (?P<many>two|three|four|five|\d{1,2})\b(?! (?:days|weeks|months))")
_MORE = pattern(
    r"^(?:show |see |list |give me |and )?(?:me )?(?:the )?(?:more|rest|next page|next ones|the rest|others"
    r"|remaining ones)(?: of (?:them|the list|it))?(?: please)?$"
)
_OTHER_DAY = pattern(
    r"^(?:and|what about|how about|and what about|what's on|what is on|whats on)\s+(?:for\s+|on\s+)?(?P<rest>.+?)\??$"
)
_QUERY = pattern(
    r"^(?:what|which|when|how|is|are|do (?:i|you|we|they|any)|does|did|have (?:i|you|we)|has|am|was|any|anything"
    r"|show|list|display|see|view|tell|give)\b|\?$"
)
_SORT_IT = pattern(
    r"^(show|list|display|sort|order|give|rank|arrange)( me)? (?:them|those|these|it|all of (?:them|those))(?: all)?(?= (?:by|in|sorted|ordered|with)\b)"
)
_MY_TOP = pattern(
    r"(?:what(?:'s| is| are)|show(?: me)?|list|give me|which are) my top (?P<many>two|three|four|five|\d{1,2})\b"
)
_AM_I_DONE = pattern(r"am i (?:all |nearly |almost |finally )?(?:done|finished|free)(?P<when>(?: (?:for|with) .+)?)$")
_THE_FIRST = pattern(
    r"(?:show|give|list)(?: me)?(?: the| my)? (?:top|first|next) (?P<many>two|three|four|five|\d{1,2})$"
)
_HIDE_DONE = pattern(r"(?:hide|don't show(?: me)?|without) (?:the |all |my )*(?:completed|done|finished)\b")
_WHAT_IF = pattern(
    r"what (?:happens|if|would|(?:is|are) the (?:meaning|point|purpose|difference|best))\b"
    r"|what's the (?:meaning|point|purpose|difference|best)\b"
)
_FINISH_ALL = pattern(r"(?:complete|finish) (?:all|every|everything|my|the)\b(?!.*\blist\b)")
_SORTING = pattern(
    r"^(?:sort|re-sort)\b(?=\W*$|\s+(?:by|them|it|all|everything)\b|.*\b(?:tasks?|list|to-?dos?|items|ones)\b|.*\bby (?:due|date|priority|number|importance|urgency|deadline)\b)|^(?:order|arrange|reorder|rank|organi[sz]e)\b.*\b(?:by|first|priority"
    r"|priorities|date)\b"
)
_STATUS_ABOUT = pattern(
    r"^(?:(?:all|the|my|any|also) )*(?:done|completed?|finished|ticked|open|pending)\b|\bdue\b|\bpriority\b|\bdates?\b"
)


def parse_show(clause: str, now: datetime) -> Show | None:
    """Parse a request to show the list or a part of it."""
    text = clause.strip(" .!")
    if _MORE.match(text):
        return Show(more=True)
    text = _SORT_IT.sub(r"\1\2 my tasks", text)
    if found := _MY_TOP.match(text):
        return Show(status="pending", sort="priority", limit=_parse_number(found["many"]))
    if found := _AM_I_DONE.match(text.rstrip("?")):
        return Show(status="pending", span=parse_span(found["when"], now))
    if found := _THE_FIRST.match(text):
        return Show(status="pending", limit=_parse_number(found["many"]))
    if _HIDE_DONE.match(text):
        return Show(status="pending")
    if _WHAT_IF.match(text):
        return None
    if _FINISH_ALL.match(text):
        return None
    counting = _COUNT.match(text) is not None and _COUNTED.search(text) is not None
    sorting = _SORTING.match(text)
    if not (counting or sorting or _LIST_QUESTION.match(text) or _BARE_LIST.match(text) or _FIND.match(text)):
        return None
    about = _ABOUT.search(text) or _FIND.match(text) or _SEARCH.match(text)
    if about and _STATUS_ABOUT.search(about["about"]):
        about = None
    rest = text[: about.start("about")] if about else text
    span, priority = parse_span(rest, now), _priority(rest)
    subject = "" if about or span or priority else _subject(text)
    sort, top = parse_sort(rest), _TOP.search(rest) is not None
    if NEXT_DUE.search(rest):
        sort, top = "due", True
    limit = _LIMIT.search(rest)
    status = _status(_strip_sort(rest), span)
    return Show(
        "pending" if top and status is None else status,
        sort,
        span,
        None if top else priority,
        about["about"] if about else subject,
        counting,
        top=top,
        limit=_parse_number(limit["many"]) if limit else 0,
        finished=status == "completed" and span is not None,
    )


def _subject(text: str) -> str:
    """Return the word for the kind of tasks: "the cleaning ones"."""
    found = _OF_A_KIND.search(text)
    return found["about"] if found and _status(found["about"], None) is None else ""


def _priority(text: str) -> Priority | None:
    found, _ = take_priority(_strip_sort(text), bare=True)
    return found


def _strip_sort(text: str) -> str:
    """Strip the words about the order: "by priority" asks for no priority, "by due date" for no date."""
    for form in _SORT.values():
        text = form.sub(" ", text)
    return text


_EITHER_STATUS = pattern(
    r"\b(?:done|finished|completed?) (?:and|or|&) (?:un|in|not\b|pending|open)|\b(?:pending|open|unfinished"
    r"|incomplete) (?:and|or|&) (?:done|finished|completed?)"
)
_NOT_DONE = pattern(
    r"(?:isn't|is not|aren't|are not|not|haven't|hasn't|never)(?: yet| been| i)*[ -](?:done|completed?"
    r"|finished)\b|\b(?:un|in)(?:done|finished|complete)"
)
_NOT_ALL = pattern(
    r"\b(?:pending|open|completed tasks|all (?:the )?(?:completed|done|finished)|left|still|remaining|due"
    r"|incomplete|unfinished|to do|to be done)\b"
)
_I_DID = pattern(
    r"\b(?:i've|have i|i have|did i|i) (?:done|do|finish|completed?|finished)\b|\beverything (?:completed"
    r"|done|finished)\b|\bnot done\b"
)
_NOT_COMPLETED = pattern(
    r"\b(?:not|un|in|never|haven't|hasn't|isn't|be|to get|to)(?: yet| been|\b)[ -]*(?:i |get |be )?(?:done"
    r"|completed?|finish(?:ed)?)\b|\bneeds doing\b|incomplete|uncompleted|undone|unfinished"
)


def _status(text: str, span: object) -> Status | None:
    if _EITHER_STATUS.search(text):
        return "all"
    if _NOT_DONE.search(text):
        return "pending"
    if _ALL.search(text) and not _NOT_ALL.search(text):
        if _I_DID.search(text):
            return "completed" if "not done" not in text else "pending"
        return "all"
    done = _COMPLETED.search(_NOT_COMPLETED.sub(" ", text))
    if done and pattern(r"\b(?:too|as well|also|including|included|plus)\b").search(text):
        return "all"
    if done and not pattern(r"\b(?:still|left|pending|remaining|open)\b").search(text):
        return "completed"
    if _PENDING.search(text) or span is not None:
        return "pending"
    return None


def _parse_number(word: str) -> int:
    return int(word) if word.isdigit() else NUMBERS[word.lower()]


def parse_sort(text: str) -> Sort | None:
    """Return the requested order."""
    return next((sort for sort, form in _SORT.items() if form.search(text)), None)


def parse_other_day(clause: str, now: datetime) -> Fragment | None:
    """Parse "and tomorrow?", which repeats the last question for another day."""
    found = _OTHER_DAY.match(clause.strip(" .!"))
    span = parse_span(found["rest"], now) if found else None
    due = find_due(found["rest"], now) if found else None
    if (
        found is None
        or span is None
        or len(found["rest"].split()) > 4
        or pattern(r"(?:set|make|move|push|change|due)\b").match(found["rest"])
    ):
        return None
    if (
        due
        and pattern(r"\W|\b(?:for|on|in)\b").sub("", strip_due(found["rest"], due))
        and due.day == span.first == span.last
    ):
        return None
    return Fragment(day=span.first, span=span, asking=True)


_ABOUT_DAYS = pattern(
    r"^(?:and |so |but )*(?:(?:what|how|which|am i|are we|is there|are there|do i|will i|anything|any|is|does|when am i)\b)"
    r"(?=.*\b(?:look(?:ing)?|like|busy|free|full|planned|plans?|happening|going on|coming|up|on|for|packed|have|got|scheduled|there|much|else|left)\b)"
)


def parse_days_question(clause: str, now: datetime) -> Show | None:
    """Parse a free-form question about days: "what does Saturday look like?"."""
    text = clause.strip(" ?!.")
    span = parse_span(text, now)
    if span is None or _ABOUT_DAYS.match(text) is None or off_topic(text):
        return None
    return Show(status="pending", span=span)


def is_question(clause: str) -> bool:
    """Return whether a clause is a question."""
    return _QUERY.search(clause.strip()) is not None
