"""axe-core finds no violations on any page, in any of its states, in light and dark colours."""

import re
from functools import partial

import pytest
from django.template.loader import render_to_string
from playwright.sync_api import Page, Route, expect

from chat.tests.browser.axe import violations
from chat.tests.browser.conftest import Person, send_message
from chat.tests.browser.fake_server import FakeServer

REPLY = (
    "# Plan\n\n- [x] one\n- [ ] two\n\n3. three\n\n| a | b |\n|:-:|--:|\n| 1 | [x](https://example.com) |\n\n"
    "> quote\n\n```python\n# why\ndef f(x): return 'a' + 1\n```\n\n---\n`code`"
)


@pytest.fixture
def page(person: Person) -> Page:
    return person.open_new_chat()


ANONYMOUS = (
    "/accounts/login/",
    "/accounts/signup/",
    "/accounts/signup/x/",
    "/accounts/reset/",
    "/accounts/reset/x/y/",
    "/settings/email/x/",
)
SIGNED_IN = ("/", "/archive/", "/trash/", "/settings/", "/settings/tokens/", "/settings/data/", "/accounts/password/")


def test_anonymous_pages_have_no_violations(person: Person) -> None:
    page = person.page()
    for path in ANONYMOUS:
        page.goto(person.url + path)
        assert violations(page) == [], path
        if (button := page.locator("form .button--primary")).count():
            # Skip the browser's validation, so that the page shows the server's errors.
            page.evaluate("document.querySelector('form').noValidate = true")
            button.click()
            page.wait_for_load_state()
            assert violations(page) == [], path
    ignore_failed_requests(person)


@pytest.mark.long
def test_pages_of_a_new_user_have_no_violations(person: Person, page: Page) -> None:
    for path in SIGNED_IN:
        page.goto(person.url + path)
        assert violations(page) == [], path


@pytest.mark.long
def test_error_pages_have_no_violations(person: Person) -> None:
    page = person.page()
    for name in ("403.html", "403_csrf.html", "404.html", "500.html", "503.html", "refused.html"):
        body = render_to_string(name, {"status": 429, "seconds": 30, "minutes": 1})
        page.route("**/broken/", partial(Route.fulfill, body=body, content_type="text/html"))
        page.goto(person.url + "/broken/")
        assert violations(page) == [], name


@pytest.mark.long
def test_chat_with_all_kinds_of_content_has_no_violations(fake_server: FakeServer) -> None:
    page = fake_server.page
    turn = fake_server.accept(fake_server.send_message("show me"))
    fake_server.send_turn_event(turn, "turn.started")
    assert violations(page) == []
    fake_server.send_turn_event(turn, "reasoning.delta", text="Hm", at=0)
    fake_server.send_turn_event(turn, "tool.started", call_id="c1", name="create_task", arguments={"title": "Milk"})
    fake_server.send_turn_event(
        turn, "tool.finished", call_id="c1", output='{"ok": true, "task": {"number": 1, "title": "Milk"}}'
    )
    fake_server.send_delta(turn, REPLY)
    assert violations(page) == []
    fake_server.finish(turn, REPLY)
    expect(page.locator(".hljs-string")).to_have_count(1)
    page.get_by_test_id("tool-call").locator("summary").click()
    page.get_by_test_id("reasoning").locator("summary").click()
    task = {"is_completed": False, "completed_at": None, "description": ""}
    overdue = {"task_id": "1", "number": 1, "title": "Milk", "due": "2020-01-01", "priority": "high", **task}
    other = {"task_id": "2", "number": 2, "title": "Eggs", "due": None, "priority": "low", **task}
    tasks = [overdue, {**other, "description": "brown ones"}]
    fake_server.change_tasks(tasks)
    expect(page.get_by_test_id("task")).to_have_count(2)
    assert violations(page) == []
    page.locator(".message--user").first.hover()
    page.get_by_test_id("edit").first.click()
    assert violations(page) == []
    page.keyboard.press("Escape")
    failing = fake_server.accept(fake_server.send_message("again"))
    fake_server.send_turn_event(failing, "turn.started")
    fake_server.send_turn_event(failing, "model.retrying", detail="Retrying, 2 of 5", attempt_n=2, of=5, seconds=5)
    assert violations(page) == []
    fake_server.send_turn_event(failing, "turn.failed", code="model_error", detail="The model does not answer.")
    expect(page.get_by_test_id("failed")).to_be_visible()
    frame = fake_server.send_message("no")
    fake_server.send(
        {
            "type": "error",
            "client_id": frame["client_id"],
            "code": "rate_limited",
            "detail": "Too many messages.",
            "retry_after": None,
        }
    )
    expect(page.get_by_test_id("unsent")).to_contain_text("Too many messages.")
    assert violations(page) == []


def test_chat_in_use_has_no_violations(person: Person) -> None:
    page = person.open_connected_chat()
    send_message(page, "Add three tasks: book a table, call Mum, water the plants by yesterday")
    send_message(page, "Mark task 1 as done")
    page.locator("#done summary").click()
    assert violations(page) == []
    page.locator("#bar-menu summary").click()
    assert violations(page) == []
    page.get_by_role("button", name="Pin").last.click()
    expect(page.get_by_test_id("toast")).not_to_be_empty()
    assert violations(page) == []
    page.get_by_test_id("composer").fill("Delete all tasks")
    page.get_by_test_id("composer").press("Enter")
    expect(page.get_by_test_id("approval")).to_be_visible()
    assert violations(page) == []
    page.get_by_test_id("composer").fill("x" * 10_001)
    assert violations(page) == []


@pytest.mark.long
def test_earlier_version_has_no_violations(person: Person) -> None:
    page = person.open_connected_chat()
    send_message(page, "Add a task to buy milk")
    page.locator(".message--user").first.hover()
    page.get_by_test_id("edit").click()
    page.get_by_test_id("editor").fill("Add a task to buy eggs")
    page.get_by_test_id("save").click()
    page.get_by_role("link", name="Earlier version").click()
    expect(page.get_by_test_id("earlier-version")).to_be_visible()
    assert violations(page) == []


@pytest.mark.long
def test_drawers_on_a_phone_have_no_violations(person: Person, page: Page) -> None:
    page.set_viewport_size({"width": 390, "height": 844})
    for name in ("Chats", "Tasks"):
        page.get_by_role("button", name=re.compile(f"^{name}")).click()
        assert violations(page) == []
        page.keyboard.press("Escape")


@pytest.mark.long
def test_archived_and_trashed_chats_have_no_violations(person: Person) -> None:
    page = person.open_connected_chat()
    for item in ("milk", "eggs", "bread"):
        page.goto(person.url + "/")
        send_message(page, f"Add a task to buy {item}")
    query = person.site.database.query
    ((owner,),) = query("SELECT id FROM chat_user WHERE email = %s", person.email)
    ids = [row[0] for row in query("SELECT id FROM chat_conversation WHERE user_id = %s ORDER BY created_at", owner)]
    query("UPDATE chat_conversation SET archived_at = now() WHERE id = %s", ids[0])
    query("UPDATE chat_conversation SET trashed_at = now() WHERE id IN (%s, %s)", *ids[1:])
    for path in ("/archive/", "/trash/", f"/trash/{ids[1]}/", "/trash/empty/", f"/c/{ids[0]}/", f"/c/{ids[1]}/"):
        page.goto(person.url + path)
        assert violations(page) == [], path
    page.goto(person.url + "/trash/")
    page.get_by_role("button", name=re.compile("^Restore")).first.click()
    expect(page.get_by_text("Restored:")).to_be_visible()
    assert violations(page) == []


@pytest.mark.long
def test_changed_settings_and_new_token_have_no_violations(person: Person, page: Page) -> None:
    page.goto(person.url + "/settings/")
    page.get_by_role("button", name="Save", exact=True).click()
    expect(page.get_by_text("Your time zone and week are saved.")).to_be_visible()
    assert violations(page) == []
    page.goto(person.url + "/settings/tokens/")
    page.get_by_label("Name").fill("Laptop")
    page.get_by_role("checkbox").first.check()
    page.get_by_role("button", name="Create token").click()
    expect(page.get_by_test_id("token-key")).to_be_visible()
    assert violations(page) == []
    page.goto(person.url + "/settings/tokens/")
    page.get_by_role("link", name="Revoke Laptop").click()
    assert violations(page) == []
    page.get_by_role("button", name="Revoke").click()
    page.locator(".inactive-tokens summary").click()
    assert violations(page) == []


def ignore_failed_requests(person: Person) -> None:
    """Ignore the console errors for responses with status 400 or 404."""
    person.page_errors[:] = [fault for fault in person.page_errors if "Failed to load resource" not in fault]
