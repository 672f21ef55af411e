"""Clean-up runs in the admin: their pages, and the buttons that start and stop them."""

import os
import pydoc
import re
import uuid
from pathlib import Path

import pytest
from django.contrib.admin.models import LogEntry
from django.test import Client
from django.utils import timezone
from django_q.models import OrmQ

from chat.models import AgentSession, Conversation, User
from sessions_admin import heartbeat
from sessions_admin.admin.base import size
from sessions_admin.models import CleanupRun, RunStatus, Trigger
from sessions_admin.retention.cleanup import cleanup
from sessions_admin.tests.conftest import MakeSession, MakeStaffClient, queries_of, text_of

RUNS = "/admin/sessions_admin/cleanuprun/"


def given_run(status: RunStatus, *, dry_run: bool = False, **fields: object) -> CleanupRun:
    """Make a run with this status."""
    now = timezone.now()
    ended = now if status in (RunStatus.DONE, RunStatus.FAILED, RunStatus.STOPPED) else None
    started = None if status == RunStatus.QUEUED else now
    return CleanupRun.objects.create(
        trigger=Trigger.ADMIN,
        status=status,
        dry_run=dry_run,
        started_at=started,
        heartbeat_at=started,
        ended_at=ended,
        **fields,
    )


def run_queued_task() -> dict[str, object]:
    """Run the one queued task as the worker does, by the name of its function."""
    queued = OrmQ.objects.get()
    task = queued.task
    queued.delete()
    result: dict[str, object] = pydoc.locate(task["func"])(*task["args"], **task["kwargs"])  # type: ignore[operator]
    return result


# Runs.


def test_run_page_shows_totals_and_sessions(make_session: MakeSession, owner: User, viewer_client: Client) -> None:
    session = make_session(owner, items=37)
    report = cleanup(trigger=Trigger.COMMAND)

    page = viewer_client.get(f"{RUNS}{report.run_id}/change/").text

    text = text_of(page)
    assert "1 of 1 session examined Sessions 1 Items 37 Memory " in text
    assert "0 on hold skipped. " in text
    size_text = " ".join(size(session.byte_count).split())
    assert f"By person Person Sessions Items Size owner@example.com 1 37 {size_text} Total 1 37 {size_text} " in text
    assert session.session_id in page
    assert "owner@example.com" in page
    assert '<span class="badge badge--done">Done</span>' in page
    assert 'http-equiv="refresh"' not in page


def test_sessions_of_a_run_are_paginated(
    make_session: MakeSession, owner: User, viewer_client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sessions_admin.retention.run_results.PER_PAGE", 2)
    for items in (1, 2, 3):
        make_session(owner, items=items)
    run = cleanup(trigger=Trigger.COMMAND).run_id

    pages = [viewer_client.get(f"{RUNS}{run}/change/", {"page": page}).context["sessions"] for page in (1, 2, "x", 99)]

    assert [[session.items for session in page] for page in pages] == [[3, 2], [1], [3, 2], [1]]


def test_unknown_run_redirects_to_the_admin_index(viewer_client: Client) -> None:
    for name in ("nonsense", "00000000-0000-4000-8000-000000000000"):
        assert viewer_client.get(f"{RUNS}{name}/change/").headers["Location"] == "/admin/"


def test_number_of_queries_does_not_grow_with_sessions(
    make_session: MakeSession, owner: User, viewer_client: Client
) -> None:
    def run_one(sessions: int) -> tuple[int, int]:
        for _ in range(sessions):
            make_session(owner)
        run = cleanup(trigger=Trigger.ADMIN, actor=owner).run_id
        page = f"{RUNS}{run}/change/"
        viewer_client.get(page)  # content types are queried once per process
        return len(queries_of(viewer_client, RUNS)), len(queries_of(viewer_client, page))

    few, many = run_one(1), run_one(5)

    assert few == many
    assert max(many) <= 12


# Buttons.


@pytest.mark.parametrize("button", ["run", "preview"])
def test_confirmation_page_shows_what_would_be_removed(
    make_session: MakeSession, owner: User, manager_client: Client, button: str
) -> None:
    make_session(owner, items=5)
    make_session(owner, items=6)
    AgentSession.objects.update(byte_count=1024)

    page = text_of(manager_client.get(f"{RUNS}{button}/").text)

    assert "2 sessions 11 items 2.0 KB of memory" in page
    assert not CleanupRun.objects.exists()


@pytest.mark.parametrize(("button", "removed"), [("run", True), ("preview", False)])
def test_button_queues_a_run_and_redirects_to_its_page(
    make_session: MakeSession, owner: User, manager_client: Client, button: str, removed: bool
) -> None:
    session = make_session(owner)

    response = manager_client.post(f"{RUNS}{button}/", follow=True)
    waiting = response.text
    result = run_queued_task()
    done = manager_client.get(response.redirect_chain[-1][0]).text

    assert "Waiting for the worker, but none is running." in waiting
    assert '<span class="badge badge--queued">Queued</span>' in waiting
    assert '<meta http-equiv="refresh" content="3">' in waiting
    assert '<span class="badge badge--done">Done</span>' in done
    assert session.session_id in done
    assert (result["sessions"], result["dry_run"]) == (1, not removed)
    session.refresh_from_db()
    assert bool(session.gone_at) == removed


def test_requester_of_a_run_is_recorded(session_file: Path, staff: User, staff_client: Client) -> None:
    staff_client.post(f"{RUNS}run/")
    run_queued_task()
    staff_client.post(f"{RUNS}preview/")

    assert [run.actor for run in CleanupRun.objects.all()] == [staff, staff]
    entries = LogEntry.objects.order_by("pk")
    assert [(entry.user, entry.get_change_message()) for entry in entries] == [
        (staff, "Requested a clean-up."),
        (staff, "Requested a preview."),
    ]
    run = CleanupRun.objects.order_by("created_at").first()
    assert run is not None
    assert "Requested a clean-up." in staff_client.get(f"{RUNS}{run.pk}/history/").text


def test_second_run_is_refused_with_a_message(make_session: MakeSession, manager_client: Client) -> None:
    given_run(RunStatus.RUNNING)

    page = manager_client.post(f"{RUNS}run/", follow=True)

    assert page.redirect_chain == [(RUNS, 302)]
    assert "Another clean-up is running." in page.text
    assert CleanupRun.objects.count() == 1


# Progress.


def test_queued_run_shows_whether_a_worker_runs(viewer_client: Client) -> None:
    run = given_run(RunStatus.QUEUED)

    def progress_text() -> str:
        return text_of(viewer_client.get(f"{RUNS}{run.pk}/progress/").text)

    assert "Waiting for the worker, but none is running." in progress_text()
    heartbeat.beat(uuid.uuid4(), pid=os.getpid(), passed=True)
    assert "Waiting for the worker." in progress_text()


def test_running_run_shows_progress_and_log(viewer_client: Client) -> None:
    log = [["2026-05-01T12:00:00+00:00", "Begun."], ["2026-05-01T12:00:07+00:00", "1,000 of 4,000 looked at."]]
    run = given_run(RunStatus.RUNNING, total=4000, examined=1000, removed_sessions=999, removed_items=29970, log=log)

    page = viewer_client.get(f"{RUNS}{run.pk}/change/").text
    fragment = viewer_client.get(f"{RUNS}{run.pk}/progress/")

    for each in (page, fragment.text):
        assert '<progress max="4000" value="1000">' in each
        assert "1,000 of 4,000 sessions examined Sessions 999 Items 29,970 Memory" in text_of(each)
        assert "12:00:00 Begun. 12:00:07 1,000 of 4,000 looked at." in text_of(each)
        assert f'data-url="{RUNS}{run.pk}/progress/"' in each
    assert '<noscript><meta http-equiv="refresh" content="3"></noscript>' in page
    assert re.search(r'<script type="module" src="/static/sessions_admin/run[.\w]*.js">', page)
    assert "no-store" in fragment.headers["Cache-Control"]
    assert "<html" not in fragment.text


@pytest.mark.parametrize("status", [RunStatus.DONE, RunStatus.FAILED, RunStatus.STOPPED])
def test_page_of_an_ended_run_does_not_poll(manager_client: Client, status: RunStatus) -> None:
    run = given_run(status, error="No room.", total=0)

    page = manager_client.get(f"{RUNS}{run.pk}/change/").text

    assert "data-url" not in page and "run.js" not in page and "stop-run" not in page
    assert f'<span class="badge badge--{status.value}">{status.label}</span>' in page
    assert "No room." in page


def test_run_page_links_existing_sessions_for_staff_with_permission(
    make_session: MakeSession, owner: User, viewer_client: Client, make_staff_client: MakeStaffClient
) -> None:
    kept, purged = make_session(owner), make_session(owner)
    run = cleanup(trigger=Trigger.COMMAND).run_id
    Conversation.objects.get(pk=purged.conversation_id).delete()

    page = viewer_client.get(f"{RUNS}{run}/change/").text

    assert f'<a href="/admin/chat/agentsession/{kept.pk}/change/"><code>{kept.session_id}</code></a>' in page
    assert f"<td><code>{purged.session_id}</code></td>" in page
    assert "/agentsession/" not in make_staff_client("run_cleanup").get(f"{RUNS}{run}/change/").text


# Stopping.


def test_stop_button_requires_permission_and_stops_the_run(viewer_client: Client, manager_client: Client) -> None:
    run = given_run(RunStatus.RUNNING)
    run_url = f"{RUNS}{run.pk}/change/"

    assert "stop-run" not in viewer_client.get(run_url).text
    assert f'action="{RUNS}{run.pk}/stop/"' in manager_client.get(run_url).text
    assert manager_client.get(f"{RUNS}{run.pk}/stop/").status_code == 302
    page = manager_client.post(f"{RUNS}{run.pk}/stop/", follow=True).text

    assert "The run stops after the current batch." in page
    assert '<span class="badge badge--stopping">Stopping</span>' in page
    assert "stop-run" not in page


def test_queued_run_stops_at_once_and_cannot_be_stopped_again(manager_client: Client) -> None:
    run = given_run(RunStatus.QUEUED)

    assert "The run has stopped." in manager_client.post(f"{RUNS}{run.pk}/stop/", follow=True).text
    assert "This run has already ended." in manager_client.post(f"{RUNS}{run.pk}/stop/", follow=True).text


def test_unknown_run_has_no_progress_and_cannot_be_stopped(manager_client: Client) -> None:
    unknown_url = f"{RUNS}{uuid.uuid4()}"

    assert manager_client.get(f"{unknown_url}/progress/").status_code == 404
    assert "There is no such run." in manager_client.post(f"{unknown_url}/stop/", follow=True).text
