"""Understand questions: the list or a part of it, one task, what was said before."""

import re
from datetime import datetime

from chat.assistant.offline.dates import NUMBERS
from chat.assistant.offline.pointing import read_ref
from chat.assistant.offline.slots import take_priority
from chat.assistant.offline.spans import read_span
from chat.assistant.offline.wishes import Fragment, Inspect, Prefer, Priority, Recall, Ref, Show, Sort, Status

_TASKS = r"(?:tasks?|to-?dos?|to do|todo|list|lists|items|things|stuff|reminders?|agenda|plate|schedule|deadlines?|chores|errands|jobs|ones|work)"
_LISTED = re.compile(
    rf"^(?:(?:show|list|display|view|pull up|bring up|let me see|tell|remind me (?:what|which)|(?:see|print|give|get|read|fetch|check|review|go through|look at|open|find|summari[sz]e)(?= (?:me )?(?:(?:an? |the )?(?:quick |short |full |complete |brief )?(?:overview|rundown|summary|list|recap|look|view|breakdown) (?:of|at) )?(?:(?:what's|what is) |all |my |the |every|of |out |open |pending |current |high[- ]priority )*(?:tasks|todos|list|everything|to do|completed|pending|due|overdue|what|reminders|agenda|schedule)\b)|what|which|how many|any|is there|are there|is any|is anything|is something|are any|do i|have i|did i|was there|am i)\b.*\b(?:{_TASKS[3:-1]}"
    r"|due|overdue|pending|left|remaining|remains?|open|completed?|finished|done|accomplished|everything|all|outstanding|urgent|important|priority|to do|do i|i do|should i|must i|(?:do|due|work on|start with|tackle|comes?|is|what's) (?:first|next)|unfinished|incomplete|today|tomorrow|anything|this week|next week|weekend|late|upcoming|coming up)\b"
    r"|(?:show|list|display)(?: me| them| all| it| everything)*$)",
    re.I,
)
_BARE_LIST = re.compile(
    rf"^(?:(?:and |just |only |now )*(?:(?:all|my|the|open|pending|completed?|finished|done|remaining|overdue|outstanding|unfinished|incomplete|today's|tomorrow's|this week's|next week's|high|low|normal|priority|urgent|important|current|full|whole|entire|complete|upcoming|of|monday's|tuesday's|wednesday's|thursday's|friday's|saturday's|sunday's)[\s-]*)*"
    rf"(?:{_TASKS[3:-1]}|overdue|pending|completed|open|everything)(?:\s+(?:please|only|for|due|today|tomorrow|this|next|week|weekend|month|by|on|with|high|low|normal|list|left|sorted|order(?:ed)?|priority|date|status|overview|\w+day))*)\s*\??$"
    r"|^(?:(?:have (?:i|you) )?got )?(?:anything|any tasks?|something)\b.*\b(?:today|tomorrow|about|related to|concerning|with|this week|next week|weekend|\w+day)\b.*$|^is my (?:list|todo list) empty\??$|^(?:search|look)(?: for)? (?:my )?(?:tasks? )?.+$|^(?:anything|something|what)\s+(?:else\s+)?(?:is\s+)?(?:due|left|overdue|for|on|urgent|important|pending|open|else|next|to do)\b.*$|^(?:status|overview|summary|recap|progress)(?: please)?\??$|^(?:how(?:'s| is| does)|what(?:'s| is| does)) my (?:day|week|weekend|list|schedule|today|tomorrow|agenda|month)\b.*$|^due (?:today|tomorrow|this week|next week)\??$|^what else\??$|^what(?:'s| is) (?:next|up next|on|left|due|pending|open|overdue|urgent|important|remaining|outstanding|coming up|still)\b.*$",
    re.I,
)
_ABOUT = re.compile(r"\b(?:tasks?|todos?|items?|anything|something|things|reminders?) (?:(?:that|which) )?(?:about|related to|regarding|containing|contains?|mention(?:s|ing)?|with the words?|concerning|involving|to do with|including|called|named|with)\s+(?P<about>.+?)(?:\s+(?:on|in) (?:my|the) (?:list|tasks))?\??$", re.I)  # fmt: skip
_PENDING = re.compile(
    r"\b(?:pending|open|left|remaining|remains?|outstanding|active|unfinished|undone|incomplete|uncompleted|still|unchecked|not (?:yet )?(?:done|completed?|finished)|haven't|have not|hasn't|isn't done|to be done"
    r"|(?:need|have|supposed|got|must|should|want|going|what|things|stuff|anything|something|else|left|more|much)\s+(?:\w+\s+)?to (?:do|get done|finish|complete)|should i|must i|do i (?:still )?(?:need|have)|needs? (?:to be )?(?:done|doing)|am i|waiting|plate|what do i have|to go|what have i got|do i have|due|next|upcoming|agenda|anything|i need to do|to do (?:today|tomorrow|this|next))\b",
    re.I,
)
_COMPLETED = re.compile(
    r"\b(?:completed|finished|done|closed|ticked|checked off|crossed off|accomplished|achieved|complete|did i finish|did i (?:\w+ )?(?:do|finish|complete|get done)|have i (?:\w+ )?(?:done|finished|completed))\b",
    re.I,
)
_ALL = re.compile(
    r"\b(?:complete list|all (?:of )?(?:my |the )?(?:tasks|todos|items|things)|everything|both|whole|entire|full|done (?:and|or) (?:un|not )|completed? (?:and|or) (?:pending|open|incomplete)|(?:pending|open) (?:and|or) (?:completed|done)|show all|list all)\b",
    re.I,
)
_SORT = (
    ("priority", re.compile(r"\b(?:by|in order of|on|according to|in|with) (?:their |the )?(?:priority|priorities|importance|urgency)\b|\b(?:most |more )?(?:important|urgent|pressing|high(?:est)?[ -]priority)(?: (?:ones?|tasks?|stuff|things))? (?:first|at the top|on top|up top)\b|\bpriority (?:order|first)\b|\bmost (?:important|urgent|pressing)\b|\bhighest priority\b|\bpriorit(?:y|ies)[ -]sort", re.I)),
    ("due", re.compile(r"\b(?:by|in order of|on|according to) (?:their |the |its )?(?:due|deadline|date|when|time|due-date)\b|\b(?:earliest|soonest|nearest)(?: \w+)* first\b|\bdue date order\b|\bdate order\b|\bchronological", re.I)),
    ("number", re.compile(r"\b(?:by|in order of|in) (?:their |the |task )?(?:number|numbers|id|numerical order|number order|order (?:of creation|added)|creation)\b|\bin the order (?:i|they)\b|\bnormal(?:ly)? order\b|\b(?:default|original) (?:order|sort)", re.I)),
)  # fmt: skip
_FROM_NOW = re.compile(
    r"\b(?:from now on|from here on|from this point|going forward|always|in (?:the )?future|by default|every time|whenever|henceforth|as (?:a|the|my) default|my default|i prefer|i'd prefer|i (?:always )?(?:like|want) (?:to see |to have )?.*\bfirst$|stop sorting|don't sort|prefer|i like my|each time|never show|until i say)\b",
    re.I,
)
_COUNT = re.compile(
    r"^(?:and )?(?:how many|how much\b(?=.*\b(?:left|to do|remain\w*)\b)|count|what(?:'s| is) the (?:number|count) of|number of)\b",
    re.I,
)
_JUST = re.compile(
    r"^(?:what|which)(?: (?:one|task|thing))? (?:did|have) (?:i|you|we) (?P<just>just |last )*(?P<verb>add|create|put|complete|finish|change|update|mark|rename|move)(?:e?d)?(?: (?:last|just now|on (?:my|the) list))?$",
    re.I,
)
_SEARCH = re.compile(r"^(?:search|look)(?: for)? (?:my tasks for |tasks? (?:about|with|for) )?(?P<about>.+)$", re.I)
_COUNTED = re.compile(
    r"\b(?:tasks?|todos?|to do|things|items|list|left|due|pending|open|overdue|done|completed?|finished|remain\w*|reminders|ones|high|low|urgent|important|do i have|have i|i have|did i)\b",
    re.I,
)
_TOP = re.compile(
    r"\b(?:most (?:important|urgent|pressing)|top[- ]priority|highest[- ]priority|number one)(?: (?:task|thing|one|todo|item|priority))?(?: (?:right )?now| on my list| i have)?\W*$",
    re.I,
)
_NEXT_DUE = re.compile(
    r"\b(?:next|earliest|nearest|closest|soonest|upcoming) (?:deadline|due date)\b|\bnext (?:thing|task|one|item) (?:that is |that's |is )?due\b|\bdue (?:the )?(?:next|first|soonest|earliest)\W*$",
    re.I,
)
_LIMIT = re.compile(
    r"\b(?:first|top|only|just|next) (?P<many>two|three|four|five|\d{1,2})\b(?! (?:days|weeks|months))", re.I
)
_MORE = re.compile(
    r"^(?:show |see |list |give me |and )?(?:me )?(?:the )?(?:more|rest|next page|next ones|the rest|others|remaining ones)(?: of (?:them|the list|it))?(?: please)?$",
    re.I,
)

_NUMBERED = r"(?:task|number|item|#|no\.?)\s*(?:number |#)?(?:\d+|one|two|three|four|five)|#\d+"
_INSPECT = (
    ("due", re.compile(r"^when(?:'s| is| are| do i (?:need|have) to(?: do| finish)?| was| should i(?: do| finish)?| must i(?: do)?)\s+(?P<ref>.+?)(?:\s+(?:due|supposed to be done|scheduled(?: for)?|set for|happening|by))?$", re.I)),
    ("due", re.compile(r"^(?:what(?:'s| is)|tell me)?\s*(?:the )?(?:due date|deadline|due time|date|time) (?:of|for|on) (?P<ref>.+)$", re.I)),
    ("due", re.compile(r"^what (?:day|date|time) (?:is|was) (?P<ref>.+?)(?: due| set for| on| at| for)?$", re.I)),
    ("due", re.compile(r"^(?:does|do|has) (?P<ref>.+?) (?:have|got) (?:a |any )?(?:due date|deadline)$", re.I)),
    ("priority", re.compile(r"^(?:what(?:'s| is)|tell me)?\s*(?:the )?priority (?:of|for|on) (?P<ref>.+)$", re.I)),
    ("priority", re.compile(r"^(?:what priority (?:is|does)|how (?:important|urgent) is|is) (?P<ref>.+?)(?:\s+(?:have|at|urgent|important|high priority|low priority|a priority))?$", re.I)),
    ("description", re.compile(r"^(?:what(?:'s| is| are| does)|show(?: me)?|tell me|read(?: me)?)\s*(?:the )?(?:notes?|descriptions?|comments?|details?) (?:of|for|on|about|in) (?P<ref>.+)$", re.I)),
    ("status", re.compile(r"^(?:is|are) (?P<ref>.+?) (?:already |still |now )*(?:done|complete|completed|finished|open|pending|closed|not done|ticked off)(?: yet)?$", re.I)),
    ("status", re.compile(r"^how(?:'s| is| are) (?P<ref>(?!my (?:day|week|weekend|month|list|schedule)).+?) (?:going|coming along|coming|doing|looking|progressing)(?: so far)?$", re.I)),
    ("all", re.compile(r"^(?:details?|info(?:rmation)?|more)(?: (?:on|about|of|for))+ (?P<ref>.+?)(?: please)?$", re.I)),
    ("status", re.compile(r"^(?:did|have) i (?:already |ever |actually )?(?:finish(?:ed)?|complet(?:e|ed)|do|done|mark)\s+(?:with )?(?P<ref>.+?)(?: yet| already| as done)?$", re.I)),
    ("status", re.compile(r"^(?:did|have) i (?:already |ever |actually )?(?P<ref>(?!(?:get|do|done|finish|finished|complete|completed|have|got|ask|asked|say|said|tell|told|add|miss|missed|forget|accomplish|accomplished)\b)\w+ .+?)(?: yet| already)?$", re.I)),
    ("status", re.compile(r"^(?:what(?:'s| is)|tell me)?\s*(?:the )?status (?:of|for|on) (?P<ref>.+)$", re.I)),
    ("exists", re.compile(r"^(?:is|are) (?P<ref>.+?) (?:already |still )*(?:on|in) (?:my|the) (?:\w+ )?(?:list|tasks|todos?)$", re.I)),
    ("exists", re.compile(r"^(?:do i|have i)(?: already| still)? (?:have|got) (?:a |an |any )?(?:task|reminder|todo|item|entry) (?:about|for|to|called|named|with|on|that says|regarding) (?P<ref>.+)$", re.I)),
    ("exists", re.compile(r"^(?:do i have|have i got|did i (?:already )?(?:add|put|write down|note)|have i (?:already )?added|is there(?: a (?:task|reminder))?(?: for| about| to| called)?|do i (?:still )?(?:need|have) to) (?P<ref>(?!anything|any\b|something|more|much|tasks|a lot|to do).+?)(?: on (?:my|the) (?:\w+ )?list| as a task| already)?$", re.I)),
    ("all", re.compile(rf"^(?:show|see|view|display|open|get|read|describe|explain|give me|tell me|what(?:'s| is| was|'s in| does)|pull up|print|look up|info on)\s*(?:me )?(?:more )?(?:the )?(?:details? |info(?:rmation)? |about |of |on |for )*(?P<ref>{_NUMBERED}|tasks (?:\d+(?:\s*(?:,|and|&|-|to)+\s*)?)+)(?: (?:say|again|about|in detail|please|details))*$", re.I)),
    ("all", re.compile(r"^(?:show|see|view|give|tell|read|what(?:'s| is| are))\s*(?:me )?(?:more )?(?:the )?(?:details?|info(?:rmation)?|more|everything)? ?(?:about|of|on|for) (?P<ref>(?!my (?:tasks|list|todos?)|the list|all\b|what).+)$", re.I)),
    ("all", re.compile(r"^(?:what(?:'s| is| was)|which (?:one )?is|show(?: me)?) (?P<ref>(?:the|my) (?:first|second|third|last|newest|latest)(?: (?:one|task|item))?(?: on (?:my|the) list)?(?: (?:that )?i (?:just )?(?:added|created))?)$", re.I)),
    ("all", re.compile(rf"^(?P<ref>{_NUMBERED})$", re.I)),
)  # fmt: skip
_RECALL_FIRST = re.compile(
    r"\b(?:(?:first|earliest|very first|initial)\b.{0,30}\b(?:asked?|said|say|told|tell|wrote|write|message|question|request|typed|type|mentioned|wanted|requested)|(?:how|where) did (?:we|i|this conversation) (?:start|begin)|(?:what did i|did i) (?:first|originally|initially) (?:ask|say|tell|want|type|request)|what (?:did i|was i) (?:ask|say|tell|start)\w*(?: \w+){0,3} (?:at|in) the (?:beginning|start)|what did i (?:start|begin|open) with|what i (?:said|asked|told you|wrote|wanted)\b.*\b(?:first|beginning|start)|what did i (?:\w+ ){0,2}(?:ask|say|tell|want|request|type)\w*(?: you)?(?: to do)? first|my first (?:message|question|request|words))\b",
    re.I,
)
_RECALL_LAST = re.compile(
    r"\bwhat (?:did|have) i (?:just |last |previously )*(?:ask|asked|say|said|tell|told|type|write|want|request)\w*(?: (?:you|from you|for))?(?: (?:to do|just now|last|before(?: this| that)?|previously|a moment ago|earlier|again))?|\bwhat was (?:my|the) (?:last|previous|most recent|latest) (?:message|question|request|thing i (?:asked|said|told you))|\b(?:last|previous) (?:thing|message|question|request) (?:i|that i) (?:asked|said|told|sent|wrote)|^what was my (?:last|previous) (?:question|message|request)|\bremember what i (?:just )?(?:said|asked|told you)\b",
    re.I,
)
_RECALL_NTH = re.compile(
    r"\b(?P<nth>second|third|fourth|fifth)\b.{0,20}\b(?:i|my)\b.{0,12}\b(?:asked|said|told|ask|say|message|question|request)",
    re.I,
)
_RECALL_ALL = re.compile(
    r"\bwhat (?:have|did) (?:i|we) (?:asked|ask|said|say|told you|tell you|talked? about|discuss(?:ed)?)(?: \w+){0,2} (?:so far|today|until now|up to now|in this (?:chat|conversation))|\b(?:summari[sz]e|recap) (?:our|this|the) (?:conversation|chat)|\bwhat have (?:i|we) (?:asked|said|talked about|discussed)",
    re.I,
)
_RECALL_REPLY = re.compile(
    r"\bwhat did you (?:just )?(?:do|say|change|add|tell me|answer|reply)\b|\bwhat was your (?:last|previous) (?:answer|reply|message)\b|^(?:repeat (?:that|yourself)|say (?:that|it) again|come again|what did you say)\W*$",
    re.I,
)
_ALSO_DAY = re.compile(
    r"^(?:and|what about|how about|and what about|what's on|what is on|whats on)\s+(?:for\s+|on\s+)?(?P<rest>.+?)\??$",
    re.I,
)
_QUERY = re.compile(
    r"^(?:what|which|when|how|is|are|do (?:i|you|we|they|any)|does|did|have (?:i|you|we)|has|am|was|any|anything|show|list|display|see|view|tell|give)\b|\?$",
    re.I,
)


def recall(clause: str) -> Recall | None:
    """Read a question about what was said before."""
    if _RECALL_ALL.search(clause):
        return Recall(whole=True)
    if _RECALL_REPLY.search(clause):
        return Recall(-1, reply=True)
    if found := _RECALL_NTH.search(clause):
        return Recall(("first", "second", "third", "fourth", "fifth").index(found["nth"].lower()) + 1)
    if _RECALL_FIRST.search(clause) and re.search(
        r"\b(?:what|which|remember|recall|tell|remind|how|where|repeat|my first)\b", clause, re.I
    ):
        return Recall(1)
    return Recall(-1) if _RECALL_LAST.search(clause) else None


def preference(clause: str) -> Prefer | None:
    """Read how the person wants things from now on."""
    if re.search(
        r"\b(?:don't|do not|stop|never|no longer) (?:show|list|display|showing|listing)\b.*\b(?:completed|done|finished)\b",
        clause,
        re.I,
    ):
        return Prefer(status="pending")
    if not _FROM_NOW.search(clause):
        return None
    sort = "number" if re.search(r"\b(?:stop|don't|no longer) sort", clause, re.I) else _sort(clause)
    status: Status | None = None
    if re.search(r"\b(?:show|list|see|display|hide)\b", clause, re.I):
        if re.search(
            r"\b(?:hide|don't show|never show|without|not) (?:me )?(?:the |my |any )?(?:completed|done|finished)|\bonly (?:show |list |see |the |my |me )*(?:pending|open|unfinished|incomplete)|\b(?:pending|open)(?: tasks| ones)? only\b|just (?:the )?(?:pending|open)",
            clause,
            re.I,
        ):
            status = "pending"
        elif re.search(
            r"\b(?:completed|done|finished) (?:ones |tasks )?(?:too|as well|also)|\binclude (?:the )?(?:completed|done)|\ball (?:my |the )?tasks\b|\beverything\b",
            clause,
            re.I,
        ):
            status = "all"
        elif sort is None and re.search(r"\b(?:pending|open)\b", clause, re.I):
            status = "pending"
    priority: Priority | None = None
    if re.search(r"\b(?:new|add|create|make|tasks i add)\b", clause, re.I) and sort is None and status is None:
        priority = take_priority(clause, bare=True)[0]
    if sort is None and status is None and priority is None:
        if not re.search(r"\b(?:sort|order|list)", clause, re.I):
            return None
        sort = (
            "priority"
            if re.search(r"priorit|important|urgent", clause, re.I)
            else "due"
            if re.search(r"\bdue|date", clause, re.I)
            else None
        )
    return Prefer(sort, status, priority) if sort or status or priority else None


def show(clause: str, now: datetime) -> Show | None:
    """Read a wish to see the list or a part of it."""
    text = clause.strip(" .!")
    if _MORE.match(text):
        return Show(more=True)
    if re.match(r"(?:hide|don't show(?: me)?|without) (?:the |all |my )*(?:completed|done|finished)\b", text, re.I):
        return Show(status="pending")
    if re.match(
        r"what (?:happens|if|would|(?:is|are) the (?:meaning|point|purpose|difference|best))\b|what's the (?:meaning|point|purpose|difference|best)\b",
        text,
        re.I,
    ):
        return None
    if re.match(r"(?:complete|finish) (?:all|every|my|the)\b(?!.*\blist\b)", text, re.I):
        return None
    counting = _COUNT.match(text) is not None and _COUNTED.search(text) is not None
    sorting = re.match(
        r"^(?:sort|re-sort)\b(?! out)|^(?:order|arrange|reorder|rank|organi[sz]e)\b.*\b(?:by|first|priority|priorities|date)\b",
        text,
        re.I,
    )
    if not (counting or sorting or _LISTED.match(text) or _BARE_LIST.match(text)):
        return None
    about = _ABOUT.search(text) or _SEARCH.match(text)
    if about and re.search(r"\bdue\b|\bpriority\b|\bdates?\b", about["about"], re.I):
        about = None
    rest = text[: about.start("about")] if about else text
    span, priority = read_span(rest, now), _priority(rest)
    sort, top = _sort(rest), _TOP.search(rest) is not None
    if _NEXT_DUE.search(rest):
        sort, top = "due", True
    limit = _LIMIT.search(rest)
    status = _status(_unsorted(rest), span)
    return Show(
        "pending" if top and status is None else status,
        sort,
        span,
        None if top else priority,
        about["about"] if about else "",
        counting,
        top=top,
        limit=_amount(limit["many"]) if limit else 0,
        finished=status == "completed" and span is not None,
    )


def _priority(text: str) -> Priority | None:
    found, _ = take_priority(_unsorted(text), bare=True)
    return found


def _unsorted(text: str) -> str:
    """Return the text without its words about order: "by priority" asks for no priority, "by due date" for no date."""
    for _, form in _SORT:
        text = form.sub(" ", text)
    return text


def _status(text: str, span: object) -> Status | None:
    if re.search(
        r"\b(?:done|finished|completed?) (?:and|or|&) (?:un|in|not\b|pending|open)|\b(?:pending|open|unfinished|incomplete) (?:and|or|&) (?:done|finished|completed?)",
        text,
        re.I,
    ):
        return "all"
    if re.search(
        r"(?:isn't|is not|aren't|are not|not|haven't|hasn't|never)(?: yet| been| i)*[ -](?:done|completed?|finished)\b|\b(?:un|in)(?:done|finished|complete)",
        text,
        re.I,
    ):
        return "pending"
    if _ALL.search(text) and not re.search(
        r"\b(?:pending|open|completed tasks|all (?:the )?(?:completed|done|finished)|left|still|remaining|due|incomplete|unfinished|to do|to be done)\b",
        text,
        re.I,
    ):
        if re.search(
            r"\b(?:i've|have i|i have|did i|i) (?:done|do|finish|completed?|finished)\b|\beverything (?:completed|done|finished)\b|\bnot done\b",
            text,
            re.I,
        ):
            return "completed" if "not done" not in text else "pending"
        return "all"
    done = _COMPLETED.search(
        re.sub(
            r"\b(?:not|un|in|never|haven't|hasn't|isn't|be|to get|to)(?: yet| been|\b)[ -]*(?:i |get |be )?(?:done|completed?|finish(?:ed)?)\b|\bneeds doing\b|incomplete|uncompleted|undone|unfinished",
            " ",
            text,
            flags=re.I,
        )
    )
    if done and re.search(r"\b(?:too|as well|also|including|included|plus)\b", text, re.I):
        return "all"
    if done and not re.search(r"\b(?:still|left|pending|remaining|open)\b", text, re.I):
        return "completed"
    if _PENDING.search(text) or span is not None:
        return "pending"
    return None


def _amount(word: str) -> int:
    return int(word) if word.isdigit() else NUMBERS[word.lower()]


def _sort(text: str) -> Sort | None:
    for sort, form in _SORT:
        if form.search(text):
            return sort  # type: ignore[return-value]
    return None


def inspect(clause: str, now: datetime) -> Inspect | None:
    """Read a question about one task."""
    text = clause.strip(" .?!")
    if _NEXT_DUE.search(text):
        return None
    if (found := _JUST.match(text)) and (found["just"] or re.search(r"(?:last|just now)$", text, re.I)):
        return Inspect(Ref(pronoun="newest" if found["verb"].lower() in ("add", "create", "put") else "it"))
    if re.search(r":\s*\w", text):
        return None
    for aspect, form in _INSPECT:
        found = form.match(text)
        if not found:
            continue
        if (
            aspect == "priority"
            and text.lower().startswith("is ")
            and not re.search(r"(?:urgent|important|priority)$", text, re.I)
        ):
            continue
        ref = read_ref(found["ref"], now)
        if (
            ref.every
            or ref.narrowed
            or re.match(r"(?:anything|something|everything|today|tomorrow|now|it now|there|next)\b", found["ref"], re.I)
        ):
            continue
        if ref == Ref(phrase=ref.phrase) and re.match(
            r"(?:my|the|our)?\s*(?:next|list|tasks?|todos?|todo list|deadlines?|agenda|plate|schedule|calendar|table|cards)\b",
            ref.phrase,
            re.I,
        ):
            continue
        return Inspect(ref, aspect)  # type: ignore[arg-type]
    return None


def another_day(clause: str, now: datetime) -> Fragment | None:
    """Read "and tomorrow?", which asks the last question again about another day."""
    found = _ALSO_DAY.match(clause.strip(" .!"))
    span = read_span(found["rest"], now) if found else None
    if found is None or span is None or len(found["rest"].split()) > 4:
        return None
    return Fragment(day=span.first, span=span, asking=True)


def questioning(clause: str) -> bool:
    """Tell whether a clause asks rather than orders."""
    return _QUERY.search(clause.strip()) is not None
