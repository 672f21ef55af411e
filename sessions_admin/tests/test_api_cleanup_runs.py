"""Staff ask for clean-ups by programs; the worker carries them out."""

import uuid
from collections.abc import Callable
from typing import Any

import pytest
from django.test import Client
from django_q.models import OrmQ
from pytest_django import DjangoAssertNumQueries

from chat.models import AgentSession, User
from chat.tests.api import bearer, error_of
from sessions_admin.models import Action, AuditRecord, CleanupRun
from sessions_admin.retention.cleanup import execute
from sessions_admin.tests.conftest import GivenSession
from sessions_admin.tests.test_api_sessions import Headers, TokenOf, token_of, who_shows

__all__ = ["token_of"]

pytestmark = pytest.mark.django_db
RUNS = "/api/cleanup-runs"


@pytest.fixture
def runner(token_of: TokenOf) -> Headers:
    return token_of("run_cleanup")


def ask(client: Client, headers: Headers, **body: object) -> Any:
    return client.post(RUNS, body, content_type="application/json", headers=headers)


@pytest.mark.parametrize("dry_run", [True, False])
def test_one_is_asked_for_and_read_when_it_is_done(
    client: Client, runner: Headers, given_session: GivenSession, owner: User, dry_run: bool
) -> None:
    session = given_session(owner)
    asked = ask(client, runner, dry_run=dry_run)

    assert asked.status_code == 202, asked.content
    run = CleanupRun.objects.get()
    nothing = dict.fromkeys(
        ("examined", "held", "sessions", "items", "bytes", "freed_bytes", "trashed", "purged"), 0
    ) | dict.fromkeys(("started_at", "ended_at", "cutoff", "total", "seconds", "details_removed_at"))
    assert asked.json() == nothing | {
        "run_id": str(run.pk),
        "status": "queued",
        "dry_run": dry_run,
        "trigger": "admin",
        "created_at": run.created_at.isoformat(),
        "error": "",
        "log": [],
    }
    assert OrmQ.objects.count() == 1
    record = AuditRecord.objects.get()
    assert record.action == (Action.PREVIEW if dry_run else Action.CLEANUP)
    assert record.actor == who_shows(runner) == str(run.actor_id)

    execute(run.pk)
    told = client.get(f"{RUNS}/{run.pk}", headers=runner).json()

    assert (told["status"], told["total"], told["examined"], told["sessions"], told["items"]) == ("done", 1, 1, 1, 4)
    assert told["bytes"] == session.byte_count
    assert told["seconds"] >= 0 and told["started_at"] < told["ended_at"]
    assert told["log"][-1]["sentence"] == "Done." and told["log"][0].keys() == {"at", "sentence"}
    assert AgentSession.objects.filter(gone_at=None).exists() is dry_run


def test_a_second_one_is_a_conflict(client: Client, runner: Headers) -> None:
    ask(client, runner, dry_run=False)
    refused = ask(client, runner, dry_run=True)
    assert error_of(refused, 409) == "conflict"
    assert refused.json()["error"]["detail"] == "Another clean-up is already waiting for the worker."
    assert CleanupRun.objects.count() == AuditRecord.objects.count() == 1


def test_whether_it_is_a_preview_must_be_said(client: Client, runner: Headers) -> None:
    for wrong in ({}, {"dry_run": None}, {"dry_run": "perhaps"}):
        assert error_of(ask(client, runner, **wrong), 422) == "invalid"
    assert not CleanupRun.objects.exists()


def test_one_that_is_not_there_is_not_found(client: Client, runner: Headers) -> None:
    assert error_of(client.get(f"{RUNS}/{uuid.uuid4()}", headers=runner), 404) == "not_found"
    assert error_of(client.get(f"{RUNS}/x", headers=runner), 422) == "invalid"


def test_who_may_see_runs_reads_them_and_asks_for_none(
    client: Client, runner: Headers, token_of: TokenOf, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    run_id = ask(client, runner, dry_run=True).json()["run_id"]
    viewer = token_of("view_cleanuprun")
    assert client.get(f"{RUNS}/{run_id}", headers=viewer).status_code == 200
    with django_assert_num_queries(5):  # the token, two for permissions, the run, and what it is by now
        client.get(f"{RUNS}/{run_id}", headers=viewer)
    assert error_of(ask(client, viewer, dry_run=True), 403) == "forbidden"


@pytest.mark.parametrize("who", ["anonymous", "owner", "newcomer", "no staff", "other scope"])
def test_nobody_else_does(client: Client, owner: User, token_of: TokenOf, runner: Headers, who: str) -> None:
    run_id = ask(client, runner, dry_run=True).json()["run_id"]
    shown: dict[str, Callable[[], Headers]] = {
        "anonymous": lambda: {},
        "owner": lambda: bearer(owner),
        "newcomer": lambda: token_of("manage_agentsession"),
        "no staff": lambda: token_of("run_cleanup", is_staff=False),
        "other scope": lambda: token_of("run_cleanup", scopes=("chat",)),
    }
    headers = shown[who]()
    status = 401 if who == "anonymous" else 403
    assert error_of(client.get(f"{RUNS}/{run_id}", headers=headers), status)
    assert error_of(ask(client, headers, dry_run=True), status)
    assert CleanupRun.objects.count() == 1
