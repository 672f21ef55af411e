"""The tasks that the worker runs."""

import pickle
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest
from django.utils import timezone
from pytest_django import Settings

from chat.exceptions import MemoryUnavailable
from chat.memory.sync_file import opened
from chat.models import TaskChange, User
from chat.tasks.services import create_task, delete_task
from sessions_admin import schedules
from sessions_admin.models import CleanedSession, CleanupRun, RunStatus, Trigger
from sessions_admin.retention.runs import RESUMED
from sessions_admin.tasks import daily_cleanup, look_after_runs, requested_cleanup
from sessions_admin.tests.conftest import MakeSession, count_rows


def test_results_are_plain_and_can_be_pickled(make_session: MakeSession, owner: User) -> None:
    make_session(owner)

    result = daily_cleanup()

    run = CleanupRun.objects.get()
    assert (run.trigger, run.actor, run.status) == (Trigger.SCHEDULE, None, RunStatus.DONE)
    assert (result["run_id"], result["status"], result["sessions"]) == (str(run.pk), "done", 1)
    assert {type(value) for value in result.values()} <= {str, int, float, bool}
    assert pickle.loads(pickle.dumps(result)) == result  # noqa: S301 - our own


def test_redelivered_task_does_nothing(make_session: MakeSession, session_file: Path, owner: User, staff: User) -> None:
    run = schedules.request_cleanup(actor=staff, dry_run=False)
    make_session(owner)
    first = requested_cleanup(str(run.pk))
    later = make_session(owner)

    assert requested_cleanup(str(run.pk)) == first
    assert count_rows(session_file, later) == [4, 1, 1]


def test_task_redelivered_during_its_run_does_not_change_the_run(
    make_session: MakeSession, owner: User, staff: User
) -> None:
    make_session(owner)
    run = schedules.request_cleanup(actor=staff, dry_run=False)
    now = timezone.now()
    CleanupRun.objects.update(status=RunStatus.RUNNING, started_at=now, heartbeat_at=now)

    assert requested_cleanup(str(run.pk))["status"] == "running"
    assert CleanupRun.objects.get().ended_at is None


def make_stale(run: CleanupRun, *, minutes: int = 20) -> None:
    """Mark a run as running with an old heartbeat, as if its process had been killed."""
    then = timezone.now() - timedelta(minutes=minutes)
    CleanupRun.objects.filter(pk=run.pk).update(
        status=RunStatus.RUNNING, started_at=then, heartbeat_at=then, cutoff=then - timedelta(days=7)
    )


@pytest.mark.parametrize("task", [look_after_runs, requested_cleanup])
def test_run_of_a_killed_worker_is_resumed_and_completed(
    make_session: MakeSession, session_file: Path, owner: User, staff: User, task: Callable[..., dict[str, object]]
) -> None:
    session = make_session(owner)
    run = schedules.request_cleanup(actor=staff, dry_run=False)
    make_stale(run)

    result = task(str(run.pk)) if task is requested_cleanup else task()

    assert (result["run_id"], result["status"], result["sessions"]) == (str(run.pk), "done", 1)
    assert count_rows(session_file, session) == [0, 0, 0]
    run.refresh_from_db()
    assert [message for _, message in run.log][0] == "Resumed: the process had ended unexpectedly."


def test_resumed_run_counts_sessions_already_removed_from_the_file(
    make_session: MakeSession, session_file: Path, owner: User, staff: User
) -> None:
    session = make_session(owner, items=7)
    with opened(session_file) as file:
        file.remove([session.session_id])
    make_stale(schedules.request_cleanup(actor=staff, dry_run=False))

    result = look_after_runs()

    assert (result["sessions"], result["items"], result["bytes"]) == (1, 7, session.byte_count)


def test_resumed_preview_lists_each_session_once(make_session: MakeSession, owner: User, staff: User) -> None:
    first, second = make_session(owner), make_session(owner)
    run = schedules.request_cleanup(actor=staff, dry_run=True)
    CleanedSession.objects.create(
        run=run,
        user=owner,
        session_id=first.session_id,
        items=4,
        bytes=first.byte_count,
        last_activity_at=first.last_activity_at,
    )
    CleanupRun.objects.update(examined=1, removed_sessions=1)
    make_stale(run)

    result = look_after_runs()

    assert (result["total"], result["examined"], result["sessions"]) == (2, 2, 2)
    assert set(run.sessions.values_list("session_id", flat=True)) == {first.session_id, second.session_id}


def test_run_that_repeatedly_kills_its_worker_fails(
    make_session: MakeSession, session_file: Path, owner: User, staff: User
) -> None:
    session = make_session(owner)
    run = schedules.request_cleanup(actor=staff, dry_run=False)
    CleanupRun.objects.update(log=[["2026-05-01T12:00:00+00:00", RESUMED]] * 2)
    make_stale(run)

    assert look_after_runs() == {}

    run.refresh_from_db()
    assert (run.status, run.error) == (RunStatus.FAILED, "The process ended unexpectedly.")
    assert count_rows(session_file, session) == [4, 1, 1]


def test_killed_run_of_a_command_fails_and_is_not_resumed(
    make_session: MakeSession, session_file: Path, owner: User
) -> None:
    session = make_session(owner)
    run = CleanupRun.objects.create(trigger=Trigger.COMMAND)
    make_stale(run)

    assert look_after_runs() == {}

    run.refresh_from_db()
    assert (run.status, run.error) == (RunStatus.FAILED, "The process ended unexpectedly.")
    assert count_rows(session_file, session) == [4, 1, 1]


def test_run_killed_while_stopping_is_marked_stopped(staff: User) -> None:
    run = CleanupRun.objects.create(trigger=Trigger.ADMIN, actor=staff)
    make_stale(run)
    CleanupRun.objects.update(status=RunStatus.STOPPING, stopped_by=staff)

    assert look_after_runs() == {}

    run.refresh_from_db()
    assert (run.status, run.error, run.stopped_by) == (RunStatus.STOPPED, "", staff)
    assert run.ended_at is not None


def test_run_with_a_recent_heartbeat_is_not_resumed(make_session: MakeSession, owner: User, staff: User) -> None:
    make_session(owner)
    run = schedules.request_cleanup(actor=staff, dry_run=False)
    make_stale(run, minutes=1)

    assert look_after_runs() == {}

    run.refresh_from_db()
    assert (run.status, run.log) == (RunStatus.RUNNING, [])


def test_task_raises_errors_for_the_worker_to_show_and_retry(db: None, settings: Settings, tmp_path: Path) -> None:
    settings.AGENT_SESSION_DB_PATH = tmp_path / "missing" / "agent_sessions.db"

    with pytest.raises(MemoryUnavailable):
        daily_cleanup()

    assert CleanupRun.objects.get().status == RunStatus.FAILED


def test_a_deleted_task_is_kept_for_30_days_only(make_session: MakeSession, owner: User) -> None:
    make_session(owner)
    create_task(user_id=owner.pk, title="Buy milk")
    delete_task(user_id=owner.pk, number=1)
    TaskChange.objects.update(made_at=timezone.now() - timedelta(days=29))
    daily_cleanup()
    assert TaskChange.objects.count() == 2
    TaskChange.objects.update(made_at=timezone.now() - timedelta(days=31))
    daily_cleanup()
    assert not TaskChange.objects.exists()
