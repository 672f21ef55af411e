"""Parse requests to change the title or the note of a task."""

from datetime import datetime

from chat.assistant.offline.adding import clean_title, parse_add
from chat.assistant.offline.dates import find_due
from chat.assistant.offline.intents import Change
from chat.assistant.offline.patterns import pattern, patterns
from chat.assistant.offline.references import REF, ref_or_it
from chat.assistant.offline.verbs import CHORES
from chat.assistant.offline.words import is_quote

_NOTE_NOUN = r"(?:notes?|descriptions?|comments?|details?|desc)"
_DESCRIBE = patterns(
    rf"^(?:set|change|update|edit|make|replace|put)\s+(?:the |its )?{_NOTE_NOUN}\s+(?:of|for|on|to"
    r"|in)\s+(?P<ref>.+?)\s*(?:\bto\b|\bas\b|:|=|\bsaying\b)\s*(?P<text>.+)$",
    r"^(?:set|change|update|edit|make)\s+(?!(?:an?|the|another"
    rf"|some)\s+{_NOTE_NOUN})(?P<ref>.+?)(?:'s)?\s+{_NOTE_NOUN}\s+(?:to|as|:|say)\s*(?P<text>.+)$",
    rf"^(?:set|change|update|make)\s+(?:the |its )?{_NOTE_NOUN}\s+(?:to|as|:)\s*(?P<text>.+)$",
    r"^(?:add|put|attach|leave|write|include|append|make|give)\s+(?:a |an |the |this |another |some "
    rf"|following )*{_NOTE_NOUN}\s+(?:to|on|for|in|under|of)\s+(?P<ref>.+?)\s*(?::|,|\bthat says\b|\bsaying\b"
    r"|\bsays\b|\bthat\b|-\s)\s*(?P<text>.+)$",
    r"^(?:add|put|attach|leave|write|include|append)\s+(?:a |an |the |this |another "
    rf"|following )*{_NOTE_NOUN}\s*:?\s*(?P<text>[^\s:].*?)\s+(?:to|on|for|in|under)\s+(?P<ref>{REF}"
    r"|(?:the )?.+? task|(?:the )?task .+|[^:]+?)$",
    rf"^(?:add|put|attach|leave|write|include)\s+(?:a |an |the |this |another )*{_NOTE_NOUN}\s*(?::|that"
    r"|saying|that says|-)\s*(?P<text>.+)$",
    rf"^(?:give|update|edit)\s+(?P<ref>.+?)\s+(?:with )?(?:a |the |this )*{_NOTE_NOUN}\s*(?::|of|saying"
    r"|that says|that|-)?\s*(?P<text>.+)$",
    rf"^(?:add|append|write|put)\s+(?:to|in|into|on|under)\s+(?:the |its )?{_NOTE_NOUN}(?:\s+(?:of|on|for"
    r"|in)\s+(?P<ref>.+?))?\s*(?::|,|\bthat\b|-\s)\s*(?P<text>.+)$",
    rf"^(?P<ref>{REF})\s+{_NOTE_NOUN}\s*[:=-]\s*(?P<text>.+)$",
    r"^(?:note|comment)\s+(?:for|on|to)\s+(?!self\b|myself\b)(?P<ref>.+?)\s*[:,-]\s*(?P<text>.+)$",
    r"^note\s+(?:on|for|in)\s+(?P<ref>.+?)\s+that\s+(?P<text>.+)$",
    r"^describe\s+(?P<ref>.+?)\s+as\s*:?\s*(?P<text>.+)$",
    rf"^(?:the )?{_NOTE_NOUN}\s+(?:of|for|on)\s+(?P<ref>.+?)\s*(?:\bshould be\b|\bis\b|\bshould say\b|\bto\b|="
    r"|:)\s*:?\s*(?P<text>.+)$",
    rf"^(?P<ref>.+?)'s\s+{_NOTE_NOUN}\s+(?:should be|is|should say|to)\s*:?\s*(?P<text>.+)$",
    rf"^(?:add|append|attach)\s+(?P<text>.+?)\s+(?:to|in|as)\s+(?:the |a |its )?{_NOTE_NOUN}(?:\s+(?:of|on|for"
    r"|in|to)\s+(?P<ref>.+))?$",
    rf"^(?:add|append|attach)\s+(?P<text>.+?)\s+to\s+(?:the |my )?(?P<ref>(?!the\b|its\b|a\b).+?)(?:'s)?\s+{_NOTE_NOUN}$",
    rf"^(?:add|append)\s+to\s+(?:the |my )?(?P<ref>.+?)(?:'s)?\s+{_NOTE_NOUN}\s*:\s*(?P<text>.+)$",
    rf"^(?:add|append|attach)\s+to\s+(?P<ref>{REF}|(?:the|my) .+? (?:task|one|item))\s*(?::|that)\s*(?P<text>.+)$",
    "^(?:add|append|attach|put)\\s+(?P<text>[\ue100-\ue7ff])\\s+(?:to|on|in)\\s+(?:the |my )?(?P<ref>(?!to-?do\\b|list\\b|new\\b).+?) (?:task|item)$",
    r"^(?:add|append|attach)\s+(?P<text>.+?)\s+to\s+(?P<ref>(?:task|number|#)\s*#?\d+)$",
)
_NOTE_MISSING = pattern(
    rf"^(?:add|put|attach|write|set|change|update|edit)\s+(?:a |an |the |another )*{_NOTE_NOUN}(?:\s+(?:to|on|for"
    r"|of|in)\s+(?P<ref>.+))?$"
)
_NEW_TASK = pattern(r"(?:add|create|put|write)\s+(?:an?|another|one more|the)\s+(?:new\s+)?(?:task|to-?do)\s+to\b")
# These append to the existing note; other verbs replace it.
_APPENDING = pattern(r"(?:add|append|attach|include|put|leave|write|note|comment|give)\b")
_ONLY_NOTE = pattern(rf"(?:an? |the |another |some )*{_NOTE_NOUN}")
CLEAR_NOTE = pattern(
    rf"^(?:remove|clear|delete|erase|drop)\s+(?:the |its |any )?{_NOTE_NOUN}(?:\s+(?:from|of|for"
    r"|on)\s+(?P<ref>.+))?$"
)
_RENAME = patterns(
    r"^(?:rename|re-name|retitle|reword)\s+(?P<ref>.+?)\s+(?:to(?: be| say)?|as|into|so it says|=>"
    r"|->)\s*:?\s+?(?P<text>.+)$",
    rf"^(?:rename|retitle)\s+(?P<ref>{REF})\s*[:,]?\s+(?P<text>.+)$",
    r"^(?:change|edit|update|set|make|correct|fix)\s+(?:the )?(?:title|name|text|wording|label|spelling)\s+(?:of|for"
    r"|on)\s+(?P<ref>.+?)\s+(?:to|as|into)\s*:?\s*(?P<text>.+)$",
    r"^(?:change|edit|update|set|correct)\s+(?P<ref>.+?)(?:'s)?\s+(?:title|name|text|wording)\s+(?:to|as"
    r"|into)\s*:?\s*(?P<text>.+)$",
    r"^(?:change|edit|update|set)\s+(?:the |its )?(?:title|name|text|wording)\s+to\s*:?\s*(?P<text>.+)$",
    rf"^(?:call|name|title)\s+(?P<ref>{REF})\s+(?P<text>.+?)(?:\s+instead)?$",
    r"^(?P<ref>.+?)\s+(?:should|must|ought to)\s+(?:really |actually |instead )*(?:be (?:called|named|titled"
    r"|renamed(?: to)?)|say|read)\s*:?\s*(?P<text>.+?)(?:\s+instead)?$",
    r"^(?:the )?(?:title|name)(?:\s+of\s+(?P<ref>.+?))?\s+should be\s*:?\s*(?P<text>.+)$",
    r"^(?:make|have|let)\s+(?P<ref>.+?)\s+(?:say|read)\s*:?\s*(?P<text>.+)$",
    r"^(?:change|edit|update|replace|correct|switch|turn|swap|modify)\s+(?P<ref>.+?)\s+(?:to|into|with|for"
    r"|by)(?: say| read)?\s*:?\s*(?P<text>.+)$",
    rf"^(?P<ref>{REF})\s+(?:should|must)\s+(?:really |actually "
    r"|instead )*be\s*:?\s*(?P<text>.+?)(?:\s+instead)?$",
    r"^instead of (?P<ref>.+?),? (?:it should|make it|call it|it must|please write|write|put) (?:say |be "
    r"|read )?(?P<text>.+)$",
    r"^(?:edit|update|change|rename|correct|reword|retitle)\s+(?P<ref>[^:]+?)\s*:\s+(?P<text>.+)$",
    rf"^(?:make)\s+(?P<ref>{REF})\s+(?:into\s+)?(?P<text>.+)$",
)
_RENAME_MISSING = pattern(r"^(?:rename|retitle|change the (?:title|name|wording) of)\s+(?P<ref>.+)$")
_MISSPELT = pattern(
    r"^(?:there(?:'s| is| was| are)|i (?:have|made|see|spotted|noticed)|i've (?:got|made)) (?:an?|some|another) (?:\w+ )?"
    r"(?:typos?|mistakes?|errors?|misspellings?) (?:in|on|with) (?:the (?:title|name|wording) of )?(?P<ref>.+)$"
    r"|^i (?:misspelled|misspelt|mistyped|miswrote) (?P<ref2>.+)$"
    r"|^(?:i (?:spelled|spelt|wrote|typed) )?(?P<ref3>.+?)(?: is| was)? (?:misspelled|misspelt|mistyped|(?:spelled|spelt|written|typed)"
    r" (?:wrong|incorrectly|wrongly|badly)|wrong(?=$))$"
)
_SWAP = pattern(
    r"^(?:change|replace|correct|swap)\s+(?P<old>.+?)\s+(?:to|with|by|for"
    r"|into)\s+(?P<text>.+?)\s+in\s+(?:the (?:title|name) of\s+)?(?P<ref>"
    + REF
    + r"|the (?:title|name)(?: of .+)?|.+ task)$"
)
_NOT_BUT = pattern(
    r"^(?:(?P<it>it's|it is|it should be|it should say|that's|that should be|the (?:title|name) (?:is|should be))"
    r"|(?P<ref>.+?)\s+(?:is|was|are|should be))\s+(?:actually |really |supposed to be |meant to be )*"
    r"(?:(?:with|for|to|at|from|in|about|of|by|called)\s+)?(?P<text>[\w']+(?:-\w+)*(?: [\w']+(?:-\w+)*)?),? (?:and )?not (?P<old>[\w']+(?:-\w+)*(?: [\w']+(?:-\w+)*)?)"
    r"(?:[\s,.;-]+(?:so |please |can you |could you )*(?:fix|correct|change|update|edit) (?:the |its |that |my )?(?:title|name|spelling|typo"
    r"|wording|text|it|that|task))?$"
)
_CALLED = pattern(r"call (?:\d|one\b|two\b|three\b|four\b|five\b)")
# The rest of a reference or of politeness is not a title: "rename the last one".
_NO_TITLE = pattern(r"(?:(?:one|ones|task|tasks|item|entry|it|that|this|please|again|instead|now|too|then|for me)\s*)+")
_CHORE = pattern(r"(?:swap|replace|switch|turn)\b")
# "Make it 4" means the hour.
_HOUR = pattern(r"(?P<hour>[1-9]|1\d|2[0-3])(?:\s+instead)?")


def parse_note_change(clause: str, now: datetime) -> Change | None:
    """Parse a request to add or change a note."""
    if _NEW_TASK.match(clause):
        return None
    for form in _DESCRIBE:
        if (found := form.match(clause)) and not _ONLY_NOTE.fullmatch(found["text"]):
            text = found["text"].strip(" \"'")
            ref = ref_or_it(found.groupdict().get("ref"), now)
            return Change(ref, description=text, appended=_APPENDING.match(clause) is not None)
    found = _NOTE_MISSING.match(clause)
    if found is None:
        return None
    return Change(ref_or_it(found["ref"], now), lacks="description", appended=_APPENDING.match(clause) is not None)


def parse_rename(clause: str, now: datetime) -> Change | None:
    """Parse a request to rename a task."""
    if found := _SWAP.match(clause):
        return Change(ref_or_it(found["ref"], now), title=found["text"].strip(), old_words=found["old"].strip())
    if (found := _NOT_BUT.match(clause)) and not (
        find_due(f"on {found['text']}", now) or find_due(f"on {found['old']}", now)
    ):
        return Change(ref_or_it(found["ref"], now), title=found["text"].strip(), old_words=found["old"].strip())
    for form in _RENAME:
        if found := form.match(clause):
            if hour := _HOUR.fullmatch(found["text"]):
                due = find_due(f"tomorrow at {hour['hour']}", now)
                return Change(ref_or_it(found.groupdict().get("ref"), now), at=due.at if due else None)
            if _CALLED.match(clause) and not (
                is_quote(found["text"].split(" ")[0]) or found["text"].split(" ")[0].lower() in CHORES
            ):
                # "Call 3 plumbers" and "call 0800 123" are phone calls.
                continue
            if _NO_TITLE.fullmatch(found["text"].strip(" .!?")):
                continue
            given = pattern(r"(?:\s+(?:instead|please|rather|then|now|from now on|for me))+$").sub("", found["text"])
            text = clean_title(given) if not is_quote(given) else given.strip()
            ref = ref_or_it(found.groupdict().get("ref"), now)
            # "Swap the tyres for new ones" is a new task if none is about tyres.
            chore = parse_add(clause, now, free=True) if ref.phrase and _CHORE.match(clause) else None
            otherwise = chore.drafts[0] if chore and chore.drafts else None
            return Change(ref, title=text, without_verb=clause.lower().startswith("make "), otherwise=otherwise)
    if (found := _MISSPELT.match(clause)) and (words := found["ref"] or found["ref2"]):
        return Change(ref_or_it(words, now), lacks="title")
    if found and not pattern(r"\bwrong$").search(clause):
        return Change(ref_or_it(found["ref3"], now), lacks="title")
    if found := _RENAME_MISSING.match(clause):
        return Change(ref_or_it(found["ref"], now), lacks="title")
    return None
