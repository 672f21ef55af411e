"""Fuzzed API requests of every caller: no server error, only documented responses, no data of other users."""

import json
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
import requests
import schemathesis
from django.test import Client
from django.utils import timezone
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis.core.result import Ok
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from chat.accounts import tokens
from chat.models import ApiToken, User
from chat.models.token import Scope, hash_of
from chat.tasks import services as tasks
from chat.tests import stored_turns
from chat.tests.api import auth_header, bearer
from config.tests.support import LiveDatabase, ServerProcess
from sessions_admin.tests.conftest import MakeSession, make_session, session_file, store_kind

__all__ = ["make_session", "session_file", "store_kind"]

CHECKS = (status_code_conformance, content_type_conformance, response_schema_conformance)
CALLERS = ("owner", "outsider", "expired", "anonymous")
SECRET = "sekret"
TURN = "POST /api/chatkit/threads/{thread_id}/turns/{turn_id}"
# Turns run only in a server process.
NEEDS_A_RUNNER = {f"{TURN}/stop", f"{TURN}/retry", f"{TURN}/approvals/{{call_id}}"}

Send = Callable[[Any, Mapping[str, str]], Any]


@dataclass
class Trial:
    """Sends requests that the schema allows, with the owner's ids in the path, and checks each response."""

    caller: str
    headers: Mapping[str, str]
    ids: Mapping[str, str]
    send: Send
    cases: int = field(default=0)

    def operation(self, operation: Any, *, examples: int) -> None:
        """Test an operation, with the same cases each time."""

        @settings(
            max_examples=examples,
            derandomize=True,
            deadline=None,
            database=None,
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        )
        @given(case=operation.as_strategy())
        def look(case: Any) -> None:
            self.look(case, is_closed=bool(operation.definition.raw["security"]))

        look()

    def look(self, case: Any, *, is_closed: bool) -> None:
        """Send a case and check the response."""
        for name in case.path_parameters or {}:
            case.path_parameters[name] = self.ids.get(name, case.path_parameters[name])
        own = {name: value for name, value in (case.headers or {}).items() if name.lower() != "authorization"}
        case.headers = own | dict(self.headers)
        response = self.send(case, self.headers)
        self.cases += 1
        assert response.status_code not in (500, 502), response.text  # 503 reports a missing file or worker
        case.validate_response(response, checks=list(CHECKS))
        if self.caller != "owner":
            assert SECRET not in response.text
            if self.caller != "outsider" and is_closed:
                assert response.status_code in (401, 422), response.text


# In this process.


@pytest.fixture
def owner_ids(owner: User, make_session: MakeSession) -> dict[str, str]:
    """Create one object of each kind for the owner; return the ids by the names of path parameters."""
    conversation = make_session(owner, title=SECRET).conversation
    turn = stored_turns.add_turn(conversation, f"Buy a {SECRET} cake", SECRET, calls=1)
    task = tasks.create_task(user_id=owner.pk, title=SECRET)
    token = tokens.make(user=owner, name=SECRET, scopes=tokens.scopes_of(owner)).token
    ids = {
        "thread_id": conversation.pk,
        "message_id": turn.prompt_id,
        "turn_id": turn.pk,
        "call_id": "c0",
        "task_id": task.pk,
        "token_id": token.pk,
        "session_id": conversation.session.session_id,
    }
    return {name: str(value) for name, value in ids.items()}


@pytest.mark.django_db
@pytest.mark.parametrize(
    "caller",
    ["owner", "anonymous", *(pytest.param(caller, marks=pytest.mark.long) for caller in ("outsider", "expired"))],
)
def test_every_operation_matches_its_schema_in_process(
    owner: User, outsider: User, owner_ids: dict[str, str], caller: str
) -> None:
    headers = {} if caller == "anonymous" else bearer(outsider if caller == "outsider" else owner)
    if caller == "expired":
        ApiToken.objects.update(expires_at=timezone.now() - timedelta(hours=1))
    trial = Trial(caller, headers, owner_ids, send_in_process)
    schema = schemathesis.openapi.from_dict(json.loads(Client().get("/api/openapi.json").content))
    for result in schema.get_all_operations():
        assert isinstance(result, Ok), result
        operation = result.ok()
        if operation.label not in NEEDS_A_RUNNER:
            # Unauthenticated requests are refused before their content is read.
            trial.operation(operation, examples=1 if caller in ("expired", "anonymous") else 2)


def send_in_process(case: Any, headers: Mapping[str, str]) -> httpx.Response:
    """Send a case in this process, which uses the test's database."""
    prepared = requests.Request(**(case.as_transport_kwargs(base_url="http://testserver"))).prepare()
    response = Client().generic(
        prepared.method or "",
        prepared.path_url,
        prepared.body or b"",
        content_type=str(prepared.headers.get("Content-Type", "")),
        headers=dict(headers),
    )
    content = b"" if response.streaming else response.content
    request = httpx.Request(prepared.method or "", prepared.url or "")
    reply = httpx.Response(response.status_code, headers=dict(response.items()), content=content, request=request)
    reply.elapsed = timedelta(0)
    return reply


# Against a server.

NO_LIMITS = dict.fromkeys(
    ("API_REQUESTS_PER_MINUTE", "API_ANONYMOUS_PER_MINUTE", "MESSAGES_PER_MINUTE", "SOCKETS_PER_USER"), "1000000"
)


@pytest.mark.long
@pytest.mark.service
def test_every_operation_matches_its_schema_on_server(live_database: LiveDatabase, tmp_path: Path) -> None:
    server = ServerProcess(live_database, tmp_path, **NO_LIMITS)
    try:
        owner, outsider = (live_database.add_user(f"{SECRET}@example.com", staff=True), add_outsider(live_database))
        cases = 0
        for caller in CALLERS:
            key = create_token(
                live_database, outsider if caller == "outsider" else owner, is_expired=caller == "expired"
            )
            headers = {} if caller == "anonymous" else auth_header(key)
            ids = create_one_of_each(server, owner, create_token(live_database, owner))
            trial = Trial(caller, headers, ids, lambda case, _: case.call(base_url=server.url, timeout=60))
            schema = schemathesis.openapi.from_dict(httpx.get(f"{server.url}/api/openapi.json").json())
            for result in schema.get_all_operations():
                assert isinstance(result, Ok), result
                trial.operation(result.ok(), examples=25)
            cases += trial.cases
        print(f"{cases} cases")  # noqa: T201 - the result of a long run
        assert "Traceback" not in server.output
    finally:
        server.terminate()


def add_outsider(database: LiveDatabase) -> uuid.UUID:
    """Create another user."""
    return database.add_user("outsider@example.com")


def create_token(database: LiveDatabase, user_id: uuid.UUID, *, is_expired: bool = False) -> str:
    """Create a token of a user with all scopes, which may have expired, and return it."""
    key = f"tk_{uuid.uuid4().hex}"
    database.query(
        "INSERT INTO chat_apitoken (id, user_id, name, scopes, hash, beginning, signed_in_by, created_at, expires_at)"
        " VALUES (%s, %s, 'test', %s, %s, 'tk_', '', now(), now() + %s * interval '1 day')",
        uuid.uuid4(),
        user_id,
        Scope.values,
        hash_of(key),
        -1 if is_expired else 1,
    )
    return key


def create_one_of_each(server: ServerProcess, owner: uuid.UUID, key: str) -> dict[str, str]:
    """Create one object of each kind for the owner through the API, and return the ids."""
    with httpx.Client(base_url=f"{server.url}/api", headers=auth_header(key), timeout=60) as api:
        thread = api.post("/chatkit/threads", json={"title": SECRET}).json()["thread_id"]
        response = api.post(f"/chatkit/threads/{thread}/messages", json={"text": f"Add a task to buy a {SECRET} cake"})
        assert response.status_code == 200, response.text
        message = api.get(f"/chatkit/threads/{thread}").json()["messages"][0]["message_id"]
        task = api.post("/tasks", json={"title": SECRET}).json()["task_id"]
        run = api.post("/cleanup-runs", json={"dry_run": True}).json()
    (turn,) = server.database.query("SELECT id FROM chat_turn WHERE conversation_id = %s", thread)[0]
    (token,) = server.database.query("SELECT id FROM chat_apitoken WHERE user_id = %s LIMIT 1", owner)[0]
    return {
        "thread_id": thread,
        "message_id": message,
        "turn_id": str(turn),
        "call_id": "c0",
        "task_id": task,
        "token_id": str(token),
        "session_id": f"user_{owner}_conv_{thread}",
        **({"run_id": run["run_id"]} if "run_id" in run else {}),
    }
