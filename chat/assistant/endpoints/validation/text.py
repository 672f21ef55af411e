"""Separate a reply from reasoning in `<think>` tags."""

import re
from collections.abc import Iterator
from typing import Literal, NamedTuple

_TAG = re.compile(r"</?think(?:ing)?>")
_TAGS = ("<think>", "<thinking>", "</think>", "</thinking>")
_QUOTES = frozenset("`\"'“‘")


class Piece(NamedTuple):
    """A part of a text; with `retracts`, all that was reply so far is reasoning, and `text` repeats it."""

    kind: Literal["reply", "reasoning"]
    text: str
    retracts: bool = False


class ThinkSplitter:
    """Splits a text that arrives in parts into reply and reasoning.

    White space is held back until more follows, and dropped around the reasoning at the beginning. A closing tag
    without an opening one ends reasoning that began with the text: some chat templates put the opening tag into the
    prompt. A tag after a quotation mark or a backtick is text.
    """

    def __init__(self) -> None:
        self._thinking = False
        self._has_thought = False
        self._held = ""  # the beginning of a tag, maybe
        self._blank = ""  # white space before the reply
        self._reply: list[str] = []

    @property
    def reply(self) -> str:
        """The reply so far."""
        return "".join(self._reply)

    def take(self, text: str) -> bool:
        """Accept the next part if it simply continues the reply, as most do; return whether it does."""
        if self._thinking or self._held or not self._reply or "<" in text:
            return False
        self._reply.append(text)
        return True

    def feed(self, text: str) -> Iterator[Piece]:
        """Yield the pieces that are complete."""
        if "<" not in text and not self._held:
            yield from self._piece(text)
            return
        text, self._held = self._held + text, ""
        while tag := _TAG.search(text):
            before, text = text[: tag.start()], text[tag.end() :]
            if self._is_text(tag.group(), before):
                yield from self._piece(before + tag.group())
                continue
            yield from self._piece(before)
            if tag.group().startswith("</") and not self._has_thought:
                yield from self._retract()
            self._thinking, self._has_thought = not tag.group().startswith("</"), True
        cut = text.rfind("<")
        if cut >= 0 and any(tag.startswith(text[cut:]) for tag in _TAGS):
            text, self._held = text[:cut], text[cut:]
        yield from self._piece(text)

    def finish(self) -> Iterator[Piece]:
        """Yield the buffered rest at the end of the text."""
        text, self._held = self._held, ""
        yield from self._piece(text)

    def _is_text(self, tag: str, before: str) -> bool:
        if self._thinking:
            return not tag.startswith("</")
        last = before or (self._reply[-1] if self._reply else "")
        return last[-1:] in _QUOTES

    def _piece(self, text: str) -> Iterator[Piece]:
        if not text:
            return
        if self._thinking:
            yield Piece("reasoning", text)
            return
        if not self._reply:
            text = self._blank + text
            if text.isspace():
                self._blank = text
                return
            text = text.lstrip() if self._has_thought else text
        self._reply.append(text)
        yield Piece("reply", text)

    def _retract(self) -> Iterator[Piece]:
        text, self._reply, self._blank = self._blank + self.reply, [], ""
        if text.strip():
            yield Piece("reasoning", text, retracts=True)
