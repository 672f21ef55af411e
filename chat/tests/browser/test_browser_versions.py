"""Going another way: a message edited, a reply regenerated, and the versions there were before."""

import json
import re
import uuid
from typing import Any

from playwright.sync_api import Browser, Locator, Page, expect

from chat.tests.browser.conftest import Person, assert_same, assert_same_after_a_reload, expect_state, say
from chat.tests.browser.stage import Stage
from config.tests.support import eventually


def edit_button(page: Page, number: int) -> Locator:
    """Return the button that opens a message, after pointing at it."""
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


def asked(page: Page) -> Locator:
    return page.locator('[data-testid="message"][data-role="user"] .message__text')


def test_a_message_is_opened_where_it_stands_and_has_the_limits_of_any(stage: Stage) -> None:
    stage.answer("hello", "Hello.")
    page = stage.page
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
    expect(asked(page)).to_have_text(["hello"])
    expect(page.get_by_role("button", name="Edit message")).to_be_focused()
    # What was not changed is not said again.
    page.keyboard.press("Enter")
    page.keyboard.press("Enter")
    expect(editor).to_have_count(0)
    assert stage.got("message.edit") == []

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
    assert stage.wait_for("message.edit")["text"] == "🧵" * 10_000


def test_an_edit_in_the_middle_says_what_that_means_and_goes_again_after_a_reconnect(
    stage: Stage,
) -> None:
    stage.answer("one", "First.")
    turn = stage.accept(stage.say("two"))
    stage.log(turn, "tool.started", call_id="c1", name="create_task", arguments={"title": "Milk"})
    output = json.dumps({"ok": True, "task": {"number": 1, "title": "Milk"}})
    stage.log(turn, "tool.finished", call_id="c1", output=output)
    stage.finish(turn, "Second.")
    stage.answer("three", "Third.")
    page = stage.page
    for number, sentence in enumerate(
        (
            "This and the 5 messages after it become an earlier version. What the assistant has done since stays done.",
            "This and the 3 messages after it become an earlier version. What the assistant has done since stays done.",
            "",
        )
    ):
        edit_button(page, number).click()
        expect(page.get_by_test_id("editor")).to_have_accessible_description(sentence)
        page.keyboard.press("Escape")

    edit(page, "three, but better", 2)
    frame = stage.wait_for("message.edit")
    stage.sockets[-1].close(code=1012)
    eventually(lambda: stage.got("message.edit") == [frame, frame])


def test_what_was_edited_takes_the_place_of_what_was_said(stage: Stage) -> None:
    first = stage.answer("one", "First.")
    second = stage.answer("two", "Second.")
    stage.answer("three", "Third.")
    page = stage.page
    message_id = page.locator(f'[data-turn="{second}"] [data-role="user"]').get_attribute("data-id")
    edit(page, "two, but better", 1)
    expect(page.get_by_test_id("unsent")).to_contain_text("Sending…")
    frame = stage.wait_for("message.edit")
    assert (frame["message_id"], frame["text"]) == (message_id, "two, but better")
    # Until the server has it, all is as it was.
    expect(replies(page)).to_have_text(["First.", "Second.", "Third."])
    done = {
        "call_id": "c1",
        "name": "create_task",
        "arguments": {},
        "output": '{"ok": true, "task": {"number": 1, "title": "Milk"}}',
    }
    new = str(uuid.uuid4())
    stage.tell(first, "one", "First.")
    stage.tell(new, "two, but better", replaces=second, versions=[second, new], kept=[done])
    accept(stage, frame, new, second)
    expect(asked(page)).to_have_text(["one", "two, but better"])
    expect(page.get_by_test_id("unsent")).to_have_count(0)
    expect(page.get_by_test_id("kept")).to_contain_text("Done before and kept:")
    expect(page.get_by_test_id("kept").get_by_test_id("tool-call")).to_contain_text("Added task 1: Milk")
    stage.finish(new, "Better.")
    expect(replies(page)).to_have_text(["First.", "Better."])
    expect(page.get_by_test_id("versions")).to_contain_text("2 of 2")
    earlier = page.get_by_role("link", name="Earlier version")
    assert re.fullmatch(rf"/c/[0-9a-f-]+/versions/{second}/#turn-{second}", earlier.get_attribute("href") or "")
    expect(page.get_by_role("link", name="Later version")).to_have_count(0)


def accept(stage: Stage, frame: dict[str, Any], new: str, replaced: str) -> None:
    """Accept what takes a turn's place, as the new turn."""
    message = stage.message("user", frame.get("text", "said before"), new, 3)
    turn = {"id": new, "status": "running", "ahead": 0, "replaces": replaced}
    stage.send({"type": "message.accepted", "client_id": frame["client_id"], "message": message, "turn": turn})


def test_an_edit_that_is_refused_is_not_lost(stage: Stage) -> None:
    stage.answer("hello", "Hello.")
    page = stage.page
    edit(page, "hello there")
    refusal = {"type": "error", "code": "conflict", "detail": "Not now, please."}
    stage.send({**refusal, "client_id": stage.wait_for("message.edit")["client_id"]})
    unsent = page.get_by_test_id("unsent")
    expect(unsent).to_contain_text("hello there")
    expect(unsent).to_contain_text("Not now, please.")
    expect(page.locator("#announcer")).to_have_text("Not now, please.")
    unsent.get_by_role("button", name="Try again").click()
    eventually(lambda: len(stage.got("message.edit")) == 2)
    first, again = stage.got("message.edit")
    assert first == again
    stage.send({**refusal, "client_id": again["client_id"]})
    unsent.get_by_role("button", name="Edit").click()
    expect(page.get_by_test_id("editor")).to_have_value("hello there")
    page.keyboard.press("Escape")
    expect(unsent).to_contain_text("hello there")
    unsent.get_by_role("button", name="Discard").click()
    expect(asked(page)).to_have_text(["hello"])


def test_a_reply_in_the_middle_is_regenerated_after_a_question(stage: Stage) -> None:
    turn = stage.answer("one", "First.")
    stage.answer("two", "Second.")
    page = stage.page
    page.locator(f'[data-turn="{turn}"]').hover()
    regenerate(page, 0).click()
    question = page.get_by_test_id("confirm").first
    expect(question).to_contain_text("This and the 2 messages after it become an earlier version.")
    page.keyboard.press("Escape")
    expect(question).to_be_hidden()
    expect(regenerate(page, 0)).to_be_focused()
    assert stage.got("turn.retry") == []
    page.keyboard.press("Enter")
    question.get_by_role("button", name="Regenerate").click()
    assert stage.wait_for("turn.retry")["turn_id"] == turn


def test_nothing_is_replaced_while_a_reply_is_written(stage: Stage) -> None:
    stage.answer("one", "First.")
    page = stage.page
    edit_button(page, 0).click()
    page.get_by_test_id("editor").fill("one, but better")
    turn = stage.accept(stage.say("two"))
    stage.log(turn, "turn.started")
    expect(page.get_by_role("button", name="Edit message")).to_have_count(0)
    expect(regenerate(page, 0)).to_be_hidden()
    expect(page.get_by_test_id("save")).to_be_disabled()
    page.get_by_test_id("editor").press("Enter")
    expect(page.get_by_test_id("editor")).to_have_value("one, but better")
    stage.finish(turn, "Second.")
    expect(page.get_by_test_id("save")).to_be_enabled()
    assert stage.got("message.edit") == []


def test_what_is_being_edited_is_not_lost_when_another_tab_goes_another_way(stage: Stage) -> None:
    turn = stage.answer("hello", "Hello.")
    page = stage.page
    edit_button(page, 0).click()
    page.get_by_test_id("editor").fill("hello there")
    new = str(uuid.uuid4())
    stage.tell(new, "good morning", replaces=turn, versions=[turn, new])
    accept(stage, {"client_id": str(uuid.uuid4()), "text": "good morning"}, new, turn)
    expect(asked(page)).to_have_text(["good morning"])
    expect(page.get_by_test_id("unsent")).to_contain_text("hello there")
    expect(page.get_by_test_id("unsent")).to_contain_text("The conversation went another way meanwhile.")
    stage.finish(new, "Good morning.")
    page.get_by_test_id("unsent").get_by_role("button", name="Edit").click()
    expect(page.get_by_test_id("composer")).to_have_value("hello there")


# Before a real server.


def test_an_edited_message_is_answered_and_what_was_said_before_can_be_looked_at(
    person: Person, chromium: Browser
) -> None:
    page = person.chat()
    say(page, "Add a task to buy milk")
    say(page, "Add a task to call Mum")
    edit(page, "Add a task to buy bread")
    expect(asked(page)).to_have_text(["Add a task to buy bread"])
    expect(replies(page)).to_have_count(1)
    expect(page.locator("[data-streaming]")).to_have_count(0)
    # What was done stays done, and is shown.
    expect(page.get_by_test_id("kept").get_by_test_id("tool-call")).to_have_text(
        [re.compile("Added task 1: Buy milk"), re.compile("Added task 2: Call Mum")]
    )
    expect(page.locator("#task-list .task__title")).to_have_text(["Buy milk", "Call Mum", "Buy bread"])
    expect(page.get_by_test_id("versions")).to_contain_text("2 of 2")
    assert_same_after_a_reload(page)

    page.get_by_role("link", name="Earlier version").click()
    expect(page.get_by_test_id("earlier-version")).to_contain_text("An earlier version")
    expect(asked(page)).to_have_text(["Add a task to buy milk", "Add a task to call Mum"])
    expect(page.get_by_test_id("versions")).to_have_count(1)
    expect(page.get_by_test_id("versions")).to_contain_text("1 of 2")
    for nothing in ("composer", "connection", "regenerate", "edit", "retry"):
        expect(page.get_by_test_id(nothing).locator("visible=true")).to_have_count(0)
    assert page.locator(".task__tick").count() == 0
    plain_context = chromium.new_context(java_script_enabled=False, storage_state=person.context.storage_state())
    plain = plain_context.new_page()
    plain.goto(page.url)
    expect(asked(plain)).to_have_text(["Add a task to buy milk", "Add a task to call Mum"])
    plain.get_by_role("link", name="Later version").click()
    expect(asked(plain)).to_have_text(["Add a task to buy bread"])
    expect(plain.get_by_text("Done before and kept:")).to_be_visible()
    expect(plain.get_by_test_id("versions")).to_contain_text("2 of 2")
    plain_context.close()

    page.get_by_role("link", name="Back to the current conversation").click()
    expect_state(page, "online")
    expect(asked(page)).to_have_text(["Add a task to buy bread"])


def test_a_regenerated_reply_takes_the_place_of_the_one_before_in_all_tabs(person: Person) -> None:
    page = person.chat()
    say(page, "Add a task to buy milk")
    say(page, "What do I still have to do?")
    other = person.page(page.url.removeprefix(person.site.url))
    expect_state(other, "online")
    first = page.locator("[data-turn]").last.get_attribute("data-turn")
    regenerate(page, 1).click()
    for tab in (page, other):
        expect(tab.get_by_test_id("versions")).to_contain_text("2 of 2")
        expect(replies(tab)).to_have_count(2)
        expect(tab.locator("[data-streaming]")).to_have_count(0)
        expect(asked(tab)).to_have_text(["Add a task to buy milk", "What do I still have to do?"])
        expect(tab.locator(f'[data-turn="{first}"]')).to_have_count(0)
    assert_same(page, other)
    assert_same_after_a_reload(page)
    # An address of what is an earlier version by now leads to it.
    page.goto(f"{page.url}#turn-{first}")
    page.reload()
    expect(page.get_by_test_id("earlier-version")).to_be_visible()
    expect(page.locator(f'[id="turn-{first}"]')).to_be_visible()


def test_an_edit_survives_a_reload_while_the_server_cannot_be_reached(person: Person) -> None:
    page = person.chat()
    say(page, "Add a task to buy milk")
    page.route_web_socket(re.compile("/ws/chat/"), lambda socket: socket.close())
    page.reload()
    expect_state(page, "offline")
    edit(page, "Add a task to buy bread")
    expect(page.get_by_test_id("unsent")).to_contain_text("Waiting for the connection")
    page.reload()
    expect(page.get_by_test_id("unsent")).to_contain_text("Add a task to buy bread")
    address, state = page.url, page.evaluate("JSON.stringify(sessionStorage)")
    page.close()
    # A tab whose sockets are let through has what this one kept.
    other = person.page()
    other.add_init_script(f"if (!sessionStorage.length) Object.assign(sessionStorage, {state})")
    other.goto(address)
    expect(other.locator("#task-list .task__title")).to_have_text(["Buy milk", "Buy bread"])
    expect(other.get_by_test_id("unsent")).to_have_count(0)
    expect(asked(other)).to_have_text(["Add a task to buy bread"])


def test_a_turn_that_failed_is_tried_again_in_its_place(person: Person) -> None:
    page = person.chat()
    say(page, "Add a task to buy milk")
    turn = page.locator("[data-turn]").get_attribute("data-turn")
    # As it is left by a model that did not answer after the tool had acted.
    person.site.database.query("DELETE FROM chat_message WHERE turn_id = %s AND role = 'assistant'", turn)
    person.site.database.query(
        "UPDATE chat_turn SET status = 'failed', error_code = 'model', error_detail = 'No answer.' WHERE id = %s", turn
    )
    page.reload()
    expect(page.get_by_test_id("failed")).to_contain_text("No answer.")
    page.get_by_test_id("retry").click()
    expect(replies(page)).to_have_count(1)
    expect(page.get_by_test_id("failed")).to_have_count(0)
    expect(asked(page)).to_have_text(["Add a task to buy milk"])
    expect(page.locator("#task-list .task__title")).to_have_text(["Buy milk"])
    expect(page.get_by_test_id("versions")).to_contain_text("2 of 2")
    page.get_by_role("link", name="Earlier version").click()
    expect(page.get_by_test_id("failed")).to_contain_text("No answer.")
    expect(page.get_by_test_id("retry")).to_have_count(0)
