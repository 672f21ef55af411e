"""The API requests clean-up runs, which the worker executes."""

import uuid
from collections.abc import Callable
from typing import Any

import pytest
from django.test import Client
from django_q.models import OrmQ
from pytest_django import DjangoAssertNumQueries

from chat.models import AgentSession, User
from chat.tests.api import bearer, error_code
from sessions_admin.models import Action, AuditRecord, CleanupRun
from sessions_admin.retention.cleanup import execute
from sessions_admin.tests.conftest import MakeSession
from sessions_admin.tests.test_api_sessions import Headers, TokenOf, token_of, user_id_of

__all__ = ["token_of"]

pytestmark = pytest.mark.django_db
RUNS = "/api/cleanup-runs"


@pytest.fixture
def runner(token_of: TokenOf) -> Headers:
    return token_of("run_cleanup")


def request_run(client: Client, headers: Headers, **body: object) -> Any:
    return client.post(RUNS, body, content_type="application/json", headers=headers)


@pytest.mark.parametrize("dry_run", [True, False])
def test_run_is_requested_and_its_result_is_read(
    client: Client, runner: Headers, make_session: MakeSession, owner: User, dry_run: bool
) -> None:
    session = make_session(owner)
    response = request_run(client, runner, dry_run=dry_run)

    assert response.status_code == 202, response.content
    run = CleanupRun.objects.get()
    defaults = dict.fromkeys(
        ("examined", "held", "sessions", "items", "bytes", "freed_bytes", "trashed", "purged"), 0
    ) | dict.fromkeys(("started_at", "ended_at", "cutoff", "total", "seconds", "details_removed_at"))
    assert response.json() == defaults | {
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
    assert record.actor == user_id_of(runner) == str(run.actor_id)

    execute(run.pk)
    run_json = client.get(f"{RUNS}/{run.pk}", headers=runner).json()

    assert (run_json["status"], run_json["total"], run_json["examined"], run_json["sessions"], run_json["items"]) == (
        "done",
        1,
        1,
        1,
        4,
    )
    assert run_json["bytes"] == session.byte_count
    assert run_json["seconds"] >= 0 and run_json["started_at"] < run_json["ended_at"]
    assert run_json["log"][-1]["sentence"] == "Done." and run_json["log"][0].keys() == {"at", "sentence"}
    assert AgentSession.objects.filter(gone_at=None).exists() is dry_run


def test_second_run_returns_409(client: Client, runner: Headers) -> None:
    request_run(client, runner, dry_run=False)
    refused = request_run(client, runner, dry_run=True)
    assert error_code(refused, 409) == "conflict"
    assert refused.json()["error"]["detail"] == "Another clean-up is already waiting for the worker."
    assert CleanupRun.objects.count() == AuditRecord.objects.count() == 1


def test_dry_run_is_a_required_field(client: Client, runner: Headers) -> None:
    for wrong in ({}, {"dry_run": None}, {"dry_run": "perhaps"}):
        assert error_code(request_run(client, runner, **wrong), 422) == "invalid"
    assert not CleanupRun.objects.exists()


def test_unknown_run_returns_404(client: Client, runner: Headers) -> None:
    assert error_code(client.get(f"{RUNS}/{uuid.uuid4()}", headers=runner), 404) == "not_found"
    assert error_code(client.get(f"{RUNS}/x", headers=runner), 422) == "invalid"


def test_view_permission_allows_reading_but_not_requesting_runs(
    client: Client, runner: Headers, token_of: TokenOf, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    run_id = request_run(client, runner, dry_run=True).json()["run_id"]
    viewer = token_of("view_cleanuprun")
    assert client.get(f"{RUNS}/{run_id}", headers=viewer).status_code == 200
    with django_assert_num_queries(5):  # the token, two for permissions, the run, and its current state
        client.get(f"{RUNS}/{run_id}", headers=viewer)
    assert error_code(request_run(client, viewer, dry_run=True), 403) == "forbidden"


@pytest.mark.parametrize("role", ["anonymous", "owner", "unprivileged staff", "no staff", "other scope"])
def test_run_endpoints_require_permission_and_scope(
    client: Client, owner: User, token_of: TokenOf, runner: Headers, role: str
) -> None:
    run_id = request_run(client, runner, dry_run=True).json()["run_id"]
    headers_by_role: dict[str, Callable[[], Headers]] = {
        "anonymous": lambda: {},
        "owner": lambda: bearer(owner),
        "unprivileged staff": lambda: token_of("manage_agentsession"),
        "no staff": lambda: token_of("run_cleanup", is_staff=False),
        "other scope": lambda: token_of("run_cleanup", scopes=("chat",)),
    }
    headers = headers_by_role[role]()
    status = 401 if role == "anonymous" else 403
    assert error_code(client.get(f"{RUNS}/{run_id}", headers=headers), status)
    assert error_code(request_run(client, headers, dry_run=True), status)
    assert CleanupRun.objects.count() == 1
