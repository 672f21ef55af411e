"""Retention of the records of clean-ups, first their details, then the runs; and of the audit, if that is set.

Rows are removed in small transactions, and none while the clock is in doubt.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.conf import settings
from django.db import connection, transaction
from django.db.models import Q
from django.utils import timezone

from chat.models.sql import change
from sessions_admin import audit, clock
from sessions_admin.models import Action, CleanedConversation, CleanedSession, CleanupRun, RunStatus
from sessions_admin.reports import Report
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
_REMOVED_SOMETHING = Q(removed_sessions__gt=0) | Q(trashed_conversations__gt=0) | Q(purged_conversations__gt=0)


@dataclass(frozen=True, slots=True)
class Expired(Report):
    """The numbers of removed rows."""

    details: int
    runs: int
    audit: int


def expire_records() -> Expired:
    """Remove records older than the settings allow. Raise ClockDoubted."""
    clock.check()
    now = timezone.now()
    details = _expire_details(now - timedelta(days=min(settings.CLEANUP_DETAILS_DAYS, settings.CLEANUP_RUNS_DAYS)))
    runs = _expire_runs(now - timedelta(days=settings.CLEANUP_RUNS_DAYS))
    days = settings.AUDIT_DAYS
    return Expired(details, runs, _expire_audit(now - timedelta(days=days)) if days else 0)


def details_kept_since() -> datetime:
    """Return the time since which the details of clean-ups are kept."""
    return timezone.now() - timedelta(days=settings.CLEANUP_DETAILS_DAYS)


def _expire_details(before: datetime) -> int:
    removed = 0
    old = CleanupRun.objects.filter(_REMOVED_SOMETHING, ended_at__lt=before, details_removed_at=None)
    for run in list(old.order_by("ended_at").values_list("pk", flat=True)):
        for table in (CleanedSession._meta.db_table, CleanedConversation._meta.db_table):
            removed += sum(_batches(_REMOVE_DETAILS.format(table=table), run=run))
        CleanupRun.objects.filter(pk=run).update(details_removed_at=timezone.now())
    return removed


def _batches(statement: str, **values: object) -> Iterator[int]:
    """Run a statement, each time in its own transaction, until it affects no row; yield the numbers of rows."""
    while count := change(statement, values | {"batch": BATCH}):
        yield count
        clock.check()


def _expire_runs(before: datetime) -> int:
    # Keep the last run: the dashboard shows its result.
    last = CleanupRun.objects.filter(status=RunStatus.DONE, dry_run=False).order_by("-ended_at").values("pk")[:1]
    old = CleanupRun.objects.filter(ended_at__lt=before).exclude(pk__in=last)
    # The details of old runs were removed above.
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
        # The trigger of the audit allows removal only with this setting.
        cursor.execute("SELECT set_config('threadkeeper.expires_audit', 'on', true)")
        return change(_REMOVE_AUDIT, {"before": before, "batch": BATCH})
