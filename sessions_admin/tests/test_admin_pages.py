"""What staff read in the admin, and what its buttons set going."""

import pydoc
import re
from datetime import timedelta

import pytest
from django.contrib.admin.models import LogEntry
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django_q.models import OrmQ

from chat.models import AgentSession, User
from sessions_admin.cleanup import cleanup
from sessions_admin.models import CleanupRun, RunStatus, Trigger
from sessions_admin.tests.conftest import GivenSession

SESSIONS, RUNS = "/admin/chat/agentsession/", "/admin/sessions_admin/cleanuprun/"
ALL = ["New", "Quiet", "Old"]
INLINE = re.compile(r"<style|\sstyle=|<script(?![^>]*\ssrc=)|\son\w+=|javascript:", re.IGNORECASE)


def work_off_the_queue() -> dict[str, object]:
    """Do the one queued task as the worker does: by the names in the queue."""
    queued = OrmQ.objects.get()
    task = queued.task
    queued.delete()
    result: dict[str, object] = pydoc.locate(task["func"])(*task["args"], **task["kwargs"])  # type: ignore[operator]
    return result


# The list of sessions.


def test_the_list_shows_each_session_with_its_state_and_size(
    given_session: GivenSession, owner: User, viewer_client: Client
) -> None:
    session = given_session(owner, title="Groceries")
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
    given_session: GivenSession, owner: User, outsider: User, viewer_client: Client
) -> None:
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

    assert len(many) == len(few) <= 6
    # One count of what is shown, none of everything there is.
    assert sum("COUNT(*)" in query for query in many) == 1


# Runs.


def test_a_runs_page_shows_its_figures_and_its_sessions(
    given_session: GivenSession, owner: User, viewer_client: Client
) -> None:
    session = given_session(owner, items=37)
    report = cleanup(trigger=Trigger.COMMAND)

    page = viewer_client.get(f"{RUNS}{report.run_id}/change/").text

    shown = " ".join(re.sub("<[^>]*>", " ", page).split())
    assert "Examined: 1 Sessions: 1 Items: 37 Size:" in shown
    assert session.session_id in page
    assert "owner@example.com" in page
    assert '<span class="badge badge--done">Done</span>' in page
    assert 'http-equiv="refresh"' not in page


def test_a_runs_sessions_are_shown_a_page_at_a_time(
    given_session: GivenSession, owner: User, viewer_client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sessions_admin.listing.PER_PAGE", 2)
    for items in (1, 2, 3):
        given_session(owner, items=items)
    run = cleanup(trigger=Trigger.COMMAND).run_id

    pages = [viewer_client.get(f"{RUNS}{run}/change/", {"page": page}).context["sessions"] for page in (1, 2, "x", 99)]

    assert [[session.items for session in page] for page in pages] == [[3, 2], [1], [3, 2], [1]]


def test_a_run_that_is_not_there_is_answered_as_the_admin_does(viewer_client: Client) -> None:
    for name in ("nonsense", "00000000-0000-4000-8000-000000000000"):
        assert viewer_client.get(f"{RUNS}{name}/change/").headers["Location"] == "/admin/"


def test_runs_ask_no_more_for_many_than_for_one(
    given_session: GivenSession, owner: User, viewer_client: Client
) -> None:
    def run_one(sessions: int) -> tuple[int, int]:
        for _ in range(sessions):
            given_session(owner)
        run = cleanup(trigger=Trigger.ADMIN, actor=owner).run_id
        return len(_queries(viewer_client, RUNS)), len(_queries(viewer_client, f"{RUNS}{run}/change/"))

    few, many = run_one(1), run_one(5)

    assert few == many
    assert max(many) <= 8


# Buttons.


@pytest.mark.parametrize("button", ["run", "preview"])
def test_a_button_first_says_what_would_go(
    given_session: GivenSession, owner: User, manager_client: Client, button: str
) -> None:
    given_session(owner, items=5)
    given_session(owner, items=6)
    AgentSession.objects.update(byte_count=1024)

    page = " ".join(re.sub("<[^>]*>", " ", manager_client.get(f"{RUNS}{button}/").text).split())

    assert "2 sessions 11 items 2.0 KB of memory" in page
    assert not CleanupRun.objects.exists()


@pytest.mark.parametrize(("button", "removed"), [("run", True), ("preview", False)])
def test_a_button_has_the_worker_do_it_and_leads_to_the_run(
    given_session: GivenSession, owner: User, manager_client: Client, button: str, removed: bool
) -> None:
    session = given_session(owner)

    answer = manager_client.post(f"{RUNS}{button}/", follow=True)
    waiting = answer.text
    result = work_off_the_queue()
    done = manager_client.get(answer.redirect_chain[-1][0]).text

    assert "It waits for the worker." in waiting
    assert '<span class="badge badge--queued">Queued</span>' in waiting
    assert '<meta http-equiv="refresh" content="3">' in waiting
    assert '<span class="badge badge--done">Done</span>' in done
    assert session.session_id in done
    assert (result["sessions"], result["dry_run"]) == (1, not removed)
    session.refresh_from_db()
    assert bool(session.gone_at) == removed


def test_who_asked_is_written_down(staff: User, staff_client: Client) -> None:
    staff_client.post(f"{RUNS}run/")
    staff_client.post(f"{RUNS}preview/")

    assert [run.actor for run in CleanupRun.objects.all()] == [staff, staff]
    entries = LogEntry.objects.order_by("pk")
    assert [(entry.user, entry.get_change_message()) for entry in entries] == [
        (staff, "Asked for a clean-up."),
        (staff, "Asked for a preview."),
    ]
    run = CleanupRun.objects.order_by("created_at").first()
    assert run is not None
    assert "Asked for a clean-up." in staff_client.get(f"{RUNS}{run.pk}/history/").text


def test_a_run_without_an_end_says_so(staff_client: Client) -> None:
    run = CleanupRun.objects.create(trigger=Trigger.ADMIN, status=RunStatus.FAILED, error="It stopped without a word.")

    assert "It stopped without a word." in staff_client.get(f"{RUNS}{run.pk}/change/").text


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
