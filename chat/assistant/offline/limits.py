"""Requests that the assistant refuses: it sends no reminders and repeats no tasks."""

from chat.assistant.offline.patterns import pattern

_NO_REMINDERS = "I don't send reminders: I only keep the list."
_NO_REPEATS = "I don't repeat tasks: this is on your list once."
_NOTICE = r"(?:reminders?|notifications?|alerts?|alarms?)"
_UNIT = r"(?:other |second |single |\d+ )?(?:hour|day|morning|afternoon|evening|night|week|weekday|weekend|fortnight|month|quarter|year|(?:mon|tues|wednes|thurs|fri|satur|sun)day)s?"
_REGULAR = r"(?:daily|weekly|fortnightly|biweekly|monthly|yearly|annual|recurring|repeating|regular)"
_REMINDING = pattern(
    rf"\b(?:remind|notify|alert|ping|nudge|buzz) me\b|\bbe (?:reminded|notified)\b"
    rf"|\b(?:set|give|send|create|add|make|need|want|have|get)(?: me)?(?: up)?(?: an?| some| the)? {_NOTICE}\b(?! to (?!me\b)[A-Z])"
)
_REPEATING = pattern(
    rf"\b(?:every|each) {_UNIT}\b|\b(?:daily|weekly|fortnightly|biweekly|monthly|yearly|annually)\W*(?:$|,|;|\.)"
    rf"|\b{_REGULAR} (?:tasks?|reminders?|to-?dos?|chores?)\b|\bon (?:mon|tues|wednes|thurs|fri|satur|sun)days\b"
)
_MAY = r"(?:(?:so|and|but|hey|ok|okay|please)[, ]+)*(?:can|could|will|would|do|does|are)(?:n't)? (?:you|it|this|there) (?:also |ever |even |actually |be able to |able to )*"
_NOTIFY = rf"(?:(?:remind|notify|alert|ping|warn)(?:s|ing)?(?: me)?|(?:send|give|set|have|support|make|offer|do)(?: me)?(?: any| some| an?)?(?: push| e-?mail)? {_NOTICE})"
_ABOUT = r"(?: (?:of|about|for) (?:it|this|that|them|(?:my )?tasks?|things|everything|deadlines))"
_IN_ADVANCE = r"(?: (?:.{1,15} (?:before|earlier|ahead|in advance)(?:hand)?|when (?:it|they|something|a task)(?:'s| is|'re| are) due|(?:in|on) time))"
_ASKED_TO_REMIND = pattern(
    rf"(?:{_MAY}{_NOTIFY}{_ABOUT}?{_IN_ADVANCE}?|{_NOTIFY}(?:{_ABOUT}{_IN_ADVANCE}?|{_IN_ADVANCE}))\W*"
)
_INTERVAL = rf"(?: (?:every|each) {_UNIT}| on \w+days| daily| weekly| monthly| yearly)"
_ASKED_TO_REPEAT = pattern(
    rf"(?:{_MAY})?(?:(?:make|let|have|set|turn)(?: up)? .{{1,40}}?(?: to| in ?to| as| be)?(?: a)? (?:repeat|recur|recurring|repeating)(?: tasks?)?{_INTERVAL}?"
    rf"|repeat .{{1,40}}?{_INTERVAL})\W*|{_MAY}(?:repeat|recur|(?:do|have|support|make|create|add)(?: an?)? (?:recurring|repeating))(?: (?:tasks?|reminders?|things))?\W*"
)
_TITLED = pattern(rf"\b(remind me) ((?:every|each) {_UNIT}|on \w+days) ((?:to|about) [^,;.\n]+)")
_KIND = pattern(rf"\b(an?) {_REGULAR} (tasks?|reminders?|to-?dos?)\b")


def refusal_of(message: str) -> str:
    """Return the reply to a request for only a reminder or a repetition; empty for any other message."""
    if _ASKED_TO_REMIND.fullmatch(message):
        return f"{_NO_REMINDERS} Ask me *what is due today* whenever you like."
    if _ASKED_TO_REPEAT.fullmatch(message):
        return "I don't repeat tasks: each is on your list once. Tell me the next date when you have done it."
    return ""


def caveats_of(message: str) -> list[str]:
    """Return the caveats about the reminders and repetitions in a message."""
    return [_NO_REMINDERS] * bool(_REMINDING.search(message)) + [_NO_REPEATS] * bool(_REPEATING.search(message))


def strip_repetition(text: str) -> str:
    """Rewrite a request for a repeated task as one for a single task."""
    return _KIND.sub(r"\1 \2", _TITLED.sub(r"\1 \3 \2", text))
