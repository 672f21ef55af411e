"""Staff manage sessions in the admin: they preview, run and stop clean-ups, and hold and inspect sessions."""

import json
import re
import sqlite3
from contextlib import closing

import psycopg
import pytest
from playwright.sync_api import Page, expect

from chat.tests.browser.conftest import Visitor, expect_state, send_message
from sessions_admin.retention.cleanup import BATCH
from sessions_admin.tests.browser.conftest import Site

OTHERS = BATCH + 50
REASON = "She says that it forgot the party"

CONVERSATIONS = """
INSERT INTO chat_conversation (id, user_id, title, created_at, updated_at, last_seq, last_position)
SELECT gen_random_uuid(), %s, 'Old chat ' || n, now() - interval '9 days', now() - interval '9 days', 1, 2
FROM generate_series(1, %s) n
"""
METADATA = """
INSERT INTO chat_agentsession (conversation_id, user_id, session_id, item_count, byte_count, pruned_count,
    first_activity_at, last_activity_at, last_error)
SELECT id, user_id, 'user_' || user_id || '_conv_' || id, 1, 40, 0, updated_at, updated_at, ''
FROM chat_conversation WHERE user_id = %s RETURNING session_id
"""
AGE_SESSIONS = "UPDATE chat_agentsession SET last_activity_at = now() - interval '8 days' WHERE user_id = %s"


def add_old_sessions(site: Site) -> None:
    """Add a user with many conversations without activity for nine days."""
    user_id = site.database.add_user("quiet@example.com")
    site.database.query(CONVERSATIONS, user_id, OTHERS)
    sessions = [session_id for (session_id,) in site.database.query(METADATA, user_id)]
    item = json.dumps({"role": "user", "content": "Buy milk"})
    with closing(sqlite3.connect(site.up.data_dir / "agent_sessions.db", timeout=30)) as file, file:
        file.executemany("INSERT INTO agent_sessions (session_id) VALUES (?)", [(each,) for each in sessions])
        rows = [(each, item) for each in sessions]
        file.executemany("INSERT INTO agent_messages (session_id, message_data) VALUES (?, ?)", rows)


def count_stored_sessions(site: Site) -> int:
    with closing(sqlite3.connect(site.up.data_dir / "agent_sessions.db", timeout=30)) as file:
        (count,) = file.execute("SELECT count(DISTINCT session_id) FROM agent_messages").fetchone()
        return int(count)


def open_admin(person: Visitor) -> Page:
    """Sign in and open the admin by its link."""
    page = person.open_new_chat()
    page.get_by_role("link", name="Administration").click()
    return page


def request_run(page: Page, button: str) -> None:
    """Request a clean-up or a preview, and wait for its page."""
    page.goto(re.sub(r"/admin/.*", "/admin/sessions_admin/cleanuprun/", page.url))
    page.get_by_role("link", name=button).click()
    page.get_by_role("button", name=button).click()
    expect(page.get_by_test_id("run")).to_be_visible()


def expect_status(page: Page, status: str) -> None:
    # The worker polls its queue once a second, and the page its progress.
    expect(page.get_by_test_id("run")).to_have_attribute("data-status", status, timeout=60_000)


def open_session(page: Page, search: str) -> None:
    page.goto(re.sub(r"/admin/.*", "/admin/chat/agentsession/", page.url))
    page.locator("#searchbar").fill(search)
    page.get_by_role("button", name="Search").click()
    page.locator("#result_list tbody th a").first.click()


def status_of(page: Page, path: str) -> int:
    return page.request.get(re.sub(r"/admin/.*", path, page.url), max_redirects=0).status


@pytest.mark.long
def test_staff_preview_run_and_stop_cleanups_and_held_session_stays(site: Site) -> None:
    runs = site.database.query("SELECT count(*) FROM sessions_admin_cleanuprun")[0][0]
    owner = site.person("owner@example.com")
    chat = owner.open_connected_chat()
    send_message(chat, "Add a task to buy milk for the party")
    others = count_stored_sessions(site) - 1  # of other tests
    ((owner_id,),) = site.database.query("SELECT id FROM chat_user WHERE email = %s", owner.email)
    site.database.query(AGE_SESSIONS, owner_id)
    add_old_sessions(site)
    page = open_admin(site.person("manager@example.com", group="Session managers"))

    # A preview removes nothing.
    request_run(page, "Preview")
    expect_status(page, "done")
    expect(page.get_by_role("row", name="owner@example.com").first).to_be_visible()
    expect(page.locator("#progress")).to_contain_text(f"{OTHERS + 1} of {OTHERS + 1} sessions examined")
    assert count_stored_sessions(site) - others == OTHERS + 1

    open_session(page, owner.email)
    page.get_by_role("button", name="Hold…").click()
    page.get_by_label("Reason").fill("A dispute")
    page.get_by_role("button", name="Hold", exact=True).click()
    expect(page.get_by_text("” held.")).to_be_visible()

    # A row locked by another connection blocks the run until it has been asked to stop.
    with psycopg.connect(site.database.url) as other:
        locked = "SELECT FROM chat_agentsession WHERE user_id <> %s ORDER BY last_activity_at, id LIMIT 1 FOR UPDATE"
        other.execute(locked, [owner_id])
        request_run(page, "Run now")
        expect_status(page, "running")
        page.get_by_test_id("stop-run").click()
        expect_status(page, "stopping")
    expect_status(page, "stopped")
    expect(page.locator("#progress")).to_contain_text(f"of {OTHERS} sessions examined")
    left = count_stored_sessions(site) - others
    assert 1 < left < OTHERS + 1

    request_run(page, "Run now")
    expect_status(page, "done")
    expect(page.locator("#progress")).to_contain_text("1 on hold skipped")
    assert count_stored_sessions(site) - others == 1
    (state,) = site.database.query(
        "SELECT gone_at IS NULL, held_at IS NOT NULL FROM chat_agentsession WHERE user_id = %s", owner_id
    )
    assert state == (True, True)

    # The list shows all runs, and pages that a manager may not open are refused.
    page.goto(re.sub(r"/admin/.*", "/admin/sessions_admin/cleanuprun/", page.url))
    expect(page.locator("#result_list tbody tr")).to_have_count(runs + 3)
    ((session,),) = site.database.query("SELECT id FROM chat_agentsession WHERE user_id = %s", owner_id)
    assert status_of(page, f"/admin/chat/agentsession/{session}/inspect/") == 403
    assert status_of(page, "/admin/sessions_admin/auditrecord/") == 403

    # An auditor inspects the session, and its owner sees that in the settings.
    auditor = open_admin(site.person("auditor@example.com", group="Session auditors"))
    assert status_of(auditor, "/admin/sessions_admin/cleanuprun/run/") == 403
    open_session(auditor, owner.email)
    auditor.get_by_role("link", name="Inspect").click()
    auditor.get_by_label("Reason").fill(REASON)
    auditor.get_by_role("button", name="Inspect", exact=True).click()
    expect(auditor.get_by_role("heading", name="Session", exact=True)).to_be_visible()
    expect(auditor.locator("body")).to_contain_text("Add a task to buy milk for the party")
    auditor.goto(re.sub(r"/admin/.*", "/admin/sessions_admin/auditrecord/", auditor.url))
    expect(auditor.locator("#result_list")).to_contain_text(REASON)
    chat.goto(f"{site.url}/settings/data/")
    expect(chat.get_by_text(REASON)).to_be_visible()

    viewer = open_admin(site.person("viewer@example.com", group="Session viewers"))
    for path in ("cleanuprun/run/", "cleanuprun/preview/", "auditrecord/"):
        assert status_of(viewer, f"/admin/sessions_admin/{path}") == 403
    assert status_of(viewer, "/admin/sessions_admin/cleanuprun/") == 200
    assert status_of(viewer, f"/admin/chat/agentsession/{session}/inspect/") == 403

    # The conversation continues with the held session.
    chat.goto(f"{site.url}/")
    chat.get_by_test_id("conversation-link").first.click()
    expect_state(chat, "online")
    assert "milk" in send_message(chat, "What was the first thing I asked?")
