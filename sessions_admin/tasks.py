"""The worker's tasks: synchronous, with plain dicts as results, because other values are lost."""

from collections.abc import Callable

from django.conf import settings

from chat.accounts import sign_in_log
from chat.api import idempotency
from chat.memory import removal
from chat.tasks import undo
from sessions_admin import clock
from sessions_admin.clock import ClockDoubted
from sessions_admin.models import Trigger
from sessions_admin.people.sign_off import sign_off_finished
from sessions_admin.retention.cleanup import CleanupReport, cleanup, execute, resume_stale
from sessions_admin.retention.records import Expired, expire_records
from sessions_admin.store_samples import sample
from sessions_admin.stores.backup import backup_to
from sessions_admin.stores.leftovers import remove_leftovers
from sessions_admin.stores.reconcile import reconcile


def daily_backup() -> dict[str, object]:
    """Make a backup in BACKUP_TO, and delete old ones there."""
    return backup_to(settings.BACKUP_TO, actor="schedule", keep=settings.BACKUPS_KEPT).as_json()


def daily_cleanup() -> dict[str, object]:
    """Run the daily clean-up, and remove expired rows and leftovers."""
    if not clock.find_doubt():
        sign_in_log.expire()
        idempotency.forget_expired()
        undo.forget_old()
        remove_leftovers()
        removal.remove_released_copies()
    return _unless_clock_doubted(lambda: cleanup(trigger=Trigger.SCHEDULE))


def finish_deletions(*, seconds: float = removal.WORKER_TIMEOUT) -> dict[str, object]:
    """Complete deletions that waited for readers of the session file, and the erasures that waited for them."""
    is_finished = removal.finish_deletions(seconds=seconds)
    return {"is_finished": is_finished, "signed_off": sign_off_finished()}


def requested_cleanup(run_id: str) -> dict[str, object]:
    """Run a requested clean-up or preview."""
    return _unless_clock_doubted(lambda: execute(run_id))


def look_after_runs() -> dict[str, object]:
    """Resume a clean-up whose process was killed, or end it."""
    return _unless_clock_doubted(resume_stale)


def _unless_clock_doubted(work: Callable[[], CleanupReport | Expired | None]) -> dict[str, object]:
    """Return a report, or why the clock prevented it, which the dashboard shows, too."""
    try:
        report = work()
    except ClockDoubted as error:
        return {"refused": error.detail}
    return report.as_json() if report else {}


def expire_old_records() -> dict[str, object]:
    """Remove expired records of clean-ups, and of the audit if that is set."""
    return _unless_clock_doubted(expire_records)


def compare_stores(*, repair: bool, actor: str, reason: str) -> dict[str, object]:
    """Compare the stores on request, and repair their drift."""
    return reconcile(repair=repair, actor=actor, reason=reason).as_json()


def hourly_sample() -> dict[str, object]:
    """Store the hourly sample of the store's size."""
    taken = sample()
    return {"sessions": taken.sessions, "items": taken.items, "bytes": taken.bytes, "file_bytes": taken.file_bytes}
