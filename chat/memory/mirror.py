"""Keep what staff see of a session in step with the store."""

from datetime import datetime

from django.db.models import F

from chat.memory.identity import SessionId
from chat.memory.statements import Size
from chat.models import AgentSession, Conversation


def reflect(
    conversation: Conversation, *, size: Size | None, pruned: int | None = None, now: datetime, error: str = ""
) -> None:
    """Write what a session holds after a turn, within the caller's transaction.

    No size: the store could not say. `pruned` is how many older items a session that was rebuilt was left without.
    """
    seen: dict[str, object] = {"last_activity_at": now, "last_error": error}
    if size is not None:
        seen |= {"item_count": size.items, "byte_count": size.bytes, "gone_at": None}
    if pruned is not None:
        seen["pruned_count"] = pruned
    AgentSession.objects.update_or_create(
        conversation=conversation,
        defaults=seen,
        create_defaults=seen
        | {
            "user_id": conversation.user_id,
            "session_id": str(SessionId(conversation.user_id, conversation.pk)),
            "first_activity_at": now,
        },
    )


def reflect_pruning(session_id: str, *, pruned: int, size: Size) -> None:
    """Write what pruning left."""
    AgentSession.objects.filter(session_id=session_id).update(
        item_count=size.items, byte_count=size.bytes, pruned_count=F("pruned_count") + pruned
    )
