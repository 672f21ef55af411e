from typing import Any

from sessions_admin.management.verbs import SessionVerb
from sessions_admin.sessions.lifecycle import NotHeld, Outcome, release_session


def release(session_id: str, **options: Any) -> Outcome:
    """Release a session; releasing it again is no error."""
    try:
        return release_session(session_id, **options)
    except NotHeld as error:
        return error.outcome


class Command(SessionVerb):
    help = "End the hold on a session."
    verb = staticmethod(release)
    done = "Released"
