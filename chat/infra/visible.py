"""Texts in which there is something to see."""

import unicodedata

# Control and format characters, separators, and marks without a letter that they stand on.
_INVISIBLE = frozenset({"Cc", "Cf", "Cs", "Cn", "Zs", "Zl", "Zp", "Mn", "Me"})
# Letters and symbols that are drawn as nothing: the Hangul fillers and the empty Braille pattern.
_BLANK = frozenset("\u115f\u1160\u2800\u3164\uffa0")


def has_visible(text: str) -> bool:
    """Return whether a text has a character that can be seen."""
    return any(unicodedata.category(char) not in _INVISIBLE and char not in _BLANK for char in text)
