"""The way of a person through the product, in a real browser before a real server."""

import re
import uuid

from playwright.sync_api import Browser, expect

from chat.tests.browser.conftest import Person, assert_same_after_a_reload, expect_state, say, transcript
from config.tests.support import PASSWORD, ServerProcess


def test_from_an_account_to_a_memory_that_outlives_the_server(chromium: Browser, site: ServerProcess) -> None:
    context = chromium.new_context(locale="en-GB", timezone_id="Asia/Tokyo")
    someone = Person(site, context, f"{uuid.uuid4().hex[:8]}@example.com")
    page = someone.page("/accounts/signup/")
    page.get_by_label("E-mail address").fill(someone.email)
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Create account").click()
    expect_state(page, "online")
    assert site.database.query("SELECT time_zone FROM chat_user WHERE email = %s", someone.email) == [("Asia/Tokyo",)]

    say(page, "Add a task to buy groceries for the party")
    assert re.fullmatch(rf"{site.url}/c/[0-9a-f-]{{36}}/", page.url)
    expect(page.locator("#task-list .task__title")).to_have_text(["Buy groceries for the party"])
    expect(page.get_by_test_id("tool-call")).to_contain_text("Added task 1: Buy groceries for the party")
    expect(page.get_by_test_id("conversation-link")).to_have_count(1)
    say(page, "Actually, make that due tomorrow")
    expect(page.locator("#task-list .task__due")).to_have_text("Tomorrow")
    before = transcript(page)

    site.kill9()
    expect_state(page, "offline")
    site.restart()
    expect_state(page, "online")
    assert transcript(page) == before
    assert "groceries" in say(page, "What was the first thing I asked you to do?")
    assert_same_after_a_reload(page)
    # What the browser itself says about a server that is gone is no fault of the page.
    assert [fault for fault in someone.faults if "ERR_CONNECTION_REFUSED" not in fault] == []
    context.close()


def test_what_is_sent_while_the_server_is_gone_is_answered_once(person: Person, site: ServerProcess) -> None:
    page = person.chat()
    say(page, "Add a task to water the plants")
    site.kill9()
    expect_state(page, "offline")
    page.get_by_test_id("composer").fill("Add a task to call Grandma")
    page.get_by_test_id("composer").press("Enter")
    expect(page.get_by_test_id("unsent")).to_contain_text("Waiting for the connection")
    site.restart()
    expect(page.get_by_test_id("unsent")).to_have_count(0)
    expect(page.locator("#task-list .task__title")).to_have_text(["Water the plants", "Call Grandma"])
    expect(page.locator("[data-streaming]")).to_have_count(0)
    assert_same_after_a_reload(page)
    # No other test sends this text to the server that they share.
    rows = site.database.query("SELECT count(*) FROM chat_message WHERE text = 'Add a task to call Grandma'")
    assert rows == [(1,)]
    person.faults[:] = [fault for fault in person.faults if "ERR_CONNECTION_REFUSED" not in fault]


def test_a_message_survives_a_reload_of_a_new_chat_that_is_offline(person: Person, site: ServerProcess) -> None:
    page = person.chat()
    # The page stays reachable, the socket does not.
    page.route_web_socket(re.compile("/ws/chat/"), lambda socket: socket.close())
    page.reload()
    expect_state(page, "offline")
    page.get_by_test_id("composer").fill("Add a task to feed the cat")
    page.get_by_test_id("composer").press("Enter")
    page.reload()
    expect(page.get_by_test_id("unsent")).to_contain_text("feed the cat")
    other = page.context.new_page()
    state = page.evaluate("JSON.stringify(sessionStorage)")
    page.close()
    other.add_init_script(f"if (!sessionStorage.length) Object.assign(sessionStorage, {state})")
    other.goto(site.url + "/")
    expect(other.locator("#task-list .task__title")).to_have_text(["Feed the cat"])
    assert re.search(r"/c/[0-9a-f-]{36}/$", other.url)


def test_several_messages_at_once_are_answered_in_order(person: Person) -> None:
    page = person.chat()
    for n in range(4):
        page.get_by_test_id("composer").fill(f"Add a task to count to {n}")
        page.get_by_test_id("composer").press("Enter")
    expect(page.locator('[data-role="assistant"]:not([data-streaming])')).to_have_count(4)
    said = page.locator('[data-role="user"] .message__text').all_inner_texts()
    assert said == [f"Add a task to count to {n}" for n in range(4)]
    roles = [element.get_attribute("data-role") for element in page.get_by_test_id("message").all()]
    assert roles == ["user", "assistant"] * 4
    expect(page.locator("#task-list .task__title")).to_have_text([f"Count to {n}" for n in range(4)])
    assert_same_after_a_reload(page)


def test_an_example_starts_a_chat_that_is_read_without_scripts(person: Person, chromium: Browser) -> None:
    page = person.chat()
    expect(page.get_by_role("heading", name="What’s on your mind?")).to_be_visible()
    page.get_by_role("button", name="Add a task to buy groceries for the party").click()
    expect(page.locator("#task-list .task__title")).to_have_text(["Buy groceries for the party"])
    expect(page.get_by_role("heading", name="What’s on your mind?")).to_be_hidden()
    expect(page.locator("[data-streaming]")).to_have_count(0)
    expect(page).to_have_url(re.compile(r"/c/[0-9a-f-]{36}/$"))
    bare = chromium.new_context(
        java_script_enabled=False,
        storage_state=person.context.storage_state(),
        viewport={"width": 390, "height": 844},
    )
    plain = bare.new_page()
    plain.goto(page.url)
    for text in (
        "Add a task to buy groceries for the party",
        "Create task: Buy groceries for the party",
        "Sending needs JavaScript.",
    ):
        expect(plain.get_by_text(text, exact=False).first).to_be_visible()
    expect(plain.locator("#task-list .task__title")).to_be_visible()
    expect(plain.get_by_test_id("conversation-link")).to_be_visible()
    expect(plain.get_by_test_id("send")).to_be_hidden()
    bare.close()


def test_a_login_that_ends_elsewhere_ends_the_page_and_leads_back_to_it(person: Person, site: ServerProcess) -> None:
    page = person.chat()
    say(page, "Add a task to buy milk")
    other = person.page("/settings/")
    other.get_by_role("button", name="Sign out").click()
    expect(page.get_by_role("alert")).to_contain_text("You are signed out.")
    here = page.url
    page.get_by_role("link", name="Sign in again").click()
    page.get_by_label("E-mail address").fill(person.email)
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Sign in").click()
    expect_state(page, "online")
    assert page.url == here
