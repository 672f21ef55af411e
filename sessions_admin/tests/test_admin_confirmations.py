"""The confirmation page of an action shows its effect on each session, or why it will be refused."""

from datetime import UTC, datetime
from pathlib import Path

import pytest
from django.test import Client
from django.utils import timezone
from pytest_django import Settings

from chat.models import AgentSession, Turn, User
from chat.models.turn import Status
from sessions_admin.models import Action, AuditRecord
from sessions_admin.sessions.lifecycle import hold_session
from sessions_admin.sessions.previews import previews
from sessions_admin.tests.conftest import MakeSession, MakeStaffClient, count_rows, create_turn, text_of

SESSIONS = "/admin/chat/agentsession/"


@pytest.fixture
def manager(make_staff_client: MakeStaffClient) -> Client:
    """Staff who manage sessions."""
    return make_staff_client("manage_agentsession")


def post_action(client: Client, verb: str, *sessions: AgentSession, **more: str) -> str:
    """Choose an action for sessions; return the text of the page that follows."""
    chosen = {"action": verb, "_selected_action": [str(session.pk) for session in sessions]}
    return text_of(client.post(SESSIONS, {**chosen, **more}, follow=True).text)


def preview_of(action: Action, session: AgentSession) -> tuple[int, int, str]:
    (preview,) = previews(action, [AgentSession.objects.select_related("conversation").get(pk=session.pk)])
    return preview.items, preview.items_after, preview.refusal


def test_prune_page_shows_removed_and_kept_items(
    manager: Client, make_session: MakeSession, owner: User, settings: Settings
) -> None:
    settings.AGENT_SESSION_MAX_MESSAGES = 3
    session, small = make_session(owner, items=7), make_session(owner, items=2, title="Small")

    page = post_action(manager, "prune", session, small)

    assert "4 items removed, 3 kept owner@example.com 7 3" in page
    assert "No change owner@example.com 2 2" in page
    assert "4 items will be removed" in page


@pytest.mark.parametrize("verb", ["clear", "expire"])
def test_held_and_busy_sessions_are_shown_as_refused(
    manager: Client, make_session: MakeSession, owner: User, verb: str
) -> None:
    held, busy, free = (make_session(owner, title=title) for title in ("Held", "Busy", "Free"))
    hold_session(held.session_id, actor="os:tester", reason="asked for")
    create_turn(busy, Status.WAITING)

    page = post_action(manager, verb, held, busy, free)

    assert "Refused: This session is held; release it first. owner@example.com 4 4" in page
    assert "Refused: A turn of this conversation is running" in page.replace("&#x27;", "'")
    assert "4 items removed, 0 kept owner@example.com 4 0" in page
    assert "2 will be refused" in page
    done = post_action(manager, verb, held, busy, free, confirmed="yes")
    assert "1 session " in done
    assert [AgentSession.objects.get(pk=each.pk).gone_at is None for each in (held, busy, free)] == [True, True, False]


def test_preview_of_each_action_matches_its_effect(make_session: MakeSession, owner: User) -> None:
    session = make_session(owner)

    assert preview_of(Action.REBUILD, session) == (4, 0, "")
    assert preview_of(Action.HOLD, session) == (4, 4, "")
    assert preview_of(Action.RELEASE, session) == (4, 4, "This session is not held.")
    turn = create_turn(session, Status.DONE)
    Turn.objects.filter(pk=turn.pk).update(items=[{"role": "user", "content": "Hello again"}])
    assert preview_of(Action.REBUILD, session) == (4, 1, "")
    assert preview_of(Action.CLEAR, session) == preview_of(Action.EXPIRE, session) == (4, 0, "")


def test_preview_reports_a_missing_session_file(make_session: MakeSession, owner: User, session_file: Path) -> None:
    session = make_session(owner)
    for path in session_file.parent.glob("agent_sessions.db*"):
        path.unlink()

    assert preview_of(Action.CLEAR, session) == (4, 4, "There is no session file.")


def test_hold_ends_after_its_last_day(manager: Client, make_session: MakeSession, owner: User) -> None:
    session = make_session(owner)
    hold = {"confirmed": "yes", "reason": "The court asks"}

    assert "A hold cannot end in the past." in post_action(manager, "hold", session, until="2001-01-01", **hold)
    assert "Please enter a valid date." in post_action(manager, "hold", session, until="2031-02-30", **hold)
    assert "Please enter a valid date." in post_action(manager, "hold", session, until="soon", **hold)
    assert not AuditRecord.objects.exists()

    post_action(manager, "hold", session, until="2099-05-01", **hold)

    session.refresh_from_db()
    assert session.held_until == datetime(2099, 5, 2, tzinfo=UTC)
    post_action(manager, "hold", session, **hold)
    session.refresh_from_db()
    assert session.held_until is None


def test_hold_until_today_is_active(manager: Client, make_session: MakeSession, owner: User) -> None:
    session = make_session(owner)

    post_action(
        manager, "hold", session, until=f"{timezone.localdate():%Y-%m-%d}", confirmed="yes", reason="Today only"
    )

    session.refresh_from_db()
    assert session.is_held


def test_invalid_form_keeps_the_entered_reason(manager: Client, make_session: MakeSession, owner: User) -> None:
    page = post_action(
        manager, "hold", make_session(owner), until="2001-01-01", confirmed="yes", reason="The court asks"
    )

    assert "The court asks" in page


def test_action_on_a_session_page_returns_to_that_page(
    manager: Client, viewer_client: Client, make_session: MakeSession, owner: User, session_file: Path
) -> None:
    session = make_session(owner)
    page = f"{SESSIONS}{session.pk}/change/"
    assert 'value="expire"' in manager.get(page).text
    assert 'value="expire"' not in viewer_client.get(page).text
    assert 'name="action"' not in viewer_client.get(SESSIONS).text
    form = {"action": "expire", "_selected_action": session.pk, "back": session.pk}
    assert f'name="back" value="{session.pk}"' in manager.post(SESSIONS, form).text

    response = manager.post(SESSIONS, {**form, "confirmed": "yes"})

    assert response.headers["Location"] == page
    assert count_rows(session_file, session.session_id)[0] == 0
    assert f"Session “{session.session_id}” expired, 4 items removed." in manager.get(page).text


def test_messages_name_sessions_by_title_or_full_id(
    make_staff_client: MakeStaffClient, manager: Client, make_session: MakeSession, owner: User
) -> None:
    """Django capitalises the first letter of a message, which would change an id."""
    session = make_session(owner, title="groceries")
    hold_session(session.session_id, actor="os:tester", reason="asked for")
    form = {"action": "expire", "_selected_action": session.pk, "confirmed": "yes"}
    reader = make_staff_client("manage_agentsession", "view_session_items")
    assert "Session “groceries”: This session is held" in reader.post(SESSIONS, form, follow=True).text
    assert f"Session “{session.session_id}”: This session is held" in manager.post(SESSIONS, form, follow=True).text
