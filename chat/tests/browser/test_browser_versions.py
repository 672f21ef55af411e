"""Edited messages, regenerated replies, retried turns, and the earlier versions that they replace."""

import json
import re
import uuid
from typing import Any

import pytest
from playwright.sync_api import Browser, Locator, Page, expect

from chat.tests.browser.conftest import Person, assert_same_after_reload, assert_same_html, expect_state, send_message
from chat.tests.browser.fake_server import FakeServer
from config.tests.support import eventually


def edit_button(page: Page, number: int) -> Locator:
    """Hover over a message and return its edit button."""
    message = page.locator('[data-testid="message"][data-role="user"]').nth(number)
    message.hover()
    return message.get_by_role("button", name="Edit message")


def edit(page: Page, text: str, number: int = 0) -> None:
    edit_button(page, number).click()
    page.get_by_test_id("editor").fill(text)
    page.get_by_test_id("editor").press("Enter")


def regenerate(page: Page, number: int) -> Locator:
    return page.get_by_test_id("regenerate").nth(number)


def replies(page: Page) -> Locator:
    return page.locator('[data-testid="message"][data-role="assistant"] .message__text')


def prompts(page: Page) -> Locator:
    return page.locator('[data-testid="message"][data-role="user"] .message__text')


def test_message_is_edited_inline_with_the_limits_of_the_composer(fake_server: FakeServer) -> None:
    fake_server.answer("hello", "Hello.")
    page = fake_server.page
    edit_button(page, 0).click()
    editor = page.get_by_test_id("editor")
    expect(editor).to_be_focused()
    expect(editor).to_have_value("hello")
    page.keyboard.type(" there")
    page.keyboard.press("Shift+Enter")
    page.keyboard.type("you")
    expect(editor).to_have_value("hello there\nyou")
    page.keyboard.press("Escape")
    expect(editor).to_have_count(0)
    expect(prompts(page)).to_have_text(["hello"])
    expect(page.get_by_role("button", name="Edit message")).to_be_focused()
    # An unchanged message is not sent again.
    page.keyboard.press("Enter")
    page.keyboard.press("Enter")
    expect(editor).to_have_count(0)
    assert fake_server.frames_of_type("message.edit") == []

    edit_button(page, 0).click()
    save = page.get_by_test_id("save")
    editor.fill("   ")
    expect(save).to_be_disabled()
    editor.fill("🧵" * 10_001)
    expect(page.get_by_text("10,001 of 10,000")).to_be_visible()
    expect(save).to_be_disabled()
    editor.press("Enter")
    expect(editor).to_be_visible()
    editor.fill("🧵" * 10_000)
    save.click()
    assert fake_server.wait_for("message.edit")["text"] == "🧵" * 10_000


def test_edit_explains_its_effect_and_is_resent_after_a_reconnect(
    fake_server: FakeServer,
) -> None:
    fake_server.answer("one", "First.")
    turn = fake_server.accept(fake_server.send_message("two"))
    fake_server.send_turn_event(turn, "tool.started", call_id="c1", name="create_task", arguments={"title": "Milk"})
    output = json.dumps({"ok": True, "task": {"number": 1, "title": "Milk"}})
    fake_server.send_turn_event(turn, "tool.finished", call_id="c1", output=output)
    fake_server.finish(turn, "Second.")
    fake_server.answer("three", "Third.")
    page = fake_server.page
    for number, description in enumerate(
        (
            "This and the 5 messages after it become an earlier version. What the assistant has done since stays done.",
            "This and the 3 messages after it become an earlier version. What the assistant has done since stays done.",
            "",
        )
    ):
        edit_button(page, number).click()
        expect(page.get_by_test_id("editor")).to_have_accessible_description(description)
        page.keyboard.press("Escape")

    edit(page, "three, but better", 2)
    frame = fake_server.wait_for("message.edit")
    fake_server.sockets[-1].close(code=1012)
    eventually(lambda: fake_server.frames_of_type("message.edit") == [frame, frame])


def test_edited_message_replaces_the_original_and_later_turns(fake_server: FakeServer) -> None:
    first = fake_server.answer("one", "First.")
    second = fake_server.answer("two", "Second.")
    fake_server.answer("three", "Third.")
    page = fake_server.page
    message_id = page.locator(f'[data-turn="{second}"] [data-role="user"]').get_attribute("data-id")
    edit(page, "two, but better", 1)
    expect(page.get_by_test_id("unsent")).to_contain_text("Sending…")
    frame = fake_server.wait_for("message.edit")
    assert (frame["message_id"], frame["text"]) == (message_id, "two, but better")
    # The page does not change until the server accepts the edit.
    expect(replies(page)).to_have_text(["First.", "Second.", "Third."])
    done = {
        "call_id": "c1",
        "name": "create_task",
        "arguments": {},
        "output": '{"ok": true, "task": {"number": 1, "title": "Milk"}}',
    }
    new_turn = str(uuid.uuid4())
    fake_server.add_turn(first, "one", "First.")
    fake_server.add_turn(new_turn, "two, but better", replaces=second, versions=[second, new_turn], kept=[done])
    accept(fake_server, frame, new_turn, second)
    expect(prompts(page)).to_have_text(["one", "two, but better"])
    expect(page.get_by_test_id("unsent")).to_have_count(0)
    expect(page.get_by_test_id("kept")).to_contain_text("Done before and kept:")
    expect(page.get_by_test_id("kept").get_by_test_id("tool-call")).to_contain_text("Added task 1: Milk")
    fake_server.finish(new_turn, "Better.")
    expect(replies(page)).to_have_text(["First.", "Better."])
    expect(page.get_by_test_id("versions")).to_contain_text("2 of 2")
    earlier = page.get_by_role("link", name="Earlier version")
    assert re.fullmatch(rf"/c/[0-9a-f-]+/versions/{second}/#turn-{second}", earlier.get_attribute("href") or "")
    expect(page.get_by_role("link", name="Later version")).to_have_count(0)


def accept(fake_server: FakeServer, frame: dict[str, Any], new_turn: str, replaced: str) -> None:
    """Accept the frame that replaces a turn, as a new turn."""
    message = fake_server.message("user", frame.get("text", "said before"), new_turn, 3)
    turn = {"id": new_turn, "status": "running", "ahead": 0, "replaces": replaced}
    fake_server.send({"type": "message.accepted", "client_id": frame["client_id"], "message": message, "turn": turn})


def test_rejected_edit_is_kept(fake_server: FakeServer) -> None:
    fake_server.answer("hello", "Hello.")
    page = fake_server.page
    edit(page, "hello there")
    error = {"type": "error", "code": "conflict", "detail": "Not now, please."}
    fake_server.send({**error, "client_id": fake_server.wait_for("message.edit")["client_id"]})
    unsent = page.get_by_test_id("unsent")
    expect(unsent).to_contain_text("hello there")
    expect(unsent).to_contain_text("Not now, please.")
    expect(page.locator("#announcer")).to_have_text("Not now, please.")
    unsent.get_by_role("button", name="Try again").click()
    eventually(lambda: len(fake_server.frames_of_type("message.edit")) == 2)
    first, resent = fake_server.frames_of_type("message.edit")
    assert first == resent
    fake_server.send({**error, "client_id": resent["client_id"]})
    unsent.get_by_role("button", name="Edit").click()
    expect(page.get_by_test_id("editor")).to_have_value("hello there")
    page.keyboard.press("Escape")
    expect(unsent).to_contain_text("hello there")
    unsent.get_by_role("button", name="Discard").click()
    expect(prompts(page)).to_have_text(["hello"])


def test_regenerating_an_earlier_reply_needs_confirmation(fake_server: FakeServer) -> None:
    turn = fake_server.answer("one", "First.")
    fake_server.answer("two", "Second.")
    page = fake_server.page
    page.locator(f'[data-turn="{turn}"]').hover()
    regenerate(page, 0).click()
    question = page.get_by_test_id("confirm").first
    expect(question).to_contain_text("This and the 2 messages after it become an earlier version.")
    page.keyboard.press("Escape")
    expect(question).to_be_hidden()
    expect(regenerate(page, 0)).to_be_focused()
    assert fake_server.frames_of_type("turn.retry") == []
    page.keyboard.press("Enter")
    question.get_by_role("button", name="Regenerate").click()
    assert fake_server.wait_for("turn.retry")["turn_id"] == turn


def test_edit_and_regenerate_are_disabled_while_a_reply_streams(fake_server: FakeServer) -> None:
    fake_server.answer("one", "First.")
    page = fake_server.page
    edit_button(page, 0).click()
    page.get_by_test_id("editor").fill("one, but better")
    turn = fake_server.accept(fake_server.send_message("two"))
    fake_server.send_turn_event(turn, "turn.started")
    expect(page.get_by_role("button", name="Edit message")).to_have_count(0)
    expect(regenerate(page, 0)).to_be_hidden()
    expect(page.get_by_test_id("save")).to_be_disabled()
    page.get_by_test_id("editor").press("Enter")
    expect(page.get_by_test_id("editor")).to_have_value("one, but better")
    fake_server.finish(turn, "Second.")
    expect(page.get_by_test_id("save")).to_be_enabled()
    assert fake_server.frames_of_type("message.edit") == []


def test_open_edit_is_kept_when_another_tab_replaces_the_turn(fake_server: FakeServer) -> None:
    turn = fake_server.answer("hello", "Hello.")
    page = fake_server.page
    edit_button(page, 0).click()
    page.get_by_test_id("editor").fill("hello there")
    new_turn = str(uuid.uuid4())
    fake_server.add_turn(new_turn, "good morning", replaces=turn, versions=[turn, new_turn])
    accept(fake_server, {"client_id": str(uuid.uuid4()), "text": "good morning"}, new_turn, turn)
    expect(prompts(page)).to_have_text(["good morning"])
    expect(page.get_by_test_id("unsent")).to_contain_text("hello there")
    expect(page.get_by_test_id("unsent")).to_contain_text("The conversation changed before you sent this edit.")
    fake_server.finish(new_turn, "Good morning.")
    page.get_by_test_id("unsent").get_by_role("button", name="Edit").click()
    expect(page.get_by_test_id("composer")).to_have_value("hello there")


# The tests below use a real server.


@pytest.mark.long
def test_edited_message_is_answered_and_earlier_version_is_readable(person: Person, chromium: Browser) -> None:
    page = person.open_connected_chat()
    send_message(page, "Add a task to buy milk")
    send_message(page, "Add a task to call Mum")
    edit(page, "Add a task to buy bread")
    expect(prompts(page)).to_have_text(["Add a task to buy bread"])
    expect(replies(page)).to_have_count(1)
    expect(page.locator("[data-streaming]")).to_have_count(0)
    # Completed tool calls are kept and shown.
    expect(page.get_by_test_id("kept").get_by_test_id("tool-call")).to_have_text(
        [re.compile("Added task 1: Buy milk"), re.compile("Added task 2: Call Mum")]
    )
    expect(page.locator("#task-list .task__title")).to_have_text(["Buy milk", "Call Mum", "Buy bread"])
    expect(page.get_by_test_id("versions")).to_contain_text("2 of 2")
    assert_same_after_reload(page)

    page.get_by_role("link", name="Earlier version").click()
    expect(page.get_by_test_id("earlier-version")).to_contain_text("An earlier version")
    expect(prompts(page)).to_have_text(["Add a task to buy milk", "Add a task to call Mum"])
    expect(page.get_by_test_id("versions")).to_have_count(1)
    expect(page.get_by_test_id("versions")).to_contain_text("1 of 2")
    for test_id in ("composer", "connection", "regenerate", "edit", "retry"):
        expect(page.get_by_test_id(test_id).locator("visible=true")).to_have_count(0)
    assert page.locator(".task__checkbox").count() == 0
    plain_context = chromium.new_context(java_script_enabled=False, storage_state=person.context.storage_state())
    plain = plain_context.new_page()
    plain.goto(page.url)
    expect(prompts(plain)).to_have_text(["Add a task to buy milk", "Add a task to call Mum"])
    plain.get_by_role("link", name="Later version").click()
    expect(prompts(plain)).to_have_text(["Add a task to buy bread"])
    expect(plain.get_by_text("Done before and kept:")).to_be_visible()
    expect(plain.get_by_test_id("versions")).to_contain_text("2 of 2")
    plain_context.close()

    page.get_by_role("link", name="Back to the current conversation").click()
    expect_state(page, "online")
    expect(prompts(page)).to_have_text(["Add a task to buy bread"])


def test_regenerated_reply_replaces_the_old_one_in_all_tabs(person: Person) -> None:
    page = person.open_connected_chat()
    send_message(page, "Add a task to buy milk")
    send_message(page, "What do I still have to do?")
    other = person.page(page.url.removeprefix(person.site.url))
    expect_state(other, "online")
    first = page.locator("[data-turn]").last.get_attribute("data-turn")
    regenerate(page, 1).click()
    for tab in (page, other):
        expect(tab.get_by_test_id("versions")).to_contain_text("2 of 2")
        expect(replies(tab)).to_have_count(2)
        expect(tab.locator("[data-streaming]")).to_have_count(0)
        expect(prompts(tab)).to_have_text(["Add a task to buy milk", "What do I still have to do?"])
        expect(tab.locator(f'[data-turn="{first}"]')).to_have_count(0)
    assert_same_html(page, other)
    assert_same_after_reload(page)
    # The URL of a replaced turn leads to its earlier version.
    page.goto(f"{page.url}#turn-{first}")
    page.reload()
    expect(page.get_by_test_id("earlier-version")).to_be_visible()
    expect(page.locator(f'[id="turn-{first}"]')).to_be_visible()


@pytest.mark.long
def test_edit_survives_a_reload_while_offline(person: Person) -> None:
    page = person.open_connected_chat()
    send_message(page, "Add a task to buy milk")
    page.route_web_socket(re.compile("/ws/chat/"), lambda socket: socket.close())
    page.reload()
    expect_state(page, "offline")
    edit(page, "Add a task to buy bread")
    expect(page.get_by_test_id("unsent")).to_contain_text("Waiting for the connection")
    page.reload()
    expect(page.get_by_test_id("unsent")).to_contain_text("Add a task to buy bread")
    chat_url, state = page.url, page.evaluate("JSON.stringify(sessionStorage)")
    page.close()
    # A tab with a working socket gets the stored state of this one.
    other = person.page()
    other.add_init_script(f"if (!sessionStorage.length) Object.assign(sessionStorage, {state})")
    other.goto(chat_url)
    expect(other.locator("#task-list .task__title")).to_have_text(["Buy milk", "Buy bread"])
    expect(other.get_by_test_id("unsent")).to_have_count(0)
    expect(prompts(other)).to_have_text(["Add a task to buy bread"])


def test_retry_replaces_a_failed_turn(person: Person) -> None:
    page = person.open_connected_chat()
    send_message(page, "Add a task to buy milk")
    turn = page.locator("[data-turn]").get_attribute("data-turn")
    # The state after the model failed to answer once the tool had run.
    person.site.database.query("DELETE FROM chat_message WHERE turn_id = %s AND role = 'assistant'", turn)
    person.site.database.query(
        "UPDATE chat_turn SET status = 'failed', error_code = 'model', error_detail = 'No answer.' WHERE id = %s", turn
    )
    page.reload()
    expect(page.get_by_test_id("failed")).to_contain_text("No answer.")
    page.get_by_test_id("retry").click()
    expect(replies(page)).to_have_count(1)
    expect(page.get_by_test_id("failed")).to_have_count(0)
    expect(prompts(page)).to_have_text(["Add a task to buy milk"])
    expect(page.locator("#task-list .task__title")).to_have_text(["Buy milk"])
    expect(page.get_by_test_id("versions")).to_contain_text("2 of 2")
    page.get_by_role("link", name="Earlier version").click()
    expect(page.get_by_test_id("failed")).to_contain_text("No answer.")
    expect(page.get_by_test_id("retry")).to_have_count(0)
