from sessions_admin.lifecycle import clear_session
from sessions_admin.management.verbs import SessionVerb


class Command(SessionVerb):
    help = "Let the assistant forget a conversation for good; what people wrote stays."
    verb = staticmethod(clear_session)
    done = "Cleared"
