"""What the worker runs: synchronous, with plain dicts as results, since anything else vanishes on the way back."""

from sessions_admin.cleanup import carry_out, cleanup, look_after
from sessions_admin.models import Trigger


def daily_cleanup() -> dict[str, object]:
    """Clean up because it is time."""
    return cleanup(trigger=Trigger.SCHEDULE).as_json()


def requested_cleanup(run_id: str) -> dict[str, object]:
    """Clean up, or preview it, because somebody asked."""
    return carry_out(run_id).as_json()


def look_after_runs() -> dict[str, object]:
    """Take up a clean-up whose process was killed, or end it."""
    report = look_after()
    return report.as_json() if report else {}
