"""Recognise a pasted list: one item per line, with bullets, numbers or check boxes."""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from chat.assistant.offline.patterns import pattern

_TICKS = "xX✓✔☑☒✅"
_BOX = rf"\[(?P<box>[ {_TICKS}]?)\](?=\s)|(?P<sign>[☐□▢⬜{_TICKS[2:]}])\ufe0f?"
_ITEM = re.compile(
    rf"^\s*(?:(?P<bullet>[-*+•◦‣▪·–—]|\(?\d{{1,3}}[.)])\s+(?:(?:{_BOX})\s*)?|(?:{_BOX.replace('P<', 'P<lone')})\s*)(?P<text>[^\s].*?)\s*$"
)
_INLINE_ITEM = re.compile(rf"[ \t]+[-*+•]\s+(?=\[[ {_TICKS}]?\]\s)")
# Requests about existing tasks may also be on separate lines.
_ABOUT_TASKS = pattern(r"\b(?:tasks?|number|item|#)\s*#?\d|#\d|\b(?:my|the) (?:tasks|list|first|second|last)\b")
# A list longer than other messages is parsed line by line, so that the cost is linear.
MAX_LINES, _MAX_LINE_LENGTH = 100, 200
_LONG_WHITESPACE = re.compile(r"\s{20}")


@dataclass(frozen=True)
class Checklist:
    """A pasted list: the text before the items, the items with whether each is ticked, and the text after them.

    With `orders`, the items are about existing tasks: "1. delete task 3".
    """

    intro: str
    items: tuple[tuple[str, bool], ...]
    rest: str
    orders: bool


def parse_checklist(text: str) -> Checklist | None:
    """Return the list in a message, or None."""
    lines = [line for line in _INLINE_ITEM.sub("\n- ", text).splitlines() if line.strip()]
    intro: list[str] = []
    items: list[re.Match[str]] = []
    rest: list[str] = []
    for line in lines:
        found = _ITEM.match(line)
        if found and not rest:
            items.append(found)
        elif not items:
            intro.append(line.strip())
        else:
            rest.append(line.strip())
    boxed = any(item["box"] is not None or item["lonebox"] is not None for item in items)
    if not items or len(intro) > 1 or (len(items) == 1 and not boxed):
        return None
    orders = not boxed and any(_ABOUT_TASKS.search(item["text"]) for item in items)
    return Checklist(" ".join(intro), tuple(_parse_items(items)), "\n".join(rest), orders)


def parse_plain_list(text: str) -> Checklist | None:
    """Return the lines of a message, of which the first one says what the others are; None if there are too few."""
    intro, *lines = [line.strip() for line in text.splitlines() if line.strip()]
    return Checklist(intro, tuple((line, False) for line in lines), "", orders=False) if len(lines) > 1 else None


def has_short_lines(text: str) -> bool:
    """Return whether a message has at most `MAX_LINES` lines, each of at most `_MAX_LINE_LENGTH` characters."""
    lines = text.splitlines()
    short = len(lines) <= MAX_LINES + 1 and all(len(line) <= _MAX_LINE_LENGTH for line in lines)
    return short and _LONG_WHITESPACE.search(text) is None


def _parse_items(items: list[re.Match[str]]) -> Iterator[tuple[str, bool]]:
    for item in items:
        box = item["box"] or item["sign"] or item["lonebox"] or item["lonesign"] or ""
        yield item["text"], bool(box) and box in _TICKS
