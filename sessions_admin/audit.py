"""The audit: who did what to which session or user.

It stores ids only: no addresses, no titles, no text of conversations.
"""

import csv
import getpass
import json
import logging
import re
import uuid
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime

from django.db import DatabaseError
from django.db.models import Max, QuerySet

from chat.exceptions import BadInput, NotFound, ThreadkeeperError
from chat.models import AgentSession, Conversation, User
from sessions_admin.models import Action, AuditRecord

logger = logging.getLogger(__name__)

REASON_LENGTH = 1_000
COLUMNS = ("id", "at", "action", "actor", "person", "session_id", "reason", "result")
_EMAIL = re.compile(r"[^\s@<>()\[\]\"',;:]+@[^\s@<>()\[\]\"',;:]+")
DISCLOSURES = (Action.INSPECT, Action.EXPORT)  # which show a user's text to staff


def user_actor(user: User) -> str:
    """Return a user as an actor."""
    return str(user.pk)


def shell_actor() -> str:
    """Return the operating system's user as the actor of a command."""
    try:
        return f"os:{getpass.getuser()}"[:64]
    except OSError:
        return "os:unknown"


def record(
    action: Action,
    *,
    actor: str,
    person: uuid.UUID | None = None,
    session_id: str = "",
    reason: str = "",
    **result: object,
) -> AuditRecord:
    """Record an action within the caller's transaction; e-mail addresses are removed from the reason."""
    return AuditRecord.objects.create(
        action=action,
        actor=actor,
        person=str(person) if person else "",
        session_id=session_id,
        reason=without_addresses(reason.strip()[:REASON_LENGTH]),
        result=result,
    )


@contextmanager
def attempt(
    action: Action, *, actor: str, person: uuid.UUID | None = None, session_id: str = "", reason: str = ""
) -> Iterator[None]:
    """Record an action that is refused or fails, after its transaction is rolled back.

    Unknown objects and missing reasons are not recorded.
    """
    try:
        yield
    except (NotFound, BadInput):
        raise
    except Exception as error:
        failure = error.detail if isinstance(error, ThreadkeeperError) else type(error).__name__
        try:
            person = person or _owner_of(session_id)
            record(action, actor=actor, person=person, session_id=session_id, reason=reason, failed=failure)
        except DatabaseError:
            logger.exception("A failed action cannot be recorded: %s by %s", action, actor)
        raise


def without_addresses(text: str) -> str:
    """Replace e-mail addresses: the audit outlives the users."""
    return _EMAIL.sub("[e-mail address]", text)


def _owner_of(session_id: str) -> uuid.UUID | None:
    found = AgentSession.objects.filter(session_id=session_id) if session_id else AgentSession.objects.none()
    return found.values_list("user_id", flat=True).first()


def record_disclosure(
    action: Action, *, actor: str, person: uuid.UUID, reason: str, session_id: str = "", **result: object
) -> AuditRecord:
    """Record that a user's text is shown to someone else.

    Call this in the transaction that reads the text, or before it is sent. Raise BadInput without a reason.
    """
    if not reason.strip():
        raise BadInput("Reading a user's messages requires a reason.")
    return record(action, actor=actor, person=person, session_id=session_id, reason=reason, **result)


def successful_records() -> QuerySet[AuditRecord]:
    """Return the records of actions that did not fail."""
    return AuditRecord.objects.exclude(result__has_key="failed")


def completed_erasures(person_id: uuid.UUID) -> QuerySet[AuditRecord]:
    """Return the records of a user's completed erasures: conversations on hold, and so the account, may remain."""
    return AuditRecord.objects.filter(action=Action.ERASE, person=str(person_id), result__has_key="lines")


def last_backup() -> datetime | None:
    """Return when the last backup was made."""
    at: datetime | None = successful_records().filter(action=Action.BACKUP).aggregate(at=Max("at"))["at"]
    return at


@dataclass(frozen=True, slots=True)
class StaffAccess:
    """One inspection or export by staff, as shown to the user."""

    at: datetime
    conversation_id: uuid.UUID | None  # None for all conversations, or a deleted one
    title: str
    reason: str
    was_export: bool


def staff_accesses(person_id: uuid.UUID, *, limit: int = 100) -> list[StaffAccess]:
    """Return when staff inspected a user's sessions, the newest first. A user's own actions are not included."""
    about = successful_records().filter(person=str(person_id), action__in=DISCLOSURES)
    disclosures = about.exclude(actor=str(person_id))
    records = list(disclosures.order_by("-id")[:limit])
    sessions = {record.session_id for record in records}
    conversations = Conversation.objects.owned_by(person_id).filter(session__session_id__in=sessions)
    found = {conversation.session.session_id: conversation for conversation in conversations.select_related("session")}
    return [_to_staff_access(record, found.get(record.session_id)) for record in records]


def _to_staff_access(record: AuditRecord, conversation: Conversation | None) -> StaffAccess:
    placeholder = "A deleted conversation" if record.session_id else "All conversations"
    return StaffAccess(
        at=record.at,
        conversation_id=conversation.pk if conversation else None,
        title=str(conversation) if conversation else placeholder,
        reason=record.reason,
        was_export=record.action == Action.EXPORT,
    )


# Names for those who read the audit; they are never stored in it.


def emails_by_id(ids: Iterable[str]) -> dict[str, str]:
    """Return the e-mail addresses of existing users by id, with one query."""
    wanted = {found for found in map(_parse_uuid, set(ids)) if found}
    people = User.objects.filter(pk__in=wanted).values_list("pk", "email") if wanted else ()
    return {str(person_id): email for person_id, email in people}


def staff_emails(limit: int = 50) -> dict[str, str]:
    """Return the e-mail addresses of staff by id."""
    people = User.objects.filter(is_staff=True).order_by("email").values_list("pk", "email")[:limit]
    return {str(person_id): email for person_id, email in people}


def id_by_email(email: str) -> str | None:
    """Return the id of the user with an address."""
    found = User.objects.filter(email=email).values_list("pk", flat=True).first()
    return str(found) if found else None


def iterate(records: QuerySet[AuditRecord], size: int = 1_000) -> Iterator[AuditRecord]:
    """Yield records in batches, the newest first; connection poolers do not support server-side cursors."""
    newest_first = records.order_by("-pk")
    piece = list(newest_first[:size])
    while piece:
        yield from piece
        piece = list(newest_first.filter(pk__lt=piece[-1].pk)[:size])


def as_csv(records: Iterable[AuditRecord]) -> Iterator[str]:
    """Yield records as lines of CSV."""
    line = csv.writer(_Echo(), quoting=csv.QUOTE_ALL)
    yield line.writerow(COLUMNS)
    for record in records:
        yield line.writerow([_escape_formula(_format_cell(value)) for value in _as_dict(record).values()])


def as_json(records: Iterable[AuditRecord]) -> Iterator[str]:
    """Yield records as a JSON list."""
    yield "["
    for index, record in enumerate(records):
        yield (",\n" if index else "\n") + json.dumps(_as_dict(record), ensure_ascii=False)
    yield "\n]\n"


def _as_dict(record: AuditRecord) -> dict[str, object]:
    values = {name: getattr(record, name) for name in COLUMNS}
    return values | {"at": record.at.isoformat()}


def _format_cell(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _escape_formula(text: str) -> str:
    """Prevent a spreadsheet from interpreting a user's text as a formula."""
    return f"'{text}" if text.lstrip().startswith(("=", "+", "-", "@")) or text.startswith(("\t", "\r", "\n")) else text


def _parse_uuid(text: str) -> uuid.UUID | None:
    try:
        return uuid.UUID(text)
    except ValueError:
        return None


class _Echo:
    """Returns each written line."""

    def write(self, line: str) -> str:
        return line
