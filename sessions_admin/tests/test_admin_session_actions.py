"""Actions on the admin's list of sessions ask for confirmation and report their results."""

from pathlib import Path

import pytest
from django.test import Client

from chat.models import AgentSession, User
from chat.models.turn import Status
from sessions_admin.admin.session_verbs import VERBS
from sessions_admin.models import AuditRecord
from sessions_admin.tests.conftest import MakeSession, MakeStaffClient, count_rows, create_turn
from sessions_admin.tests.conversations import make_conversation

SESSIONS = "/admin/chat/agentsession/"


@pytest.fixture
def manager(make_staff_client: MakeStaffClient) -> Client:
    """Staff who manage and inspect sessions."""
    return make_staff_client("manage_agentsession", "view_session_items")


def press(client: Client, verb: str, *sessions: AgentSession, **more: str) -> str:
    """Choose an action for sessions; return the page that follows."""
    chosen = {"_selected_action": [str(session.pk) for session in sessions]}
    return client.post(SESSIONS, {"action": verb, **chosen, **more}, follow=True).content.decode()


@pytest.mark.parametrize("verb", [verb.name for verb in VERBS])
def test_action_asks_for_confirmation_and_names_its_session(
    manager: Client, make_session: MakeSession, owner: User, session_file: Path, verb: str
) -> None:
    session = make_session(owner, title="Summer party")

    page = press(manager, verb, session)

    assert "Summer party" in page
    assert next(each.effect for each in VERBS if each.name == verb).split(".")[0] in page
    assert count_rows(session_file, session.session_id)[0] == 4
    assert not AuditRecord.objects.exists()


def test_confirmed_action_runs_on_each_session_and_reports_results(
    manager: Client, make_session: MakeSession, owner: User, session_file: Path
) -> None:
    one, other, busy = (make_session(owner) for _ in range(3))
    create_turn(busy, Status.RUNNING)

    page = press(manager, "expire", one, other, busy, confirmed="yes", reason="tidy up")

    assert "2 sessions expired, 8 items removed." in page
    assert "A turn of this conversation is running" in page
    assert [count_rows(session_file, session.session_id)[0] for session in (one, other, busy)] == [0, 0, 4]
    assert list(AuditRecord.objects.values_list("action", "reason")) == [("expire", "tidy up")] * 3
    assert sorted("failed" in record.result for record in AuditRecord.objects.all()) == [False, False, True]
    manager_id = manager.session["_auth_user_id"]
    assert set(AuditRecord.objects.values_list("actor", flat=True)) == {manager_id}


def test_pruning_reports_that_no_items_were_over_the_limit(
    manager: Client, make_session: MakeSession, owner: User
) -> None:
    page = press(manager, "prune", make_session(owner), confirmed="yes")
    assert "no items to remove." in page and "pruned." not in page


@pytest.mark.django_db(transaction=True)
def test_rebuilding_reports_that_nothing_is_left_to_rebuild_from(
    manager: Client, owner: User, session_file: Path
) -> None:
    cleared, other = make_conversation(owner, session_file), make_conversation(owner, session_file)
    press(manager, "clear", cleared, confirmed="yes")

    page = press(manager, "rebuild", cleared, other, confirmed="yes")

    assert "1 session: no messages to rebuild from" in page and "1 session rebuilt." in page


def test_hold_requires_a_reason(manager: Client, make_session: MakeSession, owner: User) -> None:
    session = make_session(owner)

    assert "Please enter a reason." in press(manager, "hold", session, confirmed="yes", reason=" ")
    assert not AuditRecord.objects.exists()

    press(manager, "hold", session, confirmed="yes", reason="asked for")
    session.refresh_from_db()
    assert (session.is_held, session.hold_reason) == (True, "asked for")
    assert "held" in manager.get(f"{SESSIONS}?state=held").content.decode()
