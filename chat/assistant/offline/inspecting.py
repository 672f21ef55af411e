"""Parse questions about one task: its due date, its status, whether it exists."""

import re
from datetime import datetime

from chat.assistant.offline.asking import NEXT_DUE
from chat.assistant.offline.intents import Aspect, Inspect, Ref
from chat.assistant.offline.patterns import pattern
from chat.assistant.offline.references import parse_ref

_JUST_CHANGED = pattern(
    r"^(?:what|which)(?: (?:one|task|thing))? (?:did|have) (?:i|you|we) (?P<just>just |last )*(?P<verb>add|create"
    r"|put|complete|finish|change|update|mark|rename|move|edit|do)(?:e?d)?(?: (?:last|just now|a (?:moment|minute|second) ago|on (?:my|the) list))?$"
)
_NUMBERED = r"(?:task|number|item|#|no\.?)\s*(?:number |#)?(?:\d+|one|two|three|four|five)|#\d+"
_LISTED = r"\s*(?:,|and|&|-|to)+\s*"
_QUESTIONS: tuple[tuple[Aspect, str], ...] = (
    (
        "due",
        r"^when(?:'s| is| are| do i (?:need|have) to(?: do| finish)?| was| should i(?: do| finish)?| must i(?: "
        r"do)?)\s+(?P<ref>.+?)(?:\s+(?:due|supposed to be done|scheduled(?: for)?|set for|happening|by))?$",
    ),
    ("due", r"^when (?P<ref>.+?) (?:is|are|was) due$|^(?P<ref2>.+?) (?:is|are|was) due (?:when|what day|by when)$"),
    (
        "due",
        r"^(?:what(?:'s| is)|tell me)?\s*(?:the )?(?:due date|deadline|due time|date|time) (?:of|for"
        r"|on) (?P<ref>(?!.*\b(?:is|was|has been)\b).+)$",
    ),
    (
        "due",
        r"^(?:how (?:long|much time) (?:do|have) i (?:still )?(?:have|got)(?: left)?(?: for| to do| to finish| until| till)?"
        r"|by when do i (?:need|have) to(?: do| finish)?|until when do i have(?: to)?) (?P<ref>.+)$",
    ),
    (
        "status",
        r"^(?:is|are|was|were|has|have) (?P<ref>(?!there\b|i\b|you\b|we\b|any).+?) (?:been )?(?:already |still )*"
        r"(?:paid|sent|bought|booked|called|cleaned|written|made|taken care of|fixed|submitted|ordered|ticked|sorted"
        r"|handled|watered|washed|returned|picked up|over with)(?: yet| already)*$",
    ),
    (
        "due",
        r"^how (?:long|many (?:days|weeks|hours)|much (?:time|longer)) (?:is it |do i have |have i got )?(?:until|till|before|to|left (?:until|till|for)) (?P<ref>.+?)(?:(?: is|'s)(?: due)?)?$",
    ),
    ("due", r"^what (?:day|date|time) (?:is|was) (?P<ref>.+?)(?: due| set for| on| at| for)?$"),
    ("due", r"^(?:does|do|has) (?P<ref>.+?) (?:have|got) (?:a |any )?(?:due date|deadline)$"),
    ("priority", r"^(?:what(?:'s| is)|tell me)?\s*(?:the )?priority (?:of|for|on) (?P<ref>.+)$"),
    (
        "priority",
        r"^(?:what priority (?:is|does)|how (?:important|urgent) is|is) (?P<ref>.+?)(?:\s+(?:have|at|urgent"
        r"|important|high priority|low priority|a priority))?$",
    ),
    (
        "description",
        r"^(?:what(?:'s| is| are| does)|show(?: me)?|tell me|read(?: me)?|(?:are there |is there |do i have )?any)\s*(?:the )?(?:notes?|descriptions?"
        r"|comments?|details?) (?:of|for|on|about|in) (?P<ref>.+?)(?: says?)?$",
    ),
    (
        "status",
        r"^(?:is|are) (?P<ref>.+?) (?:already |still |now )*(?:done|complete|completed|finished|open|pending"
        r"|closed|not done|ticked off)(?: yet)?$",
    ),
    (
        "status",
        r"^how(?:'s| is| are) (?P<ref>(?!my (?:day|week|weekend|month|list|schedule)).+?) (?:going|coming along"
        r"|coming|doing|looking|progressing)(?: so far)?$",
    ),
    ("all", r"^(?:details?|info(?:rmation)?|more)(?: (?:on|about|of|for))+ (?P<ref>.+?)(?: please)?$"),
    (
        "status",
        r"^(?:did|have) i (?:already |ever |actually )?(?:finish(?:ed)?|complet(?:e|ed)|do|done"
        r"|mark)\s+(?:with )?(?P<ref>.+?)(?: yet| already| as done)?$",
    ),
    (
        "status",
        r"^(?:did|have) i (?:already |ever |actually )?(?P<ref>(?!(?:already|ever|actually|get|do|done|finish|finished|complete"
        r"|completed|have|got|ask|asked|say|said|tell|told|add|miss|missed|forget|accomplish"
        r"|accomplished)\b)\w+ .+?)(?: yet| already)?$",
    ),
    ("status", r"^(?:what(?:'s| is)|tell me)?\s*(?:the )?status (?:of|for|on) (?P<ref>.+)$"),
    ("exists", r"^(?:is|are) (?P<ref>.+?) (?:already |still )*(?:on|in) (?:my|the) (?:\w+ )?(?:list|tasks|todos?)$"),
    (
        "exists",
        r"^(?:do i|have i)(?: already| still)? (?:have|got) (?:a |an |any )?(?:task|reminder|todo|item"
        r"|entry) (?:about|for|to|called|named|with|on|that says|regarding) (?P<ref>.+)$",
    ),
    (
        "exists",
        r"^(?:do i have|have i got|did i (?:already )?(?:add|put|write down|note)|have i (?:already )?added"
        r"|is there(?: a (?:task|reminder))?(?: for| about| to| called)?|do i (?:still )?(?:need"
        r"|have) to) (?P<ref>(?!any(?:one|body|where)\b|anything|any\b|something|more|much|tasks|a lot|to do).+?)(?: on (?:my"
        r"|the) (?:\w+ )?list| as a task| already| coming up| soon| planned| scheduled| booked| listed)*$",
    ),
    (
        "all",
        r"^(?:show|see|view|display|open|get|read|describe|explain|give me|tell me|what(?:'s| is| was|'s in"
        r"| does)|pull up|print|look up|info on)\s*(?:me )?(?:more )?(?:the )?(?:details? |info(?:rmation)? "
        rf"|about |of |on |for )*(?P<ref>{_NUMBERED}|tasks \d+(?:{_LISTED}\d+)*(?:{_LISTED})?)(?: (?:say|again"
        r"|about|in detail|please|details))*$",
    ),
    (
        "all",
        r"^(?:show|see|view|give|tell|read|what(?:'s| is| are))\s*(?:me )?(?:more )?(?:the )?(?:details?"
        r"|info(?:rmation)?|more|everything)? ?(?:about|of|on|for) (?P<ref>(?!my (?:tasks|list|todos?)|the list"
        r"|all\b|what).+)$",
    ),
    (
        "all",
        r"^(?:what(?:'s| is| was)|which (?:one )?is|show(?: me)?) (?P<ref>(?:the|my) (?:first|second|third|last"
        r"|newest|latest)(?: (?:one|task|item|thing|entry))?(?: on (?:my|the) list)?(?: (?:that )?i (?:just )?(?:added"
        r"|created))?)$",
    ),
    (
        "all",
        r"^(?:which (?:one|task|number)|what number)(?: is| was) (?P<ref>(?!due\b|next\b|first\b|the most\b"
        r"|overdue\b|done\b|left\b).+?)(?: again)?$",
    ),
    ("all", rf"^(?P<ref>{_NUMBERED})$"),
)
_INSPECT = tuple((aspect, pattern(text)) for aspect, text in _QUESTIONS)
_NO_TASK = pattern(r"(?:anything|something|everything|today|tomorrow|now|it now|there|next)\b")
_WHOLE_LIST = pattern(
    r"(?:my|the|our)?\s*(?:next|list|tasks?|todos?|todo list|deadlines?|agenda|plate|schedule|calendar|table|cards)\b"
)


def parse_inspect(clause: str, now: datetime) -> Inspect | None:
    """Parse a question about one task."""
    text = clause.strip(" .?!")
    if NEXT_DUE.search(text):
        return None
    if (found := _JUST_CHANGED.match(text)) and (found["just"] or pattern(r"(?:last|just now)$").search(text)):
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
            and not pattern(r"(?:urgent|important|priority)$").search(text)
        ):
            continue
        words = found["ref"] or found.groupdict().get("ref2", "")
        ref = parse_ref(words, now)
        if ref.every or ref.narrowed or _NO_TASK.match(words):
            continue
        if ref == Ref(phrase=ref.phrase) and _WHOLE_LIST.match(ref.phrase):
            continue
        return Inspect(ref, aspect)
    return None
