"""Many chats and long chats: loading while scrolling, search, and links to messages."""

import re
import uuid

import pytest
from playwright.sync_api import Browser, Locator, Page, expect

from chat.tests.browser.conftest import Person, expect_state, send_message

CHATS = """
INSERT INTO chat_conversation (id, user_id, title, created_at, updated_at, last_seq, last_position)
SELECT gen_random_uuid(), %s, 'Chat ' || n, now(), now() - n * interval '1 minute', 0, 0 FROM generate_series(1, %s) n
"""
CHAT = """
INSERT INTO chat_conversation (id, user_id, title, created_at, updated_at, last_seq, last_position)
VALUES (%s, %s, 'Long', now(), now(), %s, %s)
"""
TURNS = """
WITH turn AS (
    SELECT n, gen_random_uuid() AS id, gen_random_uuid() AS prompt, gen_random_uuid() AS client, %s::uuid AS talk
    FROM generate_series(1, %s) n
), said AS (
    INSERT INTO chat_message (id, conversation_id, turn_id, role, text, position, client_id, created_at)
    SELECT prompt, talk, id, 'user', 'Question ' || n, 2 * n - 1, client, now() FROM turn
    UNION ALL
    SELECT gen_random_uuid(), talk, id, 'assistant', 'Answer ' || n || E'\n\n- two lines', 2 * n, NULL, now() FROM turn
)
INSERT INTO chat_turn (id, conversation_id, user_id, prompt_id, client_id, seq, status, items, text, warning,
    error_code, error_detail, accepted_at, ended_at, attempt)
SELECT id, talk, %s, prompt, client, n, 'done', '[]', '', '', '', '', now() - interval '1 hour', now(), 1 FROM turn
"""


def insert_chats(person: Person, *, chats: int = 0, turns: int = 0) -> str:
    """Insert chats, and one chat with this many turns; return the ID of the latter."""
    query = person.site.database.query
    ((user,),) = query("SELECT id FROM chat_user WHERE email = %s", person.email)
    query(CHATS, user, chats)
    long_chat = str(uuid.uuid4())
    query(CHAT, long_chat, user, turns, 2 * turns)
    query(TURNS, long_chat, turns, user)
    return long_chat


def links(page: Page) -> Locator:
    return page.get_by_test_id("conversation-link")


def questions(page: Page) -> Locator:
    return page.locator('[data-testid="message"][data-role="user"] .message__text')


def scroll(page: Page, element: str, to: str) -> None:
    page.evaluate(f"(to) => document.querySelector('{element}').scrollTo(0, to === 'end' ? 1e9 : 0)", to)


def test_chats_load_while_scrolling(person: Person) -> None:
    insert_chats(person, chats=130)
    page = person.open_connected_chat()
    while links(page).count() < 131:
        before = links(page).count()
        scroll(page, "#chats", "end")
        expect(links(page).nth(before)).to_be_attached()
    expect(page.locator("#more-chats")).to_be_hidden()
    titles = page.locator(".conversation__title").all_inner_texts()
    assert titles == ["Long", *(f"Chat {n}" for n in range(1, 131))]
    # When the page requests its state again, it keeps the chats that it has loaded.
    with page.expect_response(re.compile("/state/")):
        page.context.set_offline(True)
        page.evaluate("dispatchEvent(new Event('offline'))")
        expect_state(page, "offline")
        page.context.set_offline(False)
        page.evaluate("dispatchEvent(new Event('online'))")
    expect_state(page, "online")
    expect(links(page)).to_have_count(131)
    person.page_errors[:] = [fault for fault in person.page_errors if "ERR_INTERNET_DISCONNECTED" not in fault]


def test_earlier_messages_load_while_scrolling_and_keep_the_position(person: Person) -> None:
    path = f"/c/{insert_chats(person, turns=70)}/"
    person.open_new_chat()
    page = person.page(path)
    expect_state(page, "online")
    expect(questions(page).last).to_be_in_viewport()
    while questions(page).count() < 70:
        before = questions(page).count()
        top = questions(page).first.inner_text()
        scroll(page, "#scroller", "start")
        expect(questions(page).nth(before)).to_be_attached()
        expect(questions(page).get_by_text(top, exact=True)).to_be_in_viewport()
    assert questions(page).all_inner_texts() == [f"Question {n}" for n in range(1, 71)]
    expect(page.locator("#earlier")).to_be_hidden()
    send_message(page, "Show my tasks")
    expect(questions(page)).to_have_count(71)


def test_search_marks_matches_and_escape_ends_it(person: Person) -> None:
    insert_chats(person, chats=3, turns=70)
    page = person.open_connected_chat()
    person.site.database.query("UPDATE chat_conversation SET archived_at = now() WHERE title = 'Long'")
    send_message(page, "Add a task to buy <b>milk</b>")
    search = page.get_by_test_id("search")
    search.fill("milk")
    result = page.get_by_test_id("search-result")
    expect(result).to_have_count(1)
    expect(result.locator("mark").first).to_have_text("milk")
    expect(result).to_contain_text("<b>milk</b>")
    expect(links(page).first).to_be_hidden()
    search.fill("zebra")
    expect(page.get_by_text("No chats found.").first).to_be_visible()
    search.press("Escape")
    expect(search).to_have_value("")
    expect(links(page).first).to_be_visible()


def test_link_to_a_message_loads_the_messages_in_between(person: Person) -> None:
    long_chat = insert_chats(person, turns=70)
    ((message,),) = person.site.database.query(
        "SELECT id FROM chat_message WHERE conversation_id = %s AND text LIKE 'Answer 3' || chr(10) || '%%'", long_chat
    )
    person.open_new_chat()
    page = person.page(f"/c/{long_chat}/?message={message}")
    found = page.locator(f'[data-testid="message"][data-id="{message}"]')
    expect(found).to_have_class(re.compile("highlighted"))
    expect(found).to_be_in_viewport()
    expect(page).to_have_url(re.compile(f"/c/{long_chat}/$"))
    expect(questions(page).last).to_have_text("Question 70")


@pytest.mark.long
def test_long_chat_is_paginated_without_javascript(person: Person, chromium: Browser) -> None:
    long_chat = insert_chats(person, chats=40, turns=30)
    person.open_new_chat()
    bare = chromium.new_context(java_script_enabled=False, storage_state=person.context.storage_state())
    page = bare.new_page()
    page.goto(f"{person.site.url}/c/{long_chat}/")
    for first in (11, 1):
        page.get_by_role("link", name="Earlier messages").click()
        expect(questions(page).first).to_have_text(f"Question {first}")
    page.get_by_role("link", name="Later messages").click()
    expect(questions(page).first).to_have_text("Question 11")
    page.get_by_test_id("more-chats").get_by_role("link").or_(page.get_by_test_id("more-chats")).first.click()
    expect(page.get_by_test_id("shelved").first).to_contain_text("Chat 20")
    bare.close()
