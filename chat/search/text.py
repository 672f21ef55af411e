"""Split a text into tokens, for the index and for queries.

Letters are folded: case, accents and umlauts, ligatures and width are ignored. Scripts without spaces between words,
and Korean, whose words include particles, are split into overlapping pairs of characters, so that any two adjacent
characters are found. Everything else is split into words. All work is linear in the length of the text.
"""

import re
import unicodedata
from collections.abc import Iterator
from enum import Enum
from typing import NamedTuple

MAX_WORD = 64  # characters; longer words are cut
# The longest piece that is normalised at once: reordering combining marks is quadratic.
_PIECE = 256
_CACHED_BELOW = 0x10000

# Thai, Lao, Burmese and Khmer; Hangul; Kana, Bopomofo and Han. Their digits and punctuation are left out.
_PAIRED = (
    "\u0e01-\u0e3a\u0e40-\u0e4e\u0e81-\u0ebd\u0ec0-\u0ece\u0edc-\u0edf\u1000-\u103f\u1050-\u108f\u1780-\u17d3"
    "\u1100-\u11ff\u3131-\u318e\ua960-\ua97c\uac00-\ud7a3\ud7b0-\ud7fb\uffa0-\uffdc"
    "\u3005-\u3007\u3021-\u3029\u3038-\u303b\u3041-\u309a\u309d-\u309f\u30a1-\u30fa\u30fc-\u312f\u31a0-\u31bf"
    "\u31f0-\u31ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\uff66-\uff9f\U00020000-\U000323af"
)
_SEGMENT = re.compile(rf"([{_PAIRED}]+)|[^\s{_PAIRED}]+")
_ASCII_WORD = re.compile(r"[a-z0-9]+")
# Soft hyphens, joiners and the Arabic tatweel: they join words and are ignored.
_IGNORED = frozenset("\u00ad\u0640\u200c\u200d\u2060\ufeff")
_WITHOUT_DECOMPOSITION = {
    "æ": "ae", "œ": "oe", "ø": "o", "đ": "d", "ð": "d", "þ": "th", "ħ": "h", "ı": "i", "ĸ": "k", "ł": "l", "ŋ": "n",
    "ŧ": "t",
}  # fmt: skip


class Kind(Enum):
    """The kind of a token."""

    WORD = "word"
    PAIR = "pair"
    LAST = "last"  # the last character of a run of pairs, alone


class Token(NamedTuple):
    """A token, and its position in the text."""

    text: str
    kind: Kind
    start: int
    end: int


class _Separators(dict[int, int]):
    """Maps each character that is not part of a word to a space; caches those of the basic plane."""

    def __missing__(self, code: int) -> int:
        character = chr(code)
        in_word = character.isalnum() or unicodedata.category(character)[0] == "M" or character in _IGNORED
        kept = code if in_word else ord(" ")
        if code < _CACHED_BELOW:
            self[code] = kept
        return kept


class _Folding(dict[int, int | str | None]):
    """Maps each decomposed character to its folded form; caches those of the basic plane."""

    def __missing__(self, code: int) -> int | str | None:
        character = chr(code)
        combining = unicodedata.combining(character)
        folded: int | str | None = _WITHOUT_DECOMPOSITION.get(character, code)
        # Accents, and the vowel points of Hebrew and Arabic. Other marks are letters of their script.
        if character in _IGNORED or 10 <= combining <= 35 or combining >= 200:
            folded = None
        if code < _CACHED_BELOW:
            self[code] = folded
        return folded


_separators, _folding = _Separators(), _Folding()


def tokens(text: str) -> Iterator[Token]:
    """Yield the tokens of a text in order, at consecutive positions."""
    if text.isascii():
        for found in _ASCII_WORD.finditer(text.lower()):
            yield Token(found[0][:MAX_WORD], Kind.WORD, found.start(), found.end())
        return
    for segment in _SEGMENT.finditer(text.translate(_separators)):
        start, end = segment.span()
        if segment[1]:
            run = segment[0]
            folded = "".join(fold(run[at : at + _PIECE]) for at in range(0, len(run), _PIECE))
            yield from _run(folded, start, end)
        else:
            yield from _words(segment[0], start, end)


def fold(text: str) -> str:
    """Return a short text in its folded form."""
    if text.isascii():
        return text.lower()
    decomposed = unicodedata.normalize("NFKD", unicodedata.normalize("NFKD", text).casefold())
    return unicodedata.normalize("NFC", decomposed.translate(_folding))


def _words(segment: str, start: int, end: int) -> Iterator[Token]:
    folded = fold(segment[:_PIECE])
    if folded.isascii() and folded.isalnum():
        yield Token(folded[:MAX_WORD], Kind.WORD, start, end)
        return
    # Some characters expand to several words, or to characters of another kind.
    for found in _SEGMENT.finditer(folded.translate(_separators)):
        if found[1]:
            yield from _run(found[0], start, end)
        elif any(map(str.isalnum, found[0])):
            yield Token(found[0][:MAX_WORD], Kind.WORD, start, end)


def _run(run: str, start: int, end: int) -> Iterator[Token]:
    """Yield the pairs of a folded run, which may be longer or shorter than the original."""
    scale = (end - start) / len(run) if run else 0
    for at in range(len(run)):
        pair = run[at : at + 2]
        first, last = start + int(at * scale), start + int((at + len(pair)) * scale)
        yield Token(pair, Kind.PAIR if len(pair) == 2 else Kind.LAST, first, max(last, first + 1))
