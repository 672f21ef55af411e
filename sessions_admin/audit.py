"""The audit: who did what to which session or user.

Ids only: no address, no title, no word of a conversation.
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
from django.db.models import QuerySet

from chat.exceptions import BadInput, NotFound, ThreadkeeperError
from chat.models import AgentSession, Conversation, User
from sessions_admin.models import Action, AuditRecord

logger = logging.getLogger(__name__)

REASON_LENGTH = 1_000
COLUMNS = ("id", "at", "action", "actor", "person", "session_id", "reason", "result")
_ADDRESS = re.compile(r"[^\s@<>()\[\]\"',;:]+@[^\s@<>()\[\]\"',;:]+")
LOOKS = (Action.INSPECT, Action.EXPORT)  # show a user's text to staff


def of_user(user: User) -> str:
    """Name a person for the audit."""
    return str(user.pk)


def of_shell() -> str:
    """Return the actor of a command for the audit."""
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
    """Write down what was done, within the caller's transaction; e-mail addresses are left out."""
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
    """Record an action that is refused or fails, after what it began is rolled back.

    Not recorded is what names nothing that exists, and what lacks a reason.
    """
    try:
        yield
    except (NotFound, BadInput):
        raise
    except Exception as error:
        why = error.detail if isinstance(error, ThreadkeeperError) else type(error).__name__
        try:
            record(
                action,
                actor=actor,
                person=person or _owner_of(session_id),
                session_id=session_id,
                reason=reason,
                failed=why,
            )
        except DatabaseError:
            logger.exception("A failed action cannot be recorded: %s by %s", action, actor)
        raise


def without_addresses(text: str) -> str:
    """Replace e-mail addresses: the audit outlives the people in it."""
    return _ADDRESS.sub("[e-mail address]", text)


def _owner_of(session_id: str) -> uuid.UUID | None:
    found = AgentSession.objects.filter(session_id=session_id) if session_id else AgentSession.objects.none()
    return found.values_list("user_id", flat=True).first()


def disclose(
    action: Action, *, actor: str, person: uuid.UUID, reason: str, session_id: str = "", **result: object
) -> AuditRecord:
    """Record that a user's text is shown to someone else.

    Whatever shows it calls this, within the transaction that reads it or before it hands it over. Raise BadInput
    without a reason.
    """
    if not reason.strip():
        raise BadInput("To look at what somebody said needs a reason.")
    return record(action, actor=actor, person=person, session_id=session_id, reason=reason, **result)


def done() -> QuerySet[AuditRecord]:
    """Return the records of what was done, without those of what failed."""
    return AuditRecord.objects.exclude(result__has_key="failed")


@dataclass(frozen=True, slots=True)
class Look:
    """One inspection or export by staff, as the user sees it."""

    at: datetime
    conversation_id: uuid.UUID | None  # None where there is none to open: it was about all of them, or is deleted
    title: str
    reason: str
    was_export: bool


def looks_at(person_id: uuid.UUID, *, limit: int = 100) -> list[Look]:
    """Return when staff inspected a user's sessions, the newest first. A user's own actions are not included."""
    looks = done().filter(person=str(person_id), action__in=LOOKS).exclude(actor=str(person_id))
    records = list(looks.order_by("-id")[:limit])
    sessions = {record.session_id for record in records}
    theirs = Conversation.objects.owned_by(person_id).filter(session__session_id__in=sessions)
    found = {conversation.session.session_id: conversation for conversation in theirs.select_related("session")}
    return [_look(record, found.get(record.session_id)) for record in records]


def _look(record: AuditRecord, conversation: Conversation | None) -> Look:
    gone = "A conversation that is deleted" if record.session_id else "All conversations"
    return Look(
        at=record.at,
        conversation_id=conversation.pk if conversation else None,
        title=str(conversation) if conversation else gone,
        reason=record.reason,
        was_export=record.action == Action.EXPORT,
    )


# For those who read the audit: names are looked up when it is read, and are never in it.


def named(ids: Iterable[str]) -> dict[str, str]:
    """Return how those people are called who are still there, by their ids; one query for all."""
    wanted = {found for found in map(_uuid, set(ids)) if found}
    people = User.objects.filter(pk__in=wanted).values_list("pk", "email") if wanted else ()
    return {str(person_id): email for person_id, email in people}


def staff(limit: int = 50) -> dict[str, str]:
    """Return who may be behind a record, by their ids."""
    people = User.objects.filter(is_staff=True).order_by("email").values_list("pk", "email")[:limit]
    return {str(person_id): email for person_id, email in people}


def id_of(email: str) -> str | None:
    """Return the id of the user with an address."""
    found = User.objects.filter(email=email).values_list("pk", flat=True).first()
    return str(found) if found else None


def in_pieces(records: QuerySet[AuditRecord], size: int = 1_000) -> Iterator[AuditRecord]:
    """Yield records, the newest first, a piece at a time: behind a pooler there is no cursor that stays open."""
    newest_first = records.order_by("-pk")
    piece = list(newest_first[:size])
    while piece:
        yield from piece
        piece = list(newest_first.filter(pk__lt=piece[-1].pk)[:size])


def as_csv(records: Iterable[AuditRecord]) -> Iterator[str]:
    """Write records as a table, a line a piece."""
    line = csv.writer(_Echo(), quoting=csv.QUOTE_ALL)
    yield line.writerow(COLUMNS)
    for record in records:
        yield line.writerow([_harmless(_cell(value)) for value in _plain(record).values()])


def as_json(records: Iterable[AuditRecord]) -> Iterator[str]:
    """Write records as a list, one a piece."""
    yield "["
    for index, record in enumerate(records):
        yield (",\n" if index else "\n") + json.dumps(_plain(record), ensure_ascii=False)
    yield "\n]\n"


def _plain(record: AuditRecord) -> dict[str, object]:
    values = {name: getattr(record, name) for name in COLUMNS}
    return values | {"at": record.at.isoformat()}


def _cell(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _harmless(text: str) -> str:
    """Keep a spreadsheet from reading a user's text as a formula."""
    return f"'{text}" if text.lstrip().startswith(("=", "+", "-", "@")) or text.startswith(("\t", "\r", "\n")) else text


def _uuid(text: str) -> uuid.UUID | None:
    try:
        return uuid.UUID(text)
    except ValueError:
        return None


class _Echo:
    """Gives a written line back."""

    def write(self, line: str) -> str:
        return line
