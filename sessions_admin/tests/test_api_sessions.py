"""The API for sessions offers the actions of the admin with the same permissions."""

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import Permission
from django.test import Client
from django.utils import timezone
from pytest_django import DjangoAssertNumQueries

from chat.accounts import tokens
from chat.models import AgentSession, User
from chat.models.turn import Status
from chat.tests import stored_turns
from chat.tests.api import bearer, error_code
from config.tests.support import PASSWORD
from sessions_admin.audit import staff_accesses
from sessions_admin.models import Action, AuditRecord
from sessions_admin.sessions.lifecycle import hold_session
from sessions_admin.tests.conftest import MakeSession, append_items, create_turn

pytestmark = pytest.mark.django_db
SESSIONS = "/api/sessions"
VERBS = ["prune", "clear", "hold", "release", "rebuild"]
LIST_FIELDS = {"session_id", "email", "title", "state", "items", "bytes", "pruned", "last_activity_at"}
DETAIL_FIELDS = {"first_activity_at", "gone_at", "held_at", "held_until", "hold_reason", "last_error", "inspection"}
Headers = dict[str, str]
TokenOf = Callable[..., Headers]


@pytest.fixture
def token_of(db: None) -> TokenOf:
    """Make a token of staff with these permissions."""

    def make(*codenames: str, is_staff: bool = True, scopes: tuple[str, ...] = ("sessions",)) -> Headers:
        user = User.objects.create_user(f"staff{User.objects.count()}@example.com", PASSWORD, is_staff=True)
        user.user_permissions.set(Permission.objects.filter(codename__in=codenames))
        assert user.user_permissions.count() == len(codenames)
        headers = bearer(user, *scopes)
        User.objects.filter(pk=user.pk).update(is_staff=is_staff)
        return headers

    return make


@pytest.fixture
def viewer(token_of: TokenOf) -> Headers:
    return token_of("view_agentsession")


@pytest.fixture
def manager(token_of: TokenOf) -> Headers:
    return token_of("manage_agentsession")


@pytest.fixture
def party(make_session: MakeSession, owner: User) -> AgentSession:
    session = make_session(owner)
    stored_turns.add_turn(session.conversation, "Buy a cake", "Bought.", calls=1)
    return session


def session_path(session: AgentSession, verb: str = "") -> str:
    return f"{SESSIONS}/{session.session_id}{f'/{verb}' if verb else ''}"


def post(client: Client, path: str, headers: Headers, **body: object) -> Any:
    return client.post(path, body, content_type="application/json", headers=headers)


def user_id_of(headers: Headers) -> str:
    """Return the id of the token's user."""
    return str(tokens.find(headers["Authorization"].removeprefix("Bearer ")).user_id)


def get(client: Client, path: str, headers: Headers, query: dict[str, Any]) -> Any:
    return client.get(path, query, headers=headers)


def post_without_body(client: Client, path: str, headers: Headers) -> Any:
    """Post without a body."""
    return client.post(path, b"", content_type="application/json", headers=headers)


# The list.


def test_list_returns_the_metadata_of_sessions(client: Client, viewer: Headers, party: AgentSession) -> None:
    response = client.get(SESSIONS, headers=viewer)

    assert response.status_code == 200
    assert response.json() == {
        "items": [
            {
                "session_id": party.session_id,
                "email": "owner@example.com",
                "title": None,
                "state": "due",
                "items": 4,
                "bytes": party.byte_count,
                "pruned": 0,
                "last_activity_at": party.last_activity_at.isoformat(),
            }
        ],
        "has_more": False,
        "after": None,
    }


def test_pages_are_complete_and_distinct_for_equal_timestamps(
    client: Client, viewer: Headers, make_session: MakeSession, owner: User
) -> None:
    made = [make_session(owner, items=1, title=f"Chat {n}") for n in range(5)]
    moment = timezone.now()
    AgentSession.objects.filter(pk__in=[row.pk for row in made[1:4]]).update(last_activity_at=moment)
    expected = [made[n].session_id for n in (3, 2, 1, 4, 0)]

    found, after, sizes = [], "", []
    while True:
        page = get(client, SESSIONS, viewer, {"limit": 2, "after": after}).json()
        found += [line["session_id"] for line in page["items"]]
        sizes.append(len(page["items"]))
        if not page["has_more"]:
            break
        after = page["after"]

    assert (found, sizes, page["after"]) == (expected, [2, 2, 1], None)


def test_list_is_filtered_by_state_user_and_inactive_days(
    client: Client, viewer: Headers, make_session: MakeSession, owner: User, outsider: User
) -> None:
    old, fresh, theirs = (
        make_session(owner),
        make_session(owner, idle=timedelta(0)),
        make_session(outsider, idle=timedelta(days=3)),
    )

    def found(**filters: object) -> set[str]:
        return {line["session_id"] for line in get(client, SESSIONS, viewer, filters).json()["items"]}

    assert found(state="due") == {old.session_id}
    assert found(user=" OWNER@example.com") == {old.session_id, fresh.session_id}
    assert found(inactive_days=2) == {old.session_id, theirs.session_id}
    assert found(inactive_days=2, user="outsider@example.com", state="idle") == {theirs.session_id}
    for wrong in ({"state": "asleep"}, {"inactive_days": 0}, {"limit": 101}):
        assert error_code(get(client, SESSIONS, viewer, wrong), 422) == "invalid"
    for after in ("x", "WzFd", "W10"):
        assert error_code(get(client, SESSIONS, viewer, {"after": after}), 400) == "bad_cursor"


def test_number_of_queries_does_not_grow_with_sessions(
    client: Client,
    viewer: Headers,
    make_session: MakeSession,
    owner: User,
    django_assert_num_queries: DjangoAssertNumQueries,
) -> None:
    make_session(owner, items=1)
    client.get(SESSIONS, headers=viewer)  # records the use of the token
    for count in (1, 4):
        while AgentSession.objects.count() < count:
            make_session(owner, items=1)
        with django_assert_num_queries(4):  # the token, two for permissions, the page
            assert len(client.get(SESSIONS, headers=viewer).json()["items"]) == count


# Details.


def test_session_details_contain_no_items(client: Client, viewer: Headers, party: AgentSession) -> None:
    hold_session(party.session_id, actor="os:root", reason="Fraud", until=(end := timezone.now() + timedelta(days=3)))
    found = client.get(session_path(party), headers=viewer).json()

    assert set(found) == LIST_FIELDS | DETAIL_FIELDS
    assert (found["state"], found["hold_reason"], found["held_until"]) == ("held", "Fraud", end.isoformat())
    assert (found["gone_at"], found["last_error"], found["inspection"]) == (None, "", None)
    assert found["first_activity_at"] == party.first_activity_at.isoformat()
    assert not AuditRecord.objects.filter(action=Action.INSPECT).exists()


def test_inspection_requires_permission_and_reason_and_is_audited(
    client: Client, viewer: Headers, manager: Headers, token_of: TokenOf, party: AgentSession
) -> None:
    auditor = token_of("view_session_items")
    for headers in (viewer, manager):
        assert error_code(get(client, session_path(party), headers, {"items": True, "reason": "curious"}), 403)
    for reason in ({}, {"reason": "  "}):
        assert error_code(get(client, session_path(party), auditor, {"items": True, **reason}), 400) == "bad_input"
    assert not AuditRecord.objects.exists()

    seen = get(client, session_path(party), auditor, {"items": True, "reason": "She asked"}).json()["inspection"]

    assert [entry["text"] for entry in seen["memory"]["stored"]][1] == "message 1 of the party – café"
    assert [message["text"] for message in seen["conversation"]] == ["Buy a cake", "Bought."]
    assert [turn["calls"][0]["name"] for turn in seen["journal"]] == ["create_task"]
    assert set(seen) == {
        "adopted",
        "session_id", "email", "title", "at", "memory", "conversation", "messages", "journal", "turns", "quarantine",
    }  # fmt: skip
    record = AuditRecord.objects.get()
    assert (record.action, record.reason, record.person) == (Action.INSPECT, "She asked", str(party.user_id))
    assert record.actor == user_id_of(auditor)
    assert [access.reason for access in staff_accesses(party.user_id)] == ["She asked"]


def test_inspection_accepts_its_reason_in_the_body(
    client: Client, viewer: Headers, token_of: TokenOf, party: AgentSession
) -> None:
    auditor = token_of("view_session_items")
    assert error_code(post(client, session_path(party, "inspect"), viewer, reason="curious"), 403)
    assert error_code(post(client, session_path(party, "inspect"), auditor), 422)
    assert error_code(post(client, session_path(party, "inspect"), auditor, reason="  "), 400) == "bad_input"
    assert not AuditRecord.objects.exists()

    seen = post(client, session_path(party, "inspect"), auditor, reason="Sie fragte „warum“").json()

    assert seen["inspection"]["conversation"][0]["text"] == "Buy a cake"
    assert AuditRecord.objects.get().reason == "Sie fragte „warum“"
    assert set(seen) == set(get(client, session_path(party), auditor, {"items": True, "reason": "again"}).json())


# Actions.


@pytest.mark.parametrize("verb", VERBS)
def test_each_action_changes_the_session_and_is_audited(
    client: Client, manager: Headers, party: AgentSession, session_file: Path, verb: str
) -> None:
    body: dict[str, object] = {"reason": "She asked"}
    if verb == "prune":
        append_items(session_file, party.session_id, 300)
    if verb == "release":
        hold_session(party.session_id, actor="os:root", reason="Fraud")
    response = post(client, session_path(party, verb), manager, **body)

    assert response.status_code == 200, response.content
    outcome = response.json()
    assert set(outcome) == {"session_id", "action", "items_before", "items", "bytes_before", "bytes"}
    items = {"prune": (304, 200), "clear": (4, 0), "hold": (4, 4), "release": (4, 4), "rebuild": (4, 0)}
    assert (outcome["items_before"], outcome["items"]) == items[verb]
    party.refresh_from_db()
    assert (party.item_count, party.is_held) == (items[verb][1], verb == "hold")
    record = AuditRecord.objects.latest("pk")
    assert (outcome["action"], record.action, record.reason) == (verb, verb, "She asked")
    assert record.actor == user_id_of(manager)


@pytest.mark.parametrize("verb", ["prune", "clear", "rebuild"])
def test_reason_is_optional_for_actions_other_than_hold(
    client: Client, manager: Headers, party: AgentSession, verb: str
) -> None:
    assert post_without_body(client, session_path(party, verb), manager).status_code == 200
    assert post(client, session_path(party, verb), manager).status_code == 200
    assert {record.reason for record in AuditRecord.objects.all()} == {""}


def test_hold_requires_a_reason_and_a_future_end(client: Client, manager: Headers, party: AgentSession) -> None:
    now = timezone.now()
    assert error_code(post_without_body(client, session_path(party, "hold"), manager), 422) == "invalid"
    assert error_code(post(client, session_path(party, "hold"), manager, reason="x" * 1001), 422) == "invalid"
    assert (
        error_code(post(client, session_path(party, "hold"), manager, reason="Why", until="2030-01-01T00:00"), 422)
        == "invalid"
    )
    assert error_code(post(client, session_path(party, "hold"), manager, reason=" "), 400) == "bad_input"
    assert (
        error_code(post(client, session_path(party, "hold"), manager, reason="Why", until=now.isoformat()), 400)
        == "bad_input"
    )
    end = now + timedelta(days=3)
    assert post(client, session_path(party, "hold"), manager, reason="Why", until=end.isoformat()).status_code == 200
    party.refresh_from_db()
    assert (party.held_until, party.hold_reason) == (end, "Why")


def test_action_refused_by_hold_or_running_turn_returns_409(
    client: Client, manager: Headers, party: AgentSession
) -> None:
    assert error_code(post_without_body(client, session_path(party, "release"), manager), 409) == "conflict"
    hold_session(party.session_id, actor="os:root", reason="Fraud")
    refused = post_without_body(client, session_path(party, "clear"), manager)
    assert error_code(refused, 409) == "conflict"
    assert refused.json()["error"]["detail"] == "This session is held; release it first."
    create_turn(party, Status.RUNNING)
    for verb in ("prune", "clear", "rebuild"):
        assert error_code(post_without_body(client, session_path(party, verb), manager), 409) == "conflict"
    assert post(client, session_path(party, "hold"), manager, reason="Longer").status_code == 200


def test_unknown_session_returns_404(client: Client, manager: Headers, token_of: TokenOf) -> None:
    auditor = token_of("view_session_items")
    for session_id in ("x", "user_1_conv_2", "%00", "é"):
        response = client.get(f"{SESSIONS}/{session_id}", headers=auditor)
        assert error_code(response, 400 if session_id == "%00" else 404) in ("not_found", "bad_request")
        if session_id != "%00":
            assert error_code(client.get(f"{SESSIONS}/{session_id}?items=1&reason=x", headers=auditor), 404)
            for verb in VERBS:
                assert error_code(post(client, f"{SESSIONS}/{session_id}/{verb}", manager, reason="x"), 404)
    assert not AuditRecord.objects.exists()


def test_unusable_session_file_returns_503(
    client: Client, manager: Headers, party: AgentSession, session_file: Path
) -> None:
    session_file.write_bytes(b"this is no database at all, only text" * 100)
    for verb in ("prune", "clear", "rebuild"):
        assert error_code(post_without_body(client, session_path(party, verb), manager), 503) == "context_unavailable"
    failed = [record.result["failed"] for record in AuditRecord.objects.all()]
    assert [sentence.startswith("The session store cannot be used") for sentence in failed] == [True] * 3


# Permissions.


def all_endpoints(session: AgentSession) -> list[tuple[str, str]]:
    return [
        ("get", SESSIONS),
        ("get", session_path(session)),
        *(("post", session_path(session, verb)) for verb in VERBS),
    ]


@pytest.mark.parametrize("role", ["anonymous", "owner", "outsider", "unprivileged staff", "no staff", "other scope"])
def test_endpoints_require_permission_and_scope(
    client: Client, owner: User, outsider: User, token_of: TokenOf, party: AgentSession, role: str
) -> None:
    all_permissions = ("view_agentsession", "manage_agentsession", "view_session_items")
    headers_by_role: dict[str, Callable[[], Headers]] = {
        "anonymous": lambda: {},
        "owner": lambda: bearer(owner),
        "outsider": lambda: bearer(outsider),
        "unprivileged staff": lambda: token_of(),
        "no staff": lambda: token_of(*all_permissions, is_staff=False),
        "other scope": lambda: token_of(*all_permissions, scopes=("chat", "tasks")),
    }
    headers = headers_by_role[role]()

    for method, path in all_endpoints(party):
        response = client.get(path, headers=headers) if method == "get" else post(client, path, headers, reason="x")
        assert error_code(response, 401 if role == "anonymous" else 403)
        assert party.session_id not in response.content.decode()
    assert not AuditRecord.objects.exists()


@pytest.mark.parametrize("permission", ["view_agentsession", "view_session_items"])
def test_view_permissions_allow_no_action(
    client: Client, token_of: TokenOf, party: AgentSession, permission: str
) -> None:
    headers = token_of(permission)
    assert [client.get(path, headers=headers).status_code for path in (SESSIONS, session_path(party))] == [200, 200]
    for verb in VERBS:
        assert error_code(post(client, session_path(party, verb), headers, reason="x"), 403) == "forbidden"
    assert not AuditRecord.objects.exists()


def test_login_session_needs_the_csrf_header_for_actions(
    staff_client: Client, staff: User, party: AgentSession
) -> None:
    assert staff_client.get(session_path(party)).json()["items"] == 4
    csrf_client = Client(enforce_csrf_checks=True)
    csrf_client.force_login(staff, backend="django.contrib.auth.backends.ModelBackend")
    assert error_code(csrf_client.post(session_path(party, "clear")), 403) == "csrf_failed"
    party.refresh_from_db()
    assert party.item_count == 4
