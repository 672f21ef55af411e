"""The lease of a turn: which server process runs it, and until when.

A process proves that it lives by an advisory lock on a connection of its own, which PostgreSQL frees within
milliseconds of a `kill -9`, and by renewing its leases. Behind a pooler that moves connections about the lock says
nothing, so a turn is taken over early only when the lock is free and no renewal came for a while; else when the lease
is over. The database's clock decides, since the clocks of machines differ.
"""

import uuid
from collections.abc import Collection
from dataclasses import dataclass
from datetime import timedelta
from typing import NamedTuple

from django.db import connection
from django.db.models import F, Q
from django.db.models.functions import Now

from chat.exceptions import TurnLost
from chat.models.sql import ENDS_WHEN_IDLE, change, select
from chat.models.turn import Status, Turn

LEASE_TIME = timedelta(seconds=20)
RENEWAL = timedelta(seconds=2)
# A turn with which this many processes have died runs only while no other such turn runs, so that a turn that kills
# processes is distinguished from those that ran beside it; after this many it fails.
SUSPECT, DEADLY = 2, 3

# A condition on a row of `chat_turn`, with the values of a `Lease`.
IS_LEASED = "id = %(leased_turn)s AND owner = %(leased_owner)s AND attempt = %(leased_attempt)s AND status = 'running'"

_TURN = f"SELECT {ENDS_WHEN_IDLE} FROM chat_turn WHERE {IS_LEASED} FOR NO KEY UPDATE"  # noqa: S608 - our own words
_CONVERSATION = f"""
SELECT c.id, c.user_id, c.last_position, {ENDS_WHEN_IDLE}
FROM chat_turn t JOIN chat_conversation c ON c.id = t.conversation_id
WHERE t.id = %(leased_turn)s FOR NO KEY UPDATE OF c
"""  # noqa: S608 - our own words


class LockedConversation(NamedTuple):
    """A conversation that no other transaction changes until this one ends."""

    id: uuid.UUID
    user_id: uuid.UUID
    last_position: int


@dataclass(frozen=True, slots=True)
class Lease:
    """The right of one process to run one attempt at a turn."""

    turn_id: uuid.UUID
    owner: uuid.UUID
    attempt: int

    def lock_conversation(self) -> LockedConversation:
        """Lock the turn's conversation, which comes before the turn; raise TurnLost if it is gone."""
        locked = select(_CONVERSATION, self.values)
        if not locked:
            raise TurnLost("The conversation is gone.")
        return LockedConversation(*locked[0][:3])

    def lock(self) -> None:
        """Lock the turn until the transaction ends; raise TurnLost if the lease has ended."""
        if not select(_TURN, self.values):
            raise TurnLost("The turn is carried on elsewhere.")

    def write(self, statement: str, **values: object) -> None:
        """Execute a statement that writes a row under the lease only. Raise TurnLost."""
        if not change(statement, self.values | values):
            raise TurnLost("The turn is carried on elsewhere.")

    @property
    def values(self) -> dict[str, object]:
        """The values of `IS_LEASED`."""
        return {"leased_turn": self.turn_id, "leased_owner": self.owner, "leased_attempt": self.attempt}


def lease_of(turn: Turn) -> Lease:
    """Return the lease that a running turn's row names."""
    assert turn.owner is not None  # a constraint of the table
    return Lease(turn.pk, turn.owner, turn.attempt)


def lock_key(owner: uuid.UUID) -> int:
    """Return the number of a process's advisory lock, which must fit in 63 bits."""
    return owner.int >> 65


def renew(owner: uuid.UUID, turn_ids: Collection[uuid.UUID]) -> list[uuid.UUID]:
    """Extend a process's leases; return the turns that it is requested to stop."""
    if not turn_ids:
        return []
    held = Turn.objects.filter(pk__in=turn_ids, owner=owner, status=Status.RUNNING)
    held.update(lease_until=Now() + LEASE_TIME)
    return list(held.filter(stop_asked=True).values_list("pk", flat=True))


def release(lease: Lease) -> None:
    """Release a turn so that the next process takes it over at once."""
    held = Turn.objects.filter(pk=lease.turn_id, owner=lease.owner, attempt=lease.attempt, status=Status.RUNNING)
    held.update(lease_until=Now(), cut_off=F("cut_off") - 1)  # a takeover adds one


def take_over(
    owner: uuid.UUID, *, running: Collection[uuid.UUID], limit: int, interrupted: Collection[uuid.UUID] = ()
) -> list[Turn]:
    """Take over turns whose process is gone, as the next attempt.

    `running` are those of this process, `interrupted` those that a failing database interrupted in it.
    """
    unrenewed_or_interrupted = Q(lease_until__lt=Now() + (LEASE_TIME - 2 * RENEWAL)) | Q(
        pk__in=interrupted, owner=owner
    )
    lost = Turn.objects.filter(unrenewed_or_interrupted, status=Status.RUNNING).exclude(pk__in=running)
    suspected = Turn.objects.filter(pk__in=running, cut_off__gte=SUSPECT).exists()
    columns = ("pk", "owner", "attempt", "cut_off", "is_leased")
    found = lost.annotate(is_leased=Q(lease_until__gt=Now())).order_by("accepted_at").values_list(*columns)
    taken = []
    for pk, last_owner, attempt, cut_off, is_leased in found[:limit]:
        # One that was interrupted in this process counts like a death, so that nothing is tried for ever.
        was_interrupted = last_owner == owner and pk in interrupted
        if not was_interrupted and is_leased and _is_locked(last_owner):
            continue
        deaths = cut_off + 1
        if suspected and SUSPECT <= deaths < DEADLY:
            continue
        # Of two processes that try at once, the second finds another owner.
        still_lost = Q(pk=pk, owner=last_owner, attempt=attempt, status=Status.RUNNING)
        if Turn.objects.filter(still_lost).update(
            owner=owner, attempt=F("attempt") + 1, lease_until=Now() + LEASE_TIME, cut_off=deaths
        ):
            suspected |= SUSPECT <= deaths < DEADLY
            taken.append(Turn.objects.with_all_to_begin().get(pk=pk))
    return taken


def _is_locked(owner: uuid.UUID) -> bool:
    key = lock_key(owner)
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT EXISTS (SELECT 1 FROM pg_locks WHERE locktype = 'advisory' AND granted AND objsubid = 1"
            " AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
            " AND classid::bigint = %s AND objid::bigint = %s)",
            [key >> 32, key & 0xFFFFFFFF],
        )
        return bool(cursor.fetchone()[0])
