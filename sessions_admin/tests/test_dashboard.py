"""The dashboard on the index page of the admin: permissions, content and queries."""

import os
import re
import uuid
from datetime import timedelta
from pathlib import Path

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from django_q.models import OrmQ

from chat.models import AgentSession, PendingDeletion, User
from sessions_admin import heartbeat, schedules
from sessions_admin.models import StoreSample
from sessions_admin.sessions import lifecycle
from sessions_admin.store_samples import sample
from sessions_admin.tests.conftest import OLD, ClientOf, MakeStaffClient, text_of
from sessions_admin.tests.conversations import make_conversation
from sessions_admin.tests.sample_data import insert_sample_data
from sessions_admin.tests.test_admin_pages import INLINE

HOME = "/admin/"
NO_WORKER = "No worker is running"


@pytest.fixture
def worker(db: None) -> None:
    """A worker that has just reported."""
    heartbeat.beat(uuid.uuid4(), pid=os.getpid(), passed=True)


@pytest.mark.parametrize("role", ["anonymous", "outsider", "unprivileged_staff", "viewer", "staff"])
def test_dashboard_requires_permission_to_view_sessions(role: str, client_of: ClientOf, session_file: Path) -> None:
    response = client_of(role).get(HOME)

    assert response.status_code == (302 if role in ("anonymous", "outsider") else 200)
    assert ("board-tiles" in response.text) == (role in ("viewer", "staff"))
    assert response.status_code == 302 or "content-main" in response.text, "Django’s own index is missing for staff"


def test_counts_link_to_the_sessions_they_count(owner: User, session_file: Path, viewer_client: Client) -> None:
    make_conversation(owner, session_file)
    make_conversation(owner, session_file, idle=OLD)
    lifecycle.hold_session(make_conversation(owner, session_file).session_id, actor="os:x", reason="the court")

    page = viewer_client.get(HOME).text

    for state, count in (("due", 1), ("held", 1), ("active", 1), ("idle", 0)):
        link = f"/admin/chat/agentsession/?state={state}"
        assert f'href="{link}"' in page
        assert len(viewer_client.get(link).context["cl"].result_list) == count
    text = text_of(viewer_client.get(HOME).text)
    assert "3 sessions 18 items" in text
    assert "1 due for the next clean-up" in text
    assert "Would remove now 1 session , 6 items" in text


def test_missing_worker_is_reported(session_file: Path, viewer_client: Client) -> None:
    assert NO_WORKER in text_of(viewer_client.get(HOME).text)
    assert "Worker is not running" in text_of(viewer_client.get(HOME).text)


def test_deletion_blocked_by_a_reader_is_reported(session_file: Path, viewer_client: Client) -> None:
    PendingDeletion.objects.create()
    assert "Deleted text can still be read" not in text_of(viewer_client.get(HOME).text)

    PendingDeletion.objects.update(created_at=timezone.now() - timedelta(minutes=6))
    assert "Deleted text can still be read in the session file, since" in text_of(viewer_client.get(HOME).text)


def test_running_worker_and_late_worker_are_reported(session_file: Path, worker: None, viewer_client: Client) -> None:
    schedules.ensure()
    assert "board-problems" not in viewer_client.get(HOME).text
    assert "Worker runs" in text_of(viewer_client.get(HOME).text)

    OrmQ.objects.create(key="threadkeeper", payload="", lock=timezone.now() - timedelta(minutes=6))
    assert "The worker is behind" in text_of(viewer_client.get(HOME).text)


def test_charts_have_titles_and_tables(owner: User, session_file: Path, viewer_client: Client) -> None:
    make_conversation(owner, session_file)
    StoreSample.objects.create(at=timezone.now() - timedelta(hours=2), sessions=1, items=1, bytes=1, file_bytes=9)
    sample()

    page = viewer_client.get(HOME).text

    charts = re.findall(r'<svg[^>]* role="img" aria-labelledby="(\S+) (\S+)">', page)
    assert [title for title, _ in charts] == ["messages-title", "active-sessions-title", "states-title", "growth-title"]
    assert all(f'id="{name}"' in page for pair in charts for name in pair)
    assert "6 messages</title>" in page
    assert page.count("<summary>As a table</summary>") == 2
    assert not INLINE.search(page)


def test_dashboard_works_with_an_empty_database(session_file: Path, viewer_client: Client) -> None:
    text = text_of(viewer_client.get(HOME).text)

    assert "No sessions yet" in text
    assert "0 sessions" in text
    assert not INLINE.search(viewer_client.get(HOME).text)


def test_links_require_permission(make_staff_client: MakeStaffClient, session_file: Path) -> None:
    viewer_page = make_staff_client("view_agentsession").get(HOME).text
    assert "/admin/compare/" not in viewer_page
    assert "/admin/sessions_admin/cleanuprun/" not in viewer_page

    manager_page = make_staff_client("view_agentsession", "manage_agentsession", "view_cleanuprun").get(HOME).text
    assert 'href="/admin/compare/"' in manager_page
    assert 'href="/admin/sessions_admin/cleanuprun/"' in manager_page


def test_number_of_queries_does_not_grow_with_sessions(session_file: Path, viewer_client: Client) -> None:
    def dashboard_queries() -> list[str]:
        viewer_client.get(HOME)  # caches the activity of past days
        with CaptureQueriesContext(connection) as captured:
            viewer_client.get(HOME)
        return [query["sql"] for query in captured.captured_queries]

    few = dashboard_queries()
    insert_sample_data(people=20, sessions=2_000, turns=0)
    many = dashboard_queries()

    assert len(many) <= len(few) <= 38
    assert AgentSession.objects.count() == 2_000
