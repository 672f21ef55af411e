"""How long it is kept which sessions clean-ups took, what they did, and who did what."""

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
from sessions_admin.tests.conftest import GivenSession, printed

RUNS = "/admin/sessions_admin/cleanuprun/"


def run_of(user: User, *, days: int, sessions: int = 3, **fields: object) -> CleanupRun:
    """Make a run that ended so many days ago, with what it took."""
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
        gone = {"conversation_id": uuid.uuid4(), "is_purged": False, "messages": 2, "updated_at": then}
        CleanedConversation.objects.create(run=run, user=user, **gone)
    return run


def given_audit(*, days: int, count: int = 1) -> None:
    """Make audit records that are so many days old."""
    then = timezone.now() - timedelta(days=days)
    for _ in range(count):
        record = audit.record(Action.PRUNE, actor="os:ada")
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute("ALTER TABLE sessions_admin_auditrecord DISABLE TRIGGER USER")
            cursor.execute("UPDATE sessions_admin_auditrecord SET at = %s WHERE id = %s", [then, record.pk])
            cursor.execute("ALTER TABLE sessions_admin_auditrecord ENABLE TRIGGER USER")


# Previews.


def test_a_preview_counts_all_and_names_some(
    given_session: GivenSession,
    owner: User,
    outsider: User,
    viewer_client: Client,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(runs, "SAMPLE", 2)
    for user in (owner, outsider, owner, outsider):
        given_session(user)
    Conversation.objects.update(updated_at=timezone.now() - timedelta(days=40))

    report = json.loads(printed("cleanup_sessions", "--dry-run", "--json"))

    assert (report["sessions"], report["items"], report["trashed"]) == (4, 16, 4)
    assert sorted((line["email"], line["sessions"]) for line in report["by_user"]) == [
        ("outsider@example.com", 2),
        ("owner@example.com", 2),
    ]
    assert (CleanedSession.objects.count(), CleanedConversation.objects.count()) == (2, 2)
    page = viewer_client.get(f"{RUNS}{report['run_id']}/change/").text
    assert "A preview lists up to 2 sessions and 2 conversations; its totals include all of them." in page


def test_a_preview_that_was_cut_off_counts_anew(given_session: GivenSession, owner: User) -> None:
    sessions = [given_session(owner) for _ in range(3)]
    long_ago = timezone.now() - timedelta(minutes=10)
    run = run_of(owner, days=0, dry_run=True, status=RunStatus.RUNNING, heartbeat_at=long_ago, ended_at=None)
    CleanupRun.objects.update(cutoff=timezone.now() - timedelta(days=7), started_at=long_ago, examined=3)

    report = resume_stale()

    assert report and (report.status, report.examined, report.sessions, report.trashed) == (RunStatus.DONE, 3, 3, 0)
    assert {row.session_id for row in run.sessions.all()} == {session.session_id for session in sessions}
    assert AgentSession.objects.filter(gone_at=None).count() == 3


# What runs took.


def test_details_of_runs_are_kept_for_a_while_and_then_their_page_says_so(
    owner: User, viewer_client: Client, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(records, "BATCH", 2)
    old, young = run_of(owner, days=91), run_of(owner, days=89)
    nothing = run_of(owner, days=91, sessions=0)

    assert expire_records() == Expired(details=4, runs=0, audit=0)

    assert set(CleanedSession.objects.values_list("run", flat=True)) == {young.pk}
    assert set(CleanedConversation.objects.values_list("run", flat=True)) == {young.pk}
    old.refresh_from_db()
    assert old.removed_sessions == 3, "the figures stay"
    pages = [viewer_client.get(f"{RUNS}{run.pk}/change/").text for run in (old, young, nothing)]
    assert ["details-removed" in page for page in pages] == [True, False, False]
    assert "is kept for 90 days, the run itself for 730 days." in viewer_client.get(RUNS).text
    assert expire_records() == Expired(details=0, runs=0, audit=0)


def test_a_person_who_takes_their_data_along_reads_how_far_back_clean_ups_are_known(
    owner: User, session_file: Path, settings: Settings
) -> None:
    settings.CLEANUP_DETAILS_DAYS = 10
    file = BytesIO()
    export_person(owner.pk, to=file, actor=str(owner.pk))
    known_since = json.loads(ZipFile(file).read("everything.json"))["clean_ups_are_known_since"]
    assert known_since[:10] == (timezone.now() - timedelta(days=10)).date().isoformat()


def test_runs_go_too_but_for_the_last_one_that_was_done(owner: User, settings: Settings) -> None:
    settings.CLEANUP_RUNS_DAYS = 60
    last, gone = run_of(owner, days=70), run_of(owner, days=71)
    preview, failed = run_of(owner, days=61, dry_run=True), run_of(owner, days=61, status=RunStatus.FAILED)
    young, waiting = run_of(owner, days=59, dry_run=True), run_of(owner, days=0, ended_at=None, status=RunStatus.QUEUED)

    found = expire_records()

    assert (found.runs, found.details) == (3, 16)
    assert set(CleanupRun.objects.all()) == {last, young, waiting}
    assert not CleanupRun.objects.filter(pk__in=[gone.pk, preview.pk, failed.pk]).exists()


# The audit.


def test_the_audit_stays_unless_it_is_said_how_long(owner: User) -> None:
    given_audit(days=4000)
    assert expire_records().audit == 0
    assert AuditRecord.objects.count() == 1


def test_the_audit_goes_after_its_days_and_says_so(
    owner: User, staff_client: Client, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.AUDIT_DAYS = 365
    monkeypatch.setattr(records, "BATCH", 2)
    given_audit(days=366, count=3)
    given_audit(days=364)

    assert expire_records().audit == 3

    said, kept = AuditRecord.objects.all()
    assert (kept.action, said.action, said.actor) == (Action.PRUNE, Action.EXPIRE_AUDIT, "schedule")
    assert (said.result["records"], said.result["before"][:4].isdigit()) == (3, True)
    page = staff_client.get("/admin/sessions_admin/auditrecord/").text
    assert "Records are removed after 365 days." in page
    with pytest.raises(Error, match="never changed"), transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("DELETE FROM sessions_admin_auditrecord")


def test_what_is_younger_than_a_month_the_database_keeps_whatever_is_asked(owner: User) -> None:
    given_audit(days=29)
    for statement in (
        "DELETE FROM sessions_admin_auditrecord",
        "UPDATE sessions_admin_auditrecord SET at = '2020-1-1'",
    ):
        with pytest.raises(Error, match="never changed"), transaction.atomic(), connection.cursor() as cursor:
            cursor.execute("SELECT set_config('threadkeeper.expires_audit', 'on', true)")
            cursor.execute(statement)


def test_nothing_goes_while_the_clock_is_in_doubt(owner: User, given_session: GivenSession) -> None:
    run_of(owner, days=91)
    AgentSession.objects.filter(pk=given_session(owner).pk).update(last_activity_at=timezone.now() + timedelta(days=8))

    assert "behind the newest row" in str(tasks.expire_old_records()["refused"])

    assert CleanedSession.objects.count() == 3
    with pytest.raises(Exception, match="behind the newest row"):
        cleanup(trigger=Trigger.SCHEDULE)
