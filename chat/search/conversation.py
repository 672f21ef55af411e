"""Search messages of one conversation, as far as its assistant may read them."""

import uuid
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from chat.models.sql import select
from chat.search.query import Query, parse
from chat.search.services import time_limit
from chat.search.snippets import snippet

Order = Literal["oldest", "newest"]
Role = Literal["user", "assistant"]

MAX_SHOWN = 4_000  # characters of a message that are shown in full

_ORDERS = {"oldest": "ASC", "newest": "DESC"}
_FOUND = """
SELECT m.position, m.role, m.created_at, m.text, count(*) OVER ()
FROM chat_conversation c JOIN chat_message m ON m.conversation_id = c.id
WHERE c.id = %(conversation)s AND c.user_id = %(user)s AND m.position IS NOT NULL
    AND (%(role)s::text IS NULL OR m.role = %(role)s)
    AND EXISTS (
        SELECT FROM chat_turn t WHERE (t.prompt_id = m.id OR t.id = m.turn_id)
            AND t.superseded_by_id IS NULL AND t.seq > c.memory_from AND t.seq < %(before)s
    )
    AND (%(query)s::text IS NULL OR EXISTS (
        SELECT FROM chat_messagevector v WHERE v.message_id = m.id AND v.vector @@ %(query)s::tsquery
    ))
ORDER BY m.position {order} LIMIT %(limit)s OFFSET %(offset)s
"""


@dataclass(frozen=True, slots=True)
class FoundMessage:
    """A message; of a long one the text around the first match, or its beginning."""

    position: int
    role: str
    created_at: datetime
    text: str


@dataclass(frozen=True, slots=True)
class FoundMessages:
    """A page of the found messages, and their total number (0 after the last page)."""

    messages: list[FoundMessage]
    total: int


def search_conversation(
    *,
    user_id: uuid.UUID,
    conversation_id: uuid.UUID,
    before: int,
    words: str = "",
    role: Role | None = None,
    order: Order = "newest",
    limit: int,
    offset: int = 0,
) -> FoundMessages:
    """Find current messages of the turns before one (its `seq`), and not before the conversation's `memory_from`.

    Without a query all are found. Raise TooLong or BadInput for an invalid query, and TimedOut.
    """
    query = parse(words)
    values = {
        "user": user_id,
        "conversation": conversation_id,
        "before": before,
        "role": role,
        "query": query.as_tsquery(user_id) if query.alternatives else None,
        "limit": limit,
        "offset": offset,
    }
    with time_limit():
        rows = select(_FOUND.format(order=_ORDERS[order]), values)
    messages = [FoundMessage(position, role, at, _excerpt(text, query)) for position, role, at, text, _ in rows]
    return FoundMessages(messages, rows[0][-1] if rows else 0)


def _excerpt(text: str, query: Query) -> str:
    if len(text) <= MAX_SHOWN:
        return text
    return snippet(text, query.wanted) if query.alternatives else f"{text[:MAX_SHOWN]}…"
