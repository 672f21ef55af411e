"""Ask a person before something is done.

The call waits in the journal, and nothing else is stored: after the last decision the turn is replayed, perhaps days
later and in another process.
"""

import json
import uuid
from dataclasses import dataclass
from typing import Any

from django.db import transaction
from django.db.models.functions import Now
from django.utils import timezone

from chat.exceptions import Conflict, NotFound
from chat.memory.identity import SessionId
from chat.memory.metadata import update_metadata
from chat.models import Conversation, ToolCall, Turn
from chat.models.turn import Decision, Status
from chat.turns.cancel import cancel
from chat.turns.events import ApprovalDecided
from chat.turns.finish import StoredOutcome, TurnOutcome
from chat.turns.lease import LEASE_TIME, Lease
from chat.turns.queue import claim_locked

DECLINED = {"ok": False, "error": "declined", "detail": "The person said no: this was not done."}


@dataclass(frozen=True, slots=True)
class Decided:
    """A decision, and the turn; `is_last` if the turn continues, in this process if it is running."""

    turn: Turn
    event: ApprovalDecided
    is_last: bool

    @property
    def begins(self) -> Turn | None:
        """The turn, if it continues in this process."""
        return self.turn if self.is_last and self.turn.status == Status.RUNNING else None


def ask(lease: Lease, outcome: TurnOutcome, *, next_owner: uuid.UUID | None = None) -> StoredOutcome:
    """Let a turn wait for the decisions about calls that its outcome requests. Raise TurnLost.

    A question that a stop or a newer message makes needless is not asked.
    """
    now = timezone.now()
    with transaction.atomic():
        conversation = lease.lock_conversation()
        lease.lock()
        of_turn = {"turn_id": lease.turn_id, "decision": Decision.AWAITING}
        asked = outcome.approval_requests
        calls = [ToolCall(call_id=one.call_id, name=one.name, arguments=one.arguments, **of_turn) for one in asked]
        ToolCall.objects.bulk_create(calls, ignore_conflicts=True)
        turn = Turn.objects.with_all_to_begin().get(pk=lease.turn_id)
        turn.status, turn.owner, turn.lease_until, turn.cut_off = Status.WAITING, None, None, 0
        turn.text, turn.usage, turn.warning = outcome.text, outcome.usage, outcome.warning
        turn.reasoning = outcome.reasoning
        turn.save(update_fields=["status", "owner", "lease_until", "cut_off", "text", "reasoning", "usage", "warning"])
        session_id = SessionId(conversation.user_id, conversation.id)
        update_metadata(session_id, size=outcome.size, pruned=outcome.pruned, now=now, error=outcome.session_warning)
        behind = Turn.objects.filter(conversation=conversation.id, status=Status.QUEUED)
        if not (turn.stop_asked or behind.exists()):
            return StoredOutcome(outcome.approval_requests)
        cancelled = cancel(turn, now=now)
        following = claim_locked(conversation.id, owner=next_owner) if next_owner else None
        return StoredOutcome(outcome.approval_requests, following, cancelled)


def decide(
    *,
    user_id: uuid.UUID,
    conversation_id: uuid.UUID,
    turn_id: uuid.UUID,
    call_id: str,
    approve: bool,
    runner: uuid.UUID | None = None,
) -> Decided:
    """Store a user's decision about a call of a waiting turn; after the last decision the turn continues.

    `runner` is the process that runs it; without one it waits in the queue. Raise NotFound, or Conflict after an
    earlier decision.
    """
    with transaction.atomic():
        Conversation.objects.owned_by(user_id).locked().filter(pk=conversation_id).first()
        theirs = Turn.objects.filter(pk=turn_id, user_id=user_id, conversation=conversation_id)
        turn = theirs.select_related("prompt", "replaces").first()
        asked = ToolCall.objects.filter(turn=turn, call_id=call_id).exclude(decision="")
        if turn is None or not asked.exists():
            raise NotFound("Nothing was asked by this name.")
        changes: dict[str, Any] = {"decision": Decision.APPROVED, "decided_by": str(user_id)}
        if not approve:
            changes |= {"decision": Decision.DECLINED, "output": json.dumps(DECLINED)}
        if not asked.filter(decision=Decision.AWAITING, turn__status=Status.WAITING).update(**changes):
            raise Conflict("This was decided already.")
        is_last = not ToolCall.objects.filter(turn=turn, decision=Decision.AWAITING).exists()
        if is_last:
            turn.status, turn.attempt = Status.QUEUED, turn.attempt + 1
            if runner is not None:
                turn.status, turn.owner, turn.lease_until = Status.RUNNING, runner, Now() + LEASE_TIME
            turn.save(update_fields=["status", "attempt", "owner", "lease_until"])
    return Decided(turn, ApprovalDecided(call_id, approve, str(user_id)), is_last)
