"""The daily clean-up in the worker's schedule."""

from datetime import UTC, datetime, timedelta

import pytest
import time_machine
from django.conf import settings as configured
from django.db import transaction
from django_q.models import Schedule
from pytest_django import Settings

from sessions_admin import schedules
from sessions_admin.tests.conftest import InThread

pytestmark = pytest.mark.django_db


def test_there_is_one_schedule_however_often_it_is_ensured() -> None:
    for _ in range(3):
        schedules.ensure()

    schedule = Schedule.objects.get()
    assert (schedule.func, schedule.schedule_type, schedule.cron) == (schedules.DAILY, Schedule.CRON, "0 2 * * *")
    assert schedule.repeats == -1


@pytest.mark.parametrize(
    ("hour", "next_run"), [(0, "2026-05-02 00:00"), (2, "2026-05-02 02:00"), (23, "2026-05-01 23:00")]
)
def test_it_is_due_at_the_hour_of_the_setting(settings: Settings, hour: int, next_run: str) -> None:
    settings.AGENT_SESSION_CLEANUP_HOUR = hour

    with time_machine.travel("2026-05-01 12:30:00+00:00", tick=False):
        schedules.ensure()

    assert Schedule.objects.get().next_run == datetime.fromisoformat(f"{next_run}+00:00")


def test_it_follows_the_setting_at_the_next_start(settings: Settings) -> None:
    with time_machine.travel("2026-05-01 12:30:00+00:00", tick=False):
        schedules.ensure()
        settings.AGENT_SESSION_CLEANUP_HOUR = 13
        schedules.ensure()

    schedule = Schedule.objects.get()
    assert (schedule.cron, schedule.next_run) == ("0 13 * * *", datetime(2026, 5, 1, 13, tzinfo=UTC))


def test_one_that_was_missed_while_nothing_ran_stays_due() -> None:
    schedules.ensure()
    missed = datetime.now(UTC) - timedelta(hours=5)
    Schedule.objects.update(next_run=missed)

    schedules.ensure()

    assert Schedule.objects.get().next_run == missed


@pytest.mark.parametrize("broken", [{"next_run": None}, {"schedule_type": Schedule.ONCE}, {"cron": "0 5 * * *"}])
def test_one_that_was_changed_by_hand_is_put_right(broken: dict[str, object]) -> None:
    schedules.ensure()
    Schedule.objects.update(**broken)

    schedules.ensure()

    schedule = Schedule.objects.get()
    assert (schedule.schedule_type, schedule.cron) == (Schedule.CRON, "0 2 * * *")
    assert schedule.next_run > datetime.now(UTC)


def test_doubles_are_removed_and_others_are_left_alone() -> None:
    for _ in range(2):
        Schedule.objects.create(func=schedules.DAILY, schedule_type=Schedule.CRON, cron="0 2 * * *")
    Schedule.objects.create(func="somebody.elses", schedule_type=Schedule.DAILY)

    schedules.ensure()

    assert sorted(Schedule.objects.values_list("func", flat=True)) == [schedules.DAILY, "somebody.elses"]


@pytest.mark.django_db(transaction=True)
def test_two_that_start_at_once_make_one() -> None:
    with transaction.atomic():
        schedules.ensure()
        other = InThread(schedules.ensure)
        # Nothing can be waited for that is not to happen.
        other.thread.join(0.3)
        assert other.thread.is_alive()
    other.join()

    assert Schedule.objects.count() == 1


def test_missed_days_are_not_made_up_for_one_by_one() -> None:
    assert configured.Q_CLUSTER["catch_up"] is False
