"""What a clean-up removes, keeps and records."""

from datetime import timedelta
from pathlib import Path

import pytest
import time_machine
from django.utils import timezone
from pytest_django import Settings

from chat.exceptions import MemoryUnavailable
from chat.models import AgentSession, User
from chat.models.turn import Status
from sessions_admin.models import CleanedSession, CleanupRun, RunStatus, Trigger
from sessions_admin.retention.cleanup import cleanup, forecast
from sessions_admin.tests.conftest import BOTH_STORES, MakeSession, count_rows, create_turn, sql


@BOTH_STORES
def test_session_idle_for_eight_days_is_removed_and_marked_as_gone(
    make_session: MakeSession, session_file: Path, owner: User
) -> None:
    session = make_session(owner, items=4)
    old_size = session.byte_count
    assert count_rows(session_file, session) == [4, 1, 1]

    report = cleanup(trigger=Trigger.COMMAND)

    assert (report.sessions, report.items, report.bytes) == (1, 4, old_size)
    assert count_rows(session_file, session) == [0, 0, 0]
    session.refresh_from_db()
    assert session.gone_at is not None
    assert (session.item_count, session.byte_count, session.pruned_count) == (0, 0, 4)


@BOTH_STORES
def test_session_expires_exactly_when_its_retention_ends(
    make_session: MakeSession, owner: User, settings: Settings
) -> None:
    settings.AGENT_SESSION_RETENTION_DAYS = 3
    with time_machine.travel("2026-05-01 12:00:00+00:00", tick=False):
        make_session(owner, idle=timedelta(0))
    with time_machine.travel("2026-05-04 11:59:59+00:00", tick=False):
        assert cleanup(trigger=Trigger.COMMAND).sessions == 0
    with time_machine.travel("2026-05-04 12:00:00+00:00", tick=False):
        assert cleanup(trigger=Trigger.COMMAND).sessions == 1


@BOTH_STORES
@pytest.mark.parametrize("status", Status)
def test_session_with_an_unfinished_turn_is_kept(
    make_session: MakeSession, session_file: Path, owner: User, status: Status
) -> None:
    session = make_session(owner)
    create_turn(session, status)
    has_ended = status not in (Status.QUEUED, Status.RUNNING, Status.WAITING)

    assert cleanup(trigger=Trigger.COMMAND).examined == has_ended
    assert count_rows(session_file, session) == ([0, 0, 0] if has_ended else [4, 1, 1])


@BOTH_STORES
def test_run_is_recorded_with_its_sessions(make_session: MakeSession, owner: User, staff: User) -> None:
    session = make_session(owner)
    old_size = (session.item_count, session.byte_count)

    report = cleanup(trigger=Trigger.ADMIN, actor=staff)

    run = CleanupRun.objects.get()
    assert (run.pk, run.trigger, run.actor, run.status) == (report.run_id, Trigger.ADMIN, staff, RunStatus.DONE)
    assert (run.examined, run.removed_sessions, run.removed_items, run.removed_bytes) == (1, 1, *old_size)
    assert run.started_at and run.heartbeat_at and run.ended_at and run.cutoff
    assert run.created_at <= run.started_at < run.heartbeat_at <= run.ended_at
    assert timezone.now() - run.cutoff - timedelta(days=7) < timedelta(minutes=1)
    cleaned = CleanedSession.objects.get()
    assert (cleaned.run, cleaned.user, cleaned.session_id) == (run, owner, session.session_id)
    assert (cleaned.items, cleaned.bytes, cleaned.last_activity_at) == (*old_size, session.last_activity_at)


@BOTH_STORES
def test_preview_changes_nothing_and_reports_the_same_counts(
    make_session: MakeSession, session_file: Path, owner: User, outsider: User
) -> None:
    sessions = [make_session(owner), make_session(outsider, items=7), make_session(owner, idle=timedelta(days=1))]
    before = (
        [count_rows(session_file, session) for session in sessions],
        list(AgentSession.objects.order_by("pk").values()),
    )

    expected = forecast()
    preview = cleanup(trigger=Trigger.COMMAND, dry_run=True)
    after = (
        [count_rows(session_file, session) for session in sessions],
        list(AgentSession.objects.order_by("pk").values()),
    )
    real = cleanup(trigger=Trigger.COMMAND)

    assert before == after
    assert (preview.dry_run, preview.examined, preview.sessions, preview.items) == (True, 2, 2, 11)
    assert (preview.sessions, preview.items, preview.bytes) == (real.sessions, real.items, real.bytes)
    assert (preview.sessions, preview.items, preview.bytes) == (expected.sessions, expected.items, expected.bytes)
    listed = [list(run.sessions.order_by("session_id").values_list("session_id", "items", "bytes")) for run in _runs()]
    assert listed[0] == listed[1]


@BOTH_STORES
def test_session_missing_from_the_store_is_marked_as_gone(
    make_session: MakeSession, session_file: Path, owner: User
) -> None:
    session = make_session(owner)
    sql(session_file, "DELETE FROM agent_messages")

    report = cleanup(trigger=Trigger.COMMAND)

    session.refresh_from_db()
    assert (report.sessions, report.items, report.bytes) == (1, 0, 0)
    assert session.gone_at is not None


@BOTH_STORES
def test_all_batches_are_removed_and_progress_is_reported(
    owner: User, make_session: MakeSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sessions_admin.retention.cleanup.BATCH", 2)
    for _ in range(3):
        make_session(owner)
    progress: list[tuple[int, int]] = []

    report = cleanup(trigger=Trigger.COMMAND, on_progress=lambda done, total: progress.append((done, total)))

    assert (report.examined, report.sessions, report.items) == (3, 3, 12)
    assert progress == [(2, 3), (3, 3)]
    assert not AgentSession.objects.filter(gone_at=None).exists()


def test_store_failure_fails_the_run_and_keeps_the_session(
    make_session: MakeSession, session_file: Path, owner: User
) -> None:
    session = make_session(owner)
    session_file.write_bytes(b"this is no database at all, only text" * 100)

    with pytest.raises(MemoryUnavailable):
        cleanup(trigger=Trigger.COMMAND)

    run = CleanupRun.objects.get()
    assert (run.status, run.removed_sessions) == (RunStatus.FAILED, 0)
    assert run.error.startswith("The session store cannot be used:")
    assert run.ended_at
    session.refresh_from_db()
    assert session.gone_at is None


@BOTH_STORES
def test_interruption_fails_the_run(make_session: MakeSession, owner: User) -> None:
    make_session(owner)

    def interrupt(done: int, total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        cleanup(trigger=Trigger.COMMAND, on_progress=interrupt)

    run = CleanupRun.objects.get()
    assert (run.status, run.error) == (RunStatus.FAILED, "The process was interrupted.")


def _runs() -> list[CleanupRun]:
    return list(CleanupRun.objects.order_by("created_at"))


@BOTH_STORES
def test_sessions_changed_by_another_program_are_logged(
    make_session: MakeSession, session_file: Path, owner: User
) -> None:
    make_session(owner, idle=timedelta(0))
    cleanup(trigger=Trigger.COMMAND)
    sql(session_file, "UPDATE agent_messages SET message_data = upper(message_data)")
    cleanup(trigger=Trigger.COMMAND)

    after, before = (str(run.log) for run in CleanupRun.objects.order_by("-created_at"))
    assert "Another program" not in before
    assert "Another program has changed 1 of 1 session checked" in after
