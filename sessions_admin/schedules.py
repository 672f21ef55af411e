"""The worker's schedule: daily, by the minute, and on request."""

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
AHEAD = timedelta(minutes=5)  # so long after its time a task may be unlocked, however clocks differ


@dataclass(frozen=True, slots=True)
class Regular:
    """Something that the worker does again and again."""

    func: str
    name: str
    cron: str
    kwargs: str | None = None


def regular() -> tuple[Regular, ...]:
    """Return the worker's regular tasks and their times, by the settings."""
    # What is done each minute is not kept: it would drive everything else out of the list of what was done.
    unkept = "q_options={'save': False}"
    return (
        Regular(DAILY, "Daily clean-up of sessions", f"0 {settings.AGENT_SESSION_CLEANUP_HOUR} * * *"),
        Regular(EXPIRE, "Remove old records of clean-ups", f"30 {settings.AGENT_SESSION_CLEANUP_HOUR} * * *"),
        Regular(MINUTELY, "Look after clean-ups that were cut off", "* * * * *", unkept),
        Regular(FINISH, "Finish deletions from the session file", "* * * * *", unkept),
    )


def ensure() -> None:
    """Put each regular task into the worker's schedule once, at the time of the settings."""
    put_right()
    with transaction.atomic():
        _let_one_in()
        for one in regular():
            _ensure(one)


def _ensure(one: Regular) -> None:
    schedule, *doubles = Schedule.objects.filter(func=one.func).order_by("pk") or [
        Schedule(func=one.func, name=one.name, schedule_type=Schedule.CRON)
    ]
    for double in doubles:
        double.delete()
    wanted = (Schedule.CRON, one.cron, one.kwargs)
    if (schedule.schedule_type, schedule.cron, schedule.kwargs) != wanted or schedule.next_run is None:
        schedule.schedule_type, schedule.cron, schedule.kwargs = wanted
        # One that is overdue stays so: it is made up for as soon as a worker runs.
        if schedule.next_run is None or schedule.next_run > timezone.now():
            schedule.next_run = schedule.calculate_next_run()
        schedule.save()


def put_right() -> None:
    """Bring back what a clock that was ahead for a while has put off: regular tasks, and what waits in the queue."""
    now = timezone.now()
    with transaction.atomic():
        ahead = Schedule.objects.filter(schedule_type=Schedule.CRON, next_run__gt=now).select_for_update()
        for schedule in ahead:
            if croniter.is_valid(schedule.cron) and schedule.next_run > _after_next(schedule.cron, now):
                schedule.next_run = schedule.calculate_next_run()
                schedule.save(update_fields=["next_run"])
    # A task that was taken is locked for `retry` seconds.
    retry = timedelta(seconds=Conf.RETRY)
    OrmQ.objects.filter(lock__gt=now + retry + AHEAD).update(lock=now)


def _after_next(cron: str, now: datetime) -> datetime:
    """Return when a task is due for the second time from now on."""
    times = croniter(cron, now)
    times.get_next()
    after: datetime = times.get_next(datetime)
    return after


def ensure_samples() -> None:
    """Have the store measured every hour by the worker, and once now."""
    with transaction.atomic():
        _let_one_in()
        _ensure(Regular(SAMPLE, "Hourly measure of the store", "0 * * * *"))
    sample()


def request_cleanup(*, actor: User, dry_run: bool) -> CleanupRun:
    """Have the worker clean up as soon as it can, or preview it, and write down who asked. Raise AlreadyRunning."""
    with transaction.atomic():
        _let_one_in()
        runs.refuse_a_second()
        run = runs.enqueue(trigger=Trigger.ADMIN, actor=actor, dry_run=dry_run)
        did = "Asked for a preview." if dry_run else "Asked for a clean-up."
        LogEntry.objects.log_actions(actor.pk, [run], ADDITION, did, single_object=True)
        # The queue is in the same database: there is no run without its task.
        async_task(REQUESTED, str(run.pk), task_name=f"{run}"[:100], group="clean-up")
    return run


def has_worker() -> bool:
    """Return whether a worker runs anywhere."""
    return any(worker.is_alive for worker in heartbeat.workers())


def _let_one_in() -> None:
    """Wait until no other process is here; the lock ends with the transaction."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(hashtext(%s))", [DAILY])
