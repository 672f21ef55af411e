"""User journeys through the product, in a real browser against a real server."""

import re
import uuid

from playwright.sync_api import Browser, expect

from chat.tests.browser.conftest import Person, assert_same_after_reload, expect_state, page_html, send_message
from config.tests.support import PASSWORD, ServerProcess, eventually


def test_new_user_chats_and_memory_survives_a_server_crash(chromium: Browser, site: ServerProcess) -> None:
    context = chromium.new_context(locale="en-GB", timezone_id="Asia/Tokyo")
    user = Person(site, context, f"{uuid.uuid4().hex[:8]}@example.com")
    page = user.page("/accounts/signup/")
    page.get_by_label("E-mail address").fill(user.email)
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Create account").click()
    expect_state(page, "online")
    assert site.database.query("SELECT time_zone FROM chat_user WHERE email = %s", user.email) == [("Asia/Tokyo",)]

    send_message(page, "Add a task to buy groceries for the party")
    assert re.fullmatch(rf"{site.url}/c/[0-9a-f-]{{36}}/", page.url)
    expect(page.locator("#task-list .task__title")).to_have_text(["Buy groceries for the party"])
    expect(page.get_by_test_id("tool-call")).to_contain_text("Added task 1: Buy groceries for the party")
    expect(page.get_by_test_id("conversation-link")).to_have_count(1)
    send_message(page, "Actually, make that due tomorrow")
    expect(page.locator("#task-list .task__due")).to_have_text("Tomorrow")
    assert_same_after_reload(page)  # the Undo button of the call may come after the reply
    before = page_html(page)

    site.kill9()
    expect_state(page, "offline")
    site.restart()
    expect_state(page, "online")
    # Buttons that need the connection are rendered in the next frame.
    eventually(lambda: page_html(page) == before, what="the page as it was before the crash")
    assert "groceries" in send_message(page, "What was the first thing I asked you to do?")
    assert_same_after_reload(page)
    # The browser itself logs refused connections; these are not errors of the page.
    assert [fault for fault in user.page_errors if "ERR_CONNECTION_REFUSED" not in fault] == []
    context.close()


def test_message_sent_while_the_server_is_down_is_answered_once(person: Person, site: ServerProcess) -> None:
    page = person.open_connected_chat()
    send_message(page, "Add a task to water the plants")
    site.kill9()
    expect_state(page, "offline")
    page.get_by_test_id("composer").fill("Add a task to call Grandma")
    page.get_by_test_id("composer").press("Enter")
    expect(page.get_by_test_id("unsent")).to_contain_text("Waiting for the connection")
    site.restart()
    expect(page.get_by_test_id("unsent")).to_have_count(0)
    expect(page.locator("#task-list .task__title")).to_have_text(["Water the plants", "Call Grandma"])
    expect(page.locator("[data-streaming]")).to_have_count(0)
    assert_same_after_reload(page)
    # No other test sends this text to the shared server.
    rows = site.database.query("SELECT count(*) FROM chat_message WHERE text = 'Add a task to call Grandma'")
    assert rows == [(1,)]
    person.page_errors[:] = [fault for fault in person.page_errors if "ERR_CONNECTION_REFUSED" not in fault]


def test_unsent_message_of_a_new_chat_survives_an_offline_reload(person: Person, site: ServerProcess) -> None:
    page = person.open_connected_chat()
    # The page stays reachable; its socket does not.
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


def test_messages_sent_at_once_are_answered_in_order(person: Person) -> None:
    page = person.open_connected_chat()
    for n in range(4):
        page.get_by_test_id("composer").fill(f"Add a task to count to {n}")
        page.get_by_test_id("composer").press("Enter")
    expect(page.locator('[data-role="assistant"]:not([data-streaming])')).to_have_count(4)
    prompts = page.locator('[data-role="user"] .message__text').all_inner_texts()
    assert prompts == [f"Add a task to count to {n}" for n in range(4)]
    roles = [element.get_attribute("data-role") for element in page.get_by_test_id("message").all()]
    assert roles == ["user", "assistant"] * 4
    expect(page.locator("#task-list .task__title")).to_have_text([f"Count to {n}" for n in range(4)])
    assert_same_after_reload(page)


def test_example_prompt_starts_a_chat_readable_without_javascript(person: Person, chromium: Browser) -> None:
    page = person.open_connected_chat()
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


def test_sign_out_in_another_tab_links_back_to_the_page(person: Person, site: ServerProcess) -> None:
    page = person.open_connected_chat()
    send_message(page, "Add a task to buy milk")
    other = person.page("/settings/")
    other.get_by_role("button", name="Sign out").click()
    expect(page.get_by_role("alert")).to_contain_text("You are signed out.")
    chat_url = page.url
    page.get_by_role("link", name="Sign in again").click()
    page.get_by_label("E-mail address").fill(person.email)
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Sign in").click()
    expect_state(page, "online")
    assert page.url == chat_url
