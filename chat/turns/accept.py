"""Take what a person says: once it is acknowledged it is durable, and it is answered."""

import uuid
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.conf import settings
from django.db import transaction
from django.utils import timezone

from chat.exceptions import BadInput, Conflict, EmptyText, NotFound, RateLimited, TooLong
from chat.models import Conversation, Message, Turn, User
from chat.models.conversation import TITLE_LENGTH, USER_TEXT_LENGTH, Role
from chat.models.turn import ACTIVE, Status
from chat.turns.events import MessageView
from chat.turns.journal import copy_journal
from chat.turns.ownership import LEASE


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
        conversation = _open(user_id, conversation_id, now)
        known = Turn.objects.select_related("prompt").filter(conversation=conversation, client_id=client_id).first()
        if known is not None:
            return _accepted(known, is_new=False)
        _check_rate(user_id, now)
        turn = _new_turn(conversation, client_id, runner, now)
        turn.prompt = Message(
            conversation=conversation,
            turn=turn,
            role=Role.USER,
            text=text,
            position=conversation.last_position + 1,
            client_id=client_id,
            created_at=now,
        )
        conversation.last_position += 1
        conversation.title = conversation.title or title_from(text)
        turn.prompt.save(force_insert=True)
        _store(conversation, turn)
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
        conversation = Conversation.objects.owned_by(user_id).locked().filter(pk=conversation_id).first()
        if conversation is None:
            raise NotFound("There is no such conversation.")
        known = Turn.objects.select_related("prompt").filter(conversation=conversation, client_id=client_id).first()
        if known is not None:
            return _accepted(known, is_new=False)
        failed = Turn.objects.select_related("prompt").filter(conversation=conversation, pk=turn_id).first()
        if failed is None:
            raise NotFound("There is no such turn.")
        if failed.status not in (Status.FAILED, Status.STOPPED):
            raise Conflict("Only a reply that failed or was stopped can be tried again.")
        if failed.seq != conversation.last_seq:
            raise Conflict("The conversation has moved on; please send the message again.")
        _check_rate(user_id, now)
        turn = _new_turn(conversation, client_id, runner, now)
        turn.prompt, turn.retry_of = failed.prompt, failed
        _store(conversation, turn)
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


def _open(user_id: uuid.UUID, conversation_id: uuid.UUID, now: datetime) -> Conversation:
    """Lock the conversation, made first where there is none."""
    fresh = Conversation(pk=conversation_id, user_id=user_id, updated_at=now)
    Conversation.objects.bulk_create([fresh], ignore_conflicts=True)
    conversation = Conversation.objects.owned_by(user_id).locked().filter(pk=conversation_id).first()
    if conversation is None:
        raise NotFound("There is no such conversation.")
    return conversation


def _check_rate(user_id: uuid.UUID, now: datetime) -> None:
    # A person's messages one after another, so that those sent at once to several conversations all count.
    User.objects.select_for_update(no_key=True).filter(pk=user_id).values_list("pk").first()
    limit = settings.MESSAGES_PER_MINUTE
    minute = Turn.objects.filter(user_id=user_id, accepted_at__gt=now - timedelta(minutes=1)).order_by("-accepted_at")
    recent = list(minute.values_list("accepted_at", flat=True)[:limit])
    if len(recent) >= limit:
        wait = int((recent[-1] + timedelta(minutes=1) - now).total_seconds()) + 1
        raise RateLimited(f"That is more than {limit} messages a minute; please wait {wait} seconds.", retry_after=wait)


def _new_turn(conversation: Conversation, client_id: uuid.UUID, runner: uuid.UUID | None, now: datetime) -> Turn:
    """Make the turn, already running where nothing is before it; refuse it where too many are."""
    active = list(conversation.turns.filter(status__in=ACTIVE).values_list("status", flat=True))
    if active.count(Status.QUEUED) >= settings.QUEUE_PER_CONVERSATION:
        raise RateLimited("Too many messages are waiting in this conversation; please wait for a reply.", retry_after=5)
    conversation.last_seq += 1
    turn = Turn(
        conversation=conversation,
        user_id=conversation.user_id,
        client_id=client_id,
        seq=conversation.last_seq,
        status=Status.QUEUED,
        accepted_at=now,
    )
    if runner is not None and not active:
        turn.status, turn.owner, turn.lease_until, turn.started_at = Status.RUNNING, runner, now + LEASE, now
    return turn


def _store(conversation: Conversation, turn: Turn) -> None:
    conversation.updated_at = turn.accepted_at
    conversation.save(update_fields=["last_seq", "last_position", "title", "updated_at"])
    turn.save(force_insert=True)


def _accepted(turn: Turn, *, is_new: bool) -> Accepted:
    return Accepted(view(turn.prompt), turn, ahead_of(turn), is_new)
