"""Compare HTML by its structure: elements, significant attributes, and text."""

import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

# Sixty replies, each with its HTML by GitHub’s reference implementation of GFM (PyPI cmarkgfm 2025.10.22).
REPLIES: list[dict[str, str]] = json.loads(Path(__file__).with_name("replies.json").read_text())

SIGNIFICANT = {"align", "checked", "class", "href", "start", "title", "type"}
VOID = {"br", "hr", "img", "input"}
INLINE = {"a", "code", "del", "em", "input", "strong"}
FRAMES = {"block", "table", "code", "message__text prose"}  # classes of the product's wrappers around code and tables

Node = list[Any]  # [tag, attributes, children]


class _Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.root: Node = ["", {}, []]
        self.path = [self.root]

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        node: Node = [tag, {name: value or "" for name, value in attrs}, []]
        self.path[-1][2].append(node)
        if tag not in VOID:
            self.path.append(node)

    def handle_endtag(self, tag: str) -> None:
        if tag not in VOID:
            assert self.path.pop()[0] == tag

    def handle_data(self, data: str) -> None:
        self.path[-1][2].append(data)


def structure(html: str) -> list[Any]:
    """Return the structure of HTML without the product's additions: frames, bars over code, and syntax colours."""
    reader = _Reader()
    reader.feed(html)
    reader.close()
    return _children(reader.root, in_code=False)


def _children(node: Node, *, in_code: bool) -> list[Any]:
    found: list[Any] = []
    for child in node[2]:
        if isinstance(child, str):
            _add_text(found, child)
            continue
        tag, attributes, _ = child
        classes = attributes.get("class", "")
        if classes == "code__bar":
            continue
        inner = _children(child, in_code=in_code or tag == "pre")
        if (tag == "div" and classes in FRAMES) or tag == "span":
            for part in inner:
                _add_text(found, part) if isinstance(part, str) else found.append(part)
            continue
        found.append([tag, _significant(tag, attributes), inner])
    return found if in_code else _without_layout(found)


def _add_text(found: list[Any], text: str) -> None:
    if found and isinstance(found[-1], str):
        found[-1] += text
    else:
        found.append(text)


def _significant(tag: str, attributes: dict[str, str]) -> dict[str, str]:
    kept = {name: value for name, value in attributes.items() if name in SIGNIFICANT}
    if tag == "code" and "class" in kept:
        kept["class"] = " ".join(name for name in kept["class"].split() if name.startswith("language-"))
    return kept


def _without_layout(found: list[Any]) -> list[Any]:
    """Drop whitespace beside blocks, and collapse it elsewhere."""
    kept: list[Any] = []
    for index, node in enumerate(found):
        if not isinstance(node, str):
            kept.append(node)
            continue
        text = re.sub(r"[ \t\n]+", " ", node)
        if index == 0 or _is_block(found[index - 1]):
            text = text.lstrip(" ")
        if index == len(found) - 1 or _is_block(found[index + 1]):
            text = text.rstrip(" ")
        if text:
            kept.append(text)
    return kept


def _is_block(node: Any) -> bool:
    return not isinstance(node, str) and node[0] not in INLINE
