"""Complete erasures that were pending, because the session file could still be read.

This module is separate because the erasure imports more than the worker needs.
"""

import uuid
from dataclasses import asdict
from typing import Any

from django.db import transaction

from chat.models import PendingDeletion
from sessions_admin import audit
from sessions_admin.models import Action, AuditRecord
from sessions_admin.people.remains import search_files
from sessions_admin.people.terms import Terms


def sign_off_finished() -> int:
    """Record which pending erasures have been completed, with the result of a search; return their number.

    The addresses were removed with the account: files are searched for the id.
    """
    waiting = PendingDeletion.objects.exclude(report=None).exclude(finished_at=None).order_by("pk")
    for deletion in waiting:
        with transaction.atomic(durable=True):
            for record in AuditRecord.objects.filter(pk=deletion.report or 0):
                _sign_off(record)
            deletion.delete()
    return len(waiting)


def find_sign_off(record: AuditRecord) -> AuditRecord | None:
    """Return the record that completes a pending erasure, if there is one."""
    later = AuditRecord.objects.filter(action=Action.ERASE, person=record.person, pk__gt=record.pk)
    return later.filter(result__finishes=record.pk).first()


def _sign_off(record: AuditRecord) -> None:
    person = uuid.UUID(record.person)
    found, unsearched = search_files(Terms(person, ()))
    result: dict[str, Any] = {
        "finishes": record.pk,
        "remains": [asdict(each) for each in found],
        "unsearched": unsearched,
    }
    audit.record(Action.ERASE, actor=record.actor, person=person, reason=record.reason, **result)
