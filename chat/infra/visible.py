"""Find out whether texts have visible characters."""

import re
import unicodedata

# Control and format characters, separators, and combining marks without a base letter.
_INVISIBLE = frozenset({"Cc", "Cf", "Cs", "Cn", "Zs", "Zl", "Zp", "Mn", "Me"})
# Letters and symbols that are invisible: the Hangul fillers and the empty Braille pattern.
_BLANK = frozenset("\u115f\u1160\u2800\u3164\uffa0")


# Characters that control terminals and pages: control characters except tabs and newlines, and characters that change
# the text direction.
_CONTROLS = re.compile("[\x01-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")


def without_controls(text: str) -> str:
    """Return a text without control characters; keeps tabs, newlines and characters that cannot be stored."""
    return _CONTROLS.sub("", text)


def one_line(text: str) -> str:
    """Return a text as one line, without control characters, with single spaces between words."""
    return " ".join(without_controls(" ".join(text.split())).split())


def has_visible(text: str) -> bool:
    """Return whether a text has a visible character."""
    return any(unicodedata.category(char) not in _INVISIBLE and char not in _BLANK for char in text)
