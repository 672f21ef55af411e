"""The sessions there are, for whoever lists them."""

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta

from django.utils import timezone

from chat.exceptions import NotFound
from chat.models import AgentSession
from chat.models.session import State


@dataclass(frozen=True, slots=True)
class SessionLine:
    """One session as a line of a list."""

    session_id: str
    email: str
    title: str
    state: str
    items: int
    bytes: int
    pruned: int
    last_activity_at: datetime

    def as_json(self) -> dict[str, object]:
        """Give it as a plain dict."""
        return asdict(self) | {"last_activity_at": self.last_activity_at.isoformat()}


def list_sessions(
    *, state: str | None = None, email: str | None = None, inactive_for: timedelta | None = None
) -> Iterator[SessionLine]:
    """Yield the sessions that match all that is asked, the longest inactive first."""
    sessions = AgentSession.objects.with_state().select_related("user", "conversation").order_by("last_activity_at")
    if state is not None:
        sessions = sessions.in_state(State(state))
    if email is not None:
        sessions = sessions.filter(user__email=email.strip().lower())
    if inactive_for is not None:
        sessions = sessions.filter(last_activity_at__lte=timezone.now() - inactive_for)
    for session in sessions.iterator(chunk_size=1000):
        yield SessionLine(
            session_id=session.session_id,
            email=session.user.email,
            title=str(session.conversation),
            state=session.state,  # type: ignore[attr-defined]  # annotated
            items=session.item_count,
            bytes=session.byte_count,
            pruned=session.pruned_count,
            last_activity_at=session.last_activity_at,
        )


@dataclass(frozen=True, slots=True)
class SessionDetails:
    """What is known of one session without opening it."""

    session_id: str
    email: str
    title: str
    state: str
    items: int
    bytes: int
    pruned: int
    first_activity_at: datetime
    last_activity_at: datetime
    gone_at: datetime | None
    held_at: datetime | None
    held_until: datetime | None
    hold_reason: str
    last_error: str

    def as_json(self) -> dict[str, object]:
        """Give it as a plain dict."""
        found = asdict(self)
        return {name: value.isoformat() if isinstance(value, datetime) else value for name, value in found.items()}


def session_details(session_id: str) -> SessionDetails:
    """Return what the mirror says of a session. Raise NotFound."""
    sessions = AgentSession.objects.with_state().select_related("user", "conversation")
    session = sessions.filter(session_id=session_id).first()
    if session is None:
        raise NotFound(f"There is no session {session_id}.")
    return SessionDetails(
        session_id=session.session_id,
        email=session.user.email,
        title=str(session.conversation),
        state=session.state,  # type: ignore[attr-defined]  # annotated
        items=session.item_count,
        bytes=session.byte_count,
        pruned=session.pruned_count,
        first_activity_at=session.first_activity_at,
        last_activity_at=session.last_activity_at,
        gone_at=session.gone_at,
        held_at=session.held_at,
        held_until=session.held_until,
        hold_reason=session.hold_reason,
        last_error=session.last_error,
    )
