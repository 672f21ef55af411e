"""Take a turn from the queue: only the head of a conversation, so that messages are answered in their order."""

import uuid

from django.db import transaction
from django.db.models.functions import Now
from django.utils import timezone

from chat.assistant.model_config import name_in_use
from chat.models import Turn
from chat.models.sql import ENDS_WHEN_IDLE, select
from chat.models.turn import Status
from chat.turns.lease import LEASE_TIME

_LOCK = f"SELECT {ENDS_WHEN_IDLE} FROM chat_conversation WHERE id = %(conversation)s FOR NO KEY UPDATE"  # noqa: S608
_FIRST = """
SELECT t.id, t.status, c.model FROM chat_turn t JOIN chat_conversation c ON c.id = t.conversation_id
WHERE t.conversation_id = %(conversation)s AND t.status IN ('queued', 'running', 'waiting') ORDER BY t.seq LIMIT 1
"""


def claim(conversation_id: uuid.UUID, *, owner: uuid.UUID) -> Turn | None:
    """Take the conversation's head for a process, or nothing where none may begin."""
    with transaction.atomic():
        if not select(_LOCK, {"conversation": conversation_id}):
            return None
        return claim_locked(conversation_id, owner=owner)


def claim_locked(conversation_id: uuid.UUID, *, owner: uuid.UUID) -> Turn | None:
    """Take the head of a conversation that the caller's transaction has locked, or nothing where none may begin."""
    first = select(_FIRST, {"conversation": conversation_id})
    if not first or first[0][1] != Status.QUEUED:
        return None
    turn = Turn.objects.with_all_to_begin().get(pk=first[0][0])
    turn.status, turn.owner, turn.lease_until = Status.RUNNING, owner, Now() + LEASE_TIME
    turn.started_at = timezone.now()
    turn.model = turn.model or name_in_use(first[0][2])  # one that began before keeps its own
    turn.save(update_fields=["status", "owner", "lease_until", "started_at", "model"])
    return turn


def claim_waiting(*, owner: uuid.UUID, limit: int) -> list[Turn]:
    """Claim heads of queues that no process has claimed, the longest waiting first."""
    waiting = Turn.objects.heads().order_by("accepted_at").values_list("conversation_id", flat=True)[:limit]
    return [turn for conversation_id in waiting if (turn := claim(conversation_id, owner=owner))]
