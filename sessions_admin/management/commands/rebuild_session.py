from sessions_admin.lifecycle import rebuild_session
from sessions_admin.management.verbs import SessionVerb


class Command(SessionVerb):
    help = "Fill a session again from the record."
    verb = staticmethod(rebuild_session)
    done = "Rebuilt"
