"""Full text over what a person and the assistant said to each other."""

import uuid
from dataclasses import dataclass
from datetime import datetime

from chat.models.sql import select

# The person's words, as a search engine takes them: all of them, "a phrase", or, -not.
# Where a title alone fits, no message is named. Newest first: for common words not everything is read, and nothing of
# anybody else's ever. The words of a message are a column of the database's own (migration 0013).
_SEARCH = """
SELECT c.id, c.title, c.updated_at, c.archived_at IS NOT NULL, found.id, found.role, found.created_at,
    ts_headline('english', left(found.text, 20000), sought, 'StartSel="", StopSel="", MaxWords=30, MinWords=12')
FROM websearch_to_tsquery('english', %(words)s) sought, chat_conversation c
LEFT JOIN LATERAL (
    SELECT m.id, m.role, m.created_at, m.text FROM chat_message m
    WHERE m.conversation_id = c.id AND m.position IS NOT NULL AND m.words @@ sought
    ORDER BY m.position DESC LIMIT 1
) found ON true
WHERE c.user_id = %(user)s AND c.trashed_at IS NULL
    AND (%(time)s::timestamptz IS NULL OR (c.updated_at, c.id) < (%(time)s, %(key)s))
    AND (found.id IS NOT NULL OR to_tsvector('english', c.title) @@ sought)
ORDER BY c.updated_at DESC, c.id DESC LIMIT %(limit)s
"""


@dataclass(frozen=True, slots=True)
class Hit:
    """The newest message of a conversation in which the words are.

    Message, role, time and snippet are None where they are in its title alone.
    """

    id: uuid.UUID
    title: str
    updated_at: datetime
    archived: bool
    message_id: uuid.UUID | None
    role: str | None
    said_at: datetime | None
    snippet: str | None


def search(*, user_id: uuid.UUID, words: str, limit: int, after: tuple[datetime, uuid.UUID] | None = None) -> list[Hit]:
    """Find a person's conversations, the trash left out, the one last spoken in first; one more than the limit."""
    time, key = after or (None, None)
    values = {"user": user_id, "words": words, "time": time, "key": key, "limit": limit + 1}
    return [Hit(*row) for row in select(_SEARCH, values)]
