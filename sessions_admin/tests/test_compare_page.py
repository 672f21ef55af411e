"""The page on which staff have the stores compared, and repaired after they have read what differs."""

from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest
from django.test import Client
from django.utils import timezone
from django_q.models import OrmQ, Task

from chat.models import AgentSession, User
from sessions_admin.models import AuditRecord
from sessions_admin.stores.comparisons import COMPARE
from sessions_admin.tests.conftest import Hire
from sessions_admin.tests.talks import talked
from sessions_admin.tests.test_admin_pages import INLINE
from sessions_admin.tests.test_admin_runs import run_queued_task

PAGE = "/admin/compare/"


@pytest.fixture
def manager(hire: Hire) -> Client:
    return hire("view_agentsession", "manage_agentsession")


def ask(browser: Client, **form: str) -> str:
    """Press a button; return the address it leads to."""
    return str(browser.post(PAGE, form).headers["Location"])


def carry_out(address: str) -> None:
    """Do the queued task as the worker does, and keep its result as the worker does."""
    (task,) = parse_qs(urlsplit(address).query)["task"]
    result = run_queued_task()
    Task.objects.create(
        id=task, name="x", func=COMPARE, started=timezone.now(), stopped=timezone.now(), success=True, result=result
    )


def test_what_differs_is_shown_first_and_repaired_when_asked(owner: User, session_file: Path, manager: Client) -> None:
    session = talked(owner, session_file)
    AgentSession.objects.update(item_count=99)

    waiting = ask(manager)
    page = manager.get(waiting).text
    assert "No worker is running" in page
    assert 'http-equiv="refresh"' in page
    carry_out(waiting)
    page = manager.get(waiting).text
    assert session.session_id in page
    assert "The metadata has other counts of items or bytes" in page
    assert 'http-equiv="refresh"' not in page
    assert not INLINE.search(page)
    assert AgentSession.objects.get().item_count == 99

    assert "Please enter a reason." in manager.post(PAGE, {"repair": "Repair", "reason": " "}).text
    assert not OrmQ.objects.exists()
    repairing = ask(manager, repair="Repair", reason="after the outage")
    carry_out(repairing)
    assert "<strong>1</strong> repaired" in manager.get(repairing).text
    assert AgentSession.objects.get().item_count == 6
    record = AuditRecord.objects.get(session_id=session.session_id)
    assert (record.actor, record.reason) == (manager.session["_auth_user_id"], "after the outage")


def test_two_stores_that_agree_are_said_to(owner: User, session_file: Path, manager: Client) -> None:
    talked(owner, session_file)

    address = ask(manager)
    carry_out(address)

    assert "The stores agree." in manager.get(address).text
    assert 'name="repair"' not in manager.get(address).text


def test_a_comparison_that_failed_or_is_unknown_says_so(session_file: Path, manager: Client) -> None:
    Task.objects.create(
        id="1", name="x", func=COMPARE, started=timezone.now(), stopped=timezone.now(), success=False, result="secret"
    )
    Task.objects.create(
        id="2", name="x", func="other", started=timezone.now(), stopped=timezone.now(), success=True, result={"a": 1}
    )

    assert "The comparison failed." in manager.get(f"{PAGE}?task=1").text
    for unknown in ("2", "nonsense"):
        assert "no longer available" in manager.get(f"{PAGE}?task={unknown}").text
