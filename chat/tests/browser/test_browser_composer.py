"""Writing: by keyboard alone, on a phone, with drafts that are not lost."""

import re

from playwright.sync_api import Page, expect

from chat.tests.browser.conftest import Person, expect_state, say
from config.tests.support import PASSWORD, ServerProcess


def focused(page: Page) -> str:
    name: str = page.evaluate(
        "document.activeElement.dataset.testid || document.activeElement.id || document.activeElement.ariaLabel || ''"
    )
    return name


def test_enter_sends_and_shift_enter_begins_a_line(person: Person) -> None:
    page = person.chat()
    box = page.get_by_test_id("composer")
    expect(box).to_be_focused()
    page.keyboard.type("Add a task")
    page.keyboard.press("Shift+Enter")
    page.keyboard.type("to buy milk")
    expect(box).to_have_value("Add a task\nto buy milk")
    page.keyboard.press("Enter")
    expect(box).to_have_value("")
    expect(page.locator('[data-role="user"] .message__text')).to_have_text("Add a task\nto buy milk")
    expect(box).to_be_focused()


def test_there_is_nothing_to_send_of_nothing(person: Person) -> None:
    page = person.chat()
    expect(page.get_by_test_id("send")).to_be_disabled()
    page.get_by_test_id("composer").fill("  \n ")
    page.keyboard.press("Enter")
    expect(page.get_by_test_id("send")).to_be_disabled()
    assert page.locator("[data-unsent], [data-turn]").count() == 0


def test_the_limit_is_counted_as_the_server_counts(person: Person) -> None:
    page = person.chat()
    box, count = page.get_by_test_id("composer"), page.locator("#composer-count")
    box.fill("x" * 8_000)
    expect(count).to_be_hidden()
    box.fill("🧵" * 9_500)
    expect(count).to_have_text("9,500 of 10,000")
    expect(page.get_by_test_id("send")).to_be_enabled()
    box.fill("🧵" * 10_001)
    expect(count).to_have_text("10,001 of 10,000")
    expect(page.get_by_test_id("send")).to_be_disabled()
    box.press("Enter")
    expect(box).to_have_value("🧵" * 10_001)
    box.fill("🧵" * 10_000)
    box.press("Enter")
    expect(page.locator('[data-testid="message"][data-role="assistant"]:not([data-streaming])')).to_have_count(1)


def test_a_draft_stays_with_its_conversation(person: Person) -> None:
    page = person.chat()
    box = page.get_by_test_id("composer")
    box.fill("a new thought")
    page.reload()
    expect(box).to_have_value("a new thought")
    say(page, "Add a task to buy milk")
    box.fill("about the milk")
    page.get_by_role("link", name="New chat").click()
    expect(box).to_have_value("")
    page.get_by_test_id("conversation-link").click()
    expect(box).to_have_value("about the milk")


def test_who_signs_in_next_sees_no_draft_of_the_one_before(person: Person, site: ServerProcess) -> None:
    page = person.chat()
    page.get_by_test_id("composer").fill("a secret thought")
    person.context.clear_cookies()
    person.email = "next-" + person.email
    site.database.add_user(person.email)
    page.goto(site.url + "/accounts/login/")
    page.get_by_label("E-mail address").fill(person.email)
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Sign in").click()
    expect_state(page, "online")
    expect(page.get_by_test_id("composer")).to_have_value("")


def test_signing_out_forgets_what_was_not_sent(person: Person) -> None:
    page = person.chat()
    page.get_by_test_id("composer").fill("a secret thought")
    page.get_by_role("button", name="Sign out").click()
    expect(page.get_by_role("heading", name="Welcome back")).to_be_visible()
    assert "secret" not in page.evaluate("JSON.stringify(sessionStorage)")


def test_everything_is_reached_by_keyboard(person: Person) -> None:
    page = person.chat()
    say(page, "Add a task to buy milk")
    skip = page.get_by_role("link", name="Skip to the message box")
    skip.focus()
    expect(skip).to_be_in_viewport()
    reached: list[str] = []
    for _ in range(40):
        page.keyboard.press("Tab")
        reached.append(
            page.evaluate(
                "document.activeElement.getAttribute('aria-label') || document.activeElement.textContent.trim()"
            )
        )
    for name in ("New chat", "Settings", "Sign out", "Copy reply", "Edit task 1"):
        assert any(name in label for label in reached), name
    page.get_by_test_id("tool-call").locator("summary").focus()
    page.keyboard.press("Enter")
    expect(page.get_by_label("Arguments")).to_be_visible()


def test_the_sides_are_drawers_on_a_phone(phone: Page) -> None:
    say(phone, "Add a task to buy milk")
    for opens, closes, inside in (("Chats", "Close chats", "conversation-list"), ("Tasks", "Close tasks", "task-list")):
        part = phone.get_by_test_id(inside)
        expect(part).not_to_be_in_viewport()
        opener = phone.get_by_role("button", name=re.compile(f"^{opens}"))
        opener.click()
        expect(part).to_be_in_viewport()
        expect(phone.get_by_role("button", name=closes)).to_be_focused()
        # Behind it nothing can be reached.
        assert phone.locator("#chat").evaluate("chat => chat.inert")
        phone.keyboard.press("Escape")
        expect(part).not_to_be_in_viewport()
        expect(opener).to_be_focused()
        opener.click()
        phone.locator("#backdrop").click(position={"x": 195 if opens == "Tasks" else 380, "y": 10}, force=True)
        phone.keyboard.press("Escape")
        expect(part).not_to_be_in_viewport()


def test_nothing_is_wider_than_a_phone(phone: Page) -> None:
    say(phone, "Add a task to " + "x" * 80)
    assert phone.evaluate("document.documentElement.scrollWidth") <= 390
    assert phone.evaluate("document.querySelector('#scroller').scrollWidth") <= 390
    # Where something sticks out, the browser lays the page out wider than the screen.
    assert phone.evaluate("innerWidth") == 390


def test_the_page_comes_back_from_the_back_button(person: Person) -> None:
    page = person.chat()
    say(page, "Add a task to buy milk")
    page.get_by_role("link", name="Settings").click()
    page.go_back()
    expect_state(page, "online")
    expect(page.locator("#task-list .task__title")).to_have_text(["Buy milk"])
