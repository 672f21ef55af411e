"""Compile the regular expressions of the rules, which ignore case."""

import re


def pattern(text: str) -> re.Pattern[str]:
    """Compile one expression."""
    return re.compile(text, re.I)


def patterns(*texts: str) -> tuple[re.Pattern[str], ...]:
    """Compile the alternative expressions of one rule, in order."""
    return tuple(pattern(text) for text in texts)
