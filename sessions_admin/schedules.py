"""The worker's schedule, and requests for clean-ups."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from croniter import croniter
from django.conf import settings
from django.contrib.admin.models import ADDITION, LogEntry
from django.db import connection, transaction
from django.utils import timezone
from django_q.conf import Conf
from django_q.models import OrmQ, Schedule
from django_q.tasks import async_task

from chat.models import User
from sessions_admin import heartbeat
from sessions_admin.models import CleanupRun, Trigger
from sessions_admin.retention import runs
from sessions_admin.store_samples import sample

DAILY = "sessions_admin.tasks.daily_cleanup"
MINUTELY = "sessions_admin.tasks.look_after_runs"
REQUESTED = "sessions_admin.tasks.requested_cleanup"
FINISH = "sessions_admin.tasks.finish_deletions"
SAMPLE = "sessions_admin.tasks.hourly_sample"
EXPIRE = "sessions_admin.tasks.expire_old_records"
BACKUP = "sessions_admin.tasks.daily_backup"
CLOCK_TOLERANCE = timedelta(minutes=5)  # by which clocks may differ when a task is unlocked


@dataclass(frozen=True, slots=True)
class RegularTask:
    """A task in the worker's schedule."""

    func: str
    name: str
    cron: str
    kwargs: str | None = None


def regular_tasks() -> tuple[RegularTask, ...]:
    """Return the scheduled tasks and their times, from the settings."""
    # The results of minutely tasks are not saved: they would displace all others.
    unkept = "q_options={'save': False}"
    hour = (settings.AGENT_SESSION_CLEANUP_HOUR - 1) % 24
    backups = (RegularTask(BACKUP, "Daily backup", f"0 {hour} * * *"),) if settings.BACKUP_TO else ()
    return (
        *backups,
        RegularTask(DAILY, "Daily clean-up of sessions", f"0 {settings.AGENT_SESSION_CLEANUP_HOUR} * * *"),
        RegularTask(EXPIRE, "Remove old records of clean-ups", f"30 {settings.AGENT_SESSION_CLEANUP_HOUR} * * *"),
        RegularTask(MINUTELY, "Look after clean-ups that were cut off", "* * * * *", unkept),
        RegularTask(FINISH, "Finish deletions from the session file", "* * * * *", unkept),
    )


def ensure() -> None:
    """Create or update the schedule of each task."""
    correct_times()
    with transaction.atomic():
        _lock()
        for task in regular_tasks():
            _ensure(task)
        if not settings.BACKUP_TO:
            Schedule.objects.filter(func=BACKUP).delete()


def _ensure(task: RegularTask) -> None:
    new = Schedule(func=task.func, name=task.name, schedule_type=Schedule.CRON)
    schedule, *doubles = Schedule.objects.filter(func=task.func).order_by("pk") or [new]
    for double in doubles:
        double.delete()
    wanted = (Schedule.CRON, task.cron, task.kwargs)
    if (schedule.schedule_type, schedule.cron, schedule.kwargs) != wanted or schedule.next_run is None:
        schedule.schedule_type, schedule.cron, schedule.kwargs = wanted
        # An overdue task stays overdue: it runs as soon as a worker does.
        if schedule.next_run is None or schedule.next_run > timezone.now():
            schedule.next_run = schedule.calculate_next_run()
        schedule.save()


def correct_times() -> None:
    """Correct the times of scheduled and queued tasks that were set while the clock was ahead."""
    now = timezone.now()
    with transaction.atomic():
        ahead = Schedule.objects.filter(schedule_type=Schedule.CRON, next_run__gt=now).select_for_update()
        for schedule in ahead:
            if croniter.is_valid(schedule.cron) and schedule.next_run > _second_next_time(schedule.cron, now):
                schedule.next_run = schedule.calculate_next_run()
                schedule.save(update_fields=["next_run"])
    # A task that was taken is locked for `retry` seconds.
    retry = timedelta(seconds=Conf.RETRY)
    OrmQ.objects.filter(lock__gt=now + retry + CLOCK_TOLERANCE).update(lock=now)


def _second_next_time(cron: str, now: datetime) -> datetime:
    """Return the second next time of a cron expression."""
    times = croniter(cron, now)
    times.get_next()
    after: datetime = times.get_next(datetime)
    return after


def ensure_samples() -> None:
    """Schedule the hourly sample, and take one now."""
    with transaction.atomic():
        _lock()
        _ensure(RegularTask(SAMPLE, "Hourly measure of the store", "0 * * * *"))
    sample()


def request_cleanup(*, actor: User, dry_run: bool) -> CleanupRun:
    """Queue a clean-up or a preview for the worker, and record who requested it. Raise AlreadyRunning."""
    with transaction.atomic():
        _lock()
        runs.check_none_active()
        run = runs.enqueue(trigger=Trigger.ADMIN, actor=actor, dry_run=dry_run)
        message = "Requested a preview." if dry_run else "Requested a clean-up."
        LogEntry.objects.log_actions(actor.pk, [run], ADDITION, message, single_object=True)
        # The queue is in the same database, so the run and its task are created together.
        async_task(REQUESTED, str(run.pk), task_name=f"{run}"[:100], group="clean-up")
    return run


def has_worker() -> bool:
    """Return whether a worker runs anywhere."""
    return any(worker.is_alive for worker in heartbeat.workers())


def _lock() -> None:
    """Take a lock that ends with the transaction."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(hashtext(%s))", [DAILY])
