"""Who did what to whom, for those who have to answer for it.

Ids only: no address, no title, no word of a conversation.
"""

import getpass
import uuid
from dataclasses import dataclass
from datetime import datetime

from chat.models import Conversation, User
from sessions_admin.models import Action, AuditRecord

REASON_LENGTH = 1_000
LOOKS = (Action.INSPECT, Action.EXPORT)  # what brings somebody's words before the eyes of staff


def of_user(user: User) -> str:
    """Name a person for the audit."""
    return str(user.pk)


def of_shell() -> str:
    """Name whoever runs a command for the audit."""
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
    """Write down what was done, within the caller's transaction."""
    return AuditRecord.objects.create(
        action=action,
        actor=actor,
        person=str(person) if person else "",
        session_id=session_id,
        reason=reason.strip()[:REASON_LENGTH],
        result=result,
    )


@dataclass(frozen=True, slots=True)
class Look:
    """Once that staff read or took along what the assistant remembers of a person, as that person is told of it."""

    at: datetime
    conversation_id: uuid.UUID | None  # None where there is none to open: it was about all of them, or is deleted
    title: str
    reason: str
    was_export: bool


def looks_at(person_id: uuid.UUID, *, limit: int = 100) -> list[Look]:
    """Return when staff looked at somebody's sessions, the newest first. What a person did themselves is no look."""
    looks = AuditRecord.objects.filter(person=str(person_id), action__in=LOOKS).exclude(actor=str(person_id))
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
