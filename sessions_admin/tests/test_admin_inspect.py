"""The admin pages that inspect a session and export sessions."""

import json
import re
from pathlib import Path

import pytest
from django.test import Client

from chat.memory.statements import Fence
from chat.memory.sync_file import opened
from chat.models import AgentSession, User
from chat.models.turn import Status
from sessions_admin import audit
from sessions_admin.models import Action, AuditRecord
from sessions_admin.tests.conftest import MakeSession, MakeStaffClient, create_turn, text_of

SESSIONS = "/admin/chat/agentsession/"
WORDS = "message 2 of the party"


@pytest.fixture
def session(make_session: MakeSession, owner: User) -> AgentSession:
    """A session with messages of its owner."""
    return make_session(owner, title="Summer party")


@pytest.fixture
def auditor(make_staff_client: MakeStaffClient) -> Client:
    """Staff who may inspect sessions."""
    return make_staff_client("view_agentsession", "view_session_items")


def inspect_url(session: AgentSession) -> str:
    return f"{SESSIONS}{session.pk}/inspect/"


def test_page_asks_for_a_reason_and_warns_that_the_user_sees_it(auditor: Client, session: AgentSession) -> None:
    response = auditor.get(inspect_url(session))

    assert "the person can see in their settings when and why you inspected it" in text_of(response.text)
    assert WORDS not in response.text
    assert not AuditRecord.objects.exists()


def test_inspection_with_a_reason_shows_the_items_and_is_recorded(
    auditor: Client, session: AgentSession, owner: User
) -> None:
    response = auditor.post(inspect_url(session), {"reason": "She asked for help"})

    assert WORDS in response.text
    assert "Conversation" in response.text
    (record,) = AuditRecord.objects.all()
    assert (record.action, record.reason) == (Action.INSPECT, "She asked for help")
    assert record.actor == auditor.session["_auth_user_id"]
    assert [access.reason for access in audit.staff_accesses(owner.pk)] == ["She asked for help"]


def test_inspection_without_a_reason_shows_nothing(auditor: Client, session: AgentSession) -> None:
    response = auditor.post(inspect_url(session), {"reason": "  "})

    assert "requires a reason" in response.text
    assert WORDS not in response.text
    assert not AuditRecord.objects.exists()


def test_page_is_not_cached_and_no_url_contains_its_content(auditor: Client, session: AgentSession) -> None:
    response = auditor.post(inspect_url(session), {"reason": "She asked"})

    assert "no-store" in response.headers["Cache-Control"]
    assert not re.findall(r'href="[^"]*(party|asked)[^"]*"', response.text, re.IGNORECASE)


def test_session_content_is_html_escaped(auditor: Client, session: AgentSession, session_file: Path) -> None:
    page = "<img src=x onerror=alert(1)>"
    turn = create_turn(session, Status.DONE)
    turn.messages.update(text=page)
    with opened(session_file) as file:
        file.replace(session.session_id, [{"role": "user", "content": page}], Fence(1, 1))

    response = auditor.post(inspect_url(session), {"reason": page})

    assert response.text.count("&lt;img src=x") >= 4  # the reason, the item, the complete item, the message
    assert "<img src=x" not in response.text


def test_unknown_session_gets_404(auditor: Client) -> None:
    assert auditor.get(f"{SESSIONS}999/inspect/").status_code == 404


def test_selected_sessions_are_exported_as_json(
    auditor: Client, session: AgentSession, make_session: MakeSession, owner: User
) -> None:
    other = make_session(owner, title="Work")
    chosen = {"action": "export", "_selected_action": [session.pk, other.pk]}
    confirmation = auditor.post(SESSIONS, chosen)
    assert "Exported" in confirmation.text
    assert WORDS not in confirmation.text
    assert "Please enter a reason." in auditor.post(SESSIONS, {**chosen, "confirmed": "yes"}).text
    assert not AuditRecord.objects.exists()

    response = auditor.post(SESSIONS, {**chosen, "confirmed": "yes", "reason": "For the court"})

    found = json.loads(b"".join(response))["sessions"]
    assert {each["title"] for each in found} == {"Summer party", "Work"}
    assert len(found[0]["memory"]["stored"]) == 4
    assert re.fullmatch(r'attachment; filename="sessions-[\d-]+\.json"', response.headers["Content-Disposition"])
    assert "no-store" in response.headers["Cache-Control"]
    assert list(AuditRecord.objects.values_list("action", "reason")) == [("export", "For the court")] * 2


def test_inspect_link_requires_permission(auditor: Client, viewer_client: Client, session: AgentSession) -> None:
    page = f"{SESSIONS}{session.pk}/change/"

    assert inspect_url(session) in auditor.get(page).text
    assert inspect_url(session) not in viewer_client.get(page).text
