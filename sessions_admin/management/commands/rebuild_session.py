from sessions_admin.management.verbs import SessionVerb
from sessions_admin.sessions.lifecycle import rebuild_session


class Command(SessionVerb):
    help = "Rebuild a session from the record."
    verb = staticmethod(rebuild_session)
    done = "Rebuilt"
