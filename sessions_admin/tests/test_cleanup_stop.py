"""Stopping a clean-up before it begins, while it runs and after it has ended."""

import uuid
from datetime import timedelta
from pathlib import Path

import pytest
from django.utils import timezone

from chat.exceptions import Conflict, NotFound
from chat.models import User
from sessions_admin import schedules
from sessions_admin.models import Action, AuditRecord, CleanupRun, RunStatus, Trigger
from sessions_admin.retention import runs
from sessions_admin.retention.cleanup import AlreadyRunning, cleanup, execute
from sessions_admin.retention.runs import HeartbeatLost, StopRequested
from sessions_admin.tests.conftest import MakeSession, count_rows


@pytest.fixture(autouse=True)
def batch_of_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """Limit batches to one session, so that few sessions are enough."""
    monkeypatch.setattr("sessions_admin.retention.cleanup.BATCH", 1)


def test_stopped_run_ends_after_the_current_batch(
    make_session: MakeSession, session_file: Path, owner: User, staff: User
) -> None:
    sessions = [make_session(owner, idle=timedelta(days=days)) for days in (10, 9, 8)]

    def request_stop(done: int, total: int) -> None:
        if done == 1:
            assert runs.stop(CleanupRun.objects.get().pk, actor=staff) == RunStatus.STOPPING

    report = cleanup(trigger=Trigger.SCHEDULE, on_progress=request_stop)

    assert (report.status, report.total, report.examined, report.sessions) == (RunStatus.STOPPED, 3, 1, 1)
    assert [count_rows(session_file, session)[0] for session in sessions] == [0, 4, 4]
    run = CleanupRun.objects.get()
    assert (run.status, run.stopped_by, run.error) == (RunStatus.STOPPED, staff, "")
    assert run.ended_at is not None
    assert [message for _, message in run.log][-2:] == ["Stop requested.", "Stopped."]


def test_stop_is_audited_once(make_session: MakeSession, owner: User, staff: User) -> None:
    make_session(owner)
    run = schedules.request_cleanup(actor=owner, dry_run=False)
    CleanupRun.objects.update(status=RunStatus.RUNNING, heartbeat_at=timezone.now())

    assert [runs.stop(run.pk, actor=staff) for _ in range(2)] == [RunStatus.STOPPING] * 2

    stopped = AuditRecord.objects.get(action=Action.STOP)
    assert (stopped.actor, stopped.result) == (str(staff.pk), {"run_id": str(run.pk)})


def test_stopped_queued_run_never_begins(
    make_session: MakeSession, session_file: Path, owner: User, staff: User
) -> None:
    session = make_session(owner)
    run = schedules.request_cleanup(actor=owner, dry_run=False)

    assert runs.stop(run.pk, actor=staff) == RunStatus.STOPPED
    report = execute(run.pk)

    assert (report.status, report.sessions) == (RunStatus.STOPPED, 0)
    assert count_rows(session_file, session) == [4, 1, 1]
    run.refresh_from_db()
    assert (run.started_at, run.stopped_by) == (None, staff)


def test_stopping_a_stale_run_ends_it(staff: User) -> None:
    run = CleanupRun.objects.create(trigger=Trigger.ADMIN, actor=staff)
    then = timezone.now() - timedelta(minutes=3)
    CleanupRun.objects.update(status=RunStatus.RUNNING, started_at=then, heartbeat_at=then)

    assert runs.stop(run.pk, actor=staff) == RunStatus.STOPPED


@pytest.mark.parametrize("status", [RunStatus.DONE, RunStatus.FAILED, RunStatus.STOPPED])
def test_ended_run_cannot_be_stopped(staff: User, status: RunStatus) -> None:
    now = timezone.now()
    run = CleanupRun.objects.create(trigger=Trigger.ADMIN, status=status, heartbeat_at=now, ended_at=now)

    with pytest.raises(Conflict, match="has already ended"):
        runs.stop(run.pk, actor=staff)

    run.refresh_from_db()
    assert (run.status, run.stopped_by, run.log) == (status, None, [])
    assert not AuditRecord.objects.exists()


def test_unknown_run_cannot_be_stopped(staff: User) -> None:
    with pytest.raises(NotFound):
        runs.stop(uuid.uuid4(), actor=staff)


def test_should_stop_callback_stops_the_run(make_session: MakeSession, owner: User) -> None:
    for days in (10, 9, 8):
        make_session(owner, idle=timedelta(days=days))
    answers = iter([False, False, True])

    report = cleanup(trigger=Trigger.COMMAND, should_stop=lambda: next(answers))

    assert (report.status, report.examined) == (RunStatus.STOPPED, 2)
    assert AuditRecord.objects.get(action=Action.STOP).actor.startswith("os:")


# Claims.


def test_previous_process_cannot_change_a_reclaimed_run(staff: User) -> None:
    run = CleanupRun.objects.create(trigger=Trigger.ADMIN, actor=staff)
    assert runs.claim(run)
    then = timezone.now() - timedelta(minutes=3)
    CleanupRun.objects.update(heartbeat_at=then)
    run.heartbeat_at = then
    reclaimed = CleanupRun.objects.get()
    assert runs.claim(reclaimed)

    with pytest.raises(HeartbeatLost):
        runs.record_heartbeat(run)
    with pytest.raises(HeartbeatLost):
        runs.add_counts(run, examined=1)
    with pytest.raises(HeartbeatLost):
        runs.set_total(run, 3)
    runs.end(run, RunStatus.DONE)

    reclaimed.refresh_from_db()
    assert (reclaimed.status, reclaimed.examined, reclaimed.total) == (RunStatus.RUNNING, 0, None)
    runs.record_heartbeat(reclaimed)


def test_live_run_is_claimed_once(staff: User) -> None:
    run = CleanupRun.objects.create(trigger=Trigger.ADMIN, actor=staff)

    assert [runs.claim(CleanupRun.objects.get(pk=run.pk)) for _ in range(2)] == [True, False]


def test_counts_are_recorded_while_a_run_is_stopping(staff: User) -> None:
    run = CleanupRun.objects.create(trigger=Trigger.ADMIN, actor=staff)
    runs.claim(run)
    runs.stop(run.pk, actor=staff)

    runs.add_counts(run, examined=2)

    with pytest.raises(StopRequested):
        runs.record_heartbeat(run)
    run.refresh_from_db()
    assert run.examined == 2


# A second run.


@pytest.mark.parametrize(
    ("status", "message"),
    [
        (RunStatus.QUEUED, "is already waiting for the worker"),
        (RunStatus.RUNNING, "Another clean-up is running"),
        (RunStatus.STOPPING, "Another clean-up is running"),
    ],
)
def test_second_request_is_refused_with_a_message(staff: User, status: RunStatus, message: str) -> None:
    CleanupRun.objects.create(trigger=Trigger.SCHEDULE, status=status, heartbeat_at=timezone.now())

    with pytest.raises(AlreadyRunning, match=message):
        schedules.request_cleanup(actor=staff, dry_run=True)

    assert CleanupRun.objects.count() == 1


def test_stale_run_does_not_block_a_request(make_session: MakeSession, owner: User, staff: User) -> None:
    make_session(owner)
    CleanupRun.objects.create(
        trigger=Trigger.COMMAND, status=RunStatus.RUNNING, heartbeat_at=timezone.now() - timedelta(minutes=3)
    )

    run = schedules.request_cleanup(actor=staff, dry_run=False)

    assert execute(run.pk).sessions == 1


# The audit.


@pytest.mark.parametrize("dry_run", [False, True])
def test_each_run_is_audited_with_its_requester(make_session: MakeSession, owner: User, dry_run: bool) -> None:
    make_session(owner)
    run_ids = [
        schedules.request_cleanup(actor=owner, dry_run=dry_run).pk,
        cleanup(trigger=Trigger.COMMAND, dry_run=dry_run).run_id,
        cleanup(trigger=Trigger.SCHEDULE, dry_run=dry_run).run_id,
    ]

    found = list(AuditRecord.objects.order_by("pk"))

    assert {record.action for record in found} == {"preview" if dry_run else "cleanup"}
    assert [record.result for record in found] == [{"run_id": str(run)} for run in run_ids]
    assert [record.actor.split(":")[0] for record in found] == [str(owner.pk), "os", "schedule"]
