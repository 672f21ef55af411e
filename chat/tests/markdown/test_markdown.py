"""Server-side rendering of Markdown, for clients without scripts."""

import re
import time

import pytest

from chat.infra.markdown import MAX_CHARACTERS, MAX_LEVELS, levels, render, render_newest
from chat.tests.markdown.structure import REPLIES, structure


@pytest.mark.parametrize("reply", REPLIES, ids=lambda reply: reply["name"])
def test_reply_is_rendered_as_the_gfm_reference_renders_it(reply: dict[str, str]) -> None:
    assert structure(render(reply["markdown"])) == structure(reply["html"])


@pytest.mark.parametrize(
    "text",
    [
        "[x](javascript:alert(1))", "[x](JaVaScRiPt&colon;alert(1))", "[x](data:text/html,<script>alert(1)</script>)",
        "[x](//evil.example)", "![x](javascript:alert(1))", '![x](x" onerror="alert(1))', "<script>alert(1)</script>",
        "<img src=x onerror=alert(1)>", "a <b onclick=alert(1)>x</b>", '```a" onclick=alert(1)\nx\n```',
        "<javascript:alert(1)>",
    ],
)  # fmt: skip
def test_rendered_html_contains_nothing_executable(text: str) -> None:
    html = render(text)
    tags = re.findall(r"<[^>]*>", html)
    assert not any(re.search(r"script|onerror|onclick|evil|<img", tag) for tag in tags), html
    assert not re.search(r"<(?!/?(?:a|code|p|pre)\b)", html), html


def test_links_send_no_referrer_and_open_in_a_new_tab() -> None:
    html = render("[a](https://example.com) ![photo](https://example.com/x.png)")
    assert html.count('rel="noopener noreferrer nofollow"') == html.count('target="_blank"') == 2
    assert ">photo</a>" in html


def test_checkbox_has_an_accessible_name() -> None:
    html = render("- [x] a\n- [ ] b")
    assert 'aria-label="Done"' in html and 'aria-label="Not done"' in html


@pytest.mark.parametrize(
    ("text", "depth"),
    [
        ("text", 0),
        ("- a\n- b", 1),
        ("- a\n  - b\n- c\n  - d", 2),
        ("> 1. a", 2),
        (">>> a", 3),
        ("- " * 1200 + "a", 1200),
        ("\n".join("  " * level + "- a" for level in range(1200)), 1200),
        (">" * 3000 + " a", 3000),
        ("-- a\n2026 was\n3.5", 0),
    ],
    ids=str,
)
def test_nesting_levels_are_counted(text: str, depth: int) -> None:
    assert levels(text) == depth


def test_text_nested_too_deeply_is_not_rendered() -> None:
    assert render(">" * MAX_LEVELS + " a") != ""
    started = time.process_time()
    assert render(">" * 3000 + " a") == ""
    assert render("\n".join("  " * level + "- a" for level in range(1200))) == ""
    assert time.process_time() - started < 0.5


def test_newest_replies_are_rendered_up_to_the_page_limit() -> None:
    long = "x" * (MAX_CHARACTERS // 2)
    assert [bool(html) for html in render_newest(["old", long, long])] == [False, True, True]
    assert render_newest([]) == []
