"""The daily clean-up in the worker's schedule."""

import pydoc
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
import time_machine
from django.db import transaction
from django_q.conf import Conf
from django_q.models import OrmQ, Schedule
from django_q.scheduler import scheduler
from pytest_django import Settings

from sessions_admin import schedules
from sessions_admin.tests.conftest import InThread

pytestmark = pytest.mark.django_db


def daily() -> Schedule:
    """Return the only schedule of the daily clean-up."""
    return Schedule.objects.get(func=schedules.DAILY)


def test_ensure_creates_the_schedule_only_once() -> None:
    for _ in range(3):
        schedules.ensure()

    schedule = daily()
    assert (schedule.func, schedule.schedule_type, schedule.cron) == (schedules.DAILY, Schedule.CRON, "0 2 * * *")
    assert schedule.repeats == -1
    assert Schedule.objects.count() == len(schedules.regular_tasks())


@pytest.mark.django_db(transaction=True)
def test_check_for_stale_runs_is_scheduled_every_minute_without_saved_results() -> None:
    schedules.ensure()

    schedule = Schedule.objects.get(func=schedules.MINUTELY)
    assert (schedule.schedule_type, schedule.cron) == (Schedule.CRON, "* * * * *")
    scheduler()
    assert [queued.task.get("save") for queued in OrmQ.objects.all()] == []
    Schedule.objects.update(next_run=datetime.now(UTC) - timedelta(minutes=3))
    scheduler()
    kept = {queued.task["func"]: queued.task.get("save") for queued in OrmQ.objects.all()}
    assert kept == {schedules.DAILY: None, schedules.EXPIRE: None, schedules.MINUTELY: False, schedules.FINISH: False}
    assert all(callable(pydoc.locate(func)) for func in kept)


@pytest.mark.parametrize(
    ("hour", "next_run"), [(0, "2026-05-02 00:00"), (2, "2026-05-02 02:00"), (23, "2026-05-01 23:00")]
)
def test_daily_cleanup_is_due_at_the_configured_hour(settings: Settings, hour: int, next_run: str) -> None:
    settings.AGENT_SESSION_CLEANUP_HOUR = hour

    with time_machine.travel("2026-05-01 12:30:00+00:00", tick=False):
        schedules.ensure()

    assert daily().next_run == datetime.fromisoformat(f"{next_run}+00:00")


def test_changed_hour_takes_effect_at_the_next_start(settings: Settings) -> None:
    with time_machine.travel("2026-05-01 12:30:00+00:00", tick=False):
        schedules.ensure()
        settings.AGENT_SESSION_CLEANUP_HOUR = 13
        schedules.ensure()

    schedule = daily()
    assert (schedule.cron, schedule.next_run) == ("0 13 * * *", datetime(2026, 5, 1, 13, tzinfo=UTC))


@pytest.mark.parametrize("hour", [2, 13], ids=["same hour", "other hour"])
def test_cleanup_missed_during_downtime_stays_due(settings: Settings, hour: int) -> None:
    schedules.ensure()
    missed = datetime.now(UTC) - timedelta(hours=5)
    Schedule.objects.update(next_run=missed)
    settings.AGENT_SESSION_CLEANUP_HOUR = hour

    schedules.ensure()

    assert (daily().cron, daily().next_run) == (f"0 {hour} * * *", missed)


@pytest.mark.django_db(transaction=True)
def test_running_worker_uses_an_hour_that_another_process_changed(settings: Settings) -> None:
    with time_machine.travel("2026-05-01 12:30:00+00:00", tick=False) as clock:
        schedules.ensure()
        settings.AGENT_SESSION_CLEANUP_HOUR = 13
        schedules.ensure()
        clock.move_to("2026-05-01 13:00:01+00:00")
        scheduler()
        assert [queued.task["func"] for queued in OrmQ.objects.all()].count(schedules.DAILY) == 1
    assert daily().next_run == datetime(2026, 5, 2, 13, tzinfo=UTC)


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("day", ["2026-03-29", "2026-10-25"], ids=["start of summer time", "end of summer time"])
@pytest.mark.parametrize("hour", [1, 2])
def test_cleanup_is_due_once_a_day_across_changes_of_summer_time(settings: Settings, day: str, hour: int) -> None:
    settings.AGENT_SESSION_CLEANUP_HOUR = hour
    berlin = ZoneInfo("Europe/Berlin")
    begin = datetime.fromisoformat(f"{day} 00:00").replace(tzinfo=UTC) - timedelta(days=1)
    due = []
    with time_machine.travel(begin.astimezone(berlin), tick=False) as clock:
        schedules.ensure()
        Schedule.objects.exclude(func=schedules.DAILY).delete()
        # If it were due at another hour, it would run at the first of these hours after it.
        for hours in (24 * n + at for n in range(3) for at in (0, 1, 2, 3, 4, 12)):
            clock.move_to((begin + timedelta(hours=hours, seconds=1)).astimezone(berlin))
            scheduler()
            due += [begin + timedelta(hours=hours) for one in OrmQ.objects.all() if one.func() == schedules.DAILY]
            OrmQ.objects.all().delete()
    # The hour is in UTC, whatever the time zone of the machine.
    assert due == [begin + timedelta(days=n, hours=hour) for n in range(3)]


@pytest.mark.django_db(transaction=True)
def test_times_set_by_a_clock_that_was_ahead_are_corrected() -> None:
    schedules.ensure()
    with time_machine.travel(datetime.now(UTC) + timedelta(days=8)):
        scheduler()
    waiting, taken = list(OrmQ.objects.order_by("pk"))[:2]
    retry = timedelta(seconds=Conf.RETRY)
    OrmQ.objects.filter(pk=taken.pk).update(lock=datetime.now(UTC) + retry)

    schedules.correct_times()

    minutely = Schedule.objects.get(func=schedules.MINUTELY)
    assert minutely.next_run <= datetime.now(UTC) + timedelta(minutes=1)
    assert daily().next_run <= datetime.now(UTC) + timedelta(days=1)
    waiting.refresh_from_db()
    taken.refresh_from_db()
    assert waiting.lock <= datetime.now(UTC) < taken.lock, "a task that the worker has just taken keeps its lock"


def test_schedule_with_invalid_cron_is_not_changed() -> None:
    later = datetime.now(UTC) + timedelta(days=80)
    Schedule.objects.bulk_create([Schedule(func="a.b", schedule_type=Schedule.CRON, cron="nonsense", next_run=later)])
    schedules.correct_times()
    assert Schedule.objects.get(func="a.b").next_run == later


def test_clock_step_back_by_minutes_does_not_repeat_the_cleanup() -> None:
    with time_machine.travel("2026-05-01 01:59:00+00:00", tick=False) as clock:
        schedules.ensure()
        clock.move_to("2026-05-01 02:00:01+00:00")
        Schedule.objects.update(next_run=datetime(2026, 5, 2, 2, tzinfo=UTC))
        clock.move_to("2026-05-01 01:50:00+00:00")
        schedules.correct_times()
    assert daily().next_run == datetime(2026, 5, 2, 2, tzinfo=UTC)


@pytest.mark.parametrize("broken", [{"next_run": None}, {"schedule_type": Schedule.ONCE}, {"cron": "0 5 * * *"}])
def test_schedule_changed_by_hand_is_corrected(broken: dict[str, object]) -> None:
    schedules.ensure()
    Schedule.objects.update(**broken)

    schedules.ensure()

    schedule = daily()
    assert (schedule.schedule_type, schedule.cron) == (Schedule.CRON, "0 2 * * *")
    assert schedule.next_run > datetime.now(UTC)


def test_duplicate_schedules_are_removed_and_foreign_ones_kept() -> None:
    for _ in range(2):
        Schedule.objects.create(func=schedules.DAILY, schedule_type=Schedule.CRON, cron="0 2 * * *")
    Schedule.objects.create(func="somebody.elses", schedule_type=Schedule.DAILY)

    schedules.ensure()

    assert sorted(Schedule.objects.values_list("func", flat=True)) == [
        schedules.DAILY,
        schedules.EXPIRE,
        schedules.FINISH,
        schedules.MINUTELY,
        "somebody.elses",
    ]


@pytest.mark.django_db(transaction=True)
def test_concurrent_starts_create_one_schedule() -> None:
    with transaction.atomic():
        schedules.ensure()
        other = InThread(schedules.ensure)
        # What must not happen cannot be waited for, hence the short timeout.
        other.thread.join(0.3)
        assert other.thread.is_alive()
    other.join()

    assert Schedule.objects.count() == len(schedules.regular_tasks())
