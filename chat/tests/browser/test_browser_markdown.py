"""Markdown as the page's JavaScript renders it."""

from playwright.sync_api import expect

from chat.infra.markdown import render
from chat.tests.browser.conftest import Person, expect_state, send_message
from chat.tests.markdown.structure import REPLIES, structure

SHOW = """async (texts) => {
    const { MarkdownView } = await import("/static/js/markdown.js");
    return texts.map((text) => {
        const view = new MarkdownView();
        const begun = performance.now();
        view.show(text, true);
        return [view.element.outerHTML, performance.now() - begun, view.element.textContent];
    });
}"""
NESTED = {
    "lists": "\n".join("  " * level + "- a" for level in range(1200)),
    "lists in a line": "- " * 1200 + "a",
    "quotes": ">" * 3000 + " a",
}


def test_browser_renders_replies_like_the_examples_and_the_server(person: Person) -> None:
    page = person.page("/accounts/login/")
    shown = page.evaluate(SHOW, [reply["markdown"] for reply in REPLIES])
    for reply, (html, _, _) in zip(REPLIES, shown, strict=True):
        assert structure(html) == structure(reply["html"]), reply["name"]
        assert structure(html) == structure(render(reply["markdown"])), reply["name"]


def test_deep_nesting_is_shown_verbatim_without_delay(person: Person) -> None:
    page = person.page("/accounts/login/")
    shown = page.evaluate(SHOW, ["> warm", *NESTED.values()])[1:]
    for text, (_, milliseconds, content) in zip(NESTED.values(), shown, strict=True):
        assert content == text
        # It takes a tenth of that; a busy machine may need more.
        assert milliseconds < 500


def test_server_renders_replies_without_javascript(person: Person) -> None:
    page = person.open_connected_chat()
    send_message(page, "Add a task to buy milk")
    person.site.database.query(
        "UPDATE chat_message SET text = %s WHERE role = 'assistant'",
        "- [x] **one**\n  - [ ] two\n\n| a |\n|--:|\n| 1 |",
    )
    assert person.context.browser
    plain_context = person.context.browser.new_context(java_script_enabled=False)
    plain_context.add_cookies(person.context.cookies())  # type: ignore[arg-type]
    plain_page = plain_context.new_page()
    plain_page.goto(page.url)
    reply = plain_page.locator('[data-role="assistant"] .prose')
    expect(reply.get_by_role("checkbox", name="Done", exact=True)).to_be_checked()
    expect(reply.get_by_role("checkbox", name="Not done")).not_to_be_checked()
    expect(reply.locator("strong")).to_have_text("one")
    outer, inner = (reply.get_by_role("checkbox").nth(n).bounding_box() for n in (0, 1))
    assert outer and inner and inner["x"] > outer["x"] + 10, "nested items are indented"
    expect(reply.locator("td")).to_have_css("text-align", "right")
    plain_context.close()

    page.reload()
    expect_state(page, "online")
    expect(page.locator('[data-role="assistant"] .prose')).to_have_count(1)
    expect(page.locator('[data-role="assistant"] td')).to_have_css("text-align", "right")
