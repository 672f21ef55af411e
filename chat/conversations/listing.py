"""List a user's conversations: the sidebar, the archive, the trash, and those that go to the trash soon."""

import uuid
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Self

from django.conf import settings
from django.db.models import Exists, OuterRef
from django.utils import timezone

from chat.assistant.model_config import name_in_use
from chat.exceptions import BadCursor
from chat.infra.pagination import newest_first, oldest_first
from chat.models import Conversation, Turn, User
from chat.models.conversation import ConversationQuerySet
from chat.models.retention import IN_TRASH, leaving, purge_on, trash_on
from chat.models.turn import Status, TurnQuerySet
from chat.read_models import ConversationOut

SIDEBAR_SIZE = 20  # chats that a page begins with
PAGE_SIZE = 50  # chats of each further page
MAX_SIZE = 1_000  # chats that a page asks for again at once
WAITING_COUNTED = 99


@dataclass(frozen=True, slots=True)
class ListCursor:
    """A place in a list by time, in which pinned lines may come first."""

    time: datetime
    id: uuid.UUID
    pinned: bool = False

    def __str__(self) -> str:
        return f"{self.time.isoformat()}/{self.id}" + "/pinned" * self.pinned

    def as_json(self) -> dict[str, object]:
        """Give the place by which the page knows what is loaded."""
        return {"place": str(self), "pinned": self.pinned, "updated_at": self.time.isoformat()}

    @classmethod
    def parse(cls, text: str) -> Self | None:
        """Read what `str` wrote; None for an empty text. Raise BadCursor."""
        if not text:
            return None
        try:
            time, key, *pinned = text.split("/")
            place = cls(datetime.fromisoformat(time), uuid.UUID(key), pinned == ["pinned"])
        except ValueError:
            raise BadCursor from None
        if place.time.tzinfo is None:
            raise BadCursor
        return place


@dataclass(frozen=True, slots=True)
class ConversationPage:
    """A page of a list, and the cursor of the next page; None for the last page."""

    conversations: tuple[ConversationOut, ...]
    after: ListCursor | None = None
    total: int = 0  # of a list that is counted

    def as_json(self) -> dict[str, object]:
        """Give a part of the page's list of chats."""
        return {
            "conversations": [conversation.as_json() for conversation in self.conversations],
            "conversations_after": self.after.as_json() if self.after else None,
        }


@dataclass(frozen=True, slots=True)
class RetentionPeriods:
    """The retention periods, in days: of the memory, of an inactive chat, and of a chat in the trash."""

    memory: int
    inactivity: int
    trash: int


def conversation_out(row: Conversation) -> ConversationOut:
    """Show a conversation, fetched with its session, as a line."""
    session = getattr(row, "session", None)
    held = session is not None and session.is_held
    waiting = getattr(row, "is_waiting", None)
    return ConversationOut(
        id=row.pk,
        title=row.title,
        created_at=row.created_at,
        updated_at=row.updated_at,
        pinned=row.pinned_at is not None,
        archived=row.archived_at is not None,
        trashed=row.trashed_at is not None,
        held=held,
        trash_on=trash_on(row, held=held, now=timezone.now()),
        purge_on=purge_on(row, held=held),
        model=name_in_use(row.model) or None,
        waiting=_waiting().filter(conversation=row.pk).exists() if waiting is None else waiting,
    )


def with_listing_fields(rows: ConversationQuerySet) -> ConversationQuerySet:
    """Fetch along what a line shows of a conversation."""
    return rows.select_related("session").annotate(is_waiting=Exists(_waiting().filter(conversation=OuterRef("pk"))))


def conversations_out(rows: ConversationQuerySet) -> list[ConversationOut]:
    """Show conversations as lines, in their order."""
    return [conversation_out(row) for row in with_listing_fields(rows)]


def waiting_of(person: User) -> list[uuid.UUID]:
    """Return the conversations in which a turn waits for a person's decision, at most WAITING_COUNTED."""
    waiting = _waiting().filter(user=person.pk).order_by("conversation")
    return list(waiting.values_list("conversation", flat=True)[:WAITING_COUNTED])


def find(person: User, conversation_id: uuid.UUID) -> ConversationOut | None:
    """Show one conversation of a person's, or None where they have none of that id."""
    found = conversations_out(Conversation.objects.owned_by(person.pk).filter(pk=conversation_id))
    return found[0] if found else None


def conversations_of(person: User, *, after: ListCursor | None = None, limit: int = SIDEBAR_SIZE) -> ConversationPage:
    """List what a person has at hand: pinned ones first, the one last spoken in before the others."""
    theirs = Conversation.objects.owned_by(person.pk).filter(archived_at=None, trashed_at=None)
    rows: list[Conversation] = []
    for pinned in (True, False) if after is None or after.pinned else (False,):
        if len(rows) <= limit:
            seen = (after.time, after.id) if after is not None and pinned == after.pinned else None
            part = with_listing_fields(theirs.filter(pinned_at__isnull=not pinned))
            rows += newest_first(part, by="updated_at", after=seen, limit=limit - len(rows))
    shown = tuple(conversation_out(row) for row in rows[:limit])
    last = shown[-1] if len(rows) > limit else None
    return ConversationPage(shown, ListCursor(last.updated_at, last.id, last.pinned) if last else None)


def archive_of(person: User, *, after: ListCursor | None = None) -> ConversationPage:
    """List what a person has archived, the one last spoken in first."""
    rows = Conversation.objects.owned_by(person.pk).filter(archived_at__isnull=False, trashed_at=None)
    return _counted(rows, by="updated_at", after=after)


def trash_of(person: User, *, after: ListCursor | None = None) -> ConversationPage:
    """List what a person has in the trash, what came there last first."""
    rows = Conversation.objects.owned_by(person.pk).filter(trashed_at__isnull=False)
    return _counted(rows, by="trashed_at", after=after)


def leaving_of(person: User, *, after: ListCursor | None = None) -> ConversationPage:
    """List what goes to the trash within a week, the first to go first."""
    rows = leaving(timezone.now()).owned_by(person.pk)
    return _counted(rows, by="updated_at", after=after, order=oldest_first)


def leaving_count(person: User) -> int:
    """Count what goes to the trash within a week."""
    return leaving(timezone.now()).owned_by(person.pk).count()


def retention_periods() -> RetentionPeriods:
    """Return the retention periods, in days."""
    return RetentionPeriods(settings.AGENT_SESSION_RETENTION_DAYS, settings.CONVERSATION_RETENTION_DAYS, IN_TRASH.days)


def _counted(
    rows: ConversationQuerySet,
    *,
    by: str,
    after: ListCursor | None,
    order: Callable[..., list[Conversation]] = newest_first,
) -> ConversationPage:
    seen = (after.time, after.id) if after else None
    found = order(with_listing_fields(rows), by=by, after=seen, limit=PAGE_SIZE)
    last = found[PAGE_SIZE - 1] if len(found) > PAGE_SIZE else None
    place = ListCursor(getattr(last, by), last.pk) if last else None
    return ConversationPage(tuple(conversation_out(row) for row in found[:PAGE_SIZE]), place, rows.count())


def _waiting() -> TurnQuerySet:
    return Turn.objects.filter(status=Status.WAITING)
