"""The task list beside the chat: limited at first, complete on request, and the same in all tabs."""

import re

import pytest
from playwright.sync_api import Locator, Page, Route, expect

from chat.tests.browser.conftest import Person, expect_state, send_message
from config.tests.support import eventually


def insert_tasks(person: Person, count: int) -> None:
    ((user_id,),) = person.site.database.query("SELECT id FROM chat_user WHERE email = %s", person.email)
    person.site.database.query(
        "INSERT INTO chat_task (id, user_id, number, title, description, priority, created_at, updated_at)"
        " SELECT gen_random_uuid(), %s, n, 'Task ' || n, '', 2, now(), now() FROM generate_series(1, %s) n",
        user_id,
        count,
    )
    person.site.database.query(
        "INSERT INTO chat_taskcounter (user_id, last_number, revision) VALUES (%s, %s, 0)", user_id, count
    )


def task_count(page: Page) -> int:
    return page.locator("#task-list").get_by_test_id("task").count()


def test_long_list_shows_100_tasks_and_loads_more_while_scrolling(person: Person) -> None:
    insert_tasks(person, 302)
    page = person.open_connected_chat()
    assert task_count(page) == 100
    expect(page.locator("#task-count")).to_have_text("302")
    expect(page.locator("#more-tasks")).to_contain_text("202 more to do")

    # More tasks load although a state request is pending.
    held_routes: list[Route] = []
    page.route(re.compile(r"/state/\?"), lambda route: route.continue_() if held_routes else held_routes.append(route))
    page.evaluate(
        "dispatchEvent(new PageTransitionEvent('pagehide'));"
        "dispatchEvent(new PageTransitionEvent('pageshow', {persisted: true}))"
    )
    eventually(lambda: page.evaluate("1") and held_routes, what="the state request")
    # A real click would scroll the link into view, which loads more as well.
    page.get_by_role("link", name="Show more").dispatch_event("click")
    held_routes[0].continue_()
    expect(page.locator("#task-list").get_by_test_id("task")).to_have_count(200)
    page.locator("#task-panel").hover()

    def scrolled_through() -> bool:
        page.mouse.wheel(0, 100_000)
        return task_count(page) == 302

    eventually(scrolled_through, what="302 tasks")
    expect(page.locator("#more-tasks")).to_be_hidden()

    send_message(page, "delete task 7")
    expect(page.locator("#task-count")).to_have_text("301")
    assert task_count(page) == 301


def test_each_tab_applies_changes_from_other_tabs(person: Person) -> None:
    page = person.open_connected_chat()
    other = person.page("/")
    expect_state(other, "online")
    send_message(page, "Add three tasks: buy milk, call Mum, water the plants")
    send_message(page, "I finished call Mum")
    send_message(page, "delete task 3")
    for tab in (page, other):
        expect(tab.locator("#task-list .task__title")).to_have_text(["Buy milk"])
        expect(tab.locator("#task-count")).to_have_text("1")
        expect(tab.locator("#done-count")).to_have_text("1")


def add(page: Page, *titles: str) -> None:
    for title in titles:
        page.get_by_label("Add a task").fill(title)
        page.get_by_label("Add a task").press("Enter")
        expect(row(page, title)).to_be_visible()
    expect(page.get_by_label("Add a task")).to_have_value("")


def row(page: Page, title: str) -> Locator:
    return page.get_by_test_id("task").filter(has=page.get_by_text(title, exact=True))


def tick(page: Page, title: str) -> Locator:
    return page.get_by_role("checkbox", name=title, exact=True)


def undo(page: Page) -> None:
    page.get_by_test_id("toast").get_by_role("button", name="Undo").click()


def test_tasks_are_added_and_ticked_manually_in_all_tabs(person: Person) -> None:
    page = person.open_connected_chat()
    other = person.page("/")
    expect_state(other, "online")
    add(page, "Buy milk", "Call Mum")
    expect(page.get_by_test_id("toast")).to_contain_text("Task 2 added")

    tick(page, "Buy milk").click()
    expect(page.get_by_test_id("toast")).to_contain_text("Task 1 completed")
    expect(other.locator("#task-list .task__title")).to_have_text(["Call Mum"])
    expect(other.locator("#done-count")).to_have_text("1")
    # The task stays while the pointer is over it, and moves once the pointer leaves.
    expect(page.locator("#task-list .task__title")).to_have_text(["Buy milk", "Call Mum"])
    expect(tick(page, "Buy milk")).to_be_checked()
    page.mouse.move(600, 300)
    expect(page.locator("#task-list .task__title")).to_have_text(["Call Mum"])

    undo(page)
    for tab in (page, other):
        expect(tab.locator("#task-list .task__title")).to_have_text(["Buy milk", "Call Mum"])
    # No message was sent and no chat was created.
    assert page.get_by_test_id("message").count() == 0
    assert page.get_by_test_id("conversation-link").count() == 0


def test_manual_edit_and_delete_are_undone_and_double_click_ticks_once(person: Person) -> None:
    page = person.open_connected_chat()
    add(page, "Buy milk", "Call Mum")
    page.get_by_role("button", name="Edit task 2: Call Mum").click()
    form = page.get_by_role("form", name="Edit task 2")
    form.get_by_label("Title").fill("Call Dad")
    form.get_by_label("Note").fill("About the bike")
    form.get_by_label("Time").fill("18:30")
    form.get_by_role("button", name="Save").click()
    expect(form.get_by_role("alert")).to_have_text("A time needs a date.")
    form.get_by_label("Date").fill("2030-05-06")
    form.get_by_label("Priority").select_option("high")
    form.get_by_role("button", name="Save").click()
    expect(row(page, "Call Dad")).to_contain_text("About the bike")
    expect(row(page, "Call Dad")).to_contain_text("High priority")
    expect(row(page, "Call Dad")).to_contain_text("6 May 2030, 18:30")
    expect(page.get_by_role("button", name="Edit task 2: Call Dad")).to_be_focused()
    undo(page)
    expect(row(page, "Call Mum")).not_to_contain_text("About the bike")

    page.get_by_role("button", name="Edit task 1: Buy milk").click()
    page.get_by_role("form", name="Edit task 1").get_by_role("button", name="Delete").click()
    expect(row(page, "Buy milk")).to_have_count(0)
    undo(page)
    expect(row(page, "Buy milk")).to_have_attribute("data-number", "1")
    # A double click ticks once.
    tick(page, "Buy milk").dblclick()
    expect(page.get_by_test_id("toast")).to_contain_text("Task 1 completed")
    expect(page.locator("#done-count")).to_have_text("1")
    expect(tick(page, "Buy milk")).to_be_checked()


def test_task_list_works_by_keyboard(person: Person) -> None:
    page = person.open_connected_chat()
    add(page, "Buy milk", "Call Mum", "Water the plants")
    tick(page, "Buy milk").focus()
    page.keyboard.press("Space")
    expect(page.get_by_test_id("toast")).to_contain_text("Task 1 completed")
    expect(tick(page, "Buy milk")).to_be_focused()
    page.keyboard.press("Space")
    expect(page.get_by_test_id("toast")).to_contain_text("Task 1 is open again")
    expect(tick(page, "Buy milk")).to_be_focused()
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    expect(page.get_by_role("form", name="Edit task 1").get_by_label("Title")).to_be_focused()
    page.keyboard.press("Escape")
    expect(page.get_by_role("button", name="Edit task 1: Buy milk")).to_be_focused()
    page.keyboard.press("Enter")
    page.get_by_role("form", name="Edit task 1").get_by_role("button", name="Delete").focus()
    page.keyboard.press("Enter")
    expect(page.get_by_test_id("toast").get_by_role("button", name="Undo")).to_be_focused()
    expect(row(page, "Buy milk")).to_have_count(0)
    page.keyboard.press("Enter")
    expect(row(page, "Buy milk")).to_be_visible()


def edit(page: Page, title: str) -> Locator:
    """Open the form of a task and return it."""
    button = row(page, title).get_by_role("button", name="Edit task")
    number = row(page, title).get_attribute("data-number")
    button.click()
    return page.get_by_role("form", name=f"Edit task {number}")


@pytest.mark.long
def test_task_edit_survives_deletion_in_another_tab(person: Person) -> None:
    page = person.open_connected_chat()
    add(page, "Buy milk", "Call Mum")
    other = person.page("/")
    form = edit(page, "Buy milk")
    form.get_by_label("Title").fill("Buy oat milk")
    form.get_by_label("Note").fill("Two litres")
    edit(other, "Buy milk").get_by_role("button", name="Delete").click()
    expect(form.get_by_role("alert").filter(has_text="This task is no longer on the list.")).to_be_visible()
    expect(page.locator("#task-count")).to_have_text("1")
    expect(form.get_by_label("Title")).to_have_value("Buy oat milk")
    form.get_by_role("button", name="Add as a new task").click()
    for tab in (page, other):
        expect(row(tab, "Buy oat milk")).to_contain_text("Two litres")
        expect(tab.locator("#task-count")).to_have_text("2")
    expect(form).to_have_count(0)

    form = edit(page, "Call Mum")
    form.get_by_label("Title").fill("Call Mum and Dad")
    edit(other, "Call Mum").get_by_role("button", name="Delete").click()
    form.get_by_role("button", name="Discard").click()
    expect(page.locator("#task-list .task__title")).to_have_text(["Buy oat milk"])


@pytest.mark.long
def test_task_drafts_survive_reloads_until_saved_or_cancelled(person: Person) -> None:
    page = person.open_connected_chat()
    add(page, "Buy milk", "Call Mum")
    form = edit(page, "Buy milk")
    form.get_by_label("Title").fill("Buy oat milk")
    form.get_by_label("Note").fill("Two litres")
    page.get_by_label("Add a task").fill("Water the")
    other = person.page("/")
    expect_state(other, "online")
    # Each tab has its own drafts.
    expect(other.get_by_label("Add a task")).to_have_value("")
    other_form = edit(other, "Buy milk")
    other_form.get_by_label("Priority").select_option("high")
    other_form.get_by_role("button", name="Save").click()
    expect(row(page, "Call Mum")).to_be_visible()
    page.goto(person.url + "/")
    expect_state(page, "online")
    expect(page.get_by_label("Add a task")).to_have_value("Water the")
    expect(form.get_by_label("Title")).to_have_value("Buy oat milk")
    expect(form.get_by_label("Note")).to_have_value("Two litres")
    expect(form.get_by_label("Priority")).to_have_value("high")
    form.get_by_role("button", name="Save").click()
    expect(row(page, "Buy oat milk")).to_contain_text("Two litres")
    page.get_by_label("Add a task").press("Enter")
    expect(row(page, "Water the")).to_be_visible()
    edit(page, "Call Mum").get_by_label("Title").fill("Call Dad")
    page.keyboard.press("Escape")
    page.reload()
    expect_state(page, "online")
    expect(page.get_by_label("Add a task")).to_have_value("")
    expect(page.get_by_role("form", name="Edit task")).to_have_count(0)


@pytest.mark.long
def test_task_edit_survives_changes_from_another_tab(person: Person) -> None:
    page = person.open_connected_chat()
    add(page, "Buy milk", "Call Mum")
    other = person.page("/")
    form = edit(page, "Buy milk")
    form.get_by_label("Title").fill("Buy oat")
    tick(other, "Buy milk").click()
    expect(page.locator("#done-count")).to_have_text("1")
    moved = edit(other, "Call Mum")
    moved.get_by_label("Date").fill("2020-01-01")
    moved.get_by_role("button", name="Save").click()
    expect(row(page, "Call Mum")).to_contain_text("2020")
    expect(form.get_by_label("Title")).to_be_focused()
    page.keyboard.type(" milk")
    expect(form.get_by_label("Title")).to_have_value("Buy oat milk")
    form.get_by_role("button", name="Save").click()
    page.locator("#done summary").click()
    expect(page.locator("#done-list .task__title")).to_have_text(["Buy oat milk"])

    # If two tabs change a title, the user chooses which one stays.
    add(page, "Buy milk")
    form = edit(page, "Buy milk")
    form.get_by_label("Title").fill("Buy oat milk")
    other_form = edit(other, "Buy milk")
    other_form.get_by_label("Title").fill("Buy soy milk")
    other_form.get_by_label("Note").fill("Two litres")
    other_form.get_by_role("button", name="Save").click()
    conflict = form.get_by_role("alert").filter(has_text="Changed elsewhere. Title: “Buy soy milk”")
    expect(conflict).to_be_visible()
    # Fields that were not edited here take the values of the other tab.
    expect(form.get_by_label("Note")).to_have_value("Two litres")
    form.get_by_label("Title").press("Enter")
    expect(conflict.get_by_role("button", name="Keep mine")).to_be_focused()
    expect(row(other, "Buy soy milk")).to_be_visible()
    conflict.get_by_role("button", name="Use the other").click()
    expect(form.get_by_label("Title")).to_have_value("Buy soy milk")
    form.get_by_label("Title").fill("Buy rice milk")
    other_form = edit(other, "Buy soy milk")
    other_form.get_by_label("Title").fill("Buy water")
    other_form.get_by_role("button", name="Save").click()
    form.get_by_role("button", name="Keep mine").click()
    form.get_by_role("button", name="Save").click()
    for tab in (page, other):
        expect(row(tab, "Buy rice milk")).to_contain_text("Two litres")


def fail(route: Route) -> None:
    route.abort("internetdisconnected")


def test_failed_task_requests_show_an_error_and_are_reverted(person: Person) -> None:
    page = person.open_connected_chat()
    add(page, "Buy milk")
    page.route("**/api/tasks**", fail)
    tick(page, "Buy milk").click()
    expect(page.get_by_test_id("toast")).to_contain_text("there is no connection")
    expect(tick(page, "Buy milk")).not_to_be_checked()

    page.get_by_role("button", name="Edit task 1: Buy milk").click()
    form = page.get_by_role("form", name="Edit task 1")
    form.get_by_label("Title").fill("Buy bread")
    form.get_by_role("button", name="Save").click()
    expect(form.get_by_role("alert")).to_contain_text("there is no connection")
    page.get_by_label("Add a task").fill("Call Mum")
    page.get_by_label("Add a task").press("Enter")
    expect(page.locator("#add-task-error")).to_contain_text("there is no connection")
    expect(page.get_by_label("Add a task")).to_have_value("Call Mum")

    page.unroute("**/api/tasks**")
    form.get_by_role("button", name="Save").click()
    expect(row(page, "Buy bread")).to_be_visible()
    page.get_by_label("Add a task").press("Enter")
    expect(row(page, "Call Mum")).to_be_visible()
    expect(page.locator("#add-task-error")).to_be_empty()
    person.page_errors[:] = [fault for fault in person.page_errors if "ERR_INTERNET_DISCONNECTED" not in fault]


def test_undo_button_of_a_tool_call_reverts_its_task(person: Person) -> None:
    page = person.open_connected_chat()
    send_message(page, "Add a task to buy milk")
    other = person.page(page.url.removeprefix(person.url))
    expect_state(other, "online")
    page.get_by_role("button", name="Undo: Added task 1: Buy milk").click()
    for tab in (page, other):
        expect(tab.get_by_test_id("undone")).to_have_count(1)
        expect(tab.get_by_test_id("undo")).to_have_count(0)
        expect(tab.get_by_test_id("task")).to_have_count(0)
    page.reload()
    expect_state(page, "online")
    expect(page.get_by_test_id("undone")).to_have_count(1)
    assert "nothing in this conversation" in send_message(page, "undo that")
