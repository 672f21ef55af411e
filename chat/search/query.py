"""Parse what a person searches for.

    words           each must be in the message or title, but for the commonest of English where there are others; the
                    last one is also found as the beginning of a word
    "a phrase"      words that follow each other
    a or b          one of two alternatives
    -word           not with this word or phrase

What this returns is made of lexemes of our own only, so that PostgreSQL has nothing to parse and nothing to refuse.
"""

import re
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby
from typing import NamedTuple

from chat.exceptions import BadInput, TooLong
from chat.search.lexemes import forms_of, owner_key
from chat.search.text import Kind, tokens

MAX_LENGTH = 200  # characters
MAX_TERMS = 8

# Frequent English words: a message need not contain them if the query has other words.
_FREQUENT_WORDS = frozenset({
    "a", "about", "am", "an", "and", "any", "are", "as", "at", "be", "been", "but", "by", "can", "could", "did",
    "do", "does", "for", "from", "had", "has", "have", "he", "her", "him", "his", "how", "i", "if", "in", "into",
    "is", "it", "its", "me", "my", "of", "on", "our", "she", "should", "so", "than", "that", "the", "their",
    "them", "then", "there", "these", "they", "this", "to", "us", "was", "we", "were", "what", "when", "where",
    "which", "who", "will", "with", "would", "you", "your",
})  # fmt: skip
_ITEM = re.compile(r'(?P<minus>-)?(?:"(?P<phrase>[^"]*)(?P<closed>"?)|(?P<word>[^\s"]+))')
_QUOTES = str.maketrans(dict.fromkeys("“”„‟", '"'))


class Element(NamedTuple):
    """One token of a term: alternative lexemes; with `prefix` the first one matches as a prefix."""

    lexemes: tuple[str, ...]
    prefix: bool
    distance: int  # in tokens, from the previous element

    def matches(self, forms: tuple[str, ...]) -> bool:
        """Return whether a token of a text, given as its lexemes, matches."""
        if self.prefix and forms[0].startswith(self.lexemes[0]):
            return True
        return any(lexeme in forms for lexeme in self.lexemes)

    def as_tsquery(self, key: str) -> str:
        """Return this as a part of a tsquery, with an owner's key."""
        first, *others = self.lexemes
        lexemes = [f"'{key}{first}'" + ":*" * self.prefix, *(f"'{key}{other}'" for other in others)]
        return f"({' | '.join(lexemes)})"


@dataclass(frozen=True, slots=True)
class Term:
    """A word or phrase."""

    elements: tuple[Element, ...]

    def as_tsquery(self, key: str) -> str:
        """Return this as a part of a tsquery, with an owner's key."""
        first, *others = self.elements
        return first.as_tsquery(key) + "".join(f" <{e.distance}> {e.as_tsquery(key)}" for e in others)


@dataclass(frozen=True, slots=True)
class Alternative:
    """Terms that must all match, and terms that must not."""

    wanted: tuple[Term, ...]
    unwanted: tuple[Term, ...]

    def as_tsquery(self, key: str) -> str:
        """Return this as a part of a tsquery, with an owner's key."""
        parts = [f"({term.as_tsquery(key)})" for term in self.wanted]
        parts += [f"!({term.as_tsquery(key)})" for term in self.unwanted]
        return " & ".join(parts)


@dataclass(frozen=True, slots=True)
class Query:
    """A parsed query; without alternatives it finds nothing."""

    alternatives: tuple[Alternative, ...]

    @property
    def wanted(self) -> tuple[Term, ...]:
        """All terms whose matches are highlighted."""
        return _distinct(term for alternative in self.alternatives for term in alternative.wanted)

    @property
    def has_index_conditions(self) -> bool:
        """Whether each match contains a term, so that the index can be used."""
        return all(alternative.wanted for alternative in self.alternatives)

    def as_tsquery(self, user_id: uuid.UUID) -> str:
        """Return the text form of the tsquery over the vectors of one user."""
        key = owner_key(user_id)
        return " | ".join(f"({alternative.as_tsquery(key)})" for alternative in self.alternatives)

    def for_titles(self) -> "Query":
        """Return the query for titles, without exclusions."""
        return Query(tuple(alternative for alternative in self.alternatives if alternative.wanted))


class _Item(NamedTuple):
    """A part of the user's query."""

    term: Term | None  # None means `or`
    is_unwanted: bool = False
    is_little: bool = False


def parse(text: str) -> Query:
    """Parse a query of any characters; one without a letter or digit has no alternatives.

    Raise TooLong above MAX_LENGTH characters, BadInput for more than MAX_TERMS different words and phrases.
    """
    if len(text) > MAX_LENGTH:
        raise TooLong(f"A search has at most {MAX_LENGTH} characters; this one has {len(text):,}.")
    items = list(_without_frequent_words(_items(text)))
    count = len({tuple(element.lexemes for element in item.term.elements) for item in items if item.term})
    if count > MAX_TERMS:
        raise BadInput(f"Search for at most {MAX_TERMS} different words or phrases at once; these are {count}.")
    return Query(tuple(_alternatives(items)))


def _items(text: str) -> Iterator[_Item]:
    found = list(_ITEM.finditer(text.translate(_QUOTES)))
    are_or = [item["word"] is not None and not item["minus"] and item["word"].lower() == "or" for item in found]
    for item, is_or in zip(found, are_or, strict=True):
        word = item["word"] or ""
        # Two dashes begin a command-line option, and exclude nothing.
        is_unwanted = item["minus"] is not None and not word.startswith("-")
        may_go_on = item is found[-1] and not (is_unwanted or item["closed"])
        if is_or and not all(are_or):
            yield _Item(None)
        elif (term := _term(word or item["phrase"] or "", may_go_on)) is not None:
            yield _Item(term, is_unwanted, is_little=word.lower() in _FREQUENT_WORDS and not is_unwanted)


def _without_frequent_words(items: Iterator[_Item]) -> Iterator[_Item]:
    """Remove frequent words from an alternative that has others."""
    for is_or, group in groupby(items, lambda item: item.term is None):
        alternative = list(group)
        if is_or or all(item.is_little or item.is_unwanted for item in alternative):
            yield from alternative
        else:
            yield from (item for item in alternative if not item.is_little)


def _term(text: str, may_go_on: bool) -> Term | None:
    """Return the term of a word or phrase; the last word of an unfinished one matches as a prefix."""
    found = list(tokens(text))
    elements: list[Element] = []
    position = 0
    for at, token in enumerate(found):
        if token.kind is Kind.LAST and at and found[at - 1].kind is Kind.PAIR:
            continue  # already in the pair
        prefix = token.kind is Kind.LAST or (may_go_on and token.kind is Kind.WORD and at == len(found) - 1)
        elements.append(Element(forms_of(token), prefix, at - position))
        position = at
    return Term(tuple(elements)) if elements else None


def _alternatives(items: list[_Item]) -> Iterator[Alternative]:
    found: dict[Alternative, None] = {}
    group: list[_Item] = []
    for item in [*items, _Item(None)]:
        if item.term is not None:
            group.append(item)
        elif group:
            wanted = _distinct(item.term for item in group if item.term and not item.is_unwanted)
            unwanted = _distinct(item.term for item in group if item.term and item.is_unwanted)
            found[Alternative(wanted, unwanted)] = None
            group = []
    yield from found


def _distinct(terms: Iterator[Term]) -> tuple[Term, ...]:
    return tuple(dict.fromkeys(terms))
