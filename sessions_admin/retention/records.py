"""How long it is kept what clean-ups did: which sessions each took, then the run itself; and the audit, if so set.

All of it goes a few rows in a transaction, and nothing goes while the clock is in doubt.
"""

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta

from django.conf import settings
from django.db import connection, transaction
from django.db.models import Q
from django.utils import timezone

from chat.models.sql import change
from sessions_admin import audit, clock
from sessions_admin.models import Action, CleanedConversation, CleanedSession, CleanupRun, RunStatus
from sessions_admin.retention.runs import SCHEDULE

BATCH = 5_000  # rows

_REMOVE_DETAILS = """
DELETE FROM {table} WHERE id IN (SELECT id FROM {table} WHERE run_id = %(run)s LIMIT %(batch)s)
"""
_REMOVE_AUDIT = """
DELETE FROM sessions_admin_auditrecord WHERE id IN (
    SELECT id FROM sessions_admin_auditrecord WHERE at < %(before)s ORDER BY at LIMIT %(batch)s
)
"""
_TOOK_SOMETHING = Q(removed_sessions__gt=0) | Q(trashed_conversations__gt=0) | Q(purged_conversations__gt=0)


@dataclass(frozen=True, slots=True)
class Expired:
    """How much was removed."""

    details: int
    runs: int
    audit: int

    def as_json(self) -> dict[str, object]:
        """Give it as a plain dict."""
        return asdict(self)


def expire_records() -> Expired:
    """Remove records older than the settings allow. Raise ClockDoubted."""
    clock.check()
    now = timezone.now()
    details = _expire_details(now - timedelta(days=min(settings.CLEANUP_DETAILS_DAYS, settings.CLEANUP_RUNS_DAYS)))
    runs = _expire_runs(now - timedelta(days=settings.CLEANUP_RUNS_DAYS))
    days = settings.AUDIT_DAYS
    return Expired(details, runs, _expire_audit(now - timedelta(days=days)) if days else 0)


def details_kept_since() -> datetime:
    """Return since when it is known which sessions and conversations clean-ups took."""
    return timezone.now() - timedelta(days=settings.CLEANUP_DETAILS_DAYS)


def _expire_details(before: datetime) -> int:
    removed = 0
    old = CleanupRun.objects.filter(_TOOK_SOMETHING, ended_at__lt=before, details_removed_at=None)
    for run in list(old.order_by("ended_at").values_list("pk", flat=True)):
        for table in (CleanedSession._meta.db_table, CleanedConversation._meta.db_table):
            removed += sum(_batches(_REMOVE_DETAILS.format(table=table), run=run))
        CleanupRun.objects.filter(pk=run).update(details_removed_at=timezone.now())
    return removed


def _batches(statement: str, **values: object) -> Iterator[int]:
    """Carry out a statement, each time in a transaction of its own, until it finds no row; yield how many it did."""
    while count := change(statement, values | {"batch": BATCH}):
        yield count
        clock.check()


def _expire_runs(before: datetime) -> int:
    # The dashboard shows how the last one ended, however long ago.
    last = CleanupRun.objects.filter(status=RunStatus.DONE, dry_run=False).order_by("-ended_at").values("pk")[:1]
    old = CleanupRun.objects.filter(ended_at__lt=before).exclude(pk__in=last)
    # Those that took something have lost their details above; the others have none.
    return old.delete()[1].get(CleanupRun._meta.label, 0)


def _expire_audit(before: datetime) -> int:
    """Remove old records, and record that."""
    removed = 0
    while count := _remove_audit(before):
        removed += count
        clock.check()
    if removed:
        audit.record(Action.EXPIRE_AUDIT, actor=SCHEDULE, records=removed, before=before.isoformat())
    return removed


def _remove_audit(before: datetime) -> int:
    with transaction.atomic(), connection.cursor() as cursor:
        # The audit's guard lets nothing go without it.
        cursor.execute("SELECT set_config('threadkeeper.expires_audit', 'on', true)")
        return change(_REMOVE_AUDIT, {"before": before, "batch": BATCH})
