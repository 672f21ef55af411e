"""Recognise requests about tasks, the list or the app that the assistant does not support."""

from datetime import datetime

from chat.assistant.offline.intents import Add, Change, Intent, Swap, Unsupported, Vague
from chat.assistant.offline.patterns import pattern
from chat.assistant.offline.references import parse_ref
from chat.assistant.offline.words import has_quote

_NUMBERED = r"(?:(?:tasks?|items?|numbers?|to-?dos?)\s*(?:number |no\.? ?)?#?\d{1,6}\b|#\d{1,6}\b|\d{1,6}(?:\s*(?:,|and|&|with)\s*#?\d{1,6})+(?=\s*(?:$|(?:to|into|as) )))"
_WHOLE = (
    r"(?:(?:all|both|the|my|our|these|those|whole|entire|completed?|done|finished|open|pending|overdue|duplicate|old)\s+)*"
    r"(?:tasks|to-?dos|(?:to-?do |task )?list)\b(?! (?:of|for)\b)"
)
_ONE = r"(?:the|my|that|this) (?:[\w'-]+ ){0,4}?(?:task|one|item|to-?do|reminder)s?\b|(?:it|them|both|everything)$"
_TASKS = rf"(?:{_NUMBERED}|{_WHOLE}|{_ONE})"
_WHEN = r"\b(?:due|by|at \d|today|tonight|tomorrow|next|on \w+day)\b"
_RECIPIENT = r"(?:(?:me|us|him|her|\w+) )?"
_KINDS = {
    "app": r"(?:log|sign) (?:me )?(?:out|off|in)$|(?:(?:switch|change|turn|set|go|use|enable|activate)\b.*\b)?(?:dark|light|night) (?:mode|theme)$"
    r"|(?:change|switch|set) (?:the|my) (?:theme|language|font|layout|time ?zone)\b|(?:enable|disable|turn (?:on|off)|switch (?:on|off)) (?:notifications?|sounds?|sync)$"
    r"|(?:delete|close|deactivate) my account$",
    "chat": r"(?:re-?name|re-?title|call|name|title|change the (?:name|title) of|(?:un)?pin|archive|delete|close) (?:this|the|our) (?:chat|conversation)\b",
    "note": r"take (?:a )?note(?: of (?:this|that|it))?(?:\s*[:,-]|\s+that\b|$)"
    rf"|remember (?:that )?(?:i(?:'m| am| was| have an?| like| love| hate| prefer| live| work)|i can't|we(?:'re| are)|my [\w' -]{{2,40}}? (?:is|are)) (?!.*{_WHEN})",
    "plan": r"(?:summari[sz]e|plan(?: out)?|organi[sz]e|structure) (?:my|the|this|our) (?:day|week|weekend|month|morning|afternoon|evening)$",
    "again": r"undo (?:it |that |the last change )?(?:(?:\d+|two|three|four|five|a few|several) times|twice|again and again)$"
    r"|undo (?:the |my )?last (?:\d+|two|three|four|five|few)\b.*",
    "redo": r"redo\b(?: (?:it|that|the last.*))?$|undo (?:everything|all)\b.*",
    "except": r"(?:delete|remove|erase|clear|complete|finish|mark|tick|close|check)\s.*\b(?:all|everything|every|both|any)\b.*\b(?:but|except|excluding|apart from|besides|other than)\b",
    "sort": rf"(?:sort|order|arrange|group|filter|categori[sz]e)\s(?:(?:{_WHOLE}|them|it|everything)\s.*?)?\b(?:alphabetical\w*|by (?:the )?(?:name|title|alphabet|project|label|tag|colou?r"
    r"|length|size|category|day|topic|creation|age)s?\b)",
    "order": rf"(?:re-?order|re-?arrange|re-?number|shuffle|reverse|swap|switch|exchange|interchange)\s(?:the (?:order|positions?|places?|numbers?) (?:of|in) )?{_TASKS}"
    rf"|(?:move|put|place|drag)\s.+?\s(?:above|below|before|after|in front of|behind|under|over|between)\s(?:{_NUMBERED}|(?<=above )\d{{1,6}}$|(?<=below )\d{{1,6}}$|{_ONE})"
    r"|(?:move|put|place|drag)\s.+?\sto the (?:bottom|end)(?: of (?:the|my) list)?$|change the (?:number|position|place) of\s",
    "merge": rf"(?:merge|combine|join|unite|consolidate|de-?duplicate|dedupe|split(?: up)?|divide|break (?:up|down)|duplicate|copy|clone)\s(?:{_TASKS}|(?:my|the) duplicates$)"
    rf"|(?:combine|merge)\s.+\s(?:with|and|into)\s{_TASKS}|(?:convert|turn|make)\s{_NUMBERED}\s(?:in)?to\s(?:a|an)\s(?:project|note|list|event|sub-?task|folder)\b",
    "share": rf"(?:e-?mail|mail|text|forward|message|whatsapp|share|export|download|publish|post|upload|sync(?:hroni[sz]e)?|import|back ?up)\s{_RECIPIENT}{_TASKS}"
    rf"|send\s(?:{_RECIPIENT}{_TASKS}\s+(?:to|by|via|as)\b|(?!me\b|us\b){_WHOLE})",
    "assign": rf"(?:assign|re-?assign|delegate|allocate|hand over)\s{_TASKS}\s*(?:to\b|$)",
    "label": rf"(?:tag|label|categori[sz]e|colou?r|pin|unpin|star|unstar|flag|highlight|bookmark|lock|unlock|archive|nest|indent|attach|link|mute|estimate|track)\s{_TASKS}(?!.*\b(?:high|low|normal|urgent|important)\b)"
    rf"|(?:start|set|stop) (?:a|the) timer (?:for|on) {_TASKS}|(?:estimate|log|track)\s.+\s(?:for|on)\s{_NUMBERED}"
    r"|(?:create|add|make|new)\s(?:me )?(?:(?:an?|another|new|the)\s+)*(?:project|folder|section|label|tag|category|sub-?task|sub-?list|list|board|file|attachment|picture|photo|link|filter|timer)"
    rf"(?:$|\s+(?:called|named|titled)\b|\s+(?:to|for|on|under|in|of)\s+{_TASKS})|attach\s.+\sto\s{_NUMBERED}"
    r"|(?:move|add|put)\s.+\s(?:to|into|in|under)\s(?:the |a |my )?(?:project|folder|section|board)\b",
    "view": rf"(?:collapse|expand|select|unselect|refresh|reload|zoom|scroll|translate|lock)\s(?:{_WHOLE}|the (?:page|panel|screen))",
}
_FORMS = {kind: pattern(form) for kind, form in _KINDS.items()}
_REFUSALS = {
    "app": "I can't change the app or your account from the chat: look in *Settings*. I can, for example, *show my tasks*.",
    "chat": "I can't rename or move this chat from here: open the *⋯* menu beside its title and choose *Rename*, for example.",
    "note": "I only keep tasks: I can't take notes by themselves. You can say, for example, *add a task to buy milk* or "
    "*add a note to task 1: no nuts*.",
    "plan": "I can't plan or summarize for you, but I can show what there is: *what is due today*, *what is due this "
    "week* or *sort by priority*, for example.",
    "again": "I take back one change at a time: say *undo*, and then *undo* again for the one before it.",
    "redo": "I can only *undo* the last change, and then the one before it. What was undone you can tell me again.",
    "sort": "I can sort by number, due date or priority only: *sort by due date*, for example.",
    "except": "I can't leave some of your tasks out. Please name those you mean: *mark 1, 2 and 4 as done*, for example.",
    "order": "I can't arrange tasks by hand: the list goes by date and priority. You can say, for example, "
    "*move task 2 to tomorrow*, *make task 2 high priority* or *swap the priorities of 2 and 3*.",
    "merge": "I can't merge, split, copy or convert tasks. You can say, for example, *add a note to task 1: ...*, "
    "*rename task 1 to ...* or *delete task 2*.",
    "share": "I can't send, share, import or export your list from the chat. I can, for example, *show my tasks*.",
    "assign": "I can't give tasks to others: this list is yours alone. You can say, for example, "
    "*add a note to task 2: ask Ann*.",
    "label": "I can't do that: a task has a title, a note, a date and a priority, and nothing else. You can say, for "
    "example, *add a note to task 2: ...* or *make task 2 high priority*.",
    "view": "I can't do that. I can, for example, *show my tasks* or *sort by priority*.",
    "other": "I can't do that with your tasks. You can say, for example, *move task 2 to tomorrow*, *make task 2 high "
    "priority*, *mark task 2 as done* or *show my tasks*.",
}
_SWAP = pattern(
    r"(?:swap|switch|exchange|interchange|trade) (?:the )?(?:(?P<due>(?:due )?dates?|deadlines?|due)|priorit(?:y|ies)) (?:of|between|for) "
    r"(?P<one>.+?) (?:and|with|&) (?P<other>.+)"
)
# Requests about existing tasks with any verb: "frobnicate task 2".
_ANY_VERB = pattern(rf"[a-z]{{3,}}(?: (?:up|off|out|down|in|over|back))? (?:{_NUMBERED}|{_WHOLE}\s*$)")
_ONLY_TASKS = pattern(rf"(?:{_NUMBERED}|\d{{1,6}})(?: and (?:urgent|important|high|low))?$|my tasks\b|the list$")


def parse_unsupported(clause: str, now: datetime) -> Intent | None:
    """Parse an unsupported request, or one to swap fields of two tasks."""
    if found := _SWAP.fullmatch(clause):
        return Swap(parse_ref(found["one"], now), parse_ref(found["other"], now), due=found["due"] is not None)
    if has_quote(clause):
        return None
    return next((Unsupported(kind) for kind, form in _FORMS.items() if form.match(clause)), None)


def unless_about_tasks(intent: Intent, clause: str) -> Intent:
    """Return the intent, or an unsupported one if it would only guess about existing tasks."""
    if isinstance(intent, Vague) and _ANY_VERB.match(clause) and not clause.endswith("?"):
        return Unsupported("other")
    if isinstance(intent, Add) and any(_ONLY_TASKS.match(draft.title) for draft in intent.drafts):
        return Unsupported("other")
    if isinstance(intent, Add) and intent.unannounced and _ANY_VERB.match(clause):
        return Unsupported("other")
    if isinstance(intent, Change) and intent.otherwise and pattern(_NUMBERED).search(intent.otherwise.title):
        return Unsupported("other")
    return intent


def refusal(intent: Unsupported) -> str:
    """Return what is not supported, and what is."""
    return _REFUSALS[intent.kind]
