"""The list of sessions, and what all pages of the admin have in common."""

import re

from django.test import Client

from chat.models import AgentSession, User
from sessions_admin.models import Trigger
from sessions_admin.retention.cleanup import cleanup
from sessions_admin.tests.conftest import MakeSession, MakeStaffClient, text_of

SESSIONS, RUNS = "/admin/chat/agentsession/", "/admin/sessions_admin/cleanuprun/"
INLINE = re.compile(r"<style|\sstyle=|<script(?![^>]*\ssrc=)|\son\w+=|javascript:", re.IGNORECASE)


# The list of sessions.


def test_list_shows_state_and_size_of_each_session(
    make_session: MakeSession, owner: User, make_staff_client: MakeStaffClient
) -> None:
    session = make_session(owner, title="Groceries")
    viewer_client = make_staff_client("view_session_items")
    AgentSession.objects.update(byte_count=2048, pruned_count=17)

    page = viewer_client.get(SESSIONS).text

    row = text_of(page[page.index("<tbody>") : page.index("</tbody>")])
    assert row.startswith("Groceries owner@example.com Due 4 2.0 KB 17 ")
    assert '<span class="badge badge--due">Due</span>' in page
    assert session.session_id in viewer_client.get(f"{SESSIONS}{session.pk}/change/").text


# All pages.


def test_admin_header_shows_the_product_name(staff_client: Client) -> None:
    assert '<a href="/admin/">Threadkeeper</a>' in staff_client.get("/admin/").text


def test_pages_have_no_inline_script_or_style(make_session: MakeSession, owner: User, staff_client: Client) -> None:
    session = make_session(owner)
    run = cleanup(trigger=Trigger.COMMAND, dry_run=True).run_id
    pages = (
        "/admin/",
        SESSIONS,
        f"{SESSIONS}{session.pk}/change/",
        RUNS,
        f"{RUNS}{run}/change/",
        f"{RUNS}run/",
        f"{RUNS}preview/",
        "/admin/chat/user/",
        f"/admin/chat/user/{owner.pk}/change/",
    )

    for page in pages:
        response = staff_client.get(page)
        assert "script-src 'self'" in response.headers["Content-Security-Policy"]
        assert not INLINE.search(response.text), page
