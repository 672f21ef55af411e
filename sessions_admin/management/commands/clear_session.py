from sessions_admin.management.verbs import SessionVerb
from sessions_admin.sessions.lifecycle import clear_session


class Command(SessionVerb):
    help = "Make the assistant permanently forget a conversation; its messages stay."
    verb = staticmethod(clear_session)
    done = "Cleared"
