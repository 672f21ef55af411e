"""The input of a turn, read from the database at once."""

from dataclasses import dataclass
from datetime import datetime

from chat.assistant.context import KeptCall
from chat.assistant.endpoints.request_size import Sent
from chat.memory.adoption import adopted
from chat.memory.identity import SessionId
from chat.memory.open import SessionContext
from chat.memory.rebuild import last_turn
from chat.memory.statements import Fence
from chat.models import Turn
from chat.models.sql import select
from chat.models.user import zone_of
from chat.tasks.undo import changed_outside
from chat.turns import journal as journals
from chat.turns.journal import Journal
from chat.turns.lease import Lease, lease_of

_READ = """
SELECT u.time_zone, u.week_start, u.is_active, coalesce(s.pruned_count, 0), coalesce(s.item_count, 0), (
    SELECT before.accepted_at FROM chat_turn before
    WHERE before.conversation_id = t.conversation_id AND before.seq < t.seq AND before.superseded_by_id IS NULL
    ORDER BY before.seq DESC LIMIT 1
), last.*
FROM chat_turn t JOIN chat_user u ON u.id = t.user_id
LEFT JOIN chat_agentsession s ON s.conversation_id = t.conversation_id
LEFT JOIN LATERAL (
    SELECT step.sent_estimate, (step.usage->>'input_tokens')::bigint, step.sent_turns
    FROM chat_turn before JOIN chat_turnstep step ON step.turn_id = before.id
    WHERE before.conversation_id = t.conversation_id AND before.seq < t.seq AND before.superseded_by_id IS NULL
        AND NOT step.is_void
    ORDER BY before.seq DESC, step.n DESC LIMIT 1
) last ON true
WHERE t.id = %(turn)s
"""


@dataclass(frozen=True, slots=True)
class TurnInput:
    """A turn as it is when it begins."""

    lease: Lease
    session: SessionContext
    now: datetime  # when the turn was accepted, in the user's zone
    week_start: int  # as ISO numbers weekdays
    pruned: int  # items that were pruned from the session
    item_count: int  # items in the session according to its metadata; 0 if a replaced turn is removed first
    prompt: str
    journal: Journal
    kept: list[KeptCall]
    allowed: bool
    sent: Sent | None  # the last request of the turn before
    changed_outside: list[str]  # how tasks were changed elsewhere since the turn before


def read_turn_input(turn: Turn) -> TurnInput:
    """Read what a turn needs from the database."""
    ((time_zone, week_start, allowed, pruned, item_count, before, *sent),) = select(_READ, {"turn": turn.pk})
    fresh = turn.attempt == 1 and turn.replaces_id is None
    is_first = turn.seq == 1 and turn.attempt == 1
    last = None if is_first else last_turn(turn.conversation_id, before=turn.seq)
    session = SessionContext(
        session_id=str(SessionId(turn.user_id, turn.conversation_id)),
        conversation_id=turn.conversation_id,
        fence=Fence(turn.seq, turn.attempt),
        replaces=turn.replaces.seq if turn.replaces else None,
        last=last,
        has_adopted=last is None and not is_first and adopted(turn.conversation_id, turn.seq).exists(),
    )
    return TurnInput(
        lease=lease_of(turn),
        session=session,
        now=turn.accepted_at.astimezone(zone_of(time_zone)),
        week_start=week_start,
        pruned=pruned,
        item_count=0 if turn.replaces_id else item_count,
        prompt=turn.prompt.text,
        journal=Journal([], ()) if fresh else journals.load(turn),
        kept=journals.kept_calls(turn) if turn.replaces_id else [],
        allowed=allowed,
        sent=journals.sent_of(*sent),
        changed_outside=changed_outside(user_id=turn.user_id, conversation_id=turn.conversation_id, since=before)
        if before
        else [],
    )
