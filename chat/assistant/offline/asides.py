"""Separate comments from requests: "delete the skis, winter's over"."""

import re

from chat.assistant.offline.patterns import pattern

# After these words follows an exception, a condition or a correction, which changes the request.
_BINDING = pattern(
    r"^(?:and|or|but|not|no,|don't|do not|except|only|unless|if|when|until|till|once|after|before|instead|rather|without"
    r"|then|also|plus|please|actually|wait|sorry|oops|by|on|at|for|with|to|due|make|in)\b"
    r"|\b(?:if|unless|except|only|instead|until|rather|priority|urgent|important|due|tomorrow|today|tonight|next|\w+day|tasks?"
    r"|list|note|reminder|ones?|not (?:yet|that|the|this|done|\d)|keep|leave|did|done|finished"
    r"|completed?|sorted|taken care)\b|\d|[\ue100-\ue7ff]"
)
_SUBJECT = (
    r"(?:i|we|you|he|she|it|they|there|this|that|who|what|nobody|no ?one|everybody|everyone|somebody|someone"
    r"|(?:the|my|our|his|her|their|your) [\w'-]+(?: [\w'-]+)?|[\w-]+)"
)
_VERB = (
    r"(?:'s|'m|'re|'ve|'d|'ll|\s+(?:just |really |already |simply |never |finally |probably |always |still )*(?:is|are|am|was"
    r"|were|has|have|had|do|does|did|will|would|can|could|says?|said|told|thinks?|got|gets?|went|came|wants?|wanted|needs?"
    r"|needed|made|took|keeps?|kept|gave|isn't|aren't|wasn't|don't|doesn't|didn't|can't|won't|couldn't|hasn't|haven't"
    r"|wouldn't|\w{3,}ed))\b"
)
_COMMENT = pattern(
    rf"^(?:(?:well|oh|ha|lol|because|since|as|cause|'cause|cuz|cos|so|turns out|seems|apparently|anyway|honestly|frankly)\s+)*"
    rf"(?:{_SUBJECT}{_VERB}|(?:i|we|you|he|she|they) (?:just |really |already |simply |never |finally )*(?!mean|need|want|must|should)\w+).*$"
    r"|^(?:too (?:late|expensive|much|hard|boring|cold|hot|far|bad)|no (?:point|use|time|money|longer needed|idea)|not (?:worth"
    r"|interested)|waste of|what (?:a|an)|who (?:am|cares|knows|needs)|so (?:much|boring|hard|easy)|long story|changed my mind|my (?:mistake|bad|fault|error)"
    r"|good riddance|easy|done and dusted|at last|finally|stupid|silly|pointless)\b.*$"
)
_SEPARATOR = re.compile(r"\s*(?:,|;|\s-+|\()\s*")


def is_aside(words: str) -> bool:
    """Return whether words are only a comment: they have a subject and a verb, and none of the words that change a
    request.
    """
    words = words.strip(" ,.;:!?()-")
    return bool(words) and _BINDING.search(words) is None and _COMMENT.match(words) is not None


def strip_aside(clause: str) -> str:
    """Strip the comment at the end of a clause."""
    for seam in _SEPARATOR.finditer(clause):
        if seam.start() and is_aside(clause[seam.end() :]):
            return clause[: seam.start()]
    return clause
