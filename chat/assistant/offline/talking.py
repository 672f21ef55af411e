"""Parse small talk, and attempts to override the instructions."""

from chat.assistant.offline.intents import Answer, Talk, TalkKind, Undo
from chat.assistant.offline.patterns import pattern

_TALK: dict[TalkKind, str] = {
    "hello": r"(?:hi+|hello+|hey+|yo|hiya|howdy|hallo|greetings|sup|good (?:morning|afternoon|evening|day)|morning"
    r"|evening|hi there|hello there|hey there|i'?m back|anyone there|are you there|you there|test(?:ing)?)",
    "thanks": r"(?:(?:many |ok |okay |great |perfect |cool |no )*(?:thanks?|thank you|thx|ty|tysm|cheers|ta"
    r"|much appreciated|appreciate(?:d| it)|i appreciate (?:it|that|your help))\b(?:\W+(?:so|very|much|a|lot"
    r"|again|for|your|the|help|that|everything|man|buddy|you|reminding|me|it|all|this|is|are|great|best|rock"
    r"|assistant|bot|perfect|was|helpful|really|you're|awesome|ton|bunch|bye|good|job|work|nice|ok|okay|super"
    r"|that's|now|in|advance|mate|appreciated|today|tonight|i|need|needed))*)",
    "bye": r"(?:(?:ok |okay )?(?:bye|goodbye|bye bye|see you|see ya|later|cya|good night|night|that'?s (?:all|it|everything)(?: (?:for (?:now|today|tonight)|i need(?:ed)?|from me|then))*"
    r"|that will be all|nothing else|i'?m done (?:here|for (?:now|today))|have a (?:nice|good|great) .*"
    r"|talk (?:to you )?(?:later|soon|tomorrow)|gotta go|have to go|i have to go)(?:[\s,!.]+(?:now|then"
    r"|for now|everyone|bye|thanks|thank you|tomorrow|later|soon|assistant|for today|i need))*)",
    "help": r"(?:help|help me|what can (?:you|i) (?:do|ask|say).*|how (?:do|can) (?:i|you) (?:use|work|help).*"
    r"|how does this work|what do you do|commands|instructions|i need help|i'?m (?:new|confused|lost).*"
    r"|what are you able to do|what are your (?:features|functions|capabilities|skills)|(?:can"
    r"|could) you help(?: me)?|is there (?:a|any) way (?:to|of) .*|(?:can|could|do|will) you (?:also |even |actually )?(?:add|delete|remove|complete|rename|sort|undo"
    r"|change|edit|show|handle|manage|do) (?:things|tasks|stuff|items|lists?|other things)(?: too| as well| for me)?"
    r"|how (?:do|can|would) i (?:add|delete|complete|remove|change|rename|create|undo"
    r"|make|mark|set|see|finish|edit|sort).*|what (?:kind|sort)s? of (?:things|tasks) can .*|\?)",
    "who": r"(?:(?:who|what) (?:are|r) (?:you|u)|what'?s your name|are you (?:a|an) (?:bot|robot|ai|human|person"
    r"|machine|real).*|are you (?:real|human)|tell me about yourself|who (?:made|built|created) you"
    r"|introduce yourself|which model are you|are you chatgpt)",
    "how": r"(?:how are (?:you|things)(?: .*)?|how'?s it going|how do you do|what'?s up|how have you been"
    r"|how are you doing(?: today)?|you ok|are you ok)",
    "fine": r"(?:(?:ok(?:ay)?|k|cool|great|nice(?: (?:one|work))?|perfect|awesome|excellent|wonderful|amazing|lovely|fine"
    r"|good(?: (?:job|work|bot|to know))?|got it|understood|alright|all right|right|i see|makes sense|sounds good"
    r"|looks good|all good|all set|that's ok(?:ay)?|well done|brilliant|sweet|super|wow|lol|ha(?:ha+)*|hm+"
    r"|interesting|you'?re (?:the best|great|awesome|amazing|welcome|so helpful)|i love (?:you|it|this)|love it"
    r"|that'?s (?:great|good|right|correct|perfect|fine|helpful|awesome|nice|cool)|no problem|no worries|yay|phew"
    r"|very good|it'?s (?:fine|ok(?:ay)?|good)|never ?mind|forget it|cancel|nothing|nm|nvm|stop|leave it|as you "
    r"were|wait|one moment|just a (?:sec(?:ond)?|moment)|hold on|i'?m (?:tired|happy|sad|bored|stressed|busy"
    r"|overwhelmed|exhausted|ok|fine|good)(?: .*)?|what a day|so much to do|busy day(?: today)?|have a busy "
    r"day)[\s,!.]*)++(?:so much|a lot|then|there|bot|assistant|job|you)?"
    r"|"
    r"(?:don'?t let me forget(?: (?:it|that|about it))?|(?:i )?(?:don't want to|mustn't|must not"
    r"|can't) forget(?: (?:it|that))?|it'?s important to me)",
    "sorry": r"(?:(?:i'?m )?(?:so |very )?sorry(?: (?:about|for) .*)?|my (?:bad|mistake|apologies)|apologies|oops"
    r"|whoops|my fault)",
    "day": r"(?:what(?:'s| is)? ?(?:the )?(?:date|day|time)(?: (?:is it|today|now|is today"
    r"|of the week))*|what day (?:of the week )?is (?:it|today)(?: today)?|what'?s today(?:'s date)?"
    r"|what time is it(?: now)?|which day is (?:it|today)(?: today)?|what date is it(?: today)?|today'?s date)",
}
_TALK_PATTERNS = {kind: pattern(rf"^\W*(?:{form})\W*$") for kind, form in _TALK.items()}
_YES = pattern(
    r"^\W*(?:yes|yep|yeah|yup|yea|ya|sure|of course|absolutely|definitely|correct|exactly|right|please do|do it|go "
    r"ahead|ok do it|okay do it|yes please|that'?s (?:the one|right|it|correct)|affirmative|confirm(?:ed)?|sure thing"
    r"|sounds good|please|y|ok|okay|indeed|go for it|that one yes|yes do it|yes go ahead|certainly|it is|i do"
    r"|fine)(?:[\s,.!]+(?:please|do it|do that|go ahead|that'?s (?:right|it|the one)|thanks|thank you|of course|sure"
    r"|add it|do|delete it|exactly|that one|it is|yes|i am|i'm sure|go on|all of them|both))*\W*$"
)
_NO = pattern(
    r"^\W*(?:no|nope|nah|no thanks|no thank you|not (?:now|really|that|yet|that one)|don'?t|do not|never ?mind"
    r"|forget (?:it|that)|cancel(?: that)?|stop|leave it|neither|none(?: of (?:them|those))?|n|negative"
    r"|better not|no way|please don'?t|no need|actually no|scratch that|skip it|nothing)(?:[\s,.!]+(?:thanks"
    r"|thank you|please|don'?t|leave it|it'?s fine|forget it|never ?mind|keep (?:it|them)|that'?s (?:fine|ok"
    r"|all|wrong|not it)|actually|no|do that|not that one|cancel|it|that|i changed my mind|ok))*\W*$"
)
_UNDO = pattern(
    r"^(?:undo|add (?:it|that) back|put (?:it|that) back(?: (?:on|onto) (?:my|the) list)?|revert|roll ?back"
    r"|take (?:that|it) back|put (?:it|that) back(?: (?:the way|how) it was)?|bring (?:it|that|them) back"
    r"|restore (?:it|that|the (?:last|deleted).*)|undelete(?: (?:it|that))?|change it back|reverse (?:that|it))"
    r"(?:\s+(?:that|it|this|the (?:last|previous) (?:one|change|thing|action|step|deletion|delete|edit)"
    r"|my last (?:change|action|one)|what you just did|last change|please|change))*$"
    r"|^(?:that was (?:a mistake|wrong|an accident)|(?:that|it) was (?:the )?wrong (?:one|task|thing)"
    r"|(?:i|you)(?:'ve| have)? (?:just )?(?:picked|chose|chosen|marked|deleted|completed|finished|removed|changed|ticked(?: off)?|took|taken) the wrong (?:one|task|thing)"
    r"|(?:i )?didn'?t mean (?:to do )?(?:that|it|to(?: \w+){1,4})|i (?:made|did) (?:a mistake"
    r"|that by (?:mistake|accident)))(?:[\s,]+(?:undo(?: (?:it|that))?|please|sorry|bring it back|put it back))*$"
)
_OTHERS = (
    r"(?:(?:another|other|someone else'?s?|somebody else'?s?|a different|different|every|everyone'?s?"
    r"|everybody'?s?|all(?: the)? other|all)\s+(?:users?|persons?|people|accounts?|customers?|members?)(?:'s?)?"
    r"|(?:everyone|everybody|someone|somebody)(?: else)?'s)"
)
_POSSESSIVE = (
    r"\b(?!today|tomorrow|yesterday|week|month|year|monday|tuesday|wednesday|thursday|friday|saturday|sunday"
    r"|weekend|that|what|it|here|there|let|how|who|when|where|morning|tonight|everything|list"
    r"|task)(?P<who>\w+)'s?\s+(?:\w+\s+)?(?:tasks?|lists?|to-?dos?|todos?|accounts?|reminders?|data|conversations?"
    r"|chats?|messages|sessions?)\b"
)
_FOREIGN = pattern(
    rf"\b{_OTHERS}|\b(?:user|account|customer|member)\s*(?:id\s*)?(?:number\s*)?[#=:]?\s*\d+\b|\buser_?id\b"
    rf"|\b(?:his|her|their)\s+(?:tasks?|list|to-?dos?|account)\b|{_POSSESSIVE}"
    r"|\b(?:tasks?|list|to-?dos?)\s+(?:of|belonging to|for|from|owned by)\s+(?:user|account|(?!me\b|today"
    r"|tomorrow|this|next|the|my|monday|tuesday|wednesday|thursday|friday|saturday|sunday|now|later|work"
    r"|school|home|names|things|guests|ingredients|books|parts|words|places|questions|points)[A-Z][a-z]+\s*$)|\bon behalf of\b|\b(?:tasks?|list|to-?dos?) (?:of"
    r"|belonging to) (?:my )?(?:wife|husband|boss|colleague|coworker|mom|dad|mother|father|brother|sister"
    r"|friend|partner|roommate|neighbou?r|manager|team)\b"
    r"|\b(?:what|which|show|list|how many)\b.*\b(?:tasks|to-?dos)\b.*\b(?:does|did|has)\s+(?!i\b|we\b|you\b|anything\b|it\b|that\b"
    r"|this\b|task\b|the\b|my\b|not\b|been\b|a\b|an\b|no\b)\w+\b"
)
_OVERRIDE = pattern(
    r"\b(?:ignore|disregard|override|bypass|forget|discard|skip)\s+(?:(?:all|any|everything|your|the|my|these|those|of"
    r"|every)\s+)*(?:(?:previous|prior|above|earlier|system|safety|existing|other|original|past|preceding|current|you "
    r"were told)\s*)*(?:instructions?|rules|prompts?|guidelines|directions|commands|restrictions|guardrails?"
    r"|programming|policies|above|before|told)\b|\bsystem\s*(?:prompt|message|override|instruction)s?\b|\bdeveloper "
    r"mode\b|\bjailbreak|\bdo anything now\b|\byou are now\b|\byou're now\b|\bpretend (?:you|to be|that you)|\b(?:act"
    r"|behave|respond|login|log in|sign in|operate|run|impersonate|continue) (?:as|like) (?:an? |the |if )?(?!done"
    r"|soon|complete)\w+|\bimpersonate\b|\b(?:reveal|print|show|repeat|output|display|tell|give|leak|what (?:is|are"
    r"|'s)|what's|dump)\b.{0,25}\b(?:your|the|hidden|initial|exact) (?:(?:hidden|initial|exact|system|secret|full"
    r"|original)\s)*(?:instructions?|prompts?|system message|rules|configuration|api key|password|secret|source code"
    r"|tools)\b|\bdrop table\b|\bselect \* from\b|\badmin(?:istrator)? (?:mode|access|rights|privileges|override)\b"
    r"|\bapi[ _-]?keys?\b|\bsudo\b|\b(?:as|i am|i'm) (?:an? |the |your )?(?:admin|administrator|developer|root|system"
    r"|owner of the system)\b|\[(?:system|inst|admin)\]|</?(?:system|tool|function)|\bexecute (?:the )?(?:code|command"
    r"|sql)\b|^system\s*:|\bnew instructions?\s*:"
)
_COMMAND_PREFIX = pattern(
    r"^\W*(?:(?:system|admin|root|developer|assistant)(?: (?:message|override|command|prompt|notice))?\s*[:\])>-]+"
    r"|(?:as|i am|i'm) (?:an? |the |your )?(?:admin|administrator|developer|root|owner)\b[\s,.:]*)\s*"
)
_MAX_WORDS = 8
_THANKS = pattern(r"\b(?:thanks|thank you|thank u|thankyou|thx|tysm|cheers|merci|danke|gracias|much obliged)\b")
_PRAISE = pattern(
    r"^(?:(?:you|u)(?:'re|'ve| are| r| rock| rule| did| do| have been)\b(?!.*\b(?:now|task|list|to)\b).*"
    r"|(?:i )?(?:really )?(?:love|like|hate|appreciate) (?:you|u|this|it|that|this app|your \w+).*|good (?:bot|boy|girl|stuff|one|call)"
    r"|(?:so|very|really|that was|that's|this is) (?:helpful|useful|kind|nice|sweet|great|clever|handy|easy|fast|quick)\b.*"
    r"|what a (?:relief|day|week|star|help).*|have a (?:nice|good|great|lovely) .*|same to you.*|no worries.*|my pleasure)$"
)


def parse_small_talk(clause: str) -> Talk | None:
    """Parse small talk."""
    text = clause.strip()
    return next((Talk(kind) for kind, form in _TALK_PATTERNS.items() if form.match(text)), None)


def parse_thanks(clause: str) -> Talk | None:
    """Parse free-form thanks and praise."""
    if len(clause.split()) > _MAX_WORDS:
        return None
    if _THANKS.search(clause):
        return Talk("thanks")
    return Talk("fine") if _PRAISE.match(clause) else None


def parse_answer(clause: str) -> Answer | None:
    """Parse a bare yes or no."""
    if _YES.match(clause):
        return Answer(yes=True)
    return Answer(yes=False) if _NO.match(clause) else None


def parse_undo(clause: str) -> Undo | None:
    """Parse a request to undo the last change."""
    plain = pattern(r"^(undo (?:that|it|this))\s*[,;-]\s*(?!and\b|then\b).*$").sub(r"\1", clause.strip(" .!?"))
    return Undo() if _UNDO.match(plain) else None


def is_foreign(text: str) -> bool:
    """Return whether a text is about other users' tasks."""
    return _FOREIGN.search(text) is not None


def strip_command(text: str) -> str:
    """Return what follows a leading "SYSTEM:" or "as your admin,"; empty if there is none."""
    found = _COMMAND_PREFIX.match(text)
    return text[found.end() :].strip() if found else ""


def is_override(text: str) -> bool:
    """Return whether a text tries to override the instructions."""
    return _OVERRIDE.search(text) is not None
