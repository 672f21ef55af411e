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

SessionId = Path[Annotated[Text, Field(min_length=1)]]  # an empty one would be another URL
ERROR_REPLIES = {409: ErrorReply, 503: ErrorReply}


class SessionReply(Schema):
    """A session in a list."""

    session_id: str
    email: str = Field(description="The user's address.")
    title: str | None = Field(description="The conversation's title; null for staff who may not inspect sessions.")
    state: State
    items: int
    bytes: int
    pruned: int = Field(description="Number of older items that were removed.")
    last_activity_at: datetime


class SessionPage(Page[SessionReply]):
    """A page of a list."""


class SessionDetailsReply(SessionReply):
    """A session's metadata; its items only if requested."""

    first_activity_at: datetime
    gone_at: datetime | None = Field(description="When its last items were removed from the store.")
    held_at: datetime | None
    held_until: datetime | None = Field(description="Null if the hold has no end.")
    hold_reason: str
    last_error: str
    inspection: Inspection | None = Field(description="Its items, with the conversation and the journal of each turn.")


class SessionFilters(Schema):
    """Filters of the list."""

    state: State | None = None
    user: Text = Field("", max_length=254, description="The e-mail address of a user.")
    inactive_days: int | None = Field(None, ge=1, le=10_000, description="Only sessions inactive for so many days.")


class InspectionQuery(Schema):
    """Whether to inspect a session, and why."""

    items: bool = Field(False, description="Include the items. The user can see the time and the reason.")
    reason: Text = Field(
        "", max_length=REASON_LENGTH, description="Required with `items`. Prefer `POST …/inspect`: proxies log URLs."
    )


class InspectionReason(Input):
    """The reason for inspecting a session."""

    reason: Text = Field(min_length=1, max_length=REASON_LENGTH)


class Reason(Input):
    """The reason, for the audit."""

    reason: Text = Field("", max_length=REASON_LENGTH)


class HoldRequest(Input):
    """The reason and the end of a hold."""

    reason: Text = Field(min_length=1, max_length=REASON_LENGTH)
    until: Moment | None = Field(None, description="Without it, until the session is released.")


class OutcomeReply(Schema):
    """The effect of a verb on a session: its items before and after."""

    session_id: str
    action: str
    items_before: int
    items: int
    bytes_before: int
    bytes: int


@sessions.get("", response=SessionPage)
def list_sessions(request: HttpRequest, paging: Query[Paging], filters: Query[SessionFilters]) -> Listed[SessionReply]:
    """List sessions, the most recently used first."""
    user = _staff(request, *SEE_SESSIONS)
    found = newest_sessions(
        state=filters.state,
        email=filters.user or None,
        inactive_for=timedelta(days=filters.inactive_days) if filters.inactive_days else None,
        after=paging.numbered,
        limit=paging.limit,
    )
    return page(found, limit=paging.limit, cursor=_cursor).map(partial(_session_reply, user=user))


@sessions.get("/{session_id}", response=SessionDetailsReply)
def get_session(request: HttpRequest, session_id: SessionId, query: Query[InspectionQuery]) -> SessionDetailsReply:
    """Return a session's metadata; with `items` and a reason also its items. The audit records the inspection."""
    user = _staff(request, *((READ,) if query.items else SEE_SESSIONS))
    details = session_details(session_id)
    inspection = inspect(session_id, actor=audit.user_actor(user), reason=query.reason) if query.items else None
    return SessionDetailsReply(**_without_title(asdict(details), user), inspection=inspection)


@sessions.post("/{session_id}/inspect", response=SessionDetailsReply)
def inspect_session(request: HttpRequest, session_id: SessionId, body: InspectionReason) -> SessionDetailsReply:
    """Return a session with its items, as with `items=true`, but with the reason in the body instead of the URL."""
    user = _staff(request, READ)
    details = session_details(session_id)
    inspection = inspect(session_id, actor=audit.user_actor(user), reason=body.reason)
    return SessionDetailsReply(**asdict(details), inspection=inspection)


@sessions.post("/{session_id}/prune", response={200: OutcomeReply, **ERROR_REPLIES})
def prune_session(request: HttpRequest, session_id: SessionId, body: Reason | None = None) -> Outcome:
    """Remove the oldest turns until a session is within its limit. 409 while a turn runs or waits."""
    return lifecycle.prune_session(session_id, actor=_managing_actor(request), reason=_reason_of(body))


@sessions.post("/{session_id}/clear", response={200: OutcomeReply, **ERROR_REPLIES})
def clear_session(request: HttpRequest, session_id: SessionId, body: Reason | None = None) -> Outcome:
    """Make the assistant forget a conversation permanently; the messages stay. 409 while a turn runs, or if held."""
    return lifecycle.clear_session(session_id, actor=_managing_actor(request), reason=_reason_of(body))


@sessions.post("/{session_id}/rebuild", response={200: OutcomeReply, **ERROR_REPLIES})
def rebuild_session(request: HttpRequest, session_id: SessionId, body: Reason | None = None) -> Outcome:
    """Fill a session from the record. 409 while a turn runs or waits."""
    return lifecycle.rebuild_session(session_id, actor=_managing_actor(request), reason=_reason_of(body))


@sessions.post("/{session_id}/hold", response={200: OutcomeReply, **ERROR_REPLIES})
def hold_session(request: HttpRequest, session_id: SessionId, hold: HoldRequest) -> Outcome:
    """Keep a session from everything that would remove it, until it is released or until a time."""
    return lifecycle.hold_session(session_id, actor=_managing_actor(request), reason=hold.reason, until=hold.until)


@sessions.post("/{session_id}/release", response={200: OutcomeReply, **ERROR_REPLIES})
def release_session(request: HttpRequest, session_id: SessionId, body: Reason | None = None) -> Outcome:
    """Release a session from its hold. 409 if it is not held."""
    return lifecycle.release_session(session_id, actor=_managing_actor(request), reason=_reason_of(body))


class CleanupRequest(Input):
    """Whether to run or preview a clean-up."""

    dry_run: bool = Field(description="Preview the run, and remove nothing.")


class LogLineReply(Schema):
    """An entry of a run's log."""

    at: datetime
    sentence: str


class CleanupRunReply(Schema):
    """A clean-up or a preview."""

    run_id: uuid.UUID
    status: str = Field(examples=["queued", "running", "stopping", "done", "failed", "stopped"])
    dry_run: bool
    trigger: str = Field(examples=["schedule", "admin", "command"])
    created_at: datetime
    started_at: datetime | None
    ended_at: datetime | None
    cutoff: datetime | None = Field(description="Sessions inactive since this time are removed.")
    total: int | None = Field(description="Sessions that were expired when it began.")
    examined: int
    held: int = Field(description="Expired sessions that were skipped because they are on hold.")
    sessions: int = Field(description="Sessions removed, or that a preview would remove; the same for items and bytes.")
    items: int
    bytes: int
    freed_bytes: int = Field(description="Bytes returned to the disk.")
    trashed: int = Field(description="Conversations moved to the trash.")
    purged: int = Field(description="Conversations permanently deleted.")
    seconds: float | None
    error: str
    details_removed_at: datetime | None = Field(description="When the list of removed sessions was deleted.")
    log: list[LogLineReply]


@cleanup_runs.post("", response={202: CleanupRunReply, 409: ErrorReply})
def request_cleanup(request: HttpRequest, wanted: CleanupRequest) -> Status[CleanupRunReply]:
    """Ask the worker for a clean-up or a preview. 409 while another one waits or runs."""
    return Status(202, _run_reply(schedules.request_cleanup(actor=_staff(request, RUN), dry_run=wanted.dry_run)))


@cleanup_runs.get("/{run_id}", response=CleanupRunReply)
def get_cleanup_run(request: HttpRequest, run_id: uuid.UUID) -> CleanupRunReply:
    """Return the progress or the report of a clean-up."""
    _staff(request, *SEE_CLEANUPS)
    return _run_reply(runs.find(run_id))


def _staff(request: HttpRequest, *permissions: str) -> User:
    """Return the client's user. Raise Forbidden unless they are staff with one of the permissions."""
    user = caller(request).user
    if not may(user, *permissions):
        raise Forbidden("This requires a permission of staff.")
    return user


def _managing_actor(request: HttpRequest) -> str:
    return audit.user_actor(_staff(request, MANAGE))


def _reason_of(body: Reason | None) -> str:
    return body.reason if body else ""


def _session_reply(session: AgentSession, *, user: User) -> SessionReply:
    return SessionReply(**_without_title(asdict(line_of(session)), user))


def _without_title(fields: dict[str, Any], user: User) -> dict[str, Any]:
    """Remove the title, which quotes a message, for staff who may not inspect sessions."""
    return fields if may(user, READ) else fields | {"title": None}


def _cursor(session: AgentSession) -> str:
    return moment_cursor(session.last_activity_at, session.pk)


def _run_reply(run: CleanupRun) -> CleanupRunReply:
    report = runs.report(run)
    return CleanupRunReply(
        **asdict(report),
        trigger=run.trigger,
        created_at=run.created_at,
        started_at=run.started_at,
        ended_at=run.ended_at,
        details_removed_at=run.details_removed_at,
        log=[LogLineReply(at=line.at, sentence=line.sentence) for line in runs.log_of(run)],
    )
