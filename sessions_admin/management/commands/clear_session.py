from sessions_admin.management.verbs import SessionVerb
from sessions_admin.sessions.lifecycle import clear_session


class Command(SessionVerb):
    help = "Let the assistant forget a conversation for good; what people wrote stays."
    verb = staticmethod(clear_session)
    done = "Cleared"
