"""The words that announce a task: "remind me to", "I need to", "add a task called"."""

from datetime import datetime

from chat.assistant.offline.dates import Due, find_due
from chat.assistant.offline.patterns import pattern

_NOUN = r"(?:tasks?|to-?dos?(?: items?)?|to do(?: items?)?|items?|reminders?|entry|entries|things?|notes? to self)"
_DETERMINERS = (
    r"(?:(?:new|another|one|two|three|four|five|six|a few|some|several|these|this|\d+|more"
    r"|other|an?|the|my|extra|quick|additional|couple of|following|first|second|third|fourth|fifth|last|final)\s+)*"
)
# "Add the second task: paint the wall", "add task 2: paint the wall": the number is not that of a task.
_NUMBER = r"(?:\s*(?:number |no\.? ?|#)?(?:\d{1,6}|one|two|three|four|five)(?=\s*[:-]))?"
# "The guest list" is not the list of tasks.
OWN_LIST = (
    r"(?:(?:my|our)\s+(?:\w+[ -]){0,2}?|the\s+(?:(?:to|do|todo|task|tasks|shopping|grocery|groceries|packing|work|home|chores?"
    r"|errands?|reminders?|new|current|main|big|same|whole)[ -]){0,3}?)"
)
_PREFIX = pattern(
    r"^(?:(?:add|put|write|note)\s+(?:this |these |the following |down )?(?:to|on|in|into|onto)\s+(?:my|the"
    r"|our)\s+(?:\w+[ -]){0,2}?(?:list|tasks|todos?|to-dos?)\s*(?::|,|-)?\s+"
    rf"|(?:pencil|put|stick|slot) (?:me )?in\s+|(?:new )?{_NOUN}\s+(?:for|on|by)\s+(?P<for>[^:]{{2,30}}):\s*"
    r"|needs?:\s*|(?:new|one more|another one|next one|another)\s*:\s*|(?:task|todo|reminder)\s+(?=[\ue100-\ue7ff])"
    r"|(?:i |we )?(?:could|can) do with (?:(?:an? )?reminder (?:to|about|for) |some |an? )?|(?:(?:can|could|may) (?:i"
    r"|we) )?(?:have|get|want|need|like) (?:me )?(?:an? )?reminder (?:to|about|for|that|of)\s+|(?:ping|nudge|poke|prod"
    r"|alert|notify|buzz) me (?:about|that i (?:need|have) to|that|of|to)\s+|(?:i(?:'ve| have)|we(?:'ve| have)) been "
    r"(?:meaning|wanting|planning) to\s+|i keep (?:forgetting|meaning) to\s+|(?:it'd|it would|it might|might|would"
    r"|it'll) be (?:really |very |so )?(?:good|nice|great|wise|smart|best|better|an idea|a good idea|lovely) (?:if i "
    r"|to )|(?:time|high time) (?:to|i)\s+|(?:put|write|note|jot|take|get|pop|stick) (?:me )?down\s+(?:that\s+|to\s+"
    r"|for me\s+)?|(?:i |we )?(?:really |just |finally |need to |have to |should |must )*get (?:a)?round "
    r"to\s+(?=\w+ing\b)|(?:add|create|make|set up|set|put|enter|record|insert|log|include|start|new|open"
    rf"|register)\s+(?:in\s+)?(?:me\s+)?{_DETERMINERS}(?:(?P<urgency>(?:very )?(?:high|low|normal|medium|top)[ -]priority"
    rf"|urgent|important)\s+)?{_NOUN}\b{_NUMBER}"
    r"(?:\s+(?:to|on|in|onto|for)\s+(?:my|the|our)\s+(?:\w+\s+)?(?:list|tasks|todos?))?(?:\s+for me)?(?:\s*(?::|,|-"
    r"|=)\s*|\s+(?:called|named|titled|entitled|saying|that says|labell?ed|with (?:the )?title|to remind me (?:to"
    r"|about|of|that)|reminding me (?:to|about|of|that)|about|for|to|that i (?:need|have) to|of)\b\s*:?\s*|\s+|$)"
    rf"|{_DETERMINERS}(?:new|another)\s+{_NOUN}\s*(?::|,|-)?\s*(?:to\s+)?"
    rf"|(?:task|to-?do|to do|reminder|note to self|note|memo)\s*[:=-]\s*|note to self\s*(?:to)?\s+"
    r"|(?:remind me|send me a reminder|give me a reminder|set me a reminder|i want to be reminded|i'd like to be "
    r"reminded|be reminded)\s*(?:to|about|of|that i (?:need|have|must|should)(?: to)?|that|for|i (?:need|have) to"
    r"|:)?\s+|(?:add|put|include|insert|enter|throw|stick|chuck|get|pop|jot down|write down|note down|jot"
    rf"|take note of|make a note of|write|log)\s+(?:in\s+)?(?P<added>(?:.+?\s+(?:(?:on|onto|to|in|into|as"
    rf"|down)\s+(?:{OWN_LIST}|(?:(?:a|an|this)\s+)?(?!the )(?:\w+[ -]){{0,2}}?)(?:list|tasks?|todos?|to-dos?|reminder|item)\b"
    r"|down|(?:on|in) there)|$))|(?:add|jot down|write down|note down|jot|take note|make a note|note|(?:log|record"
    r"|insert)(?=\s*:)|don't let me forget|make sure i|make sure (?:that )?i don't forget|be sure i|don't forget|do "
    r"not forget|remember|i (?:really |absolutely |definitely |just |simply )*(?:must not|mustn't|can't|cannot"
    r"|shouldn't|better not) forget|never forget|(?:help|make|let|have) me remember|remember me|keep in mind)\s*(?:to"
    r"|about|that i (?:need|have|must|should)(?: to)?|that|of|:|,|down|in|on)?(?:\s+(?:the following|these(?: things| "
    r"tasks)?)\b\s*:?)?\s+|(?:i|we)(?:'ve| have)? ?(?:also |still |really |just |actually |then |now |probably "
    r"|definitely )*(?:need to|have to|got to|must|should|ought to|gotta|need|better|am supposed to|will need to|'ll "
    r"need to|'ll have to|will have to|want to|am going to have to|shall)\s+(?:(?:also|still|really|probably|maybe"
    r"|definitely|just|finally|actually|remember|not forget|be reminded|make sure|add|do)(?: to| that i| i)?\s+)*"
    r"|(?:i'm|i am) (?:supposed|meant|going|planning|hoping|expected|due) to\s+(?:remember to\s+)?|(?:i'd|i would) "
    r"(?:better|like to|love to|rather)\s+|i(?:'ll| will) (?:need to|have to)\s+|i (?:want|wish|plan|intend|hope|aim"
    r"|promised(?: \w+)?) to\s+|(?:need to|have to|must|got to|gotta|should|want to|supposed to|better"
    r"|need)\s+(?:remember to\s+)?|(?:there's|there is) (?:also )?(?:a |an )?(?!(?:\w+ )?(?:typos?|mistakes?|errors?"
    r"|problem|issue|misspelling|no|nothing|someone|something|one|task|too|so|not|more|only)\b)(?=\w)|(?:it's|it is) "
    r"(?:really |very |super |quite |so )?(?P<weight>time|important|crucial|essential|vital|urgent)(?: that i| to| "
    r"for me to)\s+|(?P<own>(?:(?:i|we)(?:'ve| have|'ve got| have got| got)|got)\s+(?:an?|my|our|another)\s+)|(?:must "
    r"not|mustn't|can't|cannot|better not|should not|shouldn't|don't let me) forget\s+(?:(?:to|about)\s+)?|i "
    r"promised(?: \w+)?,? (?:that )?(?:i'd|i would|to)\s+|(?:new|another|next|one more) (?:one|thing)\s*[:,-]\s*"
    r"|(?:(?:i|we)(?:'m| am|'re| are|'ve| have)? )?(?:(?:almost|nearly|all) )?(?P<lack>run out of|running (?:out of"
    r"|low on)|out of|low on|ran out of)\s+|schedule\s+(?:in\s+)?(?:me\s+)?(?:to\s+)?|plan to\s+"
    r"|to-?do\s+(?!lists?\b))"
)
_PREFIX_START = pattern(
    r"^(?:add|create|new|another|remind|set (?:up|me|a|some|reminders|tasks)\b|note|task|to[- ]?do|memo|make|put|jot|write|log|record"
    r"|enter|insert|include|could|can|may|it'd|would|might|one more|another|time|high|ping|nudge|poke|prod|alert|notify|buzz|running|ran|nearly|almost|out|low|like|want|don't|do not|remember|(?:help|make|let|have) me remember|i|we|need|have|must|got|gotta"
    r"|send me|give me a reminder|keep in mind|take|make sure|be (?:sure|reminded)|never|supposed|should"
    r"|schedule|want|better|plan|throw|stick|chuck|pop|get|there|it|register|open|start)\b"
)
ONLY_WITH_DATE = pattern(
    r"got\s+(?:an?|my|our|another)\s|(?:i'm|i am) (?:going|planning|hoping)\b|(?:i|we)(?:'ve got| have got|'ve| have| got)\s+(?:an?|my|our"
    r"|another)\s"
)
# After a prefix, a further one that begins with another word is part of the title.
_PREFIX_WORDS = frozenset({"remember", "remind", "i", "don't", "add", "need", "have", "that", "note", "not", "to"})


def _leading_due_end(clause: str, due: Due) -> int:
    """Return the end of the due date at the start of a clause; 0 if there is none."""
    end = 0
    for start, stop in sorted(due.spans):
        if clause[end:start].strip(" ,"):
            return 0
        end = stop
    return end


def strip_prefix(clause: str) -> tuple[str | None, str]:
    """Return the prefix that announces a task, or None, and the rest."""
    rest, header, due, when = clause, None, find_due(clause, datetime(2000, 1, 1, 12)), ""
    if due is not None and (due_end := _leading_due_end(clause, due)):
        moved = pattern(r"^(?:sometime|some time|at some point|at the latest)\s+").sub(
            "", clause[due_end:].lstrip(" ,")
        )
        if _PREFIX.match(moved):
            rest, when = moved, f" {clause[:due_end]}"
    for _ in range(4):
        found = _PREFIX.match(rest)
        if not found or not (header is not None or _PREFIX_START.match(rest)):
            break
        added = found["added"]
        cut = found.start("added") if added else found.end()
        if header is not None and rest.split(" ", 1)[0].lower() not in _PREFIX_WORDS:
            break
        if found["lack"] and header is None:
            return f"out of{when}", f"buy {rest[cut:].strip()}"
        header = (header or "") + rest[:cut].replace(":", " ") + (f" {found['urgency']}" if found["urgency"] else "")
        rest = rest[cut:]
        if added:
            break
    return (f"{header}{when}" if header is not None else None), (
        rest if header is not None else f"{rest}{when}"
    ).strip()
