"""Stop a turn, in any process."""

import uuid

from django.db import transaction
from django.utils import timezone

from chat.infra.lookup import get_one
from chat.models import Conversation, Turn
from chat.models.turn import Status
from chat.turns.cancel import Cancelled, cancel


def request_stop(*, user_id: uuid.UUID, conversation_id: uuid.UUID, turn_id: uuid.UUID) -> Cancelled | None:
    """Cancel a turn that no process runs, and request a stop from the process of a running one. Raise NotFound."""
    with transaction.atomic():
        Conversation.objects.owned_by(user_id).locked().filter(pk=conversation_id).first()
        theirs = Turn.objects.filter(pk=turn_id, user_id=user_id, conversation=conversation_id)
        turn = get_one(theirs.select_related("prompt"), "turn")
        if turn.status in (Status.QUEUED, Status.WAITING):
            return cancel(turn, now=timezone.now())
        if turn.status == Status.RUNNING:
            turn.stop_asked = True
            turn.save(update_fields=["stop_asked"])
    return None
