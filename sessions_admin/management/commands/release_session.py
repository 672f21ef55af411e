from sessions_admin.lifecycle import release_session
from sessions_admin.management.verbs import SessionVerb


class Command(SessionVerb):
    help = "End the hold on a session."
    verb = staticmethod(release_session)
    done = "Released"
