"""Chats are pinned, renamed, archived, trashed and restored: by mouse, keyboard, touch and without JavaScript."""

import re

import pytest
from playwright.sync_api import Browser, Locator, Page, WebSocketRoute, expect

from chat.tests.browser.conftest import Person, assert_same_after_reload, expect_state, send_message

SOCKET = re.compile("/ws/chat/")
FITS = "document.documentElement.scrollWidth <= innerWidth"


def start_chats(person: Person, *texts: str) -> Page:
    """Start a chat with each text, and return a page that shows the last one."""
    page = person.open_connected_chat()
    for number, text in enumerate(texts):
        if number:
            page.get_by_role("link", name="New chat").click()
            expect_state(page, "online")
        send_message(page, text)
    return page


def links(page: Page) -> Locator:
    return page.get_by_test_id("conversation-link").locator(".conversation__title")


def menu_of(page: Page, title: str) -> Locator:
    """Open the menu of a chat in the list."""
    line = page.locator(".conversation-item", has_text=title)
    line.hover()
    line.get_by_label("Options for").click()
    return line


def choose(page: Page, title: str, action: str) -> None:
    menu_of(page, title).get_by_role("button", name=action, exact=True).click()


@pytest.mark.long
def test_chat_menu_works_by_keyboard_and_updates_other_tabs(person: Person) -> None:
    page = start_chats(person, "Add a task to buy milk", "Add a task to call Mum")
    other = person.page("/")
    expect_state(other, "online")
    expect(links(other)).to_have_text(["Add a task to call Mum", "Add a task to buy milk"])

    # Tab reaches the menu of the chat, arrow keys move through it, Escape closes it.
    page.get_by_test_id("conversation-link").last.focus()
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    buttons = page.locator(".conversation-item").last.get_by_role("button")
    expect(buttons).to_have_text(["Pin", "Archive", "Move to trash"])
    page.keyboard.press("ArrowUp")
    expect(buttons.last).to_be_focused()
    page.keyboard.press("ArrowDown")
    expect(buttons.first).to_be_focused()
    page.keyboard.press("Escape")
    expect(buttons.first).to_be_hidden()
    expect(page.locator(".conversation-item").last.get_by_label("Options for")).to_be_focused()
    page.keyboard.press("Enter")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    pinned = ["Add a task to buy milk", "Add a task to call Mum"]
    for tab in (page, other):
        expect(links(tab)).to_have_text(pinned)
        expect(tab.locator(".conversation-item").first).to_contain_text("Pinned")
    expect(page.get_by_test_id("toast")).to_contain_text("Pinned: “Add a task to buy milk”")
    expect(page.get_by_test_id("toast").get_by_role("button", name="Undo")).to_be_focused()
    page.keyboard.press("Enter")
    for tab in (page, other):
        expect(links(tab)).to_have_text(pinned[::-1])
    assert_same_after_reload(page)


def test_chat_is_archived_trashed_and_restored_in_all_tabs(person: Person) -> None:
    page = start_chats(person, "Add a task to buy milk", "Add a task to call Mum")
    other = person.page(page.url.removeprefix(person.site.url))
    expect_state(other, "online")

    with page.expect_download():
        menu_of(page, "buy milk").get_by_role("link", name="Export as Markdown").click()
    expect(page.locator(".menu[open]")).to_have_count(0)

    choose(page, "buy milk", "Archive")
    expect(links(page)).to_have_text(["Add a task to call Mum"])
    page.get_by_test_id("toast").get_by_role("button", name="Undo").click()
    expect(links(other)).to_have_count(2)

    # When the open chat is trashed, the page keeps it, shows a notice and offers to restore it.
    page.locator("#bar-menu").get_by_label("Options for").click()
    page.locator("#bar-menu").get_by_role("button", name="Move to trash").click()
    for tab in (page, other):
        expect(tab.get_by_test_id("shelf-strip")).to_contain_text(re.compile(r"In the trash until \d+ \w+"))
        expect(links(tab)).to_have_text(["Add a task to buy milk"])
    assert_same_after_reload(page)
    expect(page.get_by_test_id("shelf-strip")).to_contain_text("In the trash until")
    # Other events do not take the focus from the Restore button.
    restore = other.get_by_test_id("shelf-strip").get_by_role("button", name="Restore")
    restore.focus()
    choose(page, "buy milk", "Pin")
    expect(other.locator(".conversation-item").first).to_contain_text("Pinned")
    choose(page, "buy milk", "Unpin")
    expect(other.locator(".conversation-item").first).not_to_contain_text("Pinned")
    expect(restore).to_be_focused()
    restore.press("Enter")
    for tab in (page, other):
        expect(tab.get_by_test_id("shelf-strip")).to_be_hidden()
        expect(links(tab)).to_have_count(2)

    # Sending a message restores the chat as well.
    choose(page, "call Mum", "Move to trash")
    expect(other.get_by_test_id("shelf-strip")).to_be_visible()
    send_message(page, "Show my tasks")
    for tab in (page, other):
        expect(tab.get_by_test_id("shelf-strip")).to_be_hidden()
        expect(links(tab)).to_have_text(["Add a task to call Mum", "Add a task to buy milk"])


@pytest.mark.long
def test_permanently_deleted_chat_disappears_from_open_tabs(person: Person) -> None:
    page = start_chats(person, "Add a task to buy milk")
    offline_tab = person.page(page.url.removeprefix(person.site.url))
    expect_state(offline_tab, "online")
    choose(page, "buy milk", "Move to trash")
    expect(offline_tab.get_by_test_id("shelf-strip")).to_be_visible()
    offline_tab.route_web_socket(SOCKET, lambda socket: socket.close())
    offline_tab.evaluate("dispatchEvent(new Event('offline'))")
    expect_state(offline_tab, "offline")

    trash = person.page("/trash/")
    trash.get_by_role("link", name="Delete “Add a task to buy milk” for good").click()
    trash.get_by_role("button", name="Delete for good").click()
    expect(trash.get_by_text("The trash is empty.")).to_be_visible()
    offline_tab.route_web_socket(SOCKET, WebSocketRoute.connect_to_server)
    offline_tab.evaluate("dispatchEvent(new Event('online'))")
    for tab in (page, offline_tab):
        expect(tab.get_by_role("alert")).to_contain_text("permanently deleted")
        expect(tab.get_by_test_id("message")).to_have_count(0)
        expect(tab.get_by_test_id("task")).to_have_count(1)  # the tasks of the chat are kept
    send_message(page, "Add a task to feed the cat")
    assert_same_after_reload(page)
    # The offline tab requests the deleted chat and gets a 404.
    person.page_errors[:] = [fault for fault in person.page_errors if "404" not in fault]


def test_chat_due_for_the_trash_shows_a_warning_and_can_be_kept(person: Person) -> None:
    page = start_chats(person, "Add a task to buy milk")
    person.site.database.query(
        "UPDATE chat_conversation SET updated_at = now() - interval '25 days'"
        " WHERE user_id = (SELECT id FROM chat_user WHERE email = %s)",
        person.email,
    )
    page.reload()
    expect_state(page, "online")
    expect(page.get_by_test_id("shelf-strip")).to_contain_text("This chat moves to the trash on")
    home = person.page("/")
    expect_state(home, "online")
    expect(home.get_by_test_id("shelf-strip")).to_contain_text("1 chat will move to the trash within a week")
    home.get_by_role("link", name="View it").click()
    home.get_by_role("button", name="Keep “Add a task to buy milk”").click()
    expect(home.get_by_text("Kept: “Add a task to buy milk”")).to_be_visible()
    expect(home.get_by_test_id("leaving")).to_have_count(0)
    expect(page.get_by_test_id("shelf-strip")).to_be_hidden()


@pytest.mark.long
def test_trash_and_archive_work_by_touch(person: Person, chromium: Browser) -> None:
    start_chats(person, "Add a task to buy " + "milk" * 30)
    phone = chromium.new_context(
        viewport={"width": 390, "height": 844}, has_touch=True, storage_state=person.context.storage_state()
    )
    page = phone.new_page()
    page.goto(person.site.url + "/")
    expect_state(page, "online")
    page.get_by_role("button", name="Chats", exact=True).tap()
    line = page.locator(".conversation-item")
    line.get_by_label("Options for").tap()
    line.get_by_role("button", name="Move to trash").tap()
    expect(line).to_have_count(0)
    # The Undo button can be tapped although the drawer covers the page.
    page.get_by_test_id("toast").get_by_role("button", name="Undo").tap()
    expect(line).to_have_count(1)
    # In the lists, a title without spaces is no wider than the screen.
    line.get_by_label("Options for").tap()
    line.get_by_role("button", name="Archive").tap()
    expect(line).to_have_count(0)
    page.goto(person.site.url + "/archive/")
    expect(page.get_by_test_id("shelved")).to_have_count(1)
    assert page.evaluate(FITS)
    page.get_by_role("button", name="Move “Add a task").tap()
    expect(page.get_by_test_id("shelved")).to_have_count(0)
    page.goto(person.site.url + "/trash/")
    expect(page.get_by_test_id("shelved")).to_have_count(1)
    assert page.evaluate(FITS)
    page.goto(person.site.url + "/settings/")
    assert page.evaluate(FITS)
    phone.close()


@pytest.mark.long
def test_trash_and_restore_work_without_javascript(person: Person, chromium: Browser) -> None:
    start_chats(person, "Add a task to buy milk")
    bare = chromium.new_context(java_script_enabled=False, storage_state=person.context.storage_state())
    page = bare.new_page()
    page.goto(person.site.url + "/")
    choose(page, "buy milk", "Move to trash")
    expect(page.get_by_text("Moved to the trash: “Add a task to buy milk”")).to_be_visible()
    expect(links(page)).to_have_count(0)
    page.get_by_role("link", name="Trash").click()
    page.get_by_role("button", name="Restore “Add a task to buy milk”").click()
    expect(page.get_by_text("The trash is empty.")).to_be_visible()
    page.get_by_role("link", name="Back to your chats").click()
    expect(links(page)).to_have_text(["Add a task to buy milk"])
    bare.close()


def test_chat_is_renamed_inline_and_exported(person: Person) -> None:
    page = start_chats(person, "Add a task to buy milk", "Add a task to call Mum")
    other = person.page("/")
    expect_state(other, "online")
    menu_of(page, "buy milk").get_by_role("link", name="Rename").click()
    field = page.get_by_label("Title")
    expect(field).to_be_focused()
    field.fill("Never mind")
    field.press("Escape")
    expect(page.get_by_test_id("conversation-link").last).to_be_focused()
    menu_of(page, "buy milk").get_by_role("link", name="Rename").click()
    field.fill("Shopping <b>list</b>")
    field.press("Enter")
    for tab in (page, other):
        expect(links(tab)).to_have_text(["Add a task to call Mum", "Shopping <b>list</b>"])
    page.locator("#bar-menu").get_by_label("Options for").click()
    page.locator("#bar-menu").get_by_role("link", name="Rename").click()
    field.fill("Mum")
    field.press("Enter")
    expect(page.locator("#title")).to_have_text("Mum")
    expect(page).to_have_title("Mum · Threadkeeper")
    expect(links(other).first).to_have_text("Mum")
    page.locator("#bar-menu").get_by_label("Options for").click()
    with page.expect_download() as download:
        page.locator("#bar-menu").get_by_role("link", name="Export as Markdown").click()
    assert download.value.suggested_filename == "Mum.md"
    assert "## You" in download.value.path().read_text()
    assert_same_after_reload(page)


def test_chats_due_for_the_trash_load_while_scrolling(person: Person) -> None:
    ((user_id,),) = person.site.database.query("SELECT id FROM chat_user WHERE email = %s", person.email)
    person.site.database.query(
        "INSERT INTO chat_conversation"
        " (id, user_id, title, model, created_at, updated_at, last_seq, last_position, memory_from)"
        " SELECT gen_random_uuid(), %s, 'Chat ' || n, '', now(), now() - interval '25 days', 0, 0, 0"
        " FROM generate_series(1, 120) n",
        user_id,
    )
    page = person.open_new_chat()
    page.goto(person.url + "/trash/")
    lines = page.get_by_test_id("shelved")
    assert lines.count() == 50
    for count in (100, 120):
        page.mouse.wheel(0, 100_000)
        expect(lines).to_have_count(count)
    expect(page.get_by_role("link", name="Show more")).to_be_hidden()


@pytest.mark.long
def test_rename_conflict_offers_a_choice_and_moved_chat_is_not_renamed(
    person: Person,
) -> None:
    page = start_chats(person, "Add a task to buy milk", "Add a task to call Mum")
    other = person.page("/")
    expect_state(other, "online")
    menu_of(page, "buy milk").get_by_role("link", name="Rename").click()
    field = page.get_by_label("Title")
    field.fill("Shop")
    menu_of(other, "buy milk").get_by_role("link", name="Rename").click()
    other.get_by_label("Title").fill("Groceries")
    other.get_by_label("Title").press("Enter")
    expect(links(other).last).to_have_text("Groceries")
    expect(page.locator("#conversation-list [title='Groceries']")).to_have_count(1)
    expect(field).to_be_focused()
    page.keyboard.press("End")
    page.keyboard.type("ping")
    page.keyboard.press("Enter")
    expect(page.get_by_text("Renamed elsewhere to “Groceries”.")).to_be_visible()
    expect(links(other).last).to_have_text("Groceries")
    page.get_by_role("button", name="Keep mine").click()
    for tab in (page, other):
        expect(links(tab).last).to_have_text("Shopping")

    # A title that is being typed is not saved when its chat moves.
    menu_of(page, "Shopping").get_by_role("link", name="Rename").click()
    page.get_by_label("Title").fill("Shop")
    menu_of(other, "Shopping").get_by_role("button", name="Pin").click()
    expect(page.get_by_test_id("conversation-link").first).to_contain_text("Pinned")
    expect(page.get_by_label("Title")).to_be_focused()
    page.keyboard.press("Escape")
    expect(links(page).first).to_have_text("Shopping")
    menu_of(page, "call Mum").get_by_role("link", name="Rename").click()
    page.get_by_label("Title").fill("Mum")
    menu_of(other, "call Mum").get_by_role("button", name="Move to trash").click()
    expect(page.get_by_test_id("toast")).to_contain_text("Not renamed to “Mum”")
