"""Normalize a message: plain quotes, placeholders for quoted passages, corrected typos."""

import re
from dataclasses import dataclass, field

from rapidfuzz.distance import OSA

from chat.assistant.offline.budget import cached
from chat.assistant.offline.patterns import pattern
from chat.assistant.offline.vocabulary import COMMON, KEYWORDS, PROPER, SHORTHAND

_PLAIN = str.maketrans({"“": '"', "”": '"', "„": '"', "«": '"', "»": '"', "‘": "'", "’": "'", "´": "'", "`": "'",
                        "–": "-", "—": "-", "−": "-", "\u00a0": " ", "…": "...", "→": " to "})  # fmt: skip
_QUOTED = re.compile(r'"([^"\n]+)"|(?<![\w])\'((?:[^\'\n]|(?<=\w)\'(?=\w))+)\'(?!\w)')
# A quoted passage becomes one character of the private use area, which no rule splits.
_FIRST_PLACEHOLDER = 0xE100
_PLACEHOLDER = re.compile("[\ue100-\ue7ff]")
_LETTER = re.compile(r"\w")
# "its" is often a typo of "it is", but not before a noun.
_ITS = pattern(
    r"\bits(?= (?:for|due|on|at|by|not|no|a|an|the|done|finished|complete|completed|urgent|important|high|low|overdue"
    r"|cancelled|canceled|already|now|called|in|still|really|very|super|been|today|tomorrow|tonight|my|all|ok|okay"
    r"|fine|good|\w+day)\b)"
)
_TICKED = re.compile("\\s*[\u2705\u2714\u2713\u2611]\ufe0f?\\s*$")
_TICK_FIRST = re.compile("^\\s*[\u2705\u2714\u2713\u2611]\ufe0f?\\s*(?=\\S)")
_DONE_WORD = pattern(r"\b(?:done|finished|completed?|ticked|did)\b")
# Pictures at either end hide the first or the last word.
_PICTURE = "[\U0001f000-\U0001faff\u2600-\u27bf\u2b00-\u2bff\u2190-\u21ff\u200d\ufe0f\u20e3]"
_FIRST_PICTURES = re.compile(rf"^(?:\s|{_PICTURE})+(?=\w)")
_LAST = re.compile(rf"\s|{_PICTURE}")
# A line drawn with the keyboard has the same meaning when it is short.
_DRAWN_LINE = re.compile(r"([^\w\s])\1{3,}")
# Very long runs of blanks or signs would make the rules slow.
_BLANKS = re.compile(r"\s{5,}")
_SIGNS = re.compile(r"[\s!-/:-@\[-`{-~]{13,}")
_SYMBOLS = re.compile(r"\W{41,}")
_MAX_QUOTES = 50
_ENDINGS = frozenset({"s", "es", "d", "ed", "r", "er", "ing", "ly", "'s"})


@dataclass
class Message:
    """A normalized message; `restore` returns words of it as they were typed."""

    text: str
    quotes: list[str] = field(default_factory=list)
    corrections: dict[str, str] = field(default_factory=dict)

    def restore(self, text: str) -> str:
        """Restore quoted passages and the original spelling."""
        for corrected, original in self.corrections.items():
            text = _replace_word(text, corrected, original)
        return _PLACEHOLDER.sub(lambda mark: self.quotes[ord(mark[0]) - _FIRST_PLACEHOLDER], text)


def is_quote(text: str) -> bool:
    """Return whether the text is exactly one quoted passage."""
    return _PLACEHOLDER.fullmatch(text.strip()) is not None


def has_quote(text: str) -> bool:
    """Return whether the text contains a quoted passage."""
    return _PLACEHOLDER.search(text) is not None


def collapse_runs(text: str) -> str:
    """Return a text with long runs of blanks and signs shortened."""
    text = _BLANKS.sub(_shorten, text)
    text = _SIGNS.sub(lambda row: row[0][:6] + row[0][-6:], text)
    return _SYMBOLS.sub(lambda row: row[0][:20] + row[0][-20:], text)


def _shorten(row: re.Match[str]) -> str:
    blanks = re.sub(r"[^\S\n]+", " ", row[0])
    return blanks if len(blanks) < len("\n \n \n") else "\n\n"


def _replace_word(text: str, word: str, other: str) -> str:
    """Replace a word wherever it stands by itself."""
    pieces, begin, at = [], 0, text.find(word)
    while at >= 0:
        end = at + len(word)
        if not _LETTER.match(text[at - 1 : at]) and not _LETTER.match(text[end : end + 1]):
            pieces += [text[begin:at], other]
            begin = end
        at = text.find(word, end)
    return "".join([*pieces, text[begin:]])


@cached
def normalize(typed: str) -> Message:
    """Return the message with quoted passages replaced and typos corrected."""
    typed = collapse_runs(_DRAWN_LINE.sub(r"\1\1\1", typed))
    text = _strip_pictures(_spell_out_ticks(_PLACEHOLDER.sub(" ", typed.translate(_PLAIN)).strip()))
    whole = _QUOTED.fullmatch(text)
    if whole:
        text = whole[1] or whole[2]
    message = Message(text)

    def hide(match: re.Match[str]) -> str:
        inner = (match[1] or match[2]).strip()
        # A quoted keyword such as "high" or "done" keeps its meaning.
        if inner.lower() in KEYWORDS or inner.isdigit() or len(message.quotes) >= _MAX_QUOTES or not inner:
            return inner
        message.quotes.append(inner)
        return chr(_FIRST_PLACEHOLDER + len(message.quotes) - 1)

    text = re.sub(r"\s*(?:->|=>)\s*", " to ", text)
    text = pattern(r"(?<=\w)'s (?=been\b)").sub(" has ", text)
    text = pattern(r"\b(what (?:time|day|date)|which (?:one|task))'s\b").sub(r"\1 is", text)
    text = re.sub(r"\b2 (?=my\b|the list)", "to ", text)
    text = _ITS.sub("it's", text)
    text = re.sub(r"[ \t]+", " ", _QUOTED.sub(hide, text))
    present = {word.lower() for word in re.findall(r"[\w'-]+", text)}

    def correct(match: re.Match[str]) -> str:
        better = _correction(match[0].lower())
        if better is None:
            return match[0]
        if better not in present:
            message.corrections[better] = match[0]
        return better

    message.text = re.sub(r"[\w'-]+", correct, text)
    return message


def _strip_pictures(text: str) -> str:
    """Strip the pictures at either end, unless there is nothing else."""
    text = _FIRST_PICTURES.sub("", text)
    end = len(text)
    while end and _LAST.match(text[end - 1]):  # an expression would retry at each position
        end -= 1
    return text[:end] or text


def _spell_out_ticks(text: str) -> str:
    """Replace a tick at either end of a message by words."""
    if _DONE_WORD.search(text):
        return _TICK_FIRST.sub("", _TICKED.sub("", text))
    return _TICK_FIRST.sub("done: ", _TICKED.sub(" done", text))


@cached
def _correction(word: str) -> str | None:
    if word in SHORTHAND:
        return SHORTHAND[word]
    if len(word) < 4 or word in KEYWORDS or word in PROPER or not word.isalpha():
        return None
    if any(word.startswith(keyword) and word[len(keyword) :] in _ENDINGS for keyword in KEYWORDS):
        return None
    swapped = (f"{word[:i]}{word[i + 1]}{word[i]}{word[i + 2 :]}" for i in range(1, len(word) - 1))
    common = next((better for better in swapped if better in COMMON), None) if word not in COMMON else None
    first_two_swapped = word[1] + word[0]
    candidates = (keyword for keyword in KEYWORDS if keyword[0] == word[0] or keyword[:2] == first_two_swapped)
    return common or next((keyword for keyword in candidates if _is_typo(word, keyword)), None)


def _is_typo(word: str, keyword: str) -> bool:
    """Return whether a word is a typo of another; short words may differ only in order or by one letter."""
    if abs(len(word) - len(keyword)) > 2 or len(keyword) < 4:
        return False
    slips = edit_distance(word, keyword)
    if slips == 1:
        return len(word) != len(keyword) or sorted(word) == sorted(keyword) or len(keyword) >= 6
    return slips == 2 and len(keyword) >= 8 and len(word) >= 6


def edit_distance(one: str, other: str) -> int:
    """Count the letters to insert, delete, replace or transpose to turn one word into the other.

    Three stands for any number above two.
    """
    return OSA.distance(one, other, score_cutoff=2)
