"""Cut excerpts of found messages."""

from collections import defaultdict

from chat.search.lexemes import forms_of
from chat.search.query import Element, Term
from chat.search.text import tokens

LENGTH = 200  # characters
CONTEXT_BEFORE = 60  # of them, before the match
# The characters of a message that are read, and that are tokenised, which bounds the time for each message.
MAX_READ = 50_000
MAX_TOKENISED = 10_000
HEAD_ELEMENTS = 4  # elements of a phrase that locate it

Mark = tuple[int, int]


def snippet(text: str, terms: tuple[Term, ...]) -> str:
    """Return up to LENGTH characters of a text around the first match of any term, or its beginning."""
    if len(text) <= LENGTH:
        return _one_line(text)
    at = _first_match(text[:MAX_TOKENISED], terms)
    if at is None and len(text) > MAX_TOKENISED:
        at = _first_literal(text, terms)
    return _cut(text, at or 0)


def marks(text: str, terms: tuple[Term, ...]) -> tuple[Mark, ...]:
    """Return the matches of terms in a short text: the start and end of each, in order and without overlaps."""
    seen: list[tuple[str, ...]] = []
    places: list[Mark] = []
    found: list[Mark] = []
    for token in tokens(text):
        seen.append(forms_of(token))
        places.append((token.start, token.end))
        for term in terms:
            if term.elements[-1].matches(seen[-1]) and (at := _match_start(term.elements, seen)) is not None:
                found.append((places[at][0], token.end))
    apart: list[Mark] = []
    for start, end in sorted(found):
        if apart and start <= apart[-1][1]:
            apart[-1] = (apart[-1][0], max(end, apart[-1][1]))
        else:
            apart.append((start, end))
    return tuple(apart)


def pieces(text: str, marked: tuple[Mark, ...]) -> list[tuple[str, bool]]:
    """Split a text into pieces, each with whether it is highlighted."""
    found: list[tuple[str, bool]] = []
    at = 0
    for start, end in marked:
        found += [(text[at:start], False), (text[start:end], True)]
        at = end
    return [piece for piece in (*found, (text[at:], False)) if piece[0]]


def _first_match(text: str, terms: tuple[Term, ...]) -> int | None:
    """Return the position of the first term that matches."""
    ends: dict[str, list[tuple[Element, ...]]] = defaultdict(list)
    open_ends: list[tuple[Element, ...]] = []
    for head in {term.elements[:HEAD_ELEMENTS] for term in terms}:
        for lexeme in head[-1].lexemes:
            ends[lexeme].append(head)
        if head[-1].prefix:
            open_ends.append(head)
    seen: list[tuple[str, ...]] = []
    starts: list[int] = []
    for token in tokens(text):
        forms = forms_of(token)
        seen.append(forms)
        starts.append(token.start)
        candidates = [head for form in forms for head in ends.get(form, ())]
        candidates += [head for head in open_ends if forms[0].startswith(head[-1].lexemes[0])]
        for head in candidates:
            if (at := _match_start(head, seen)) is not None:
                return starts[at]
    return None


def _match_start(head: tuple[Element, ...], seen: list[tuple[str, ...]]) -> int | None:
    """Return the first token of a sequence that ends with the newest token, if it matches."""
    at = len(seen) - 1
    for number in range(len(head) - 1, 0, -1):
        at -= head[number].distance
        if at < 0 or not head[number - 1].matches(seen[at]):
            return None
    return at


def _first_literal(text: str, terms: tuple[Term, ...]) -> int | None:
    lowered = text.lower()
    found = [lowered.find(term.elements[0].lexemes[0]) for term in terms]
    return min((at for at in found if at >= 0), default=None)


def _cut(text: str, at: int) -> str:
    start = max(0, at - CONTEXT_BEFORE)
    if start and (space := text.find(" ", start, at)) >= 0:
        start = space + 1
    end = start + LENGTH
    if end < len(text) and (space := text.rfind(" ", start + LENGTH // 2, end)) >= 0:
        end = space
    return ("…" if start else "") + _one_line(text[start:end]) + ("…" if end < len(text) else "")


def _one_line(text: str) -> str:
    return " ".join(text.split())
