"""Sign off erasures that were pending: when they were reported, the session file could still be read.

Apart from the erasure itself, which loads more than the worker needs for this.
"""

import uuid
from dataclasses import asdict

from django.db import transaction

from chat.models import PendingDeletion
from sessions_admin import audit
from sessions_admin.models import Action, AuditRecord
from sessions_admin.people.remains import search_files
from sessions_admin.people.terms import Terms


def sign_off_finished() -> int:
    """Write down which erasures have been finished since their report, and what a search then finds; return how many.

    The addresses went with the account, and no row of theirs is left: files are searched for the id.
    """
    waiting = PendingDeletion.objects.exclude(report=None).exclude(finished_at=None).order_by("pk")
    for deletion in waiting:
        with transaction.atomic(durable=True):
            for record in AuditRecord.objects.filter(pk=deletion.report or 0):
                _sign_off(record)
            deletion.delete()
    return len(waiting)


def sign_off_of(record: AuditRecord) -> AuditRecord | None:
    """Return the record that an erasure which was pending has been finished, if there is one."""
    later = AuditRecord.objects.filter(action=Action.ERASE, person=record.person, pk__gt=record.pk)
    return later.filter(result__finishes=record.pk).first()


def _sign_off(record: AuditRecord) -> None:
    person = uuid.UUID(record.person)
    found, unsearched = search_files(Terms(person, ()))
    audit.record(
        Action.ERASE,
        actor=record.actor,
        person=person,
        reason=record.reason,
        finishes=record.pk,
        remains=[asdict(each) for each in found],
        unsearched=unsearched,
    )
