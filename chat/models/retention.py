"""Which conversations retention takes, and when: to the trash after a while of silence, and for good out of it.

Spoken in, or kept by the person: whatever is later counts. Pinned ones stay where they are; held ones, and those in
which a turn has not ended, are not touched.
"""

from datetime import datetime, timedelta

from django.conf import settings
from django.db.models import Exists, OuterRef, Q

from chat.models.conversation import Conversation, ConversationQuerySet
from chat.models.session import AgentSession
from chat.models.turn import ACTIVE, Turn

IN_TRASH = timedelta(days=30)
NOTICE = timedelta(days=7)
# The shortest silence before a warning, however short the retention.
QUIET = timedelta(days=1)


def silence() -> timedelta:
    """The silence after which a conversation goes to the trash."""
    return timedelta(days=settings.CONVERSATION_RETENTION_DAYS)


def to_trash(now: datetime) -> ConversationQuerySet:
    """Return the conversations that a clean-up at a moment moves to the trash."""
    return _silent(now, silence())


def leaving(now: datetime) -> ConversationQuerySet:
    """Return those that go to the trash within the notice period, unless they are kept."""
    return _silent(now, max(silence() - NOTICE, QUIET))


def to_purge(now: datetime) -> ConversationQuerySet:
    """Return those that a clean-up at a moment deletes for good."""
    return _free().filter(trashed_at__lte=now - IN_TRASH)


def in_trash() -> ConversationQuerySet:
    """Return those in the trash that may be deleted for good before their time."""
    return _free().filter(trashed_at__isnull=False)


def with_notice(conversation: Conversation, now: datetime) -> None:
    """Let a conversation whose hold has ended go no sooner than its user can be warned."""
    since = now - max(silence() - NOTICE, QUIET)
    conversation.kept_at = max(conversation.kept_at or since, since)
    if conversation.trashed_at is not None:
        conversation.trashed_at = max(conversation.trashed_at, now - IN_TRASH + NOTICE)


def trash_on(conversation: Conversation, *, held: bool, now: datetime) -> datetime | None:
    """Return when a conversation goes to the trash, if that is within the notice period."""
    if held or conversation.trashed_at or conversation.pinned_at:
        return None
    since = max(conversation.updated_at, conversation.kept_at or conversation.updated_at)
    return since + silence() if since <= now - max(silence() - NOTICE, QUIET) else None


def purge_on(conversation: Conversation, *, held: bool) -> datetime | None:
    """Return when a conversation in the trash is deleted for good."""
    return conversation.trashed_at + IN_TRASH if conversation.trashed_at and not held else None


def _silent(now: datetime, since: timedelta) -> ConversationQuerySet:
    cutoff = now - since
    silent = _free().filter(trashed_at=None, pinned_at=None, updated_at__lte=cutoff)
    return silent.filter(Q(kept_at=None) | Q(kept_at__lte=cutoff))


def _free() -> ConversationQuerySet:
    # Including those whose hold has expired, until they are released.
    held = AgentSession.objects.filter(held_at__isnull=False, conversation=OuterRef("pk"))
    busy = Turn.objects.filter(conversation=OuterRef("pk"), status__in=ACTIVE)
    return Conversation.objects.filter(~Exists(held), ~Exists(busy))
