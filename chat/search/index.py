"""Keep the index: a vector for each current message and for each title."""

import logging
import uuid
from datetime import datetime
from typing import Any

from django.db import transaction

from chat.models.sql import change, select
from chat.search.lexemes import MAX_CHARACTERS, vector

logger = logging.getLogger(__name__)

_BATCH = 500
_ZERO = uuid.UUID(int=0)

_MESSAGES = """
INSERT INTO chat_messagevector (message_id, conversation_id, created_at, vector)
SELECT id, conversation_id, created_at, vector::tsvector
FROM unnest(%(ids)s::uuid[], %(conversations)s::uuid[], %(times)s::timestamptz[], %(vectors)s::text[])
    message (id, conversation_id, created_at, vector)
ON CONFLICT (message_id) DO UPDATE SET vector = excluded.vector
"""
_TITLES = """
INSERT INTO chat_titlevector (conversation_id, vector)
SELECT id, vector::tsvector FROM unnest(%(ids)s::uuid[], %(vectors)s::text[]) title (id, vector)
ON CONFLICT (conversation_id) DO UPDATE SET vector = excluded.vector
"""
# In the order of the primary keys, so that all batches together read both tables once: otherwise PostgreSQL reads the
# vectors from the start for each batch. Skips rows that are being deleted.
_MISSING_MESSAGES = """
SELECT m.id, m.conversation_id, m.created_at, c.user_id, left(m.text, %(characters)s)
FROM chat_message m JOIN chat_conversation c ON c.id = m.conversation_id
WHERE m.id > %(after)s AND m.position IS NOT NULL
    AND NOT EXISTS (SELECT FROM chat_messagevector v WHERE v.message_id = m.id AND v.message_id > %(after)s)
ORDER BY m.id LIMIT %(batch)s FOR KEY SHARE OF m SKIP LOCKED
"""
_MISSING_TITLES = """
SELECT c.id, c.user_id, c.title FROM chat_conversation c
WHERE c.id > %(after)s AND c.title <> '' AND NOT EXISTS (
    SELECT FROM chat_titlevector t WHERE t.conversation_id = c.id AND t.conversation_id > %(after)s)
ORDER BY c.id LIMIT %(batch)s FOR KEY SHARE OF c SKIP LOCKED
"""


def index_message(
    *, message_id: uuid.UUID, conversation_id: uuid.UUID, user_id: uuid.UUID, text: str, created_at: datetime
) -> None:
    """Index a message in the transaction that stores it. All code that writes a message calls this."""
    _write_messages([(message_id, conversation_id, created_at, user_id, text)])


def index_title(*, conversation_id: uuid.UUID, user_id: uuid.UUID, title: str) -> None:
    """Index a title in the transaction that stores it. All code that writes a title calls this."""
    _write_titles([(conversation_id, user_id, title)])


def index_missing() -> int:
    """Index rows that an earlier version or other code wrote without indexing; return their number.

    Works in batches with their own transactions while users write; an interrupted run continues the next time.
    """
    count = 0
    for missing, write in ((_MISSING_MESSAGES, _write_messages), (_MISSING_TITLES, _write_titles)):
        after = _ZERO
        while True:
            with transaction.atomic():
                rows = select(missing, {"after": after, "batch": _BATCH, "characters": MAX_CHARACTERS})
                if not rows:
                    break
                write(rows)
            after = rows[-1][0]
            count += len(rows)
            if count % 100_000 < len(rows):
                logger.info("Indexed %s messages for search.", f"{count:,}")
    return count


def _write_messages(rows: list[tuple[Any, ...]]) -> None:
    vectors = [vector(user_id, text) for *_, user_id, text in rows]
    ids, conversations, times = ([row[at] for row in rows] for at in range(3))
    change(_MESSAGES, {"ids": ids, "conversations": conversations, "times": times, "vectors": vectors})


def _write_titles(rows: list[tuple[Any, ...]]) -> None:
    vectors = [vector(user_id, title) for _, user_id, title in rows]
    change(_TITLES, {"ids": [row[0] for row in rows], "vectors": vectors})
