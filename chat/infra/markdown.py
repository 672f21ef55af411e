"""Render Markdown for readers without scripts, with the same result as `static/js/markdown.js`."""

import html
import re
from collections.abc import Sequence

import nh3
from comrak import ExtensionOptions, RenderOptions, render_markdown
from django.utils.safestring import SafeString, mark_safe

# Per page, in characters; older replies are shown as plain text. A script renders all of them anyway.
MAX_CHARACTERS = 60_000
MAX_LEVELS = 40

TAGS = {
    *("a", "blockquote", "br", "code", "del", "em", "h1", "h2", "h3", "h4", "h5", "h6", "hr", "input", "li", "ol", "p"),
    *("pre", "strong", "table", "tbody", "td", "th", "thead", "tr", "ul"),
}
ATTRIBUTES = {
    "a": {"href", "title"},
    "code": {"class"},
    "input": {"aria-label", "checked", "disabled", "type"},
    "ol": {"start"},
    "td": {"align"},
    "th": {"align"},
}
ADDRESS = re.compile(r"(?:https?|mailto):", re.IGNORECASE)
CONTAINERS = re.compile(r"[ \t]*(>|(?:[-+*]|\d{1,9}[.)])(?=[ \t]))")
# Newlines next to these are not text; others within a paragraph become line breaks.
BESIDE_BLOCKS = re.compile(r"\n?(</?(?:blockquote|br|h[1-6]|hr|li|ol|p|pre|table|tbody|td|th|thead|tr|ul)\b[^>]*>)\n?")
TAG = re.compile(r"<[^>]*>")
IMAGE = re.compile(r'<img src="([^"]*)" alt="([^"]*)"(?: title="[^"]*")? />')
BOXES = {
    '<input type="checkbox" checked="" disabled="" />': '<input type="checkbox" checked disabled aria-label="Done">',
    '<input type="checkbox" disabled="" />': '<input type="checkbox" disabled aria-label="Not done">',
}


def render_newest(texts: Sequence[str]) -> list[SafeString]:
    """Return the HTML of texts, in order; an empty one for those that are shown as plain text.

    The newest are rendered, as many as `MAX_CHARACTERS` allows.
    """
    rendered = [mark_safe("")] * len(texts)
    left = MAX_CHARACTERS
    for index in reversed(range(len(texts))):
        left -= len(texts[index])
        if left < 0:
            break
        rendered[index] = render(texts[index])
    return rendered


def render(text: str) -> SafeString:
    """Return the HTML of a text, sanitised; an empty one if it is nested too deeply."""
    if levels(text) > MAX_LEVELS:
        return mark_safe("")
    rendered = BESIDE_BLOCKS.sub(r"\1", _rendered(text))
    for written, labelled in BOXES.items():
        rendered = rendered.replace(written, labelled)
    clean = nh3.clean(
        rendered,
        tags=TAGS,
        attributes=ATTRIBUTES,
        attribute_filter=_filter_attribute,
        link_rel="noopener noreferrer nofollow",
        set_tag_attribute_values={"a": {"target": "_blank"}},
    )
    return mark_safe(clean)  # noqa: S308 - sanitised


def plain_text(text: str) -> str:
    """Return the text that a reader sees; the source if it is nested too deeply."""
    if levels(text) > MAX_LEVELS:
        return text
    return html.unescape(TAG.sub("", _rendered(text)))


def _rendered(text: str) -> str:
    """Return the HTML of a text, not sanitised, with links in place of images."""
    # Without a final newline, comrak omits the newline of unclosed code.
    options = ExtensionOptions()
    options.autolink = options.strikethrough = options.table = options.tasklist = True
    rendered = render_markdown(f"{text}\n", extension_options=options, render_options=_options())
    return IMAGE.sub(_image_link, rendered)


def levels(text: str) -> int:
    """Return the maximum nesting depth of quotes and lists; the same as `levels` of `static/js/nesting.js`."""
    deepest = 0
    open_at: list[int] = []
    for line in text.split("\n"):
        end, count = 0, 0
        while found := CONTAINERS.match(line, end):
            if count == 0:
                while open_at and open_at[-1] >= found.start(1):
                    open_at.pop()
                open_at.append(found.start(1))
            end, count = found.end(), count + 1
        if count:
            deepest = max(deepest, len(open_at) + count - 1)
    return deepest


def _filter_attribute(tag: str, name: str, value: str) -> str | None:
    return None if name == "href" and not ADDRESS.match(value) else value


def _image_link(image: re.Match[str]) -> str:
    """Return a link instead of an image: no images are loaded from other sites."""
    return f'<a href="{image[1]}">{image[2] or image[1]}</a>'


def _options() -> RenderOptions:
    options = RenderOptions()
    # Tags that the assistant writes are shown as text.
    options.escape = True
    return options
