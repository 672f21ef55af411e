"""Lists of sessions."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.utils import timezone

from chat.exceptions import NotFound
from chat.infra.pagination import newest_first
from chat.models import AgentSession
from chat.models.session import AgentSessionQuerySet, State
from sessions_admin.reports import Report


@dataclass(frozen=True, slots=True)
class SessionLine(Report):
    """A session in a list."""

    session_id: str
    email: str
    title: str
    state: str
    items: int
    bytes: int
    pruned: int
    last_activity_at: datetime


@dataclass(frozen=True, slots=True)
class SessionDetails(SessionLine):
    """A session's metadata."""

    first_activity_at: datetime
    gone_at: datetime | None
    held_at: datetime | None
    held_until: datetime | None
    hold_reason: str
    last_error: str


def list_sessions(
    *, state: str | None = None, email: str | None = None, inactive_for: timedelta | None = None
) -> Iterator[SessionLine]:
    """Yield the sessions that match the filters, the longest inactive first."""
    sessions = _matching(state, email, inactive_for).order_by("last_activity_at")
    for session in sessions.iterator(chunk_size=1000):
        yield line_of(session)


def newest_sessions(
    *,
    state: str | None = None,
    email: str | None = None,
    inactive_for: timedelta | None = None,
    after: tuple[datetime, int] | None,
    limit: int,
) -> list[AgentSession]:
    """Return the sessions that match the filters after a position, the last used first.

    The list has one more than the limit if there are more.
    """
    return newest_first(_matching(state, email, inactive_for), by="last_activity_at", after=after, limit=limit)


def line_of(session: AgentSession) -> SessionLine:
    """Return a session as a line of a list."""
    return SessionLine(**_line(session))


def session_details(session_id: str) -> SessionDetails:
    """Return a session's metadata. Raise NotFound."""
    session = _sessions().filter(session_id=session_id).first()
    if session is None:
        raise NotFound(f"There is no session {session_id}.")
    return SessionDetails(**_line(session), **{name: getattr(session, name) for name in SessionDetails.__slots__})


def _matching(state: str | None, email: str | None, inactive_for: timedelta | None) -> AgentSessionQuerySet:
    sessions = _sessions()
    if state is not None:
        sessions = sessions.in_state(State(state))
    if email is not None:
        sessions = sessions.filter(user__email=email)
    if inactive_for is not None:
        sessions = sessions.filter(last_activity_at__lte=timezone.now() - inactive_for)
    return sessions


def _sessions() -> AgentSessionQuerySet:
    return AgentSession.objects.with_state().select_related("user", "conversation")


def _line(session: AgentSession) -> dict[str, Any]:
    return {
        "session_id": session.session_id,
        "email": session.user.email,
        "title": str(session.conversation),
        "state": session.state,  # type: ignore[attr-defined]  # annotated
        "items": session.item_count,
        "bytes": session.byte_count,
        "pruned": session.pruned_count,
        "last_activity_at": session.last_activity_at,
    }
