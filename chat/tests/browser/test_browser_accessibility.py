"""Touch targets, forced colours, truncated titles, the copy button and initial focus."""

import pytest
from playwright.sync_api import Browser, Page, expect

from chat.tests.browser.conftest import Person, send_message
from config.tests.support import ServerProcess

# Links within a sentence may be as high as its line.
SMALL = """() => [...document.querySelectorAll("a, button, summary, select, textarea, input")]
    .filter((one) => !one.matches("[type=hidden], :disabled"))
    .filter((one) => one.checkVisibility({ visibilityProperty: true, opacityProperty: true }))
    .filter((one) => !one.closest("[inert], .skip-link"))
    .filter((one) => !(one.matches("a") && getComputedStyle(one).display === "inline" && one.closest("p, span, li")))
    .map((one) => [one.closest("label.choice") ?? one, one])
    .map(([target, one]) => [target.getBoundingClientRect(), one])
    .filter(([box]) => box.width > 0 && (box.width < 43.9 || box.height < 43.9))
    .map(([box, one]) => `${box.width.toFixed(1)}x${box.height.toFixed(1)} ${one.outerHTML.slice(0, 120)}`)"""


@pytest.mark.long
def test_touch_targets_of_a_chat_are_large_enough(phone: Page) -> None:
    send_message(phone, "Add three tasks: book a table, call Mum, water the plants")
    send_message(phone, "Mark task 1 as done")
    assert phone.evaluate(SMALL) == []
    phone.get_by_role("button", name="Tasks").click()
    phone.locator("#done summary").click()
    assert phone.evaluate(SMALL) == []
    phone.keyboard.press("Escape")
    phone.get_by_role("button", name="Chats").click()
    expect(phone.get_by_test_id("conversation-link")).to_be_in_viewport()
    assert phone.evaluate(SMALL) == []
    phone.keyboard.press("Escape")
    phone.locator("#bar-menu summary").click()
    assert phone.evaluate(SMALL) == []
    phone.get_by_role("button", name="Pin").last.click()
    phone.get_by_test_id("edit").first.click()
    assert phone.evaluate(SMALL) == []
    phone.get_by_role("button", name="Cancel").click()
    phone.get_by_test_id("composer").fill("Delete all tasks")
    phone.get_by_test_id("send").click()
    expect(phone.get_by_test_id("approval")).to_be_visible()
    assert phone.evaluate(SMALL) == []


SETTINGS = ("/settings/", "/settings/tokens/", "/settings/data/", "/accounts/password/")
SIGNED_OUT = ("/accounts/login/", "/accounts/signup/", "/accounts/reset/")


@pytest.mark.long
def test_other_pages_fit_a_phone_and_have_large_touch_targets(phone: Page, person: Person, site: ServerProcess) -> None:
    send_message(phone, "Add a task to buy milk")
    trash = (
        "UPDATE chat_conversation SET trashed_at = now() WHERE user_id IN (SELECT id FROM chat_user WHERE email = %s)"
    )
    site.database.query(trash, person.email)
    for path in (*SETTINGS, "/archive/", "/trash/", "/nothing/", *SIGNED_OUT):
        if path in SIGNED_OUT:
            phone.context.clear_cookies()
        phone.goto(site.url + path)
        assert phone.evaluate(SMALL) == [], path
        assert phone.evaluate("document.documentElement.scrollWidth") <= 390, path
        expect(phone.get_by_role("heading", level=1)).to_be_visible()
    person.page_errors[:] = [fault for fault in person.page_errors if "404 (Not Found)" not in fault]


def test_open_and_done_tasks_differ_in_forced_colours(person: Person) -> None:
    page = person.open_connected_chat()
    send_message(page, "Add a task to buy milk")
    page.emulate_media(forced_colors="active")
    tick_style = (
        "tick => [getComputedStyle(tick, '::before').backgroundColor, getComputedStyle(tick, '::after').content]"
    )
    background, mark = page.locator("#task-list .task__checkbox").evaluate(tick_style)
    assert mark == "none"
    send_message(page, "Mark task 1 as done")
    page.locator("#done summary").click()
    done_background, done_mark = page.locator("#done-list .task__checkbox").evaluate(tick_style)
    assert done_mark == '""' and done_background != background


def test_title_attribute_shows_the_full_title(person: Person) -> None:
    page = person.open_connected_chat()
    title = "Add a task to buy milk for the party on the roof of the house"
    send_message(page, title)
    for element in (page.locator("#title"), page.locator(".conversation__title")):
        full_title = element.inner_text()
        expect(element).to_have_attribute("title", full_title)
    page.reload()
    expect(page.locator(".conversation__title")).to_have_attribute("title", page.locator("#title").inner_text())


def test_button_copies_a_new_token(chromium: Browser, person: Person) -> None:
    page = person.open_new_chat()
    person.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page.goto(person.url + "/settings/tokens/")
    page.get_by_label("Name").fill("Laptop")
    page.get_by_role("checkbox").first.check()
    page.get_by_role("button", name="Create token").click()
    page.get_by_role("button", name="Copy token").click()
    expect(page.get_by_role("button", name="Copied")).to_be_visible()
    assert page.evaluate("navigator.clipboard.readText()") == page.get_by_test_id("token-key").inner_text()


def test_signup_page_focuses_the_first_field(person: Person) -> None:
    page = person.page("/accounts/signup/")
    expect(page.get_by_label("E-mail address")).to_be_focused()
