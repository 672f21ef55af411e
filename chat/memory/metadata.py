"""Keep the metadata of a session, which staff see, in step with the store."""

import uuid
from datetime import datetime

from django.db.models import F

from chat.memory.identity import SessionId
from chat.memory.statements import Size
from chat.models import AgentSession
from chat.models.sql import change

_UPDATE = """
INSERT INTO chat_agentsession AS session (conversation_id, user_id, session_id, item_count, byte_count, pruned_count,
    first_activity_at, last_activity_at, last_error)
VALUES (%(conversation)s, %(user)s, %(session)s, coalesce(%(items)s, 0), coalesce(%(bytes)s, 0),
    coalesce(%(pruned)s, 0), %(now)s, %(now)s, %(error)s)
ON CONFLICT (conversation_id) DO UPDATE SET
    last_activity_at = %(now)s,
    last_error = CASE WHEN %(items)s IS NULL AND session.last_error = 'quarantined' THEN session.last_error
        ELSE %(error)s END,
    item_count = coalesce(%(items)s, session.item_count),
    byte_count = coalesce(%(bytes)s, session.byte_count),
    pruned_count = coalesce(%(pruned)s, session.pruned_count),
    gone_at = CASE WHEN %(items)s IS NULL THEN session.gone_at END
"""


def update_metadata(
    session_id: SessionId, *, size: Size | None, pruned: int | None = None, now: datetime, error: str = ""
) -> None:
    """Write the metadata of a session after a turn, within the caller's transaction.

    No size means that the store could not return it, so a session with quarantined rows was not repaired. `pruned` is
    the number of older items that a rebuilt session omits.
    """
    change(
        _UPDATE,
        {
            "conversation": session_id.conversation_id,
            "user": session_id.user_id,
            "session": str(session_id),
            "items": size.items if size else None,
            "bytes": size.bytes if size else None,
            "pruned": pruned,
            "now": now,
            "error": error,
        },
    )


def update_after_pruning(session_id: str, *, before: Size, after: Size) -> None:
    """Store the result of pruning, unless the metadata has changed since the turn that made it necessary.

    Pruning does not lock the conversation: what staff, a clean-up or the next turn wrote meanwhile is newer, and was
    measured by them. `before` is what the turn wrote.
    """
    untouched = AgentSession.objects.filter(
        session_id=session_id, item_count=before.items, byte_count=before.bytes, gone_at=None
    )
    untouched.update(
        item_count=after.items,
        byte_count=after.bytes,
        pruned_count=F("pruned_count") + max(before.items - after.items, 0),
    )


def update_after_cancel(conversation_id: uuid.UUID, *, now: datetime) -> None:
    """Record that a queued turn was cancelled: the session is unchanged."""
    AgentSession.objects.filter(conversation=conversation_id).update(last_activity_at=now)
