"""The pages by which staff look into a session, and take sessions along as a file."""

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
from sessions_admin.tests.conftest import GivenSession, Hire, give_turn, shown

SESSIONS = "/admin/chat/agentsession/"
WORDS = "message 2 of the party"


@pytest.fixture
def session(given_session: GivenSession, owner: User) -> AgentSession:
    """A session with somebody's words in it."""
    return given_session(owner, title="Summer party")


@pytest.fixture
def auditor(hire: Hire) -> Client:
    """Staff who may look into sessions."""
    return hire("view_agentsession", "view_session_items")


def page_of(session: AgentSession) -> str:
    return f"{SESSIONS}{session.pk}/inspect/"


def test_it_asks_why_first_and_says_that_the_person_will_see_it(auditor: Client, session: AgentSession) -> None:
    answer = auditor.get(page_of(session))

    assert "the person can see in their settings when and why you inspected it" in shown(answer.text)
    assert WORDS not in answer.text
    assert not AuditRecord.objects.exists()


def test_with_a_reason_the_items_are_shown_and_it_is_recorded(
    auditor: Client, session: AgentSession, owner: User
) -> None:
    answer = auditor.post(page_of(session), {"reason": "She asked for help"})

    assert WORDS in answer.text
    assert "Conversation" in answer.text
    (record,) = AuditRecord.objects.all()
    assert (record.action, record.reason) == (Action.INSPECT, "She asked for help")
    assert record.actor == auditor.session["_auth_user_id"]
    assert [look.reason for look in audit.staff_accesses(owner.pk)] == ["She asked for help"]


def test_without_a_reason_nothing_is_shown(auditor: Client, session: AgentSession) -> None:
    answer = auditor.post(page_of(session), {"reason": "  "})

    assert "requires a reason" in answer.text
    assert WORDS not in answer.text
    assert not AuditRecord.objects.exists()


def test_no_cache_keeps_it_and_no_address_has_anything_of_it(auditor: Client, session: AgentSession) -> None:
    answer = auditor.post(page_of(session), {"reason": "She asked"})

    assert "no-store" in answer.headers["Cache-Control"]
    assert not re.findall(r'href="[^"]*(party|asked)[^"]*"', answer.text, re.IGNORECASE)


def test_what_somebody_wrote_is_shown_as_text_and_never_as_a_page(
    auditor: Client, session: AgentSession, session_file: Path
) -> None:
    page = "<img src=x onerror=alert(1)>"
    turn = give_turn(session, Status.DONE)
    turn.messages.update(text=page)
    with opened(session_file) as file:
        file.replace(session.session_id, [{"role": "user", "content": page}], Fence(1, 1))

    answer = auditor.post(page_of(session), {"reason": page})

    assert answer.text.count("&lt;img src=x") >= 4  # the reason, the item, the whole of it, the message
    assert "<img src=x" not in answer.text


def test_a_session_that_is_not_there_is_not_found(auditor: Client) -> None:
    assert auditor.get(f"{SESSIONS}999/inspect/").status_code == 404


def test_chosen_sessions_are_taken_along_as_a_file(
    auditor: Client, session: AgentSession, given_session: GivenSession, owner: User
) -> None:
    other = given_session(owner, title="Work")
    chosen = {"action": "export", "_selected_action": [session.pk, other.pk]}
    asked = auditor.post(SESSIONS, chosen)
    assert "Exported" in asked.text
    assert WORDS not in asked.text
    assert "Please enter a reason." in auditor.post(SESSIONS, {**chosen, "confirmed": "yes"}).text
    assert not AuditRecord.objects.exists()

    answer = auditor.post(SESSIONS, {**chosen, "confirmed": "yes", "reason": "For the court"})

    found = json.loads(b"".join(answer))["sessions"]
    assert {each["title"] for each in found} == {"Summer party", "Work"}
    assert len(found[0]["memory"]["stored"]) == 4
    assert re.fullmatch(r'attachment; filename="sessions-[\d-]+\.json"', answer.headers["Content-Disposition"])
    assert "no-store" in answer.headers["Cache-Control"]
    assert list(AuditRecord.objects.values_list("action", "reason")) == [("export", "For the court")] * 2


def test_a_sessions_page_has_the_button_for_those_who_may(
    auditor: Client, viewer_client: Client, session: AgentSession
) -> None:
    page = f"{SESSIONS}{session.pk}/change/"

    assert page_of(session) in auditor.get(page).text
    assert page_of(session) not in viewer_client.get(page).text
