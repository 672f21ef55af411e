"""Whatever is sent, by whomever: no failure of the server, no answer but those described, nothing of anybody else's."""

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
from chat.tests import talk
from chat.tests.api import bearer, shown
from config.tests.support import LiveDatabase, ServerProcess
from sessions_admin.tests.conftest import GivenSession, given_session, session_file, store_kind

__all__ = ["given_session", "session_file", "store_kind"]

CHECKS = (status_code_conformance, content_type_conformance, response_schema_conformance)
CALLERS = ("owner", "outsider", "expired", "anonymous")
SECRET = "sekret"
TURN = "POST /api/chatkit/threads/{thread_id}/turns/{turn_id}"
# What runs turns is in a server's process only.
NEEDS_A_RUNNER = {f"{TURN}/stop", f"{TURN}/retry", f"{TURN}/approvals/{{call_id}}"}

Send = Callable[[Any, Mapping[str, str]], Any]


@dataclass
class Trial:
    """Sends operations what their description allows, with the owner's ids in the path, and looks at each answer."""

    who: str
    headers: Mapping[str, str]
    ids: Mapping[str, str]
    send: Send
    cases: int = field(default=0)

    def operation(self, operation: Any, *, examples: int) -> None:
        """Try one out, with the same cases each time."""

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
        """Send a case and check what comes back."""
        for name in case.path_parameters or {}:
            case.path_parameters[name] = self.ids.get(name, case.path_parameters[name])
        own = {name: value for name, value in (case.headers or {}).items() if name.lower() != "authorization"}
        case.headers = own | dict(self.headers)
        answer = self.send(case, self.headers)
        self.cases += 1
        assert answer.status_code not in (500, 502), answer.text  # 503 is said of a file, or a worker, that is missing
        case.validate_response(answer, checks=list(CHECKS))
        if self.who != "owner":
            assert SECRET not in answer.text
            if self.who != "outsider" and is_closed:
                assert answer.status_code in (401, 422), answer.text


# Within this process.


@pytest.fixture
def sekret(owner: User, given_session: GivenSession) -> dict[str, str]:
    """Give the owner one of everything; return the ids by the names of paths' parameters."""
    conversation = given_session(owner, title=SECRET).conversation
    turn = talk.say(conversation, f"Buy a {SECRET} cake", SECRET, calls=1)
    task = tasks.create_task(user_id=owner.pk, title=SECRET)
    token = tokens.make(user=owner, name=SECRET, scopes=tokens.scopes_of(owner)).token
    found = {
        "thread_id": conversation.pk,
        "message_id": turn.prompt_id,
        "turn_id": turn.pk,
        "call_id": "c0",
        "task_id": task.pk,
        "token_id": token.pk,
        "session_id": conversation.session.session_id,
    }
    return {name: str(value) for name, value in found.items()}


@pytest.mark.django_db
@pytest.mark.parametrize("who", CALLERS)
def test_every_operation_keeps_to_its_description(
    owner: User, outsider: User, sekret: dict[str, str], who: str
) -> None:
    headers = {} if who == "anonymous" else bearer(outsider if who == "outsider" else owner)
    if who == "expired":
        ApiToken.objects.update(expires_at=timezone.now() - timedelta(hours=1))
    trial = Trial(who, headers, sekret, sent_within)
    asked = schemathesis.openapi.from_dict(json.loads(Client().get("/api/openapi.json").content))
    for found in asked.get_all_operations():
        assert isinstance(found, Ok), found
        operation = found.ok()
        if operation.label not in NEEDS_A_RUNNER:
            # Who is refused is refused before what was sent is read.
            trial.operation(operation, examples=1 if who in ("expired", "anonymous") else 2)


def sent_within(case: Any, headers: Mapping[str, str]) -> httpx.Response:
    """Send a case within this process, whose database is the test's."""
    how = requests.Request(**(case.as_transport_kwargs(base_url="http://testserver"))).prepare()
    answer = Client().generic(
        how.method or "",
        how.path_url,
        how.body or b"",
        content_type=str(how.headers.get("Content-Type", "")),
        headers=dict(headers),
    )
    content = b"" if answer.streaming else answer.content
    request = httpx.Request(how.method or "", how.url or "")
    reply = httpx.Response(answer.status_code, headers=dict(answer.items()), content=content, request=request)
    reply.elapsed = timedelta(0)
    return reply


# Against a server.

NO_LIMITS = dict.fromkeys(
    ("API_REQUESTS_PER_MINUTE", "API_ANONYMOUS_PER_MINUTE", "MESSAGES_PER_MINUTE", "SOCKETS_PER_USER"), "1000000"
)


@pytest.mark.long
@pytest.mark.service
def test_every_operation_of_a_server_keeps_to_its_description(live_database: LiveDatabase, tmp_path: Path) -> None:
    server = ServerProcess(live_database, tmp_path, **NO_LIMITS)
    try:
        owner, outsider = (live_database.add_user(f"{SECRET}@example.com", staff=True), outsider_of(live_database))
        cases = 0
        for who in CALLERS:
            key = key_for(live_database, outsider if who == "outsider" else owner, is_over=who == "expired")
            headers = {} if who == "anonymous" else shown(key)
            ids = one_of_everything(server, owner, key_for(live_database, owner))
            trial = Trial(who, headers, ids, lambda case, _: case.call(base_url=server.url, timeout=60))
            asked = schemathesis.openapi.from_dict(httpx.get(f"{server.url}/api/openapi.json").json())
            for found in asked.get_all_operations():
                assert isinstance(found, Ok), found
                trial.operation(found.ok(), examples=25)
            cases += trial.cases
        print(f"{cases} cases")  # noqa: T201 - what a long run is for
        assert "Traceback" not in server.output
    finally:
        server.terminate()


def outsider_of(database: LiveDatabase) -> uuid.UUID:
    """Make somebody else."""
    return database.add_user("outsider@example.com")


def key_for(database: LiveDatabase, user_id: uuid.UUID, *, is_over: bool = False) -> str:
    """Give a person a token for everything, which may have expired, and return its key."""
    key = f"tk_{uuid.uuid4().hex}"
    database.query(
        "INSERT INTO chat_apitoken (id, user_id, name, scopes, hash, beginning, signed_in_by, created_at, expires_at)"
        " VALUES (%s, %s, 'test', %s, %s, 'tk_', '', now(), now() + %s * interval '1 day')",
        uuid.uuid4(),
        user_id,
        Scope.values,
        hash_of(key),
        -1 if is_over else 1,
    )
    return key


def one_of_everything(server: ServerProcess, owner: uuid.UUID, key: str) -> dict[str, str]:
    """Let the owner talk, and return the ids of what there is then."""
    with httpx.Client(base_url=f"{server.url}/api", headers=shown(key), timeout=60) as api:
        thread = api.post("/chatkit/threads", json={"title": SECRET}).json()["thread_id"]
        said = api.post(f"/chatkit/threads/{thread}/messages", json={"text": f"Add a task to buy a {SECRET} cake"})
        assert said.status_code == 200, said.text
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
