"""The sessions there are, for whoever lists them."""

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta

from django.db.models import Q
from django.utils import timezone

from chat.models import AgentSession


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
        sessions = sessions.filter(Q(state=state))
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
