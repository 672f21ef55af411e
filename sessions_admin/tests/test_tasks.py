"""What the worker runs."""

import pickle
from datetime import timedelta
from pathlib import Path

import pytest
from django.utils import timezone
from pytest_django import Settings

from chat.exceptions import MemoryUnavailable
from chat.models import User
from sessions_admin import schedules
from sessions_admin.models import CleanupRun, RunStatus, Trigger
from sessions_admin.tasks import daily_cleanup, requested_cleanup
from sessions_admin.tests.conftest import GivenSession, stored


def test_results_are_plain_and_can_be_pickled(given_session: GivenSession, owner: User) -> None:
    given_session(owner)

    result = daily_cleanup()

    run = CleanupRun.objects.get()
    assert (run.trigger, run.actor, run.status) == (Trigger.SCHEDULE, None, RunStatus.DONE)
    assert (result["run_id"], result["status"], result["sessions"]) == (str(run.pk), "done", 1)
    assert {type(value) for value in result.values()} <= {str, int, float, bool}
    assert pickle.loads(pickle.dumps(result)) == result  # noqa: S301 - our own


def test_a_task_that_is_delivered_again_does_nothing_more(
    given_session: GivenSession, session_file: Path, owner: User, staff: User
) -> None:
    run = schedules.request_cleanup(actor=staff, dry_run=False)
    given_session(owner)
    first = requested_cleanup(str(run.pk))
    later = given_session(owner)

    assert requested_cleanup(str(run.pk)) == first
    assert stored(session_file, later) == [4, 1, 1]


def test_a_task_that_is_delivered_again_while_it_runs_leaves_the_run_alone(
    given_session: GivenSession, owner: User, staff: User
) -> None:
    given_session(owner)
    run = schedules.request_cleanup(actor=staff, dry_run=False)
    now = timezone.now()
    CleanupRun.objects.update(status=RunStatus.RUNNING, started_at=now, heartbeat_at=now)

    assert requested_cleanup(str(run.pk))["status"] == "running"
    assert CleanupRun.objects.get().ended_at is None


def test_a_run_whose_worker_was_killed_ends_as_failed_when_its_task_comes_again(
    given_session: GivenSession, owner: User, staff: User
) -> None:
    given_session(owner)
    run = schedules.request_cleanup(actor=staff, dry_run=False)
    then = timezone.now() - timedelta(minutes=20)
    CleanupRun.objects.update(status=RunStatus.RUNNING, started_at=then, heartbeat_at=then)

    result = requested_cleanup(str(run.pk))

    assert (result["status"], result["error"]) == ("failed", "It stopped without a word.")


def test_a_failure_is_raised_so_that_the_worker_shows_and_repeats_it(
    db: None, settings: Settings, tmp_path: Path
) -> None:
    settings.AGENT_SESSION_DB_PATH = tmp_path / "missing" / "agent_sessions.db"

    with pytest.raises(MemoryUnavailable):
        daily_cleanup()

    assert CleanupRun.objects.get().status == RunStatus.FAILED
