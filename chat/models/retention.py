"""Which conversations retention moves to the trash after a period of inactivity, and deletes permanently from there.

The period begins with the last message, or with the user's request to keep the conversation, whichever is later. Pinned
conversations stay; held ones, and those with an unfinished turn, are skipped.
"""

from datetime import datetime, timedelta

from django.conf import settings
from django.db.models import Exists, OuterRef, Q

from chat.models.conversation import Conversation, ConversationQuerySet
from chat.models.session import AgentSession
from chat.models.turn import ACTIVE, Turn

IN_TRASH = timedelta(days=30)
NOTICE = timedelta(days=7)
# The shortest period before a warning, however short the retention.
MIN_QUIET = timedelta(days=1)


def silence() -> timedelta:
    """Return the period of inactivity after which a conversation goes to the trash."""
    return timedelta(days=settings.CONVERSATION_RETENTION_DAYS)


def to_trash(now: datetime) -> ConversationQuerySet:
    """Return the conversations that a clean-up at a given time moves to the trash."""
    return _inactive(now, silence())


def leaving(now: datetime) -> ConversationQuerySet:
    """Return those that go to the trash within the notice period, unless they are kept."""
    return _inactive(now, max(silence() - NOTICE, MIN_QUIET))


def to_purge(now: datetime) -> ConversationQuerySet:
    """Return those that a clean-up at a given time deletes permanently."""
    return _unblocked().filter(trashed_at__lte=now - IN_TRASH)


def in_trash() -> ConversationQuerySet:
    """Return those in the trash that may be deleted permanently early."""
    return _unblocked().filter(trashed_at__isnull=False)


def with_notice(conversation: Conversation, now: datetime) -> None:
    """Exclude conversations whose hold has ended until their user can be warned."""
    since = now - max(silence() - NOTICE, MIN_QUIET)
    conversation.kept_at = max(conversation.kept_at or since, since)
    if conversation.trashed_at is not None:
        conversation.trashed_at = max(conversation.trashed_at, now - IN_TRASH + NOTICE)


def trash_on(conversation: Conversation, *, held: bool, now: datetime) -> datetime | None:
    """Return when a conversation goes to the trash, if that is within the notice period."""
    if held or conversation.trashed_at or conversation.pinned_at:
        return None
    since = max(conversation.updated_at, conversation.kept_at or conversation.updated_at)
    return since + silence() if since <= now - max(silence() - NOTICE, MIN_QUIET) else None


def purge_on(conversation: Conversation, *, held: bool) -> datetime | None:
    """Return when a conversation in the trash is deleted permanently."""
    return conversation.trashed_at + IN_TRASH if conversation.trashed_at and not held else None


def _inactive(now: datetime, since: timedelta) -> ConversationQuerySet:
    cutoff = now - since
    silent = _unblocked().filter(trashed_at=None, pinned_at=None, updated_at__lte=cutoff)
    return silent.filter(Q(kept_at=None) | Q(kept_at__lte=cutoff))


def _unblocked() -> ConversationQuerySet:
    # Includes those whose hold has expired, until they are released.
    held = AgentSession.objects.filter(held_at__isnull=False, conversation=OuterRef("pk"))
    busy = Turn.objects.filter(conversation=OuterRef("pk"), status__in=ACTIVE)
    return Conversation.objects.filter(~Exists(held), ~Exists(busy))
