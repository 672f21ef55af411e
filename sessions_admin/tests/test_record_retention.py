"""Retention of the details of clean-ups, of clean-up runs and of audit records."""

import json
import uuid
from datetime import timedelta
from io import BytesIO
from pathlib import Path
from zipfile import ZipFile

import pytest
from django.db import Error, connection, transaction
from django.test import Client
from django.utils import timezone
from pytest_django import Settings

from chat.models import AgentSession, Conversation, User
from sessions_admin import audit, tasks
from sessions_admin.models import (
    Action,
    AuditRecord,
    CleanedConversation,
    CleanedSession,
    CleanupRun,
    RunStatus,
    Trigger,
)
from sessions_admin.people.export import export_person
from sessions_admin.retention import records, runs
from sessions_admin.retention.cleanup import cleanup, resume_stale
from sessions_admin.retention.records import Expired, expire_records
from sessions_admin.tests.conftest import MakeSession, command_output

RUNS = "/admin/sessions_admin/cleanuprun/"


def create_run(user: User, *, days: int, sessions: int = 3, **fields: object) -> CleanupRun:
    """Create a run that ended this many days ago, with the sessions and the conversation that it removed."""
    then = timezone.now() - timedelta(days=days)
    counted = {"removed_sessions": sessions, "trashed_conversations": 1 if sessions else 0}
    run = CleanupRun.objects.create(
        **{"trigger": Trigger.SCHEDULE, "status": RunStatus.DONE, "ended_at": then, **counted, **fields}
    )
    CleanedSession.objects.bulk_create(
        CleanedSession(run=run, user=user, session_id=f"s{n}", items=1, bytes=2, last_activity_at=then)
        for n in range(sessions)
    )
    if sessions:
        removed = {"conversation_id": uuid.uuid4(), "is_purged": False, "messages": 2, "updated_at": then}
        CleanedConversation.objects.create(run=run, user=user, **removed)
    return run


def create_audit_records(*, days: int, count: int = 1) -> None:
    """Create audit records that are this many days old."""
    then = timezone.now() - timedelta(days=days)
    for _ in range(count):
        record = audit.record(Action.PRUNE, actor="os:ada")
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute("ALTER TABLE sessions_admin_auditrecord DISABLE TRIGGER USER")
            cursor.execute("UPDATE sessions_admin_auditrecord SET at = %s WHERE id = %s", [then, record.pk])
            cursor.execute("ALTER TABLE sessions_admin_auditrecord ENABLE TRIGGER USER")


# Previews.


def test_preview_counts_all_sessions_and_lists_a_sample(
    make_session: MakeSession,
    owner: User,
    outsider: User,
    viewer_client: Client,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(runs, "SAMPLE", 2)
    for user in (owner, outsider, owner, outsider):
        make_session(user)
    Conversation.objects.update(updated_at=timezone.now() - timedelta(days=40))

    report = json.loads(command_output("cleanup_sessions", "--dry-run", "--json"))

    assert (report["sessions"], report["items"], report["trashed"]) == (4, 16, 4)
    assert sorted((line["email"], line["sessions"]) for line in report["by_user"]) == [
        ("outsider@example.com", 2),
        ("owner@example.com", 2),
    ]
    assert (CleanedSession.objects.count(), CleanedConversation.objects.count()) == (2, 2)
    page = viewer_client.get(f"{RUNS}{report['run_id']}/change/").text
    assert "A preview lists up to 2 sessions and 2 conversations; its totals include all of them." in page


def test_interrupted_preview_restarts_its_count(make_session: MakeSession, owner: User) -> None:
    sessions = [make_session(owner) for _ in range(3)]
    long_ago = timezone.now() - timedelta(minutes=10)
    run = create_run(owner, days=0, dry_run=True, status=RunStatus.RUNNING, heartbeat_at=long_ago, ended_at=None)
    CleanupRun.objects.update(cutoff=timezone.now() - timedelta(days=7), started_at=long_ago, examined=3)

    report = resume_stale()

    assert report and (report.status, report.examined, report.sessions, report.trashed) == (RunStatus.DONE, 3, 3, 0)
    assert {row.session_id for row in run.sessions.all()} == {session.session_id for session in sessions}
    assert AgentSession.objects.filter(gone_at=None).count() == 3


# Details of runs.


def test_run_details_expire_and_the_run_page_shows_it(
    owner: User, viewer_client: Client, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(records, "BATCH", 2)
    old, recent = create_run(owner, days=91), create_run(owner, days=89)
    empty = create_run(owner, days=91, sessions=0)

    assert expire_records() == Expired(details=4, runs=0, audit=0)

    assert set(CleanedSession.objects.values_list("run", flat=True)) == {recent.pk}
    assert set(CleanedConversation.objects.values_list("run", flat=True)) == {recent.pk}
    old.refresh_from_db()
    assert old.removed_sessions == 3, "the totals are kept"
    pages = [viewer_client.get(f"{RUNS}{run.pk}/change/").text for run in (old, recent, empty)]
    assert ["details-removed" in page for page in pages] == [True, False, False]
    assert "is kept for 90 days, the run itself for 730 days." in viewer_client.get(RUNS).text
    assert expire_records() == Expired(details=0, runs=0, audit=0)


def test_export_states_since_when_clean_ups_are_known(owner: User, session_file: Path, settings: Settings) -> None:
    settings.CLEANUP_DETAILS_DAYS = 10
    file = BytesIO()
    export_person(owner.pk, to=file, actor=str(owner.pk))
    known_since = json.loads(ZipFile(file).read("everything.json"))["clean_ups_are_known_since"]
    assert known_since[:10] == (timezone.now() - timedelta(days=10)).date().isoformat()


def test_old_runs_expire_except_the_last_completed_run(owner: User, settings: Settings) -> None:
    settings.CLEANUP_RUNS_DAYS = 60
    last, removed = create_run(owner, days=70), create_run(owner, days=71)
    preview, failed = create_run(owner, days=61, dry_run=True), create_run(owner, days=61, status=RunStatus.FAILED)
    recent, waiting = (
        create_run(owner, days=59, dry_run=True),
        create_run(owner, days=0, ended_at=None, status=RunStatus.QUEUED),
    )

    expired = expire_records()

    assert (expired.runs, expired.details) == (3, 16)
    assert set(CleanupRun.objects.all()) == {last, recent, waiting}
    assert not CleanupRun.objects.filter(pk__in=[removed.pk, preview.pk, failed.pk]).exists()


# The audit.


def test_audit_records_do_not_expire_by_default(owner: User) -> None:
    create_audit_records(days=4000)
    assert expire_records().audit == 0
    assert AuditRecord.objects.count() == 1


def test_expiry_of_audit_records_is_itself_audited(
    owner: User, staff_client: Client, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.AUDIT_DAYS = 365
    monkeypatch.setattr(records, "BATCH", 2)
    create_audit_records(days=366, count=3)
    create_audit_records(days=364)

    assert expire_records().audit == 3

    expiry, kept = AuditRecord.objects.all()
    assert (kept.action, expiry.action, expiry.actor) == (Action.PRUNE, Action.EXPIRE_AUDIT, "schedule")
    assert (expiry.result["records"], expiry.result["before"][:4].isdigit()) == (3, True)
    page = staff_client.get("/admin/sessions_admin/auditrecord/").text
    assert "Records are removed after 365 days." in page
    with pytest.raises(Error, match="never changed"), transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("DELETE FROM sessions_admin_auditrecord")


def test_database_refuses_to_change_audit_records_younger_than_a_month(owner: User) -> None:
    create_audit_records(days=29)
    for statement in (
        "DELETE FROM sessions_admin_auditrecord",
        "UPDATE sessions_admin_auditrecord SET at = '2020-1-1'",
    ):
        with pytest.raises(Error, match="never changed"), transaction.atomic(), connection.cursor() as cursor:
            cursor.execute("SELECT set_config('threadkeeper.expires_audit', 'on', true)")
            cursor.execute(statement)


def test_nothing_expires_while_the_clock_is_behind_the_newest_row(owner: User, make_session: MakeSession) -> None:
    create_run(owner, days=91)
    AgentSession.objects.filter(pk=make_session(owner).pk).update(last_activity_at=timezone.now() + timedelta(days=8))

    assert "behind the newest row" in str(tasks.expire_old_records()["refused"])

    assert CleanedSession.objects.count() == 3
    with pytest.raises(Exception, match="behind the newest row"):
        cleanup(trigger=Trigger.SCHEDULE)
