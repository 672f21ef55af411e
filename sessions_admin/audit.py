"""Who did what to whom, for those who have to answer for it.

Ids only: no address, no title, no word of a conversation.
"""

import getpass
import uuid

from chat.models import User
from sessions_admin.models import Action, AuditRecord

REASON_LENGTH = 1_000


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
