"""The admin page that compares the stores and repairs differences on request."""

from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest
from django.test import Client
from django.utils import timezone
from django_q.models import OrmQ, Task

from chat.models import AgentSession, User
from sessions_admin.models import AuditRecord
from sessions_admin.stores.comparisons import COMPARE
from sessions_admin.tests.conftest import MakeStaffClient
from sessions_admin.tests.conversations import make_conversation
from sessions_admin.tests.test_admin_pages import INLINE
from sessions_admin.tests.test_admin_runs import run_queued_task

PAGE = "/admin/compare/"


@pytest.fixture
def manager(make_staff_client: MakeStaffClient) -> Client:
    return make_staff_client("view_agentsession", "manage_agentsession")


def submit(client: Client, **form: str) -> str:
    """Submit the form; return the URL of the redirect."""
    return str(client.post(PAGE, form).headers["Location"])


def run_comparison(url: str) -> None:
    """Run the queued task and store its result, as the worker does."""
    (task,) = parse_qs(urlsplit(url).query)["task"]
    result = run_queued_task()
    Task.objects.create(
        id=task, name="x", func=COMPARE, started=timezone.now(), stopped=timezone.now(), success=True, result=result
    )


def test_differences_are_shown_and_repaired_on_request(owner: User, session_file: Path, manager: Client) -> None:
    session = make_conversation(owner, session_file)
    AgentSession.objects.update(item_count=99)

    compare_url = submit(manager)
    page = manager.get(compare_url).text
    assert "No worker is running" in page
    assert 'http-equiv="refresh"' in page
    run_comparison(compare_url)
    page = manager.get(compare_url).text
    assert session.session_id in page
    assert "The metadata has other counts of items or bytes" in page
    assert 'http-equiv="refresh"' not in page
    assert not INLINE.search(page)
    assert AgentSession.objects.get().item_count == 99

    assert "Please enter a reason." in manager.post(PAGE, {"repair": "Repair", "reason": " "}).text
    assert not OrmQ.objects.exists()
    repair_url = submit(manager, repair="Repair", reason="after the outage")
    run_comparison(repair_url)
    assert "<strong>1</strong> repaired" in manager.get(repair_url).text
    assert AgentSession.objects.get().item_count == 6
    record = AuditRecord.objects.get(session_id=session.session_id)
    assert (record.actor, record.reason) == (manager.session["_auth_user_id"], "after the outage")


def test_agreement_of_the_stores_is_shown(owner: User, session_file: Path, manager: Client) -> None:
    make_conversation(owner, session_file)

    url = submit(manager)
    run_comparison(url)

    assert "The stores agree." in manager.get(url).text
    assert 'name="repair"' not in manager.get(url).text


def test_failed_and_unknown_comparisons_are_reported(session_file: Path, manager: Client) -> None:
    Task.objects.create(
        id="1", name="x", func=COMPARE, started=timezone.now(), stopped=timezone.now(), success=False, result="secret"
    )
    Task.objects.create(
        id="2", name="x", func="other", started=timezone.now(), stopped=timezone.now(), success=True, result={"a": 1}
    )

    assert "The comparison failed." in manager.get(f"{PAGE}?task=1").text
    for unknown in ("2", "nonsense"):
        assert "no longer available" in manager.get(f"{PAGE}?task={unknown}").text
