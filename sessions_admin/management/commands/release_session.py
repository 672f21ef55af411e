from sessions_admin.management.verbs import SessionVerb
from sessions_admin.sessions.lifecycle import release_session


class Command(SessionVerb):
    help = "End the hold on a session."
    verb = staticmethod(release_session)
    done = "Released"
