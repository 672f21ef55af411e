"""Where a person's conversations lie: beside the chat, in the archive, in the trash, or about to go there."""

import uuid
from dataclasses import dataclass
from datetime import datetime
from typing import TypeAlias

from django.conf import settings
from django.db.models import BooleanField, ExpressionWrapper, Q
from django.utils import timezone

from chat.assistant.model_config import name_in_use
from chat.models import Conversation, User
from chat.models.conversation import ConversationQuerySet
from chat.models.retention import IN_TRASH, leaving, purge_on, trash_on

Json: TypeAlias = "str | int | bool | None | list[Json] | dict[str, Json]"

SHOWN = 200


@dataclass(frozen=True, slots=True)
class ConversationLine:
    """A conversation as a line of a list."""

    id: uuid.UUID
    title: str
    created_at: datetime
    updated_at: datetime
    pinned: bool = False
    archived: bool = False
    trashed: bool = False
    held: bool = False  # staff keep it
    trash_on: datetime | None = None  # when it goes to the trash by itself, once that is near
    purge_on: datetime | None = None  # when it is deleted for good, where it is in the trash and not held
    model: str = ""  # the name of the model that answers in it; empty for the offline model

    def as_json(self) -> dict[str, Json]:
        """Give the `conversation` of frames."""
        return {
            "id": str(self.id),
            "title": self.title,
            "created_at": self.created_at.isoformat(),
            "updated_at": self.updated_at.isoformat(),
            "pinned": self.pinned,
            "archived": self.archived,
            "trashed": self.trashed,
            "trash_on": self.trash_on.isoformat() if self.trash_on else None,
            "purge_on": self.purge_on.isoformat() if self.purge_on else None,
            "model": self.model or None,
        }


@dataclass(frozen=True, slots=True)
class Listed:
    """The first lines of a list, and how many there are."""

    lines: tuple[ConversationLine, ...]
    total: int

    @property
    def left_out(self) -> int:
        """How many are not shown."""
        return self.total - len(self.lines)


@dataclass(frozen=True, slots=True)
class Terms:
    """After how many days what happens by itself."""

    memory: int
    silence: int
    in_trash: int


def line_of(row: Conversation) -> ConversationLine:
    """Show a conversation, fetched with its session, as a line."""
    session = getattr(row, "session", None)
    held = session is not None and session.is_held
    return ConversationLine(
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
        model=name_in_use(row.model),
    )


def lines_of(rows: ConversationQuerySet) -> list[ConversationLine]:
    """Show conversations as lines, in their order."""
    return [line_of(row) for row in rows.select_related("session")]


def find(person: User, conversation_id: uuid.UUID) -> ConversationLine | None:
    """Show one conversation of a person's, or None where they have none of that id."""
    found = lines_of(Conversation.objects.owned_by(person.pk).filter(pk=conversation_id))
    return found[0] if found else None


def conversations_of(person: User) -> list[ConversationLine]:
    """List what a person has at hand: pinned ones first, the one last spoken in before the others."""
    rows = Conversation.objects.owned_by(person.pk).filter(archived_at=None, trashed_at=None)
    loose = ExpressionWrapper(Q(pinned_at=None), BooleanField())
    return lines_of(rows.order_by(loose, "-updated_at", "-id")[:SHOWN])


def archive_of(person: User) -> Listed:
    """List what a person has archived, the one last spoken in first."""
    rows = Conversation.objects.owned_by(person.pk).filter(archived_at__isnull=False, trashed_at=None)
    return _listed(rows.order_by("-updated_at", "-id"))


def trash_of(person: User) -> Listed:
    """List what a person has in the trash, what came there last first."""
    rows = Conversation.objects.owned_by(person.pk).filter(trashed_at__isnull=False)
    return _listed(rows.order_by("-trashed_at", "-id"))


def leaving_of(person: User) -> Listed:
    """List what goes to the trash within a week, the first to go first."""
    return _listed(leaving(timezone.now()).owned_by(person.pk).order_by("updated_at", "id"))


def leaving_count(person: User) -> int:
    """Count what goes to the trash within a week."""
    return leaving(timezone.now()).owned_by(person.pk).count()


def terms() -> Terms:
    """Say after how many days what happens by itself."""
    return Terms(settings.AGENT_SESSION_RETENTION_DAYS, settings.CONVERSATION_RETENTION_DAYS, IN_TRASH.days)


def _listed(rows: ConversationQuerySet) -> Listed:
    return Listed(tuple(lines_of(rows[:SHOWN])), rows.count())
