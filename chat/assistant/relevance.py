"""Rules that recognize messages that are not about tasks, before any model is called."""

import re
from collections.abc import Mapping, Sequence
from typing import Literal

REFUSAL = (
    "Sorry, I can't help with that: I only look after your own to-do list. "
    "You can ask me to add, show, complete, change or delete tasks."
)

Verdict = Literal["relevant", "irrelevant", "unsure"]

_LONGEST_BARE_ANSWER = 60
# Only the beginning of a long message is judged: it has the request, and the rules stay fast.
_JUDGED = 600


def _any(*patterns: str) -> re.Pattern[str]:
    return re.compile("|".join(f"(?:{pattern})" for pattern in patterns), re.I)


_TASK_LIKE = _any(
    r"\b(?:tasks?|to-?dos?|to do|reminders?|remind|deadlines?|due|overdue|priorit\w+|errands?|chores?)\b",
    r"\b(?:my|the|this|that|on a) (?:\w+ )?list\b",
    r"\b(?:add|remember|forget|complete[ds]?|finish(?:ed)?|done|delete|remove|rename|reschedule|postpone|undo"
    r"|reopen)\b",
    r"\b(?:mark|tick|cross|check) .*\b(?:off|done|as)\b",
    r"\b(?:i|we) (?:\w+ )?(?:need|have|must|should|gotta|ought|want)\b",
    r"\b(?:need to|have to|got to|note to self)\b",
    r"\b(?:what did i|did i|what was the first|i asked|i told you|i said)\b",
    r"\b(?:from now on|sort|undone|pending|left to|what'?s left|agenda|schedule)\b",
    r"#\d|\bnumber \d",
)

_SMALL_TALK = re.compile(
    r"\s*(?:(?:hi+|hello+|hey+|yo|hiya|howdy|good (?:morning|afternoon|evening|day|night)|morning|evening"
    r"|greetings|thanks?"
    r"|thank you|thx|ty|cheers|bye|goodbye|see you|see ya|ok|okay|great|cool|nice|perfect|awesome|sorry|help"
    r"|yes|no|yep|nope"
    r"|sure|please)\b[\s,.!?]*)+(?:there|a lot|so much|very much|everyone|assistant|again|you|then)?[\s,.!?]*",
    re.I,
)

_WRITING = (
    r"(?:poems?|haiku|sonnet|limerick|jokes?|stor(?:y|ies)|song|lyrics|essay|novel|rap|riddle|cover letter|blog post)"
)
_CODE = r"(?:python|javascript|java|c\+\+|rust|html|css|sql|regex|php|typescript|bash|code|function|script|algorithm)"
# "Write essay by Friday" is something to do; "write me an essay" is a request.
_NOT_DATED = (
    r"(?:(?=.*\b(?:me|us)\b)|(?!.*\b(?:(?:tomorrow|tonight|today)\b|(?:by|before|due|on|until|this|next) (?:the )?"
    r"(?:\w+day|week|month|noon|end|\d))))"
)
_CREATIVE = re.compile(
    r"^\W*(?:please |can you |could you |would you )*(?:write|compose|make up|tell|sing|give|recite"
    rf"|generate)\b{_NOT_DATED}.{{0,30}}\b{_WRITING}\b",
    re.I,
)
_OFF_TOPIC = _any(
    rf"\b(?:write|compose|make up|tell|sing|give|recite|generate|draft)\b{_NOT_DATED}.{{0,30}}\b{_WRITING}\b",
    r"^\W*(?:a |another )?(?:poem|joke|story|haiku|song|riddle)\b(?! about my| list)",
    r"\bcapital (?:city )?of\b",
    rf"\b(?:write|fix|debug|explain|refactor|generate|implement|show)\b.{{0,30}}\b{_CODE}\b",
    r"^\W*(?:please )?(?:can|could|would|will) you (?:please |kindly |help me )?(?:write|draft|compose|draw"
    r"|paint|translate|explain|summari[sz]e|calculate"
    r"|solve|generate|code|google|play|sing|search the web|recommend|suggest me)\b",
    rf"\bhow (?:do|can|would) (?:i|you|we) .{{0,40}}\b(?:in|with|using) {_CODE}\b",
    r"\b(?:what(?:'s| is)|how'?s|how is) (?:the )?(?:weather|temperature|forecast|news|score|stock|traffic)\b",
    r"\b(?:weather|forecast) (?:in|for|like|today|tomorrow)\b|\bwill it (?:rain|snow)\b|\blatest news\b|\bnews today\b",
    r"^\W*(?:what(?:'s| is)|how much is|calculate|compute|solve|evaluate|integrate)\b[^a-z]*\d[\d\s.,]*"
    r"(?:[-+*/x×÷^%=]|plus|minus|times|divided|squared|percent)",
    r"^\W*\d[\d\s.]*[-+*/x×÷^]\s*\d[\d\s.]*=?\W*$",
    r"\b(?:square root|derivative|integral|quadratic|equation|pythagor\w+)\b",
    r"^\W*translate\b|\bhow do you say\b|\bin (?:french|spanish|german|japanese|latin|italian|chinese)\W*$",
    r"^\W*when (?:was|were|did|won|wrote)\b(?!.*\b(?:i|my|me|you|it|that)\b)",
    r"^\W*(?:who|where) (?:is|was|were|are|won|wrote|invented|discovered|painted|did|the)\b(?!.*\b(?:i|my"
    r"|me|you|it|that)\b)",
    r"\bmeaning of life\b|\b(?:stock|bitcoin|crypto|share) price|\bprice of (?:bitcoin|gold|oil|a )|\bexchange rate\b",
    r"\b(?:president|prime minister|king|queen|population|ceo) of\b|\bhow (?:tall|old|far|big|deep|long"
    r"|heavy) (?:is|are|was)\b",
    r"^\W*(?:explain|define|describe|summari[sz]e) (?:how |what |the |a )?(?:quantum|relativity|photosynthesis"
    r"|blockchain|black hole"
    r"|theory|war|history|french|world|inflation|gravity|book|article|plot)",
    r"\brecipe for\b|\bhow (?:do|to|can|should) (?:i |you )?(?:cook|bake|boil|make (?:a )?(?:cake|bread|pasta"
    r"|pizza|lasagna))\b",
    r"\b(?:do my|help (?:me )?with (?:my )?|solve my)\s?(?:math|maths|physics|chemistry|history)?\s?homework\b",
    r"\b(?:recommend|suggest)\b.{0,25}\b(?:movies?|films?|books?|restaurants?|songs?|series|shows?|hotels?|games?)\b",
    r"^\W*(?:which|what) (?:movies?|films?|books?|restaurants?|phones?|cars?|songs?|games?|teams?|country|city"
    r"|planet|animal|colou?r)\b",
    r"\bplay (?:some )?(?:music|a song|a game|chess)\b|\bwho would win\b|\bsing (?:me|for)\b",
    r"^\W*what(?:'s| is) (?:the )?(?:best|largest|biggest|smallest|fastest|tallest|longest|speed|distance"
    r"|formula|definition)\b",
    r"^\W*(?:what|who) (?:do you think|is your opinion|are your thoughts)|\byour favou?rite\b"
    r"|\bare you (?:human|sentient|conscious)\b",
)


def judge(text: str, recent: Sequence[Mapping[str, object]]) -> Verdict:
    """Return whether a message is about tasks; "irrelevant" only if that is certain.

    `recent` are the session's last items, oldest first: an answer to the assistant's own question always passes.
    """
    start = text.strip()[:_JUDGED]
    if not start or _TASK_LIKE.search(start) or _SMALL_TALK.fullmatch(start):
        return "relevant"
    if _OFF_TOPIC.search(start):
        return "irrelevant"
    if len(start) <= _LONGEST_BARE_ANSWER and _answers_a_question(recent):
        return "relevant"
    return "unsure"


def off_topic(text: str) -> bool:
    """Return whether a text asks for something outside a task list."""
    return _OFF_TOPIC.search(text.strip()[:_JUDGED]) is not None


def asks_for_writing(text: str) -> bool:
    """Return whether a text asks for a poem, a joke and the like, even about tasks."""
    return _CREATIVE.search(text.strip()[:_JUDGED]) is not None


def _answers_a_question(recent: Sequence[Mapping[str, object]]) -> bool:
    replies = [item for item in recent if item.get("role") == "assistant"]
    return bool(replies) and "?" in _text(replies[-1].get("content"))


def _text(content: object) -> str:
    if isinstance(content, str):
        return content
    parts = content if isinstance(content, Sequence) else ()
    return "".join(str(part.get("text", "")) for part in parts if isinstance(part, Mapping))
