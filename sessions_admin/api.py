"""The API for staff: manage sessions, inspect one, and request clean-ups."""

import uuid
from dataclasses import asdict
from datetime import datetime, timedelta
from functools import partial
from typing import Annotated, Any

from django.http import HttpRequest
from ninja import Field, Path, Query, Router, Schema, Status

from chat.api.auth import SignedIn, caller
from chat.api.paging import Listed, Page, Paging, moment_cursor, page
from chat.api.schemas import ErrorReply, Input, Moment, Text
from chat.exceptions import Forbidden
from chat.models import AgentSession, User
from chat.models.session import State
from chat.models.token import Scope
from sessions_admin import audit, schedules
from sessions_admin.audit import REASON_LENGTH
from sessions_admin.models import CleanupRun
from sessions_admin.permissions import MANAGE, READ, RUN, SEE_CLEANUPS, SEE_SESSIONS, may
from sessions_admin.retention import runs
from sessions_admin.sessions import lifecycle
from sessions_admin.sessions.inspection import Inspection, inspect
from sessions_admin.sessions.lifecycle import Outcome
from sessions_admin.sessions.listing import line_of, newest_sessions, session_details

sessions = Router(tags=["sessions"], auth=SignedIn(Scope.SESSIONS))
cleanup_runs = Router(tags=["clean-ups"], auth=SignedIn(Scope.SESSIONS))

SessionId = Path[Annotated[Text, Field(min_length=1)]]  # an empty one makes another address
REFUSED = {409: ErrorReply, 503: ErrorReply}


class SessionReply(Schema):
    """A session, as the list of sessions knows it."""

    session_id: str
    email: str = Field(description="Of the person whose it is.")
    title: str | None = Field(description="Of the conversation; null for those who may not look into sessions.")
    state: State
    items: int
    bytes: int
    pruned: int = Field(description="Older items that it is without.")
    last_activity_at: datetime


class SessionPage(Page[SessionReply]):
    """A part of a list."""


class SessionDetailsReply(SessionReply):
    """A session's metadata; its items only if requested."""

    first_activity_at: datetime
    gone_at: datetime | None = Field(description="Since when the store holds nothing of it.")
    held_at: datetime | None
    held_until: datetime | None = Field(description="Null where a hold has no end.")
    hold_reason: str
    last_error: str
    inspection: Inspection | None = Field(description="What is in it, beside what the person sees and each turn did.")


class Narrowed(Schema):
    """The filter of the list."""

    state: State | None = None
    user: Text = Field("", max_length=254, description="The e-mail address of a person.")
    inactive_days: int | None = Field(None, ge=1, le=10_000, description="Nothing was said for so many days.")


class Looking(Schema):
    """Whether, and why, to inspect a session."""

    items: bool = Field(False, description="Show what is in it. The person is told who looked, when and why.")
    reason: Text = Field(
        "", max_length=REASON_LENGTH, description="Needed with `items`. Prefer `POST …/inspect`: proxies log URLs."
    )


class InspectionReason(Input):
    """Why the items of a session are inspected."""

    reason: Text = Field(min_length=1, max_length=REASON_LENGTH)


class Reason(Input):
    """The reason, for the audit."""

    reason: Text = Field("", max_length=REASON_LENGTH)


class HoldRequest(Input):
    """Why a session is kept, and how long."""

    reason: Text = Field(min_length=1, max_length=REASON_LENGTH)
    until: Moment | None = Field(None, description="Until it is released, where there is none.")


class OutcomeReply(Schema):
    """What was done to a session: how much it held before and holds now."""

    session_id: str
    action: str
    items_before: int
    items: int
    bytes_before: int
    bytes: int


@sessions.get("", response=SessionPage)
def list_sessions(request: HttpRequest, paging: Query[Paging], only: Query[Narrowed]) -> Listed[SessionReply]:
    """List sessions, the last used first."""
    user = _staff(request, *SEE_SESSIONS)
    found = newest_sessions(
        state=only.state,
        email=only.user or None,
        inactive_for=timedelta(days=only.inactive_days) if only.inactive_days else None,
        after=paging.numbered,
        limit=paging.limit,
    )
    return page(found, limit=paging.limit, cursor=_place).map(partial(_line, user=user))


@sessions.get("/{session_id}", response=SessionDetailsReply)
def get_session(request: HttpRequest, session_id: SessionId, looking: Query[Looking]) -> SessionDetailsReply:
    """Return a session's metadata; with `items` and a reason also its items, which the audit records."""
    user = _staff(request, *((READ,) if looking.items else SEE_SESSIONS))
    details = session_details(session_id)
    seen = inspect(session_id, actor=audit.of_user(user), reason=looking.reason) if looking.items else None
    return SessionDetailsReply(**_without_title(asdict(details), user), inspection=seen)


@sessions.post("/{session_id}/inspect", response=SessionDetailsReply)
def inspect_session(request: HttpRequest, session_id: SessionId, why: InspectionReason) -> SessionDetailsReply:
    """Return what is in a session, as with `items=true`, with the reason in the body instead of the URL."""
    user = _staff(request, READ)
    details = session_details(session_id)
    seen = inspect(session_id, actor=audit.of_user(user), reason=why.reason)
    return SessionDetailsReply(**asdict(details), inspection=seen)


@sessions.post("/{session_id}/prune", response={200: OutcomeReply, **REFUSED})
def prune_session(request: HttpRequest, session_id: SessionId, why: Reason | None = None) -> Outcome:
    """Remove the oldest turns until a session is within its limit. 409 while a turn runs or waits."""
    return lifecycle.prune_session(session_id, actor=_manager(request), reason=_said(why))


@sessions.post("/{session_id}/clear", response={200: OutcomeReply, **REFUSED})
def clear_session(request: HttpRequest, session_id: SessionId, why: Reason | None = None) -> Outcome:
    """Make the assistant forget a conversation permanently; the messages stay. 409 while a turn runs, or if held."""
    return lifecycle.clear_session(session_id, actor=_manager(request), reason=_said(why))


@sessions.post("/{session_id}/rebuild", response={200: OutcomeReply, **REFUSED})
def rebuild_session(request: HttpRequest, session_id: SessionId, why: Reason | None = None) -> Outcome:
    """Fill a session from the record. 409 while a turn runs or waits."""
    return lifecycle.rebuild_session(session_id, actor=_manager(request), reason=_said(why))


@sessions.post("/{session_id}/hold", response={200: OutcomeReply, **REFUSED})
def hold_session(request: HttpRequest, session_id: SessionId, hold: HoldRequest) -> Outcome:
    """Keep a session from everything that would remove it, until it is released or until a time."""
    return lifecycle.hold_session(session_id, actor=_manager(request), reason=hold.reason, until=hold.until)


@sessions.post("/{session_id}/release", response={200: OutcomeReply, **REFUSED})
def release_session(request: HttpRequest, session_id: SessionId, why: Reason | None = None) -> Outcome:
    """Release a session from its hold. 409 if it is not held."""
    return lifecycle.release_session(session_id, actor=_manager(request), reason=_said(why))


class CleanupRequest(Input):
    """The kind of the clean-up."""

    dry_run: bool = Field(description="A preview: the same run, which removes nothing.")


class LogLineReply(Schema):
    """An entry of a run's log."""

    at: datetime
    sentence: str


class CleanupRunReply(Schema):
    """A clean-up, or a preview of one."""

    run_id: uuid.UUID
    status: str = Field(examples=["queued", "running", "stopping", "done", "failed", "stopped"])
    dry_run: bool
    trigger: str = Field(examples=["schedule", "admin", "command"])
    created_at: datetime
    started_at: datetime | None
    ended_at: datetime | None
    cutoff: datetime | None = Field(description="Sessions with nothing said in them since are removed.")
    total: int | None = Field(description="Sessions chosen when it began.")
    examined: int
    held: int = Field(description="Left alone, though nothing was said in them for as long.")
    sessions: int = Field(description="Removed, or what a preview would have removed; so are the next ones.")
    items: int
    bytes: int
    freed_bytes: int = Field(description="Given back to the disk.")
    trashed: int = Field(description="Conversations that went to the trash.")
    purged: int = Field(description="Conversations deleted for good.")
    seconds: float | None
    error: str
    details_removed_at: datetime | None = Field(description="Since when it is not known which sessions it took.")
    log: list[LogLineReply]


@cleanup_runs.post("", response={202: CleanupRunReply, 409: ErrorReply})
def request_cleanup(request: HttpRequest, wanted: CleanupRequest) -> Status[CleanupRunReply]:
    """Ask the worker for a clean-up or a preview. 409 while another one waits or runs."""
    return Status(202, _run(schedules.request_cleanup(actor=_staff(request, RUN), dry_run=wanted.dry_run)))


@cleanup_runs.get("/{run_id}", response=CleanupRunReply)
def get_cleanup_run(request: HttpRequest, run_id: uuid.UUID) -> CleanupRunReply:
    """Return the progress of a clean-up, or its report."""
    _staff(request, *SEE_CLEANUPS)
    return _run(runs.find(run_id))


def _staff(request: HttpRequest, *permissions: str) -> User:
    """Return who asks. Raise Forbidden unless they are staff with one of the permissions."""
    user = caller(request).user
    if not may(user, *permissions):
        raise Forbidden("This is for staff with the permission for it.")
    return user


def _manager(request: HttpRequest) -> str:
    return audit.of_user(_staff(request, MANAGE))


def _said(why: Reason | None) -> str:
    return why.reason if why else ""


def _line(session: AgentSession, *, user: User) -> SessionReply:
    return SessionReply(**_without_title(asdict(line_of(session)), user))


def _without_title(shown: dict[str, Any], user: User) -> dict[str, Any]:
    """Remove the title, which quotes a message, for staff who may not inspect sessions."""
    return shown if may(user, READ) else shown | {"title": None}


def _place(session: AgentSession) -> str:
    return moment_cursor(session.last_activity_at, session.pk)


def _run(run: CleanupRun) -> CleanupRunReply:
    told = runs.report(run)
    return CleanupRunReply(
        **asdict(told),
        trigger=run.trigger,
        created_at=run.created_at,
        started_at=run.started_at,
        ended_at=run.ended_at,
        details_removed_at=run.details_removed_at,
        log=[LogLineReply(at=line.at, sentence=line.sentence) for line in runs.log_of(run)],
    )
