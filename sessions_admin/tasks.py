"""What the worker runs: synchronous, with plain dicts as results, since anything else vanishes on the way back."""

from chat.accounts import sign_in_log
from sessions_admin.models import Trigger
from sessions_admin.retention.cleanup import carry_out, cleanup, look_after
from sessions_admin.samples import sample
from sessions_admin.stores.reconcile import reconcile


def daily_cleanup() -> dict[str, object]:
    """Clean up because it is time, and forget old sign-ins."""
    sign_in_log.expire()
    return cleanup(trigger=Trigger.SCHEDULE).as_json()


def requested_cleanup(run_id: str) -> dict[str, object]:
    """Clean up, or preview it, because somebody asked."""
    return carry_out(run_id).as_json()


def look_after_runs() -> dict[str, object]:
    """Take up a clean-up whose process was killed, or end it."""
    report = look_after()
    return report.as_json() if report else {}


def compare_stores(*, repair: bool, actor: str, reason: str) -> dict[str, object]:
    """Compare the stores, and repair what differs, because somebody asked."""
    return reconcile(repair=repair, actor=actor, reason=reason).as_json()


def hourly_sample() -> dict[str, object]:
    """Measure the store because it is time."""
    taken = sample()
    return {"sessions": taken.sessions, "items": taken.items, "bytes": taken.bytes, "file_bytes": taken.file_bytes}
