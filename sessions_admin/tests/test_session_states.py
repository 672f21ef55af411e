"""The state of a session is derived from its rows."""

from datetime import timedelta

import pytest
from django.test import Client
from django.utils import timezone

from chat.exceptions import Conflict
from chat.memory.identity import SessionId
from chat.memory.metadata import update_metadata
from chat.memory.quarantine import Suspect, quarantine
from chat.memory.statements import Size
from chat.models import AgentSession, User
from chat.models.session import State
from sessions_admin.sessions.lifecycle import expire_session, hold_session, rebuild_session
from sessions_admin.tests.conftest import MakeSession

BAD = [Suspect(7, "half a thought", "holds no item")]


def state(session: AgentSession) -> str:
    """Return the state, on which both querysets must agree."""
    found: str = AgentSession.objects.with_state().get(pk=session.pk).state  # type: ignore[attr-defined]
    in_states = [each for each in State if AgentSession.objects.in_state(each).filter(pk=session.pk).exists()]
    assert in_states == [found]
    return found


@pytest.mark.parametrize(("days", "expected"), [(0, "active"), (2, "idle"), (7, "due"), (40, "due")])
def test_state_depends_on_the_idle_time(make_session: MakeSession, owner: User, days: int, expected: str) -> None:
    assert state(make_session(owner, idle=timedelta(days=days))) == expected


def test_session_is_held_until_the_hold_ends(make_session: MakeSession, owner: User) -> None:
    session = make_session(owner)
    hold_session(session.session_id, actor="os:tester", reason="asked for")
    assert state(session) == "held"

    AgentSession.objects.update(held_until=timezone.now())
    assert state(session) == "due"


def test_new_hold_cannot_end_before_the_current_one(make_session: MakeSession, owner: User) -> None:
    session, day = make_session(owner), timedelta(days=1)
    begin = timezone.now()
    hold_session(session.session_id, actor="os:tester", reason="a dispute", until=begin + day)
    hold_session(session.session_id, actor="os:tester", reason="a longer one", until=begin + 2 * day)
    hold_session(session.session_id, actor="os:tester", reason="the court")
    with pytest.raises(Conflict, match="already held without an end; release it first"):
        hold_session(session.session_id, actor="os:tester", reason="a dispute", until=begin + day)
    session.refresh_from_db()
    assert (session.held_until, session.hold_reason) == (None, "the court")


def test_gone_takes_precedence_over_other_states(make_session: MakeSession, owner: User) -> None:
    session = make_session(owner)
    expire_session(session.session_id, actor="os:tester")
    AgentSession.objects.update(held_at=timezone.now(), last_error="quarantined")

    assert state(session) == "gone"


def test_session_is_quarantined_until_a_turn_updates_the_store(make_session: MakeSession, owner: User) -> None:
    session = make_session(owner)
    other = make_session(owner)
    quarantine(session.session_id, BAD)
    assert (state(session), state(other)) == ("quarantined", "due")

    identity = SessionId(session.user_id, session.conversation_id)
    update_metadata(identity, size=None, now=timezone.now(), error="context_unavailable")
    assert state(session) == "quarantined"

    update_metadata(identity, size=Size(2, 80), now=timezone.now())
    assert state(session) == "active"


def test_held_session_is_quarantined_until_staff_rebuild_it(make_session: MakeSession, owner: User) -> None:
    session = make_session(owner, idle=timedelta(0))
    hold_session(session.session_id, actor="os:tester", reason="asked for")
    quarantine(session.session_id, BAD)
    assert state(session) == "quarantined"

    rebuild_session(session.session_id, actor="os:tester")

    assert state(session) == "gone"  # the journal has no turn of it
    AgentSession.objects.update(gone_at=None)
    assert state(session) == "held"


def test_admin_page_explains_the_quarantine(make_session: MakeSession, owner: User, viewer_client: Client) -> None:
    session = make_session(owner)
    quarantine(session.session_id, BAD)

    page = viewer_client.get(f"/admin/chat/agentsession/{session.pk}/change/").text

    assert "Some rows are invalid and in quarantine. The next turn or a rebuild repairs the session." in page
    assert '<span class="badge badge--quarantined">Quarantined</span>' in page
    assert "half a thought" not in page
