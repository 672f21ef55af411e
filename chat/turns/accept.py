"""Take what a person says: once it is acknowledged it is durable, and it is answered."""

import uuid
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.conf import settings
from django.db import transaction
from django.utils import timezone

from chat.exceptions import BadInput, Conflict, EmptyText, NotFound, RateLimited, TooLong
from chat.models import Conversation, Message, Turn
from chat.models.conversation import TITLE_LENGTH, USER_TEXT_LENGTH, Role
from chat.models.sql import change, select
from chat.models.turn import ACTIVE, Status
from chat.turns.events import MessageView
from chat.turns.journal import copy_journal
from chat.turns.ownership import LEASE

MINUTE = timedelta(minutes=1)


@dataclass(frozen=True, slots=True)
class Accepted:
    """A message that is durable now, and the turn that answers it; `is_new` is false where it was sent again."""

    message: MessageView
    turn: Turn
    ahead: int
    is_new: bool


def accept(
    *, user_id: uuid.UUID, conversation_id: uuid.UUID, client_id: uuid.UUID, text: str, runner: uuid.UUID | None = None
) -> Accepted:
    """Store a message and the turn that will answer it, in one transaction.

    `runner` is the process that carries the turn out at once where the conversation is idle; without one the turn
    waits in the queue. The conversation is made by its first message. The same `client_id` again changes nothing.
    Raise EmptyText, TooLong, BadInput, NotFound, RateLimited.
    """
    check_text(text)
    now = timezone.now()
    with transaction.atomic():
        place = _lock(user_id, conversation_id, client_id, now, make=True)
        if place.known is not None:
            return _accepted(place.known, is_new=False)
        place.check_limits()
        place.title = place.title or title_from(text)
        place.last_position += 1
        turn = _new_turn(place)
        turn.prompt = Message(turn_id=turn.pk, role=Role.USER, text=text, position=place.last_position, created_at=now)
        _store(place, turn, runner)
    return _accepted(turn, is_new=True)


def accept_retry(
    *,
    user_id: uuid.UUID,
    conversation_id: uuid.UUID,
    turn_id: uuid.UUID,
    client_id: uuid.UUID,
    runner: uuid.UUID | None = None,
) -> Accepted:
    """Store a new turn that takes up a failed or stopped one where it ended: what its tools did is not done again.

    Raise NotFound, Conflict, RateLimited.
    """
    now = timezone.now()
    with transaction.atomic():
        place = _lock(user_id, conversation_id, client_id, now, make=False)
        if place.known is not None:
            return _accepted(place.known, is_new=False)
        failed = Turn.objects.select_related("prompt").filter(conversation=conversation_id, pk=turn_id).first()
        if failed is None:
            raise NotFound("There is no such turn.")
        if failed.status not in (Status.FAILED, Status.STOPPED):
            raise Conflict("Only a reply that failed or was stopped can be tried again.")
        if failed.seq != place.last_seq:
            raise Conflict("The conversation has moved on; please send the message again.")
        place.check_limits()
        turn = _new_turn(place)
        turn.prompt, turn.retry_of = failed.prompt, failed
        _store(place, turn, runner)
        copy_journal(failed, turn)
    return _accepted(turn, is_new=True)


def check_text(text: str) -> None:
    """Refuse what cannot be a message. Raise EmptyText, TooLong, BadInput."""
    if not text.strip():
        raise EmptyText
    if len(text) > USER_TEXT_LENGTH:
        raise TooLong(f"A message has at most {USER_TEXT_LENGTH:,} characters; this one has {len(text):,}.")
    if "\x00" in text or any("\ud800" <= character <= "\udfff" for character in text):
        raise BadInput("The text has a character that cannot be stored.")


def title_from(text: str) -> str:
    """Make a title from a first message: its first line, cut at a word."""
    line = " ".join(text.strip().splitlines()[0].split())
    if len(line) <= TITLE_LENGTH:
        return line
    return line[: TITLE_LENGTH - 1].rsplit(" ", 1)[0].rstrip(" ,.;:") + "…"


def view(message: Message) -> MessageView:
    """Show a message as programs and the page see it."""
    return {
        "id": str(message.pk),
        "role": message.role,
        "text": message.text,
        "created_at": message.created_at.isoformat(),
        "position": message.position,
        "turn_id": str(message.turn_id),
    }


def ahead_of(turn: Turn) -> int:
    """Count the turns that are answered before a queued one."""
    if turn.status != Status.QUEUED:
        return 0
    return Turn.objects.filter(conversation=turn.conversation_id, status__in=ACTIVE, seq__lt=turn.seq).count()


# -- in the database, under the conversation's lock and the person's

_LOCK = """
SELECT c.title, c.last_seq, c.last_position FROM chat_conversation c JOIN chat_user u ON u.id = c.user_id
WHERE c.id = %(conversation)s AND c.user_id = %(user)s FOR NO KEY UPDATE OF c, u
"""
_LOOK = """
SELECT
    (SELECT t.id FROM chat_turn t WHERE t.conversation_id = %(conversation)s AND t.client_id = %(client)s),
    (SELECT t.accepted_at FROM chat_turn t WHERE t.user_id = %(user)s AND t.accepted_at > %(since)s
        ORDER BY t.accepted_at DESC OFFSET %(limit)s - 1 LIMIT 1),
    count(*), count(*) FILTER (WHERE status = 'queued')
FROM chat_turn WHERE conversation_id = %(conversation)s AND status IN ('queued', 'running', 'waiting')
"""
_STORE = """
WITH moved AS (
    UPDATE chat_conversation
    SET title = %(title)s, updated_at = %(now)s, last_seq = %(seq)s, last_position = %(position)s
    WHERE id = %(conversation)s
), said AS (
    INSERT INTO chat_message (id, conversation_id, turn_id, role, text, position, client_id, created_at)
    SELECT %(message)s, %(conversation)s, %(turn)s, 'user', %(text)s, %(position)s, %(client)s, %(now)s
    WHERE %(is_said)s
)
INSERT INTO chat_turn (id, conversation_id, user_id, prompt_id, retry_of_id, client_id, seq, status, owner, lease_until,
    attempt, text, items, warning, error_code, error_detail, accepted_at, started_at)
VALUES (%(turn)s, %(conversation)s, %(user)s, %(message)s, %(retry_of)s, %(client)s, %(seq)s, %(status)s, %(owner)s,
    %(lease_until)s, 1, '', '[]', '', '', '', %(now)s, %(started_at)s)
"""


@dataclass(slots=True)
class _Place:
    """A conversation and what is under way in it, as it is until the transaction ends."""

    user_id: uuid.UUID
    conversation_id: uuid.UUID
    client_id: uuid.UUID
    now: datetime
    title: str
    last_seq: int
    last_position: int
    known: Turn | None = None  # what was accepted with the same `client_id`
    active: int = 0
    queued: int = 0
    first_of_minute: datetime | None = None  # where the limit is reached

    def check_limits(self) -> None:
        """Raise RateLimited where the person says too much, or too many messages wait."""
        if self.first_of_minute is not None:
            limit = settings.MESSAGES_PER_MINUTE
            wait = int((self.first_of_minute + MINUTE - self.now).total_seconds()) + 1
            detail = f"That is more than {limit} messages a minute; please wait {wait} seconds."
            raise RateLimited(detail, retry_after=wait)
        if self.queued >= settings.QUEUE_PER_CONVERSATION:
            detail = "Too many messages are waiting in this conversation; please wait for a reply."
            raise RateLimited(detail, retry_after=5)


def _lock(user_id: uuid.UUID, conversation_id: uuid.UUID, client_id: uuid.UUID, now: datetime, *, make: bool) -> _Place:
    """Lock a conversation, made first where there is none, and look at what is under way. Raise NotFound."""
    values = {"user": user_id, "conversation": conversation_id, "client": client_id}
    locked = select(_LOCK, values)
    if not locked and make:
        fresh = Conversation(pk=conversation_id, user_id=user_id, updated_at=now)
        Conversation.objects.bulk_create([fresh], ignore_conflicts=True)
        locked = select(_LOCK, values)
    if not locked:
        raise NotFound("There is no such conversation.")
    place = _Place(user_id, conversation_id, client_id, now, *locked[0])
    limit = {"since": now - MINUTE, "limit": settings.MESSAGES_PER_MINUTE}
    ((known, place.first_of_minute, place.active, place.queued),) = select(_LOOK, values | limit)
    if known is not None:
        place.known = Turn.objects.select_related("prompt").get(pk=known)
    return place


def _store(place: _Place, turn: Turn, runner: uuid.UUID | None) -> None:
    """Store a turn and, unless it is another try, what was said; running at once where nothing is before it."""
    if runner is not None and not place.active:
        turn.status, turn.owner = Status.RUNNING, runner
        turn.lease_until, turn.started_at = place.now + LEASE, place.now
    values = {
        "conversation": place.conversation_id,
        "user": place.user_id,
        "client": place.client_id,
        "now": place.now,
        "title": place.title,
        "position": place.last_position,
        "message": turn.prompt.pk,
        "text": turn.prompt.text,
        "is_said": turn.retry_of_id is None,
        "turn": turn.pk,
        "retry_of": turn.retry_of_id,
        "seq": turn.seq,
        "status": turn.status,
        "owner": turn.owner,
        "lease_until": turn.lease_until,
        "started_at": turn.started_at,
    }
    change(_STORE, values)
    turn._state.adding = False


def _new_turn(place: _Place) -> Turn:
    place.last_seq += 1
    return Turn(
        conversation_id=place.conversation_id,
        user_id=place.user_id,
        client_id=place.client_id,
        seq=place.last_seq,
        status=Status.QUEUED,
        accepted_at=place.now,
    )


def _accepted(turn: Turn, *, is_new: bool) -> Accepted:
    return Accepted(view(turn.prompt), turn, ahead_of(turn), is_new)
