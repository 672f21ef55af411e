from sessions_admin.management.verbs import SessionVerb
from sessions_admin.sessions.lifecycle import rebuild_session


class Command(SessionVerb):
    help = "Fill a session again from the record."
    verb = staticmethod(rebuild_session)
    done = "Rebuilt"
