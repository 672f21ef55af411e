"""Take a turn from the queue: only the head of a conversation, so that messages are answered in their order."""

import uuid

from django.db import transaction
from django.utils import timezone

from chat.models import Conversation, Turn
from chat.models.turn import Status
from chat.turns.ownership import LEASE


def claim(conversation_id: uuid.UUID, *, owner: uuid.UUID) -> Turn | None:
    """Take the conversation's head for a process, or nothing where none may begin."""
    with transaction.atomic():
        if not Conversation.objects.locked().filter(pk=conversation_id).exists():
            return None
        heads = Turn.objects.heads().filter(conversation=conversation_id).order_by("seq")
        turn = heads.select_related("prompt", "retry_of").first()
        if turn is None:
            return None
        now = timezone.now()
        turn.status, turn.owner, turn.lease_until, turn.started_at = Status.RUNNING, owner, now + LEASE, now
        turn.save(update_fields=["status", "owner", "lease_until", "started_at"])
    return turn


def claim_waiting(*, owner: uuid.UUID, limit: int) -> list[Turn]:
    """Take heads that nobody has taken, the longest waiting first."""
    waiting = Turn.objects.heads().order_by("accepted_at").values_list("conversation_id", flat=True)[:limit]
    return [turn for conversation_id in waiting if (turn := claim(conversation_id, owner=owner))]
