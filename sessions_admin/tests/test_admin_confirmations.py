"""Before a verb is used on sessions, a page says of each what will happen, and why it will be refused."""

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
from sessions_admin.tests.conftest import GivenSession, Hire, give_turn, shown, stored

SESSIONS = "/admin/chat/agentsession/"


@pytest.fixture
def manager(hire: Hire) -> Client:
    """Staff who look after sessions."""
    return hire("manage_agentsession")


def ask(browser: Client, verb: str, *sessions: AgentSession, **more: str) -> str:
    """Choose sessions and a verb; return what the page that comes of it says."""
    chosen = {"action": verb, "_selected_action": [str(session.pk) for session in sessions]}
    return shown(browser.post(SESSIONS, {**chosen, **more}, follow=True).text)


def foreseen(action: Action, session: AgentSession) -> tuple[int, int, str]:
    (prospect,) = previews(action, [AgentSession.objects.select_related("conversation").get(pk=session.pk)])
    return prospect.items, prospect.items_after, prospect.refusal


def test_pruning_says_how_many_items_go_and_stay(
    manager: Client, given_session: GivenSession, owner: User, settings: Settings
) -> None:
    settings.AGENT_SESSION_MAX_MESSAGES = 3
    session, small = given_session(owner, items=7), given_session(owner, items=2, title="Small")

    page = ask(manager, "prune", session, small)

    assert "owner@example.com 7 3 4 items removed, 3 kept" in page
    assert "owner@example.com 2 2 No change" in page
    assert "4 items will be removed" in page


@pytest.mark.parametrize("verb", ["clear", "expire"])
def test_what_is_held_or_at_work_will_be_refused_and_is_said_so(
    manager: Client, given_session: GivenSession, owner: User, verb: str
) -> None:
    held, busy, free = (given_session(owner, title=title) for title in ("Held", "Busy", "Free"))
    hold_session(held.session_id, actor="os:tester", reason="asked for")
    give_turn(busy, Status.WAITING)

    page = ask(manager, verb, held, busy, free)

    assert "4 4 Refused: This session is held; release it first." in page
    assert "4 4 Refused: A turn of this conversation is running" in page.replace("&#x27;", "'")
    assert "4 0 4 items removed, 0 kept" in page
    assert "2 will be refused" in page
    done = ask(manager, verb, held, busy, free, confirmed="yes")
    assert "1 session " in done
    assert [AgentSession.objects.get(pk=each.pk).gone_at is None for each in (held, busy, free)] == [True, True, False]


def test_what_is_said_of_each_verb_is_what_it_does(given_session: GivenSession, owner: User) -> None:
    session = given_session(owner)

    assert foreseen(Action.REBUILD, session) == (4, 0, "")
    assert foreseen(Action.HOLD, session) == (4, 4, "")
    assert foreseen(Action.RELEASE, session) == (4, 4, "This session is not held.")
    turn = give_turn(session, Status.DONE)
    Turn.objects.filter(pk=turn.pk).update(items=[{"role": "user", "content": "Hello again"}])
    assert foreseen(Action.REBUILD, session) == (4, 1, "")
    assert foreseen(Action.CLEAR, session) == foreseen(Action.EXPIRE, session) == (4, 0, "")


def test_where_the_file_cannot_be_read_that_is_said(
    given_session: GivenSession, owner: User, session_file: Path
) -> None:
    session = given_session(owner)
    for path in session_file.parent.glob("agent_sessions.db*"):
        path.unlink()

    assert foreseen(Action.CLEAR, session) == (4, 4, "There is no session file.")


def test_a_hold_ends_with_the_day_that_is_given(manager: Client, given_session: GivenSession, owner: User) -> None:
    session = given_session(owner)
    hold = {"confirmed": "yes", "reason": "The court asks"}

    assert "A hold cannot end in the past." in ask(manager, "hold", session, until="2001-01-01", **hold)
    assert "Please enter a valid date." in ask(manager, "hold", session, until="2031-02-30", **hold)
    assert "Please enter a valid date." in ask(manager, "hold", session, until="soon", **hold)
    assert not AuditRecord.objects.exists()

    ask(manager, "hold", session, until="2099-05-01", **hold)

    session.refresh_from_db()
    assert session.held_until == datetime(2099, 5, 2, tzinfo=UTC)
    ask(manager, "hold", session, **hold)
    session.refresh_from_db()
    assert session.held_until is None


def test_a_hold_until_today_is_still_one(manager: Client, given_session: GivenSession, owner: User) -> None:
    session = given_session(owner)

    ask(manager, "hold", session, until=f"{timezone.localdate():%Y-%m-%d}", confirmed="yes", reason="Today only")

    session.refresh_from_db()
    assert session.is_held


def test_what_was_written_is_kept_when_something_is_wrong(
    manager: Client, given_session: GivenSession, owner: User
) -> None:
    page = ask(manager, "hold", given_session(owner), until="2001-01-01", confirmed="yes", reason="The court asks")

    assert "The court asks" in page


def test_a_session_is_looked_after_from_its_own_page_and_back_there_afterwards(
    manager: Client, viewer_client: Client, given_session: GivenSession, owner: User, session_file: Path
) -> None:
    session = given_session(owner)
    page = f"{SESSIONS}{session.pk}/change/"
    assert 'value="expire"' in manager.get(page).text
    assert 'value="expire"' not in viewer_client.get(page).text
    assert 'name="action"' not in viewer_client.get(SESSIONS).text
    form = {"action": "expire", "_selected_action": session.pk, "back": session.pk}
    assert f'name="back" value="{session.pk}"' in manager.post(SESSIONS, form).text

    answer = manager.post(SESSIONS, {**form, "confirmed": "yes"})

    assert answer.headers["Location"] == page
    assert stored(session_file, session.session_id)[0] == 0
    assert f"Session “{session.session_id}” expired, 4 items removed." in manager.get(page).text


def test_messages_name_a_session_by_its_title_or_by_its_whole_id(
    hire: Hire, manager: Client, given_session: GivenSession, owner: User
) -> None:
    """Django capitalises the first letter of a message, and an id is lost by that."""
    session = given_session(owner, title="groceries")
    hold_session(session.session_id, actor="os:tester", reason="asked for")
    form = {"action": "expire", "_selected_action": session.pk, "confirmed": "yes"}
    reader = hire("manage_agentsession", "view_session_items")
    assert "Session “groceries”: This session is held" in reader.post(SESSIONS, form, follow=True).text
    assert f"Session “{session.session_id}”: This session is held" in manager.post(SESSIONS, form, follow=True).text
