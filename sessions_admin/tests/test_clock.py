"""A doubtful clock prevents clean-ups from removing anything until staff confirm it."""

from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from io import StringIO
from pathlib import Path

import pytest
import time_machine
from django.core.management import CommandError, call_command
from django.db.models import F
from django.test import Client
from django.utils import timezone

from chat.models import AgentSession, Conversation, User
from config.runtime import clocks
from sessions_admin import clock, tasks
from sessions_admin.models import UNDER_WAY, Action, AuditRecord, CleanupRun, ClockReference, RunStatus, Trigger
from sessions_admin.retention.cleanup import CleanupReport, ClockDoubted, cleanup, resume_stale
from sessions_admin.tests.conftest import MakeSession, MakeStaffClient, command_output

WEEK = timedelta(days=8)
CONFIRM = "/admin/sessions_admin/cleanuprun/confirm-clock/"


@pytest.fixture
def session(owner: User, make_session: MakeSession) -> AgentSession:
    """A session active yesterday, on a machine whose clock has been measured."""
    clock.measure()
    return make_session(owner, idle=timedelta(days=1))


def is_kept(session: AgentSession) -> bool:
    """Return whether the session has not been removed."""
    return AgentSession.objects.filter(pk=session.pk, gone_at=None).exists()


def clean_up(*, dry_run: bool = False) -> CleanupReport:
    """Clean up as the schedule does."""
    return cleanup(trigger=Trigger.SCHEDULE, dry_run=dry_run)


def simulate_reboot(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    """Simulate a reboot, after which the monotonic clock is another one."""
    (folder / "boot_id").write_text("another start\n")
    monkeypatch.setattr(clocks, "BOOT_ID", folder / "boot_id")
    clocks.machine_clock.cache_clear()


@pytest.fixture
def reboot(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[[], None]:
    """Return a function that simulates a reboot."""
    return lambda: simulate_reboot(monkeypatch, tmp_path)


@pytest.fixture(autouse=True)
def _known_clock() -> Iterator[None]:
    yield
    clocks.machine_clock.cache_clear()


def test_clock_set_forward_blocks_removal_until_staff_confirm(session: AgentSession) -> None:
    with time_machine.travel(datetime.now().astimezone() + WEEK):
        with pytest.raises(ClockDoubted, match=r"The clock was set forward by 8\.0 days while the machine ran\."):
            clean_up()
        assert is_kept(session)
        run = CleanupRun.objects.get()
        assert (run.status, run.removed_sessions) == (RunStatus.FAILED, 0)
        assert run.error.startswith("The clock was set forward by 8.0 days")

        preview = clean_up(dry_run=True)
        assert (preview.status, preview.sessions) == (RunStatus.DONE, 1)
        assert "The clock was set forward" in str(CleanupRun.objects.get(pk=preview.run_id).log)

        clock.confirm(actor="os:ada")
        assert clean_up().sessions == 1
    assert not is_kept(session)
    record = AuditRecord.objects.get(action=Action.CONFIRM_CLOCK)
    assert (record.actor, record.result["doubt"][:37]) == ("os:ada", "The clock was set forward by 8.0 days")


def test_corrected_clock_needs_no_confirmation(session: AgentSession) -> None:
    with time_machine.travel(datetime.now().astimezone() + WEEK):
        assert clock.find_doubt()
    assert clock.find_doubt() is None
    assert clean_up().status == RunStatus.DONE


def test_confirmed_clock_behind_the_newest_row_covers_only_existing_rows(session: AgentSession) -> None:
    AgentSession.objects.update(last_activity_at=timezone.now() + timedelta(minutes=4))
    assert clean_up().status == RunStatus.DONE, "a difference of a few minutes between clocks is tolerated"
    AgentSession.objects.update(last_activity_at=timezone.now() + WEEK)
    with pytest.raises(ClockDoubted, match=r"The clock is 8\.0 days behind the newest row"):
        clean_up()

    clock.confirm(actor="os:ada")

    assert clean_up().status == RunStatus.DONE
    AgentSession.objects.update(last_activity_at=timezone.now() + WEEK + timedelta(hours=1))
    with pytest.raises(ClockDoubted):
        clean_up()


def test_machine_off_for_a_week_cleans_up(session: AgentSession, reboot: Callable[[], None]) -> None:
    reboot()
    with time_machine.travel(datetime.now().astimezone() + WEEK):
        assert clean_up().sessions == 1


def test_machine_suspended_for_a_week_cleans_up(session: AgentSession) -> None:
    # Both clocks have advanced by that week.
    ClockReference.objects.update(wall=F("wall") - WEEK, seconds=F("seconds") - WEEK.total_seconds())
    AgentSession.objects.update(last_activity_at=timezone.now() - WEEK)
    assert clean_up().sessions == 1


def test_clock_doubt_survives_a_reboot(session: AgentSession, reboot: Callable[[], None]) -> None:
    with time_machine.travel(datetime.now().astimezone() + WEEK):
        clock.measure()
        reboot()
        with pytest.raises(ClockDoubted):
            clean_up()
    assert is_kept(session)


@pytest.mark.django_db(transaction=True)
def test_clock_jump_during_a_run_stops_it(owner: User, make_session: MakeSession, session_file: Path) -> None:
    clock.measure()
    session = make_session(owner)
    Conversation.objects.update(updated_at=timezone.now() - timedelta(days=25))
    with time_machine.travel(datetime.now().astimezone()) as traveller:
        calls: list[datetime] = []

        def jump() -> bool:
            calls.append(timezone.now())
            traveller.shift(WEEK)
            return False

        with pytest.raises(ClockDoubted):
            cleanup(trigger=Trigger.SCHEDULE, should_stop=jump)
    assert len(calls) == 1
    assert is_kept(session)
    assert not Conversation.objects.filter(trashed_at__isnull=False).exists()


def test_run_begun_with_the_clock_ahead_is_ended_instead_of_resumed(
    session: AgentSession,
) -> None:
    then = timezone.now() + WEEK
    began = {"cutoff": then - timedelta(days=7), "started_at": then, "heartbeat_at": then}
    CleanupRun.objects.create(trigger=Trigger.SCHEDULE, status=RunStatus.RUNNING, **began)

    with pytest.raises(ClockDoubted, match="The clock was set back since this began"):
        resume_stale()

    assert is_kept(session)
    assert not CleanupRun.objects.filter(status__in=UNDER_WAY).exists()
    assert clean_up().status == RunStatus.DONE


def test_scheduled_task_returns_the_refusal_instead_of_failing(session: AgentSession) -> None:
    with time_machine.travel(datetime.now().astimezone() + WEEK):
        assert str(tasks.daily_cleanup()["refused"]).startswith("The clock was set forward")
    assert CleanupRun.objects.count() == 1


def test_dashboard_shows_the_doubt_and_staff_with_permission_confirm(
    session: AgentSession, viewer_client: Client, make_staff_client: MakeStaffClient
) -> None:
    runner_client = make_staff_client("view_agentsession", "run_cleanup")
    AgentSession.objects.update(last_activity_at=timezone.now() + WEEK)

    assert "behind the newest row" in viewer_client.get("/admin/").text
    assert CONFIRM not in viewer_client.get("/admin/").text
    assert viewer_client.post(CONFIRM).status_code == 403
    assert f'action="{CONFIRM}"' in runner_client.get("/admin/").text
    assert runner_client.get(CONFIRM).status_code == 302
    assert clock.find_doubt()

    assert runner_client.post(CONFIRM, follow=True).status_code == 200
    assert clock.find_doubt() is None
    assert "behind the newest row" not in viewer_client.get("/admin/").text


def test_command_requires_confirm_clock_for_a_doubtful_clock(session: AgentSession) -> None:
    AgentSession.objects.update(last_activity_at=timezone.now() + WEEK)
    with pytest.raises(CommandError, match="--confirm-clock"):
        call_command("cleanup_sessions")
    assert "The clock is" in command_output("session_stats")

    call_command("cleanup_sessions", "--confirm-clock", stdout=StringIO())

    assert AuditRecord.objects.filter(action=Action.CONFIRM_CLOCK, actor__startswith="os:").count() == 1
