"""Read a user's conversations for programs: lists by pages, and messages from the newest back."""

import uuid
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from django.db.models import Q

from chat.conversations.listing import conversation_out, with_listing_fields
from chat.exceptions import NotFound
from chat.infra.lookup import get_one
from chat.infra.pagination import newest_first
from chat.models import Conversation, Message, Turn
from chat.models.turn import ACTIVE
from chat.read_models import ConversationOut, MessageOut


class Where(StrEnum):
    """Which conversations are listed."""

    ACTIVE = "active"  # neither archived nor in the trash, as in the sidebar
    PINNED = "pinned"
    ARCHIVED = "archived"
    TRASHED = "trashed"
    ALL = "all"


FILTERS = {
    Where.ACTIVE: Q(archived_at=None, trashed_at=None),
    Where.PINNED: Q(pinned_at__isnull=False, archived_at=None, trashed_at=None),
    Where.ARCHIVED: Q(archived_at__isnull=False, trashed_at=None),
    Where.TRASHED: Q(trashed_at__isnull=False),
    Where.ALL: Q(),
}


@dataclass(frozen=True, slots=True)
class ActiveTurn:
    """A turn that has not ended."""

    id: uuid.UUID
    status: str
    prompt_id: uuid.UUID


@dataclass(frozen=True, slots=True)
class Thread:
    """A conversation, a part of its messages (oldest first), whether older ones exist, and its active turns."""

    line: ConversationOut
    messages: tuple[MessageOut, ...]
    has_more: bool
    turns: tuple[ActiveTurn, ...]


def listed(
    *, user_id: uuid.UUID, where: Where, after: tuple[datetime, uuid.UUID] | None, limit: int
) -> list[ConversationOut]:
    """List a person's conversations, the one last spoken in first; one more than the limit, if there is."""
    rows = with_listing_fields(Conversation.objects.owned_by(user_id).filter(FILTERS[where]))
    return [conversation_out(row) for row in newest_first(rows, by="updated_at", after=after, limit=limit)]


def line(*, user_id: uuid.UUID, conversation_id: uuid.UUID) -> ConversationOut:
    """Return a conversation as a line of a list. Raise NotFound."""
    return conversation_out(_owned(user_id, conversation_id))


def thread(*, user_id: uuid.UUID, conversation_id: uuid.UUID, limit: int, before: uuid.UUID | None = None) -> Thread:
    """Show a conversation with its newest messages, or with those before one of them. Raise NotFound."""
    row = _owned(user_id, conversation_id)
    # Before the messages: the reply of a turn that ends meanwhile is among them.
    active = active_turns(row.pk)
    current = Message.objects.filter(conversation=row, position__isnull=False)
    if before is not None:
        position = current.filter(pk=before).values_list("position", flat=True).first()
        if position is None:
            raise NotFound("There is no such message in the conversation as it is now.")
        current = current.filter(position__lt=position)
    newest = list(current.order_by("-position")[: limit + 1])
    return Thread(
        line=conversation_out(row),
        messages=tuple(MessageOut.of(message) for message in reversed(newest[:limit])),
        has_more=len(newest) > limit,
        turns=tuple(active),
    )


def message(*, user_id: uuid.UUID, conversation_id: uuid.UUID, message_id: uuid.UUID) -> MessageOut:
    """Show one message. Raise NotFound."""
    theirs = Message.objects.filter(conversation__user=user_id, conversation=conversation_id)
    return MessageOut.of(get_one(theirs.filter(pk=message_id), "message"))


def active_turns(conversation_id: uuid.UUID) -> list[ActiveTurn]:
    """Return the turns of a conversation that have not ended, in order."""
    active = Turn.objects.filter(conversation=conversation_id, status__in=ACTIVE).order_by("seq")
    return [ActiveTurn(*turn) for turn in active.values_list("id", "status", "prompt_id")]


def check(*, user_id: uuid.UUID, conversation_id: uuid.UUID) -> None:
    """Raise NotFound unless a conversation is the user's."""
    if not Conversation.objects.owned_by(user_id).filter(pk=conversation_id).exists():
        raise NotFound("There is no such conversation.")


def status_of(*, user_id: uuid.UUID, conversation_id: uuid.UUID, turn_id: uuid.UUID) -> str:
    """Return the status of a turn. Raise NotFound."""
    theirs = Turn.objects.filter(pk=turn_id, user_id=user_id, conversation_id=conversation_id)
    return get_one(theirs.values_list("status", flat=True), "turn")


def _owned(user_id: uuid.UUID, conversation_id: uuid.UUID) -> Conversation:
    rows = with_listing_fields(Conversation.objects.owned_by(user_id))
    return get_one(rows.filter(pk=conversation_id), "conversation")
