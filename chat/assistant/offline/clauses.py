"""Split a message into clauses, and strip the politeness around a request."""

import re

from chat.assistant.offline.budget import cached, checkpoint
from chat.assistant.offline.coordination import expand
from chat.assistant.offline.patterns import pattern

_REF = (
    r"(?:(?:the\s+)?(?:task|tasks|number|no\.?|#)\s*#?\d|#\d|\d+\b|it\b|that\b|this\b|them\b|those\b|both\b"
    r"|(?:the\s+)?(?:first|second|third|fourth|fifth|last|other)\b)"
)
_FILLER = (
    r"(?:(?:also|then|now|so|therefore|please|pls|can you|could you|would you|finally|lastly|just|next"
    r"|after that)\s+){0,8}+"
)
# These begin a new request in any position.
_SURE_HEAD = (
    r"(?:add\s|remind me\b|i (?:also )?(?:need|have|must) to\b|i(?:'ve| have) (?:also )?(?:got to|already"
    r"|done|finished)\b|i'm done with\b"
    rf"|i (?:just |already |also )?(?:finished|completed|did|bought|paid|called|sent)\b"
    r"|show (?:me|my|all|the|what)\b|list (?:me|my|all|the|what|everything)\b|display\s|what(?:'s| is| are| do)\b"
    r"|tell me\b|how many\b|mark\s.+?\b(?:as\b|done\b|complete)|(?:create|make) (?:a |an )?(?:new )?(?:task|reminder"
    r"|todo)\b|(?:a )?new task\b|rename\s|reopen\s|undo\b|prioriti[sz]e\s|don't (?:let me )?forget\b|(?:complete"
    r"|finish|delete|remove|cancel|drop|erase|move|push|postpone|reschedule|change|set|make"
    rf"|update|close|tick off|cross off|check off|put|call|give|bump|mark|reopen|show)\s+{_REF}"
    r"|(?:make|set|change|move|push|mark|call|rename|give)\s+(?:it|its|that|them)\b"
    r"|(?:take|cross|tick|check|scratch|strike)\s+(?:it|that|them|this)(?: one| task)?\s+off\b|(?:mark|set) (?:it|that|this) (?:one )?(?:as )?(?:done|complete)|get rid of (?:it|that)\b"
    r"|(?:please )?remind me\b|(?:(?:task |#|number )?\d+|the \w+ one) (?:is|was|needs)\b"
    r"|(?:(?:task |#|number )?\d+|(?:the )?(?:first|second|third|fourth|fifth|last)(?: one| task)) (?:(?:move|push|postpone|reschedule) (?:to|until|till|by)\b|(?:delete|remove|reopen)\s*(?:$|[,.;!]))"
    r"|(?:it's|it is|that's|that one is|that one's|it should be) (?:due|urgent|important|high|low|for)\b"
    r"|(?:it|that|this) (?:should|must|ought to) (?:be called|say|read)\b"
    r"|(?:it|that|this)(?:'s| is) (?:now |all )*(?:done|finished|sorted|complete|completed|taken care of|dealt with)\b"
    r"|(?:set|change|update|move) the (?:due|date|deadline|priority|title|name|description|note)"
    r"|(?:delete|remove|erase|cancel) (?:the |my )?\S.*\b(?:task|one|reminder|from my list|from the list)\b"
    r"|(?:delete|remove|erase|show|list) everything\b)"
)
# These do so after a command, but not after "I need to", where "finish the report" is one more task.
_COMMAND_HEAD = (
    r"(?:delete\s|remove\s|complete\s|finish\s|tick\s|check off\s|cross off\s|cancel\s|get rid of\s|move\s|push\s"
    r"|postpone\s|reschedule\s|change\s|set\s|make\s|update\s|need to\s|have to\s|sort\s|i need\s|i finished\s"
    r"|finished\s|completed\s|done with\s|bought\s|paid\s|called\s|sent\s|put\s)"
)
_JOINER = (
    r"(?:\s*[,;]\s*(?:and\s+|then\s+|but\s+|also\s+|plus\s+|so\s+)*+|\s+(?:and|then|but|plus|also|so)\s+(?:then\s+"
    r"|also\s+)*+|\s+-\s+)"
)
_SPLIT_SURE = pattern(rf"{_JOINER}(?={_FILLER}{_SURE_HEAD})")
_SPLIT_ANY = pattern(rf"{_JOINER}(?={_FILLER}(?:{_SURE_HEAD}|{_COMMAND_HEAD}))")
_SENTENCE = re.compile(r"(?<=[.!?;])\s+|\s*\n+\s*|;\s*")
_ABBREVIATION = pattern(
    r"(?:\b(?:mr|mrs|ms|dr|st|no|nr|vs|e\.g|i\.e|etc|approx|prof|jan|feb|mar|apr|jun|jul|aug|sept?|oct|nov|dec"
    r"|[ap]\.m)\.|\b[a-z]\.)$"
)
_ADDS_FREELY = pattern(
    r"^\W*(?:\w+\s+){0,3}?(?:i (?:also |still |really )?(?:need|have|must|should|want|ought|'d like)|i've got"
    r"|remind me|remember|don't (?:let me )?forget|add|create|need to|have to|note|todo)\b"
)
_MANY = re.compile(
    r"\b(?:tasks|things|items|these|following|todos|reminders)\b[^:\n]*[:\n]"
    r"|^\W*(?:please )?add\b[^:\n]*:(?![^\n]*[.!?]\s+\S)|:\s*\n|(?:^|\s)1[.)]\s.*\s2[.)]\s",
    re.I | re.S,
)
_FROM_NOW_ON = pattern(r"\b(from now on|going forward|in future|in the future|from here on|by default)\s*[,:]\s*")
_ELLIPSIS = pattern(
    r"^(?:please |can you )?(?P<verb>move|push|set|change|rename|make|postpone|reschedule|mark"
    r"|give)\s+(?P<one>(?:task |#|number )?\S.*?\s(?:to|as|until|high|low|normal|due)\b.*?),?\s+and\s+"
    r"(?P<ref>(?:task |#|number )?#?\d+|the (?:first|second|third|fourth|last"
    r"|other)(?: one)?)\s+(?P<rest>(?:to|as|until|high|low|normal|due)\b.*)$"
)
_OPENING = pattern(
    r"^(?:(?:oh and|basically|honestly|listen(?! to\b)|yo|you know what|quick one|boo|hooray|hurray|woo ?hoo|yikes|hmm+|mm+|fine|guess what|so yeah|yeah so|anyway|anyways|hi|hey|hello|hiya|ok|okay|alright|all right|right|so|well|oh|ah|um+|uh+|hm+|please|pls|kindly"
    r"|also|and|then|but|plus|actually|sorry|finally"
    r"|it turns out(?: that)?|turns out(?: that)?|(?:it'd|it would) be (?:great|nice|good|cool"
    r"|lovely) if you (?:could|can|would)|i think(?: that)?|i guess|i believe|looks like|fyi|heads up|quick update"
    r"|just so you know"
    r"|i (?:just )?(?:realized|realised|remembered|noticed)(?: that)?|not (?:the |task )?\w+(?: one)?,(?: but)?"
    r"|lastly|oops|whoops|great|(?:perfect|cool)(?! (?:the|my|an?)\b)|nice|awesome|thanks|thank you|btw|by the way|assistant|bot|buddy"
    r"|there(?! (?:is|are|was|were|has|have|will|might|must|should)\b)|just|quickly|good morning|good evening|good afternoon|again|now|one more thing|my bad|wait(?! (?:for|in|at|until)\b)|ugh"
    r"|phew|yay|done thinking"
    r"|for now|first of all|before i forget)\b(?!')[\s,.!:-]+(?=\S)|(?:next|first|second|secondly|firstly|after that"
    r"|in addition|to start|good news|guess what)(?:\s*[,:!]\s*|\s+(?=(?:i|we) (?:need|have|must|should|want)\b|add\b))(?=\S)"
    r"|(?:at some point|eventually|one day|some ?day|some ?time|(?:there's )?no (?:rush|hurry)(?: at all)?|not urgent|whenever|when (?:i|you) (?:can"
    r"|get (?:a chance|(?:the )?time|around to it)))\s*(?:[,:]|\s-)\s*(?=\S))++"
)
_COMMANDS = (
    r"(?:add|create|make|show|list|display|see|view|delete|remove|complete|finish|mark|rename|change|set|move"
    r"|update|reopen|undo|put|get rid|cancel"
    r"|remind|reschedule|postpone|push|prioriti[sz]e|know|tell|check|tick|cross|clear|drop|erase|note|sort"
    r"|edit|give|close|tick|push|bump|bring|toss|scrap|take|strike|pencil|log|have|be reminded|look|find|search)"
)
_MODAL = pattern(
    r"^(?:(?:can|could|would|will|won't|can't|please|might|may) you (?:please |kindly |just |maybe |also |possibly |perhaps |quickly "
    r"|quick |be able to |be so kind (?:as |and )?(?:to )?|help me (?:to )?)*"
    r"|would you mind |(?:please )?go ahead and |do me a favou?r and |be so kind (?:as )?to "
    r"|help me (?:to )?|(?:i was wondering |i wonder )?if you (?:could|can|would) |(?:let's|let us) (?=\w)"
    r"|you (?=(?:make me remember|remind me|add|create|show|list|mark|put|move|delete|remove)\b)"
    rf"|you (?:can|could|may|should|must) (?:also |now |please )*(?=(?:{_COMMANDS})\b)"
    r"|(?:i need|i want|i'd like|i would like|i'd love) you to |(?:i want|i'd like|i would like|i'd love"
    rf"|i wish|i'm trying|can we) (?:please |also |now )*(?:to )?(?=(?:{_COMMANDS})\b)|(?:may i|can i"
    r"|could i) (?:please |also |now )*(?=(?:see|view|have|get|add|create|know|ask|show|check|look|find|move"
    rf"|change|rename|set)\b)|(?:try|be sure|make sure) (?:to|and) (?=(?:{_COMMANDS})\b)|please )++"
)
_CLOSING = pattern(
    r"(?:[\s,]+(?:please|pls|thanks(?: a lot| in advance)?|thank you(?: very much)?|many thanks|thx|ty|cheers|for me|if you can"
    r"|if possible|if you don't mind|would you|will you|can you|could you"
    r"|(?:(?<=,)|(?<=, )|(?<=you )|(?<=thanks )|(?<=please ))(?:ok|okay|right|mate|buddy|man|dear|love|darling|honey|hun|pal|friend|sir|boss|bro|dude"
    r"|sweetie)|(?:no|there's no|not in a) (?:rush|hurry)|whenever you can|when you can|asap pls|haha"
    r"|(?:do|don't|should|shouldn't|must|mustn't|isn't|aren't|haven't|have|can|can't|won't|wouldn't) (?:i|we|you|it|they)(?=\W*$)"
    r"|btw|by the way|actually|tbh|to be honest|i think|i guess|i suppose|if that's (?:ok|okay|alright)|fyi|xx?|ta"
    r"| at (?:the same|same) time|(?:(?<=,)|(?<=, )|(?<=to )|(?<=until ))(?:the )?same (?:time|hour)"
    r"|lol|:\)|so much)(?=[\s,.!?)]|$))++[\s.!?)]*$"
)
# Comments that do not belong on the list: "what a queue there was!", "finally", "took me ages".
_COMMENT = pattern(
    r"\s*[,;-]+\s*(?:what an? .+|(?:finally|at last|phew|yay|woo ?hoo|hooray|hurray|whew|thank (?:god|goodness|heavens)"
    r"|(?:it |that )?(?:took|was) (?:me )?(?:ages|forever|hours|so long|a pain|a nightmare|awful|easy|hard|quick|fun"
    r"|tough|great|nice|good)|i know(?:,? i know)*|as (?:promised|planned|always|usual|you know)|you know|so happy"
    r"|believe it or not|to be honest|tbh|of course|obviously|no idea why|easy peasy|happy days|what fun"
    r"|lucky me|go me|about time(?: too)?|not that it matters|just so you know|in case you wondered)\b[^,]*)$"
)


def split_clauses(text: str) -> list[str]:
    """Return the clauses of a message, in order."""
    text = expand(text)
    if _MANY.search(text) and _ADDS_FREELY.search(text):
        return [text]
    clauses: list[str] = []
    text = _FROM_NOW_ON.sub(r"\1 ", text)
    for sentence in _split_sentences(text):
        if both := _ELLIPSIS.match(sentence):
            clauses += [f"{both['verb']} {both['one']}", f"{both['verb']} {both['ref']} {both['rest']}"]
            continue
        joint = _SPLIT_SURE if _ADDS_FREELY.search(sentence) else _SPLIT_ANY
        clauses += [clause for clause in (part.strip(" ,;") for part in joint.split(sentence)) if clause]
    return clauses


def _split_sentences(text: str) -> list[str]:
    sentences: list[str] = []
    for piece in _SENTENCE.split(text):
        if sentences and _continues(sentences[-1], piece):
            sentences[-1] += f" {piece}"
        elif piece.strip():
            sentences.append(piece.strip())
    return sentences


def _continues(before: str, after: str) -> bool:
    """Return whether a full stop does not end the sentence: "Dr. Smith", "1. Milk", "on the 3. of May"."""
    numbered = re.search(r"(?:^|\s)\d{1,2}\.$", before)
    return bool(_ABBREVIATION.search(before)) or bool(
        numbered and (after[:1].islower() or re.fullmatch(r"\d{1,2}\.", before))
    )


@cached
def strip_politeness(clause: str) -> str:
    """Strip greeting, politeness and closing."""
    previous = None
    while previous != clause:
        checkpoint()
        previous = clause
        clause = _OPENING.sub("", clause.strip())
        if modal := _MODAL.match(clause):
            # "Could you add milk?" is not a question.
            clause = clause[modal.end() :].rstrip("? ")
        shorter = _COMMENT.sub("", _CLOSING.sub("", clause))
        clause = shorter if shorter.strip() else clause
    return clause.strip(" \t,;")
