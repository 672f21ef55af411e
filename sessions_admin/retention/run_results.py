"""The results of a clean-up, or of a preview: users, sessions and conversations."""

import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypeVar, cast

from django.core.paginator import Page, Paginator
from django.db.models import Count, F, OuterRef, QuerySet, Subquery, Sum

from chat.models import AgentSession
from sessions_admin.models import CleanedConversation, CleanedSession, CleanupRun
from sessions_admin.reports import Report

PER_PAGE = 100

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class PersonLine(Report):
    """The part of one user in a run."""

    user_id: uuid.UUID
    email: str
    sessions: int
    items: int
    bytes: int


@dataclass(frozen=True, slots=True)
class SessionTaken:
    """One session that a run removed; `mirror` is the key of its current metadata, if it exists."""

    email: str
    session_id: str
    items: int
    bytes: int
    last_activity_at: datetime
    mirror: int | None


@dataclass(frozen=True, slots=True)
class ConversationTaken:
    """One conversation that a run moved to the trash, or deleted."""

    email: str
    conversation_id: uuid.UUID
    is_purged: bool
    messages: int
    updated_at: datetime


def by_person(run: CleanupRun) -> Iterator[PersonLine]:
    """Yield a line per user, the largest first; for a preview, of the sessions that are due now."""
    for row in _person_rows(run).iterator(chunk_size=1000):
        yield PersonLine(**row)


def people_page(run: CleanupRun, page: str | None) -> Page[PersonLine]:
    """Return a page of those lines."""
    return _page(_person_rows(run), page, PersonLine)


def sessions_page(run_id: uuid.UUID, page: str | None) -> Page[SessionTaken]:
    """Return a page of the sessions, the largest first."""
    mirror = AgentSession.objects.filter(session_id=OuterRef("session_id")).values("pk")
    rows = (
        CleanedSession.objects.filter(run=run_id)
        .order_by("-bytes", "pk")
        .values("session_id", "items", "bytes", "last_activity_at", email=F("user__email"), mirror=Subquery(mirror))
    )
    return _page(rows, page, SessionTaken)


def conversations_page(run_id: uuid.UUID, page: str | None) -> Page[ConversationTaken]:
    """Return a page of the conversations, the deleted ones first."""
    rows = (
        CleanedConversation.objects.filter(run=run_id)
        .order_by("-is_purged", "pk")
        .values("conversation_id", "is_purged", "messages", "updated_at", email=F("user__email"))
    )
    return _page(rows, page, ConversationTaken)


def _person_rows(run: CleanupRun) -> "QuerySet[Any, Mapping[str, Any]]":
    return _due_rows(run.cutoff) if run.dry_run and run.cutoff else _removed_rows(run)


def _due_rows(cutoff: datetime) -> "QuerySet[AgentSession, Mapping[str, Any]]":
    """Read the metadata: a preview stores only a sample."""
    due = AgentSession.objects.expired(cutoff).order_by().values("user_id", email=F("user__email"))
    people = due.annotate(sessions=Count("pk"), items=Sum("item_count"), bytes=Sum("byte_count"))
    return people.order_by("-bytes", "email")


def _removed_rows(run: CleanupRun) -> "QuerySet[CleanedSession, Mapping[str, Any]]":
    # Renamed first: an aggregate named like its column would be aggregated again.
    taken = CleanedSession.objects.filter(run=run).annotate(each_items=F("items"), each_bytes=F("bytes"))
    people = taken.values("user_id", email=F("user__email"))
    sums = people.annotate(sessions=Count("pk"), items=Sum("each_items"), bytes=Sum("each_bytes"))
    return sums.order_by("-bytes", "email")


def _page(rows: "QuerySet[Any, Mapping[str, Any]]", page: str | None, line: type[T]) -> Page[T]:
    """Return a page of rows as lines."""
    found = Paginator(rows, PER_PAGE).get_page(page)
    return Page([line(**row) for row in found], found.number, cast("Paginator[T]", found.paginator))
