"""When the worker cleans up: every day, and when somebody asks for it."""

from django.conf import settings
from django.contrib.admin.models import ADDITION, LogEntry
from django.db import connection, transaction
from django_q.models import Schedule
from django_q.tasks import async_task

from chat.models import User
from sessions_admin.models import CleanupRun, Trigger

DAILY = "sessions_admin.tasks.daily_cleanup"
REQUESTED = "sessions_admin.tasks.requested_cleanup"


def ensure() -> None:
    """Have one daily clean-up in the worker's schedule, at the hour that the settings name."""
    cron = f"0 {settings.AGENT_SESSION_CLEANUP_HOUR} * * *"
    with transaction.atomic():
        _let_one_in()
        schedule, *doubles = Schedule.objects.filter(func=DAILY).order_by("pk") or [
            Schedule(func=DAILY, name="Daily clean-up of sessions", schedule_type=Schedule.CRON)
        ]
        for double in doubles:
            double.delete()
        # One that is overdue stays so: it is made up for as soon as a worker runs.
        if (schedule.schedule_type, schedule.cron) != (Schedule.CRON, cron) or schedule.next_run is None:
            schedule.schedule_type, schedule.cron = Schedule.CRON, cron
            schedule.next_run = schedule.calculate_next_run()
            schedule.save()


def request_cleanup(*, actor: User, dry_run: bool) -> CleanupRun:
    """Have the worker clean up as soon as it can, or preview it, and write down who asked."""
    with transaction.atomic():
        run = CleanupRun.objects.create(trigger=Trigger.ADMIN, actor=actor, dry_run=dry_run)
        did = "Asked for a preview." if dry_run else "Asked for a clean-up."
        LogEntry.objects.log_actions(actor.pk, [run], ADDITION, did, single_object=True)
        # The queue is in the same database: there is no run without its task.
        async_task(REQUESTED, str(run.pk), task_name=f"{run}"[:100], group="clean-up")
    return run


def _let_one_in() -> None:
    """Wait until nobody else is here; the lock goes with the transaction."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(hashtext(%s))", [DAILY])
