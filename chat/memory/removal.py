"""Delete conversations for good, from both stores."""

from collections.abc import Sequence

from chat.memory.identity import SessionId
from chat.memory.maintenance import SessionFile
from chat.models import Conversation
from chat.models.sql import change

# The queryset's own way loads every row that refers to another one.
_TURNS = "SELECT id FROM chat_turn WHERE conversation_id = ANY(%(ids)s)"
_DELETE = (
    f"DELETE FROM chat_toolcall WHERE turn_id IN ({_TURNS})",  # noqa: S608 - our own words
    f"DELETE FROM chat_turnstep WHERE turn_id IN ({_TURNS})",  # noqa: S608
    "DELETE FROM chat_message WHERE conversation_id = ANY(%(ids)s)",
    "DELETE FROM chat_turn WHERE conversation_id = ANY(%(ids)s)",
    "DELETE FROM chat_agentsession WHERE conversation_id = ANY(%(ids)s)",
    "DELETE FROM chat_quarantined WHERE session_id = ANY(%(sessions)s)",
    "DELETE FROM chat_conversation WHERE id = ANY(%(ids)s)",
)


def remove_for_good(file: SessionFile, conversations: Sequence[Conversation]) -> None:
    """Delete conversations and their sessions within the caller's transaction, which has locked them.

    The file comes last, right before the caller commits: who is cut off between the two leaves a conversation whose
    session is missing, as an expired one's is. Raise MemoryUnavailable.
    """
    sessions = [str(SessionId(conversation.user_id, conversation.pk)) for conversation in conversations]
    values = {"ids": [conversation.pk for conversation in conversations], "sessions": sessions}
    for statement in _DELETE:
        change(statement, values)
    file.shred(sessions)
