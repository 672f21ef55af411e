"""What staff read in the admin, and what its buttons set going."""

import re
from datetime import timedelta

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from chat.models import AgentSession, User
from sessions_admin.models import Trigger
from sessions_admin.retention.cleanup import cleanup
from sessions_admin.tests.conftest import GivenSession, Hire

SESSIONS, RUNS = "/admin/chat/agentsession/", "/admin/sessions_admin/cleanuprun/"
ALL = ["New", "Quiet", "Old"]
INLINE = re.compile(r"<style|\sstyle=|<script(?![^>]*\ssrc=)|\son\w+=|javascript:", re.IGNORECASE)


# The list of sessions.


def test_the_list_shows_each_session_with_its_state_and_size(
    given_session: GivenSession, owner: User, hire: Hire
) -> None:
    session = given_session(owner, title="Groceries")
    viewer_client = hire("view_session_items")
    AgentSession.objects.update(byte_count=2048, pruned_count=17)

    page = viewer_client.get(SESSIONS).text

    row = " ".join(re.sub("<[^>]*>", " ", page[page.index("<tbody>") : page.index("</tbody>")]).split())
    assert row.startswith("Groceries owner@example.com Due 4 2.0 KB 17 ")
    assert '<span class="badge badge--due">Due</span>' in page
    assert session.session_id in viewer_client.get(f"{SESSIONS}{session.pk}/change/").text


@pytest.mark.parametrize(
    ("state", "titles"), [("due", ["Old"]), ("idle", ["Quiet"]), ("active", ["New"]), ("gone", []), ("odd", ALL)]
)
def test_the_list_is_narrowed_by_state(
    given_session: GivenSession, owner: User, viewer_client: Client, state: str, titles: list[str]
) -> None:
    for title, idle in (("Old", 9), ("Quiet", 3), ("New", 0)):
        given_session(owner, title=title, idle=timedelta(days=idle))

    found = viewer_client.get(SESSIONS, {"state": state}).context["cl"].result_list

    assert [str(session.conversation) for session in found] == titles


def test_the_list_is_searched_by_address_title_and_id(
    given_session: GivenSession, owner: User, outsider: User, hire: Hire
) -> None:
    viewer_client = hire("view_session_items")
    mine, theirs = given_session(owner, title="Lisbon"), given_session(outsider, title="Kitchen")

    def found(words: str) -> list[AgentSession]:
        return list(viewer_client.get(SESSIONS, {"q": words}).context["cl"].result_list)

    assert found("owner@") == found("lisbon") == found(mine.session_id) == found(str(mine.conversation_id)) == [mine]
    assert found("KITCHEN") == [theirs]
    assert found("nothing like it") == []


def test_the_list_asks_no_more_for_many_sessions_than_for_one(
    given_session: GivenSession, owner: User, outsider: User, viewer_client: Client
) -> None:
    given_session(owner)
    few = _queries(viewer_client, SESSIONS)
    for person in (owner, outsider) * 5:
        given_session(person)

    many = _queries(viewer_client, SESSIONS)

    assert len(many) == len(few) <= 7
    # One count of what is shown, none of everything there is.
    assert sum("COUNT(*)" in query for query in many) == 1


# The page as a whole.


def test_the_admin_carries_the_products_name(staff_client: Client) -> None:
    assert '<a href="/admin/">Threadkeeper</a>' in staff_client.get("/admin/").text


def test_no_page_has_a_script_or_style_that_the_policy_would_refuse(
    given_session: GivenSession, owner: User, staff_client: Client
) -> None:
    session = given_session(owner)
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
        answer = staff_client.get(page)
        assert "script-src 'self'" in answer.headers["Content-Security-Policy"]
        assert not INLINE.search(answer.text), page


def _queries(browser: Client, page: str) -> list[str]:
    with CaptureQueriesContext(connection) as captured:
        assert browser.get(page).status_code == 200
    return [query["sql"] for query in captured.captured_queries]
