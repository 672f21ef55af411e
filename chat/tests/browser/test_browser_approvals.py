"""Approval requests before a tool call: shown, announced, and decided once from any tab."""

import json
import re
from functools import partial
from typing import Any

import pytest
from playwright.sync_api import Browser, Locator, Page, expect

from chat.tests.browser.conftest import Person, assert_same_after_reload, assert_same_html, expect_state, send_message
from chat.tests.browser.fake_server import NOW, FakeServer
from config.tests.support import eventually

TITLES = ["Buy milk", "Call Mum", "Water the plants"]


def put_tasks(fake_server: FakeServer) -> None:
    defaults = {"description": "", "due": None, "priority": "normal", "is_completed": False, "completed_at": None}
    times = {"created_at": NOW, "updated_at": NOW}
    tasks = [
        {"task_id": str(number), "number": number, "title": title, **defaults, **times}
        for number, title in enumerate(TITLES, 1)
    ]
    tasks[1] |= {"is_completed": True, "completed_at": NOW}
    tasks[2] |= {"due": "2001-03-14"}
    fake_server.change_tasks(tasks)


def request_approval(fake_server: FakeServer, numbers: list[int], call_id: str = "c1") -> str:
    """Let a turn request approval to delete tasks, and return the ID of the turn."""
    put_tasks(fake_server)
    turn = fake_server.accept(fake_server.send_message("Delete them"))
    fake_server.send_turn_event(turn, "turn.started")
    fake_server.send_turn_event(
        turn, "approval.requested", call_id=call_id, name="delete_tasks", arguments={"numbers": numbers}
    )
    expect(fake_server.page.get_by_test_id("approval")).to_be_visible()
    return turn


def decide(fake_server: FakeServer, turn: str, approved: bool, by: str, call_id: str = "c1", attempt: int = 2) -> None:
    fake_server.n[turn] = 0
    fake_server.send_turn_event(turn, "approval.decided", attempt=attempt, call_id=call_id, approved=approved, by=by)


def decisions(fake_server: FakeServer, start: int) -> list[dict[str, Any]]:
    return fake_server.frames_of_type("approval.decide")[start:]


def tool_call(page: Page) -> Locator:
    return page.get_by_test_id("tool-call")


def focused(page: Page) -> str:
    name: str = page.evaluate("document.activeElement.dataset.testid || document.activeElement.textContent")
    return name


def finish_turn(fake_server: FakeServer, turn: str) -> None:
    fake_server.send_turn_event(
        turn, "turn.finished", attempt=2, message=fake_server.message("assistant", "Well.", turn, 2), usage={}
    )
    expect(fake_server.page.get_by_test_id("stop")).to_be_hidden()


def test_approval_lists_its_tasks_and_is_decided_by_click_or_keyboard(fake_server: FakeServer) -> None:
    turn = request_approval(fake_server, [1, 2, 3, 7])
    page = fake_server.page
    card = page.get_by_test_id("approval")
    expect(card).to_contain_text("Delete 4 tasks?")
    expect(card.get_by_role("listitem")).to_have_text(
        [
            "#1Buy milkOpen",
            "#2Call MumCompleted",
            re.compile("#3Water the plantsOpen, overdue: .*14 Mar.* 2001"),
            "task 7",
        ]
    )
    expect(card.get_by_test_id("decline")).to_have_text("Keep them")
    expect(card.get_by_test_id("approve")).to_have_text("Delete them")
    # It is announced to screen readers and does not take the focus.
    expect(page.locator("#announcer")).to_have_text("Your decision is needed: Delete 4 tasks?")
    expect(page.get_by_test_id("composer")).to_be_focused()
    expect(tool_call(page)).to_have_count(0)

    page.get_by_test_id("approve").click()
    assert fake_server.wait_for("approval.decide") == {
        "type": "approval.decide", "turn_id": turn, "call_id": "c1", "approve": True,
    }  # fmt: skip
    expect(page.get_by_text("Deciding…")).to_be_visible()
    for button in ("approve", "decline"):
        expect(page.get_by_test_id(button)).to_be_disabled()
    decide(fake_server, turn, approved=True, by="somebody")
    expect(page.get_by_test_id("approval")).to_have_count(0)
    output = json.dumps({"ok": True, "tasks": [{}, {}], "missing": []})
    fake_server.send_turn_event(
        turn, "tool.started", attempt=2, call_id="c1", name="delete_tasks", arguments={"numbers": [1, 2]}
    )
    fake_server.send_turn_event(turn, "tool.finished", attempt=2, call_id="c1", output=output)
    expect(tool_call(page)).to_contain_text("Deleted 2 tasks")
    expect(tool_call(page)).to_contain_text("Approved")
    # The focus moves to the tool call, for users who decide by keyboard.
    assert "Deleted 2 tasks" in focused(page)
    finish_turn(fake_server, turn)

    # The button that changes nothing comes first in the tab order.
    turn = request_approval(fake_server, [1, 2])
    page.get_by_role("button", name="Copy message").last.focus()
    for _ in range(4):
        page.keyboard.press("Tab")
        if focused(page) == "decline":
            break
    page.keyboard.press("Enter")
    (decision,) = eventually(partial(decisions, fake_server, 1))
    assert decision["approve"] is False
    decide(fake_server, turn, approved=False, by="somebody")
    fake_server.send_turn_event(
        turn, "tool.finished", attempt=2, call_id="c1", output='{"ok": false, "error": "declined"}'
    )
    expect(tool_call(page).last).to_contain_text("Declined: delete 2 tasks")
    expect(tool_call(page).last).to_have_attribute("data-state", "declined")
    finish_turn(fake_server, turn)

    # For a tool that is not about tasks, the approval shows the arguments.
    turn = fake_server.accept(fake_server.send_message("Write to Mum"))
    fake_server.send_turn_event(
        turn, "approval.requested", call_id="c1", name="send_mail", arguments={"to": "<b>Mum</b>"}
    )
    expect(card).to_contain_text("Allow send mail?")
    expect(card.get_by_label("Arguments")).to_contain_text('"to": "<b>Mum</b>"')
    expect(card.get_by_role("button")).to_have_text(["Decline", "Allow"])


def test_approval_is_disabled_while_offline_and_enabled_after_reconnect(fake_server: FakeServer) -> None:
    turn = request_approval(fake_server, [1])
    page = fake_server.page
    page.get_by_test_id("approve").click()
    fake_server.wait_for("approval.decide")
    awaiting_call = {"call_id": "c1", "name": "delete_tasks", "arguments": {"numbers": [1]}, "approval": "awaiting"}
    fake_server.add_turn(turn, "Delete them", status="waiting", attempt=1, tools=[awaiting_call])
    ready = {"type": "ready", "protocol": 1, "conversation": None}
    page.route_web_socket(re.compile("/ws/chat/"), lambda socket: socket.close(code=1012))
    fake_server.sockets[-1].close(code=1012)
    expect_state(page, "offline")
    expect(page.get_by_test_id("approve")).to_be_disabled()
    expect(page.get_by_test_id("approval")).to_contain_text("Waiting for the connection")

    def reconnect(socket: Any) -> None:
        fake_server.sockets.append(socket)
        fake_server.send({**ready, "turns": [{"id": turn, "status": "waiting", "n": 2}]})

    page.route_web_socket(re.compile("/ws/chat/"), reconnect)
    page.evaluate("dispatchEvent(new Event('online'))")
    # The page does not know whether the decision arrived, so it can be made again.
    expect(page.get_by_test_id("approve")).to_be_enabled()


def test_decision_from_another_tab_shows_no_error(fake_server: FakeServer) -> None:
    turn = request_approval(fake_server, [1])
    page = fake_server.page
    page.get_by_test_id("decline").click()
    fake_server.wait_for("approval.decide")
    fake_server.add_turn(turn, "Delete them", status="waiting")
    with page.expect_response(re.compile("/state/")):
        fake_server.send({"type": "error", "code": "conflict", "detail": "It was decided already."})
    decide(fake_server, turn, approved=True, by="somebody")
    expect(tool_call(page)).to_contain_text("Approved")
    expect(page.get_by_role("alert")).to_be_hidden()


def test_sending_another_message_declines_the_approval(fake_server: FakeServer) -> None:
    turn = request_approval(fake_server, [1, 2])
    page = fake_server.page
    page.get_by_test_id("composer").fill("Wait, what is on the list?")
    page.get_by_test_id("composer").press("Enter")
    page.get_by_role("button", name="Keep them and send").click()
    next_turn = fake_server.accept(fake_server.wait_for("message.send"))
    call = {"call_id": "c1", "name": "delete_tasks", "arguments": {"numbers": [1, 2]}, "output": '{"ok": false}'}
    tools = [{**call, "approval": "declined", "by": "superseded"}]
    fake_server.add_turn(turn, "Delete them", status="stopped", tools=tools)
    fake_server.add_turn(next_turn, "Wait, what is on the list?")
    fake_server.send_turn_event(turn, "approval.decided", call_id="c1", approved=False, by="superseded")
    fake_server.send_turn_event(turn, "turn.stopped", message=None)
    expect(tool_call(page)).to_contain_text("Not done: you did not decide")
    expect(page.get_by_test_id("approval")).to_have_count(0)
    fake_server.finish(next_turn, "Three tasks.")
    expect(page.get_by_text("Three tasks.", exact=True)).to_be_visible()


def choices(page: Page) -> Locator:
    return page.get_by_test_id("decision").get_by_role("button")


def test_message_that_declines_an_approval_needs_confirmation(fake_server: FakeServer) -> None:
    turn = request_approval(fake_server, [1, 2])
    page = fake_server.page
    composer, question = page.get_by_test_id("composer"), page.get_by_test_id("decision")
    composer.fill("And add bread")
    for _ in range(2):
        composer.press("Enter")
        expect(question).to_contain_text("Delete 2 tasks?")
        expect(question.get_by_role("listitem")).to_have_text(["#1Buy milkOpen", "#2Call MumCompleted"])
        expect(choices(page)).to_have_text(["Cancel", "Keep them and send", "Delete them"])
        expect(choices(page).first).to_be_focused()
        page.keyboard.press("Escape")
        expect(question).to_be_hidden()
        expect(composer).to_be_focused()
    expect(composer).to_have_value("And add bread")
    composer.press("Enter")
    expect(question).to_be_visible()
    assert len(fake_server.frames_of_type("message.send")) == 1
    # After a decision in another tab, the dialog can only be closed and the message is sent.
    decide(fake_server, turn, approved=False, by="somebody")
    expect(question).to_contain_text("This was decided meanwhile, perhaps in another tab.")
    expect(choices(page)).to_have_text(["Close"])
    page.keyboard.press("Enter")
    expect(question).to_be_hidden()
    composer.press("Enter")
    eventually(lambda: fake_server.frames_of_type("message.send")[1:])
    assert fake_server.frames_of_type("message.send")[-1]["text"] == "And add bread"
    expect(composer).to_have_value("")


def test_yes_or_no_message_decides_the_approval(fake_server: FakeServer) -> None:
    page = fake_server.page
    composer = page.get_by_test_id("composer")
    for text, buttons, approve in (
        ("Yes, please!", ["Delete them", "Keep them and send", "Cancel"], True),
        ("No, thanks", ["Keep them", "Cancel", "Delete them"], False),
    ):
        turn = request_approval(fake_server, [1, 2])
        messages_before, decisions_before = (
            fake_server.frames_of_type("message.send"),
            len(fake_server.frames_of_type("approval.decide")),
        )
        composer.fill(text)
        composer.press("Enter")
        expect(page.get_by_test_id("decision")).to_contain_text("Is this your decision?")
        expect(choices(page)).to_have_text(buttons)
        expect(choices(page).first).to_be_focused()
        page.keyboard.press("Enter")
        (frame,) = eventually(partial(decisions, fake_server, decisions_before))
        assert frame == {"type": "approval.decide", "turn_id": turn, "call_id": "c1", "approve": approve}
        expect(composer).to_have_value("")
        assert fake_server.frames_of_type("message.send") == messages_before
        decide(fake_server, turn, approved=approve, by="somebody")
        finish_turn(fake_server, turn)


def test_approving_all_keeps_the_unsent_message(fake_server: FakeServer) -> None:
    turn = request_approval(fake_server, [1, 2])
    fake_server.send_turn_event(
        turn, "approval.requested", call_id="c2", name="delete_tasks", arguments={"numbers": [3]}
    )
    page = fake_server.page
    expect(page.get_by_test_id("approval")).to_have_count(2)
    composer = page.get_by_test_id("composer")
    composer.fill("And add bread")
    composer.press("Enter")
    expect(page.get_by_test_id("decision")).to_contain_text("Delete one task?")
    choices(page).get_by_text("Approve all").click()
    eventually(lambda: len(fake_server.frames_of_type("approval.decide")) == 2)
    assert [frame["call_id"] for frame in fake_server.frames_of_type("approval.decide") if frame["approve"]] == [
        "c1",
        "c2",
    ]
    expect(composer).to_have_value("And add bread")
    assert len(fake_server.frames_of_type("message.send")) == 1


def test_edit_that_declines_an_approval_needs_confirmation(fake_server: FakeServer) -> None:
    request_approval(fake_server, [1, 2])
    page = fake_server.page
    page.get_by_role("button", name="Edit message").click()
    editor = page.get_by_test_id("editor")
    editor.fill("Delete only the first")
    editor.press("Enter")
    expect(choices(page)).to_have_text(["Cancel", "Keep them and send", "Delete them"])
    page.keyboard.press("Escape")
    expect(editor).to_have_value("Delete only the first")
    expect(editor).to_be_focused()
    assert fake_server.frames_of_type("message.edit") == []
    editor.press("Enter")
    choices(page).get_by_text("Keep them and send").click()
    assert fake_server.wait_for("message.edit")["text"] == "Delete only the first"
    expect(editor).to_have_count(0)


def test_regenerating_while_an_approval_waits_needs_confirmation(fake_server: FakeServer) -> None:
    fake_server.answer("Hello", "Hello to you.")
    request_approval(fake_server, [1, 2])
    page = fake_server.page
    regenerate = page.get_by_test_id("regenerate")
    regenerate.click()
    page.get_by_role("button", name="Regenerate", exact=True).last.click()
    expect(choices(page)).to_have_text(["Cancel", "Keep them and regenerate", "Delete them"])
    page.keyboard.press("Escape")
    assert fake_server.frames_of_type("turn.retry") == []
    regenerate.click()
    page.get_by_role("button", name="Regenerate", exact=True).last.click()
    choices(page).get_by_text("Keep them and regenerate").click()
    fake_server.wait_for("turn.retry")


@pytest.mark.long
def test_toast_on_a_phone_covers_no_controls(fake_server: FakeServer, person: Person) -> None:
    page = fake_server.page
    page.set_viewport_size({"width": 390, "height": 844})
    for number in range(3):
        fake_server.answer(f"Message {number}", "A reply of some words. " * 20)
    request_approval(fake_server, [1, 2])
    page.route("**/api/tasks/**", lambda route: route.abort("internetdisconnected"))
    page.get_by_role("button", name="Tasks: 2 to do").click()
    page.get_by_role("checkbox", name="Buy milk").click()
    toast = page.get_by_test_id("toast")
    expect(toast).to_contain_text("there is no connection")
    panel = page.locator("#tasks")
    for target in (
        panel.get_by_label("Close tasks"),
        panel.get_by_label("Add a task"),
        panel.get_by_role("checkbox").first,
    ):
        target.click(trial=True)
    panel.get_by_text("Completed").click(trial=True)
    panel_box = panel.bounding_box()
    toast_box = toast.bounding_box()
    assert (
        panel_box
        and toast_box
        and panel_box["y"] + panel_box["height"] <= toast_box["y"]
        and toast_box["y"] + toast_box["height"] <= 844
    )

    panel.get_by_label("Close tasks").click()
    expect(toast).to_be_visible()
    page.get_by_role("button", name="Tasks: 2 to do").click(trial=True)
    for control in ("decline", "approve", "composer", "stop"):
        page.get_by_test_id(control).click(trial=True)
    page.get_by_test_id("composer").fill("Yes")
    page.get_by_test_id("send").click()
    for target in choices(page).all():
        target.click(trial=True)
    person.page_errors[:] = [fault for fault in person.page_errors if "ERR_INTERNET_DISCONNECTED" not in fault]


def test_approvals_of_one_turn_are_decided_separately(fake_server: FakeServer) -> None:
    turn = request_approval(fake_server, [1])
    page = fake_server.page
    fake_server.send_turn_event(
        turn, "approval.requested", call_id="c2", name="delete_tasks", arguments={"numbers": [2, 3]}
    )
    cards = page.get_by_test_id("approval")
    expect(cards).to_have_count(2)
    cards.last.get_by_test_id("decline").click()
    assert fake_server.wait_for("approval.decide")["call_id"] == "c2"
    expect(cards.first.get_by_test_id("approve")).to_be_enabled()
    fake_server.send_turn_event(turn, "approval.decided", call_id="c2", approved=False, by="somebody")
    expect(cards).to_have_count(1)
    eventually(lambda: page.locator("[data-turn]").last.get_attribute("data-status") == "waiting")


# The tests below use a real server.


def chat_with_approval(person: Person) -> Page:
    """Return a chat in which the assistant requests approval to delete two of three tasks."""
    page = person.open_connected_chat()
    send_message(page, "Add three tasks: buy milk, call Mum, water the plants")
    request_two_deletions(page)
    return page


def request_two_deletions(page: Page) -> None:
    page.get_by_test_id("composer").fill("Delete tasks 1 and 2")
    page.get_by_test_id("composer").press("Enter")
    card = page.get_by_test_id("approval")
    expect(card).to_contain_text("Delete 2 tasks?")
    expect(card.get_by_role("listitem")).to_have_text(["#1Buy milkOpen", "#2Call MumOpen"])


def tasks_of(page: Page) -> Locator:
    return page.locator("#task-list .task__title")


def replies(page: Page) -> Locator:
    return page.locator('[data-testid="message"][data-role="assistant"]:not([data-streaming])')


@pytest.mark.long
def test_declined_call_is_skipped_and_approved_call_is_executed(person: Person) -> None:
    page = chat_with_approval(person)
    page.get_by_test_id("decline").click()
    expect(replies(page)).to_have_count(2)
    expect(tasks_of(page)).to_have_count(3)
    expect(page.get_by_test_id("approval")).to_have_count(0)
    expect(tool_call(page).last).to_contain_text("Declined: delete 2 tasks")

    request_two_deletions(page)
    page.get_by_test_id("approve").click()
    expect(replies(page)).to_have_count(3)
    expect(tasks_of(page)).to_have_count(1)
    expect(page.get_by_test_id("approval")).to_have_count(0)
    expect(tool_call(page).last).to_contain_text("Deleted 2 tasks")
    assert_same_after_reload(page)


def test_first_decision_of_two_tabs_wins(person: Person) -> None:
    page = chat_with_approval(person)
    other = person.page(page.url.removeprefix(person.site.url))
    expect_state(other, "online")
    expect(other.get_by_test_id("approval")).to_contain_text("Delete 2 tasks?")
    # Both tabs decide at once; the second one receives the decision of the first.
    other.evaluate("document.querySelector('[data-testid=decline]').click()")
    page.evaluate("document.querySelector('[data-testid=approve]')?.click()")
    for tab in (page, other):
        expect(replies(tab)).to_have_count(2)
        expect(tab.get_by_test_id("approval")).to_have_count(0)
        expect(tab.get_by_role("alert")).to_be_hidden()
    assert_same_html(page, other)
    decided = person.site.database.query(
        "SELECT count(*) FROM chat_toolcall c JOIN chat_turn t ON t.id = c.turn_id JOIN chat_user u ON u.id = t.user_id"
        " WHERE u.email = %s AND c.decision <> '' AND c.output IS NOT NULL",
        person.email,
    )
    assert decided == [(1,)]


@pytest.mark.long
def test_visible_and_hidden_tabs_mark_chats_with_a_waiting_approval(person: Person) -> None:
    page = chat_with_approval(person)
    elsewhere = person.page("/")
    expect_state(elsewhere, "online")
    hidden = person.page()
    hidden.add_init_script("window.requestAnimationFrame = () => 1")
    hidden.goto(person.url + "/")
    expect_state(hidden, "online")
    for tab in (page, elsewhere):
        expect(tab.get_by_test_id("conversation-link").get_by_test_id("waiting")).to_have_count(1)
    for tab in (page, elsewhere, hidden):
        expect(tab).to_have_title(re.compile(r"^\(1\) "))
    page.get_by_test_id("decline").click()
    for tab in (page, elsewhere):
        expect(tab.get_by_test_id("waiting")).to_have_count(0)
    for tab in (page, elsewhere, hidden):
        expect(tab).not_to_have_title(re.compile(r"^\("))
    request_two_deletions(page)
    expect(elsewhere.get_by_test_id("waiting")).to_have_count(1)
    page.get_by_test_id("stop").click()
    expect(elsewhere.get_by_test_id("waiting")).to_have_count(0)


@pytest.mark.long
def test_approval_shows_without_javascript_and_survives_reload_and_restart(person: Person, chromium: Browser) -> None:
    page = chat_with_approval(person)
    bare = chromium.new_context(java_script_enabled=False, storage_state=person.context.storage_state())
    plain = bare.new_page()
    plain.goto(page.url)
    card = plain.get_by_test_id("approval")
    expect(card).to_contain_text("Waiting for your decision: Delete tasks")
    expect(card.get_by_role("listitem")).to_have_text(["#1Buy milkOpen", "#2Call MumOpen"])
    expect(plain.get_by_test_id("conversation-link").get_by_test_id("waiting")).to_have_count(1)
    expect(plain).to_have_title(re.compile(r"^\(1\) "))
    bare.close()

    assert_same_after_reload(page)
    person.site.restart()
    expect_state(page, "online")
    page.get_by_test_id("approve").click()
    expect(tasks_of(page)).to_have_text(["Water the plants"])
    expect(replies(page)).to_have_count(2)
    person.page_errors[:] = [fault for fault in person.page_errors if "ERR_CONNECTION_REFUSED" not in fault]


@pytest.mark.long
def test_declining_by_a_message_gives_both_replies(person: Person) -> None:
    page = chat_with_approval(person)
    other = person.page(page.url.removeprefix(person.site.url))
    expect_state(other, "online")
    page.get_by_test_id("composer").fill("Add a task to feed the cat")
    page.get_by_test_id("composer").press("Enter")
    page.get_by_role("button", name="Keep them and send").click()
    for tab in (page, other):
        expect(tasks_of(tab)).to_have_text(["Buy milk", "Call Mum", "Water the plants", "Feed the cat"])
        expect(tab.get_by_test_id("approval")).to_have_count(0)
        expect(tab.get_by_text("Declined: delete 2 tasks")).to_be_visible()
        expect(replies(tab)).to_have_count(3)
    assert_same_html(page, other)
    assert_same_after_reload(page)
