"""The composer: sending, limits, drafts, keyboard use, and the layout on a phone."""

import re

from playwright.sync_api import Page, expect

from chat.tests.browser.conftest import Person, expect_state, send_message
from config.tests.support import PASSWORD, ServerProcess


def test_enter_sends_and_shift_enter_starts_a_new_line(person: Person) -> None:
    page = person.open_connected_chat()
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


def test_blank_message_cannot_be_sent(person: Person) -> None:
    page = person.open_connected_chat()
    expect(page.get_by_test_id("send")).to_be_disabled()
    page.get_by_test_id("composer").fill("  \n ")
    page.keyboard.press("Enter")
    expect(page.get_by_test_id("send")).to_be_disabled()
    assert page.locator("[data-unsent], [data-turn]").count() == 0


def test_length_limit_counts_characters_like_the_server(person: Person) -> None:
    page = person.open_connected_chat()
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


def test_draft_belongs_to_its_conversation(person: Person) -> None:
    page = person.open_connected_chat()
    box = page.get_by_test_id("composer")
    box.fill("a new thought")
    page.reload()
    expect(box).to_have_value("a new thought")
    send_message(page, "Add a task to buy milk")
    box.fill("about the milk")
    page.get_by_role("link", name="New chat").click()
    expect(box).to_have_value("")
    page.get_by_test_id("conversation-link").click()
    expect(box).to_have_value("about the milk")


def test_next_user_does_not_see_the_previous_users_draft(person: Person, site: ServerProcess) -> None:
    page = person.open_connected_chat()
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


def test_signing_out_deletes_drafts(person: Person) -> None:
    page = person.open_connected_chat()
    page.get_by_test_id("composer").fill("a secret thought")
    page.get_by_role("button", name="Sign out").click()
    expect(page.get_by_role("heading", name="Welcome back")).to_be_visible()
    assert "secret" not in page.evaluate("JSON.stringify(sessionStorage)")


def test_all_controls_are_reachable_by_keyboard(person: Person) -> None:
    page = person.open_connected_chat()
    send_message(page, "Add a task to buy milk")
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


def test_sidebars_are_drawers_on_a_phone(phone: Page) -> None:
    send_message(phone, "Add a task to buy milk")
    for open_label, close_label, content_id in (
        ("Chats", "Close chats", "conversation-list"),
        ("Tasks", "Close tasks", "task-list"),
    ):
        content = phone.get_by_test_id(content_id)
        expect(content).not_to_be_in_viewport()
        opener = phone.get_by_role("button", name=re.compile(f"^{open_label}"))
        opener.click()
        expect(content).to_be_in_viewport()
        expect(phone.get_by_role("button", name=close_label)).to_be_focused()
        # The chat behind the drawer cannot be reached.
        assert phone.locator("#chat").evaluate("chat => chat.inert")
        phone.keyboard.press("Escape")
        expect(content).not_to_be_in_viewport()
        expect(opener).to_be_focused()
        opener.click()
        phone.locator("#backdrop").click(position={"x": 195 if open_label == "Tasks" else 380, "y": 10}, force=True)
        phone.keyboard.press("Escape")
        expect(content).not_to_be_in_viewport()


def test_long_word_does_not_widen_the_page_on_a_phone(phone: Page) -> None:
    send_message(phone, "Add a task to " + "x" * 80)
    assert phone.evaluate("document.documentElement.scrollWidth") <= 390
    assert phone.evaluate("document.querySelector('#scroller').scrollWidth") <= 390
    # If an element overflows, the browser makes the layout wider than the screen.
    assert phone.evaluate("innerWidth") == 390


def test_back_button_restores_and_reconnects_the_page(person: Person) -> None:
    page = person.open_connected_chat()
    send_message(page, "Add a task to buy milk")
    page.get_by_role("link", name="Settings").click()
    page.go_back()
    expect_state(page, "online")
    expect(page.locator("#task-list .task__title")).to_have_text(["Buy milk"])
