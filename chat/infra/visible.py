"""Texts in which there is something to see."""

import re
import unicodedata

# Control and format characters, separators, and marks without a letter that they stand on.
_INVISIBLE = frozenset({"Cc", "Cf", "Cs", "Cn", "Zs", "Zl", "Zp", "Mn", "Me"})
# Letters and symbols that are drawn as nothing: the Hangul fillers and the empty Braille pattern.
_BLANK = frozenset("\u115f\u1160\u2800\u3164\uffa0")


# What terminals and pages obey instead of showing it: control characters but tabs and the ends of lines, and characters
# that turn the direction of what follows them.
_CONTROLS = re.compile("[\x01-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")


def without_controls(text: str) -> str:
    """Return a text without control characters; tabs and the ends of lines stay, and what cannot be stored."""
    return _CONTROLS.sub("", text)


def one_line(text: str) -> str:
    """Return a text as one line, without control characters, its words one space apart."""
    return " ".join(without_controls(" ".join(text.split())).split())


def has_visible(text: str) -> bool:
    """Return whether a text has a character that can be seen."""
    return any(unicodedata.category(char) not in _INVISIBLE and char not in _BLANK for char in text)
