"""The statistics of the dashboard and of `session_stats`."""

import json
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import time_machine
from django.utils import timezone
from django_q.models import OrmQ, Schedule, Task
from pytest_django import Settings

from chat.memory.quarantine import Suspect, quarantine
from chat.models import AgentSession, Turn, User
from chat.models.session import State
from chat.models.turn import Status
from sessions_admin import schedules
from sessions_admin.metrics import queue_health, stats
from sessions_admin.metrics.overview import overview
from sessions_admin.models import CleanupRun, RunStatus, StoreSample, Trigger
from sessions_admin.retention.cleanup import cleanup
from sessions_admin.sessions import lifecycle
from sessions_admin.store_samples import sample
from sessions_admin.tests.conftest import OLD, command_output, create_turn
from sessions_admin.tests.conversations import make_conversation

pytestmark = pytest.mark.django_db

NOON = datetime(2026, 5, 20, 12, tzinfo=UTC)


def at(moment: datetime) -> Any:
    return time_machine.travel(moment, tick=False)


def test_sessions_are_counted_by_state(owner: User, session_file: Path) -> None:
    for idle in (timedelta(0), timedelta(days=3), OLD, OLD):
        make_conversation(owner, session_file, idle=idle, turns=2)
    held, gone = make_conversation(owner, session_file), make_conversation(owner, session_file)
    lifecycle.hold_session(held.session_id, actor="os:x", reason="the court")
    lifecycle.expire_session(gone.session_id, actor="os:x")

    counted = {one.state: (one.sessions, one.items) for one in stats.by_state()}

    assert counted == {
        State.ACTIVE: (1, 4),
        State.IDLE: (1, 4),
        State.DUE: (2, 8),
        State.HELD: (1, 6),
        State.QUARANTINED: (0, 0),
        State.GONE: (1, 0),
    }
    found = overview()
    assert (found.sessions, found.items) == (5, 22)
    assert found.cleanup.takes.sessions == 2


def test_activity_is_counted_by_day_including_empty_days(owner: User, session_file: Path) -> None:
    with at(NOON - timedelta(days=2)):
        make_conversation(owner, session_file, turns=2)
        make_conversation(owner, session_file, turns=1)
    with at(NOON):
        make_conversation(owner, session_file, turns=1)
        days = stats.activity(days=4)

    assert [(day.date.day, day.messages, day.sessions) for day in days] == [
        (17, 0, 0),
        (18, 6, 2),
        (19, 0, 0),
        (20, 2, 1),
    ]


def test_past_day_is_counted_once_and_today_is_recounted(owner: User, session_file: Path) -> None:
    with at(NOON - timedelta(days=1)):
        session = make_conversation(owner, session_file)
    with at(NOON):
        assert stats.activity(days=2)[0].messages == 6
    session.conversation.delete()
    with at(NOON + timedelta(minutes=2)):
        make_conversation(owner, session_file, turns=1)
        assert [day.messages for day in stats.activity(days=2)] == [6, 2]
    with at(NOON + timedelta(days=1)):
        assert [day.messages for day in stats.activity(days=3)] == [6, 2, 0]


def test_reply_after_midnight_counts_for_the_previous_day(owner: User, session_file: Path) -> None:
    midnight = datetime(2026, 5, 20, tzinfo=UTC)
    with at(midnight - timedelta(minutes=5)):
        make_conversation(owner, session_file, turns=1)
    with at(midnight + timedelta(minutes=10)):
        assert [day.messages for day in stats.activity(days=2)] == [2, 0]
        Turn.objects.get().messages.get(role="assistant").delete()
    with at(midnight + timedelta(minutes=20)):
        assert [day.messages for day in stats.activity(days=2)] == [1, 0], "the previous day is still recounted"


def test_sample_measures_the_session_store(owner: User, session_file: Path) -> None:
    make_conversation(owner, session_file)
    gone = make_conversation(owner, session_file)
    lifecycle.expire_session(gone.session_id, actor="os:x")

    taken = sample()

    size = AgentSession.objects.get(gone_at=None).byte_count
    assert (taken.sessions, taken.items, taken.bytes) == (1, 6, size)
    assert taken.file_bytes >= session_file.stat().st_size > 0


def test_old_samples_are_thinned_to_hourly_then_daily_then_removed(session_file: Path) -> None:
    taken = [NOON - timedelta(hours=hours, minutes=-minutes) for hours in range(24 * 12) for minutes in (0, 20)]
    StoreSample.objects.bulk_create(
        StoreSample(at=at, sessions=1, items=1, bytes=1, file_bytes=1) for at in (*taken, NOON - timedelta(days=366))
    )

    with at(NOON + timedelta(minutes=30)):
        sample()
        kept = list(StoreSample.objects.order_by("at").values_list("at", flat=True))

    week = NOON + timedelta(minutes=30) - timedelta(days=7)
    older, newer = [one for one in kept if one < week], [one for one in kept if one >= week]
    assert [(one.day, one.hour, one.minute) for one in older] == [(d, 23, 20) for d in range(8, 13)]
    assert len({(one.date(), one.hour) for one in newer}) == len(newer) == 7 * 24
    assert {one.minute for one in newer} == {20, 30}


def test_samples_are_taken_hourly_and_at_startup(session_file: Path) -> None:
    with at(NOON + timedelta(minutes=17)):
        for _ in range(2):
            schedules.ensure_samples()

    schedule = Schedule.objects.get(func=schedules.SAMPLE)
    assert (schedule.cron, schedule.next_run) == ("0 * * * *", NOON + timedelta(hours=1))
    assert StoreSample.objects.exists()


def test_biggest_sessions_and_owners_are_listed_first(owner: User, outsider: User, session_file: Path) -> None:
    small, big = make_conversation(owner, session_file, turns=1), make_conversation(outsider, session_file, turns=3)
    other = make_conversation(owner, session_file, turns=2)

    assert [one.session_id for one in stats.biggest_sessions()] == [
        big.session_id,
        other.session_id,
        small.session_id,
    ]
    lifecycle.expire_session(small.session_id, actor="os:x")
    owners = [(one.email, one.sessions, one.items) for one in stats.biggest_owners()]
    assert owners == [("outsider@example.com", 1, 6), ("owner@example.com", 1, 4)]


def test_open_turns_are_counted_by_status(owner: User, session_file: Path) -> None:
    for status in (Status.RUNNING, Status.WAITING, Status.QUEUED, Status.QUEUED):
        create_turn(make_conversation(owner, session_file), status)
    oldest = timezone.now() - timedelta(hours=3)
    Turn.objects.filter(pk=Turn.objects.filter(status=Status.QUEUED).values("pk")[:1]).update(accepted_at=oldest)

    assert queue_health.turn_queue() == queue_health.TurnQueue(2, 1, 1, oldest)


def test_worker_queue_is_read_from_the_database(session_file: Path) -> None:
    now = timezone.now()
    OrmQ.objects.create(key="threadkeeper", payload="", lock=now - timedelta(minutes=7))
    OrmQ.objects.create(key="threadkeeper", payload="", lock=now + timedelta(minutes=7))
    Task.objects.create(id="1", name="x", func="f", started=now, stopped=now, success=True)

    found = queue_health.worker_queue()

    assert (found.waiting, found.taken, found.last_success_at) == (1, 1, now)
    assert found.oldest_at == now - timedelta(minutes=7)


def test_time_of_next_cleanup_comes_from_the_schedule(session_file: Path) -> None:
    assert queue_health.next_cleanup().at is None
    schedules.ensure()
    assert queue_health.DAILY_CLEANUP == schedules.DAILY
    schedule = Schedule.objects.get(func=schedules.DAILY)
    assert (queue_health.next_cleanup().at, queue_health.next_cleanup().is_overdue) == (schedule.next_run, False)
    Schedule.objects.update(next_run=timezone.now() - timedelta(minutes=6))
    assert queue_health.next_cleanup().is_overdue
    assert "The daily clean-up is overdue." in overview().problems


def test_last_cleanup_ignores_previews(session_file: Path) -> None:
    done = cleanup(trigger=Trigger.COMMAND)
    cleanup(trigger=Trigger.COMMAND, dry_run=True)
    last = queue_health.next_cleanup().last
    assert last is not None and last.pk == done.run_id


def test_failures_of_all_kinds_are_listed_newest_first(owner: User, session_file: Path) -> None:
    now = timezone.now()
    session = make_conversation(owner, session_file, idle=timedelta(hours=1))
    Turn.objects.filter(seq=1).update(status="failed", error_code="model_error", error_detail="somebody’s words")
    AgentSession.objects.update(last_error="context_unavailable", last_activity_at=now - timedelta(hours=2))
    then = now - timedelta(hours=3)
    run = CleanupRun.objects.create(trigger=Trigger.COMMAND, status=RunStatus.FAILED, ended_at=then, error="No room.")
    stopped = now - timedelta(hours=4)
    Task.objects.create(id="1", name="x", func="f.g", started=stopped, stopped=stopped, success=False, result="secret")

    found = [(failure.kind, failure.code, failure.subject) for failure in queue_health.failures()]

    assert found == [
        ("turn", "model_error", session.session_id),
        ("session", "context_unavailable", session.session_id),
        ("clean-up", "No room.", str(run.pk)),
        ("task", "failed", "f.g"),
    ]


def test_command_prints_all_statistics(owner: User, session_file: Path, settings: Settings) -> None:
    session = make_conversation(owner, session_file)
    quarantine(session.session_id, [Suspect(1, "no", "holds no item")])
    schedules.ensure()
    found = json.loads(command_output("session_stats", "--json"))
    assert (found["sessions"], found["items"], found["quarantined"]) == (1, 6, 1)
    assert found["states"]["quarantined"]["sessions"] == 1
    assert found["days"][-1] == {"date": date.today().isoformat(), "messages": 6, "sessions": 1}
    assert found["health"] == {"database": True, "sessions": True, "worker": False, "schedule": False}
    lines = command_output("session_stats").splitlines()
    assert lines[0] == "Attention: No worker is running: clean-ups and everything else that is left to it wait."
    assert lines[1].startswith("1 sessions, 6 items; ")
    assert len({line.index(" items") for line in lines if line.startswith("  ")}) == 1, lines
    assert any(line.startswith("Next clean-up: ") for line in lines)
