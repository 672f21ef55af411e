"""Accounts and tokens over the API: every field of its contract."""

import json
import uuid
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.sessions.models import Session
from django.test import Client
from django.utils import timezone
from pytest_django import Settings

from chat.accounts import tokens
from chat.models import ApiToken, User
from chat.tests.api import auth_header, bearer, error_code
from config.tests.support import PASSWORD

pytestmark = pytest.mark.django_db
REGISTER, LOGIN, ME, TOKENS = (f"/api/auth/{name}" for name in ("register", "login", "me", "tokens"))
TOKEN_FIELDS = {
    "token_id", "name", "scopes", "beginning", "is_sign_in", "created_at", "expires_at", "last_used_at", "revoked_at",
    "is_valid",
}  # fmt: skip


def post(client: Client, path: str, headers: dict[str, str] | None = None, /, **body: Any) -> Any:
    return client.post(path, json.dumps(body), content_type="application/json", headers=headers)


def signed_in(client: Client, email: str = "owner@example.com") -> dict[str, str]:
    return auth_header(post(client, LOGIN, email=email, password=PASSWORD).json()["access_token"])


# Register.


def test_register_creates_an_account_and_returns_a_token(client: Client) -> None:
    response = post(client, REGISTER, email="Ada@Example.com", password=PASSWORD)
    assert response.status_code == 201
    user = User.objects.get()
    assert set(response.json()) == {"user_id", "email", "access_token"}
    assert (response.json()["user_id"], response.json()["email"]) == (str(user.pk), "ada@example.com")
    me = client.get(ME, headers=auth_header(response.json()["access_token"]))
    assert me.json()["user_id"] == str(user.pk)
    assert signed_in(client, "ada@example.com")
    assert Session.objects.count() == 0  # no browser login was created


@pytest.mark.parametrize(("given", "kept"), [("US/Eastern", "US/Eastern"), ("Mars/Olympus", "UTC")])
def test_register_saves_a_valid_time_zone(client: Client, given: str, kept: str) -> None:
    assert post(client, REGISTER, email="ada@example.com", password=PASSWORD, time_zone=given).status_code == 201
    assert User.objects.get().time_zone == kept


@pytest.mark.parametrize("password", ["short", "password123", "0123456789", "somebody@example.com"])
def test_weak_password_is_rejected(client: Client, password: str) -> None:
    assert error_code(post(client, REGISTER, email="somebody@example.com", password=password), 400) == "weak_password"
    assert User.objects.count() == 0


def test_register_with_closed_sign_up_returns_403(client: Client, settings: Settings) -> None:
    settings.SIGNUP = "closed"
    assert error_code(post(client, REGISTER, email="ada@example.com", password=PASSWORD), 403) == "signup_closed"
    assert User.objects.count() == 0


@pytest.mark.parametrize("path", [REGISTER, LOGIN])
@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"password": PASSWORD}, "email"),
        ({"email": "no address", "password": PASSWORD}, "email"),
        ({"email": "a\0b@example.com", "password": PASSWORD}, "email"),
        ({"email": "ada@example.com"}, "password"),
        ({"email": "ada@example.com", "password": "\ud800abcdefgh"}, "password"),
        ({"email": "ada@example.com", "password": 12345678}, "password"),
    ],
)
def test_invalid_fields_are_named_in_the_error(client: Client, path: str, body: dict[str, object], field: str) -> None:
    response = post(client, path, **body)
    assert error_code(response, 422) == "invalid"
    assert set(response.json()["error"]["fields"]) == {field}


@pytest.mark.parametrize(
    "body", [b"{", b"\xff", b'{"email": NaN}', b"[" * 20_000, b"[]", b"1", b'"text"', b"null", b"[null]"]
)
def test_body_that_is_no_json_object_returns_400(client: Client, body: bytes) -> None:
    assert error_code(client.post(LOGIN, body, content_type="application/json"), 400) == "bad_request"


def test_empty_body_returns_422(client: Client) -> None:
    assert error_code(client.post(LOGIN, b"", content_type="application/json"), 422) == "invalid"


def test_too_large_body_returns_413(client: Client) -> None:
    response = client.post(LOGIN, b" " * 3_000_000, content_type="application/json")
    assert error_code(response, 413) == "too_large"


# Sign in.


def test_login_returns_a_token_for_thirty_days(client: Client, owner: User) -> None:
    response = post(client, LOGIN, email=" OWNER@example.com".strip(), password=PASSWORD)
    assert response.status_code == 200
    assert set(response.json()) == {"user_id", "email", "access_token"}
    assert (response.json()["user_id"], response.json()["email"]) == (str(owner.pk), "owner@example.com")
    token = ApiToken.objects.get()
    assert token.expires_at is not None
    assert timedelta(days=29) < token.expires_at - timezone.now() < timedelta(days=31)
    assert "sessionid" not in response.cookies
    owner.refresh_from_db()
    assert owner.last_login is not None


@pytest.mark.parametrize(("who", "scopes"), [("owner", ["chat", "tasks"]), ("staff", ["chat", "tasks", "sessions"])])
def test_login_token_has_the_scopes_of_the_user(
    client: Client, owner: User, staff: User, who: str, scopes: Any
) -> None:
    signed_in(client, f"{who}@example.com")
    assert ApiToken.objects.get().scopes == scopes


def test_wrong_password_and_unknown_address_get_the_same_error(client: Client, owner: User) -> None:
    wrong = post(client, LOGIN, email="owner@example.com", password="wrong")
    unknown = post(client, LOGIN, email="nobody@example.com", password="wrong")
    assert error_code(wrong, 401) == "not_signed_in"
    assert wrong.json() == unknown.json()
    assert ApiToken.objects.count() == 0


def test_closed_account_is_reported_only_with_its_password(client: Client, owner: User) -> None:
    User.objects.update(is_active=False)
    assert error_code(post(client, LOGIN, email=owner.email, password=PASSWORD), 403) == "account_closed"
    assert error_code(post(client, LOGIN, email=owner.email, password="wrong"), 401) == "not_signed_in"


def test_failed_logins_of_api_and_page_share_one_limit(client: Client, owner: User, settings: Settings) -> None:
    for n in range(settings.AXES_FAILURE_LIMIT):
        if n % 2:
            client.post("/accounts/login/", {"username": owner.email, "password": "wrong"})
        else:
            post(client, LOGIN, email=owner.email.upper(), password="wrong")
    response = post(client, LOGIN, email=owner.email, password=PASSWORD)
    assert error_code(response, 429) == "rate_limited"
    assert response["Retry-After"] == "900"
    assert client.post("/accounts/login/", {"username": owner.email, "password": PASSWORD}).status_code == 429


def test_successful_login_resets_the_failure_count(client: Client, owner: User, settings: Settings) -> None:
    for _ in range(2):
        for _ in range(settings.AXES_FAILURE_LIMIT - 1):
            post(client, LOGIN, email=owner.email, password="wrong")
        assert post(client, LOGIN, email=owner.email, password=PASSWORD).status_code == 200


def test_password_change_ends_login_tokens_but_not_named_tokens(
    client: Client, owner: User, owner_client: Client
) -> None:
    of_login, by_name = signed_in(client), bearer(owner)
    form = {"old_password": PASSWORD, "new_password1": "another good one", "new_password2": "another good one"}
    assert owner_client.post("/accounts/password/", form).status_code == 302
    assert error_code(client.get(ME, headers=of_login), 401) == "not_signed_in"
    assert client.get(ME, headers=by_name).status_code == 200


def test_login_beyond_the_token_limit_ends_the_oldest_login(
    client: Client, owner: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tokens, "MAX_TOKENS", 3)
    by_name = bearer(owner)
    first, second, third = (signed_in(client) for _ in range(3))
    statuses = [client.get(ME, headers=headers).status_code for headers in (by_name, first, second, third)]
    assert statuses == [200, 401, 200, 200]


# Tokens.


def test_token_key_is_shown_only_on_creation(client: Client, owner: User) -> None:
    headers = signed_in(client)
    expires = (timezone.now() + timedelta(days=7)).isoformat()
    response = post(client, TOKENS, headers, name="  My  script ", scopes=["tasks", "chat"], expires_at=expires)
    assert response.status_code == 201
    created = response.json()
    assert set(created) == TOKEN_FIELDS | {"access_token"}
    assert (created["name"], created["scopes"], created["expires_at"]) == ("My script", ["chat", "tasks"], expires)
    assert (created["is_sign_in"], created["is_valid"], created["last_used_at"], created["revoked_at"]) == (
        False,
        True,
        None,
        None,
    )
    assert created["access_token"].startswith(created["beginning"])
    assert client.get("/api/tasks", headers=auth_header(created["access_token"])).status_code == 200

    listed = client.get(TOKENS, headers=headers)
    assert set(listed.json()) == {"items", "has_more", "after"}
    newest, sign_in = listed.json()["items"]
    assert set(newest) == TOKEN_FIELDS
    assert newest["last_used_at"] is not None
    assert (sign_in["is_sign_in"], sign_in["scopes"]) == (True, ["chat", "tasks"])
    assert created["access_token"] not in listed.content.decode()


def test_token_pagination_loses_no_ties(client: Client, owner: User) -> None:
    headers = signed_in(client)
    for n in range(6):
        tokens.make(user=owner, name=str(n), scopes=["chat"])
    same = timezone.now()
    ApiToken.objects.filter(name__in="1234").update(created_at=same)
    seen: list[str] = []
    after = ""
    while True:
        response = client.get(TOKENS, {"limit": "2", "after": after}, headers=headers).json()
        assert len(response["items"]) <= 2
        seen += [item["token_id"] for item in response["items"]]
        if not response["has_more"]:
            break
        after = response["after"]
    assert response["after"] is None
    assert seen == [str(token.pk) for token in tokens.of_user(owner.pk)]


@pytest.mark.parametrize("after", ["x", "~~~", "WzFd", "W10", "bnVsbA", "WyIyMDI2LTAxLTAxIiwieCJd", "[" * 150, "é"])
def test_invalid_cursor_is_rejected(client: Client, owner: User, after: str) -> None:
    assert error_code(client.get(TOKENS, {"after": after}, headers=signed_in(client)), 400) == "bad_cursor"


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (422, {"scopes": ["chat"]}),
        (422, {"name": " ", "scopes": ["chat"]}),
        (422, {"name": "x" * 101, "scopes": ["chat"]}),
        (422, {"name": "x\0", "scopes": ["chat"]}),
        (422, {"name": "x", "scopes": []}),
        (422, {"name": "x", "scopes": ["everything"]}),
        (422, {"name": "x", "scopes": ["chat"], "expires_at": "tomorrow"}),
        (422, {"name": "x", "scopes": ["chat"], "expires_at": 99999999999}),
        (422, {"name": "x", "scopes": ["chat"], "expires_at": "2100-01-01T00:00:00"}),
        (400, {"name": "\x1b\u202e", "scopes": ["chat"]}),
        (400, {"name": "x", "scopes": ["chat", "sessions"]}),
        (400, {"name": "x", "scopes": ["chat"], "expires_at": "2000-01-01T00:00:00Z"}),
        (400, {"name": "x", "scopes": ["chat"], "expires_at": "9999-12-31T23:59:59-12:00"}),
        (400, {"name": "x", "scopes": ["chat"], "expires_at": "2000-01-01T00:00:00+16:00"}),
        (400, {"name": "x", "scopes": ["chat"], "expires_at": "0001-01-01T00:00:00+12:00"}),
    ],
)
def test_invalid_token_fields_are_rejected(client: Client, owner: User, status: int, body: dict[str, object]) -> None:
    headers = signed_in(client)
    assert error_code(post(client, TOKENS, headers, **body), status) == "invalid"
    assert ApiToken.objects.count() == 1


def test_token_beyond_the_limit_returns_conflict(client: Client, owner: User, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tokens, "MAX_TOKENS", 2)
    headers = signed_in(client)
    assert post(client, TOKENS, headers, name="x", scopes=["chat"]).status_code == 201
    assert error_code(post(client, TOKENS, headers, name="y", scopes=["chat"]), 409) == "conflict"


def test_revoked_token_is_rejected_and_stays_listed_for_a_month(client: Client, owner: User) -> None:
    headers, created = signed_in(client), tokens.make(user=owner, name="old", scopes=["tasks"])
    path = f"{TOKENS}/{created.token.pk}"
    response = client.delete(path, headers=headers)
    assert (response.status_code, response.content) == (204, b"")
    assert client.get("/api/tasks", headers=auth_header(created.key)).status_code == 401
    assert client.delete(path, headers=headers).status_code == 204  # idempotent
    revoked_at, is_valid = next(
        (item["revoked_at"], item["is_valid"])
        for item in client.get(TOKENS, headers=headers).json()["items"]
        if item["name"] == "old"
    )
    assert (revoked_at is not None, is_valid) == (True, False)
    ApiToken.objects.filter(pk=created.token.pk).update(revoked_at=timezone.now() - timedelta(days=31))
    tokens.make(user=owner, name="new", scopes=["tasks"])
    assert not ApiToken.objects.filter(pk=created.token.pk).exists()


def test_token_of_another_user_returns_404(client: Client, owner: User, outsider: User) -> None:
    theirs = tokens.make(user=owner, name="theirs", scopes=["tasks"])
    headers = signed_in(client, "outsider@example.com")
    responses = [client.delete(f"{TOKENS}/{key}", headers=headers) for key in (theirs.token.pk, uuid.uuid4())]
    assert [error_code(response, 404) for response in responses] == ["not_found", "not_found"]
    assert responses[0].json() == responses[1].json()
    assert client.get(ME, headers=auth_header(theirs.key)).status_code == 200
    assert "theirs" not in client.get(TOKENS, headers=headers).content.decode()


def test_named_token_cannot_manage_tokens(client: Client, owner: User, owner_client: Client) -> None:
    headers = bearer(owner)
    path = f"{TOKENS}/{ApiToken.objects.get().pk}"
    responses = [
        client.get(TOKENS, headers=headers),
        post(client, TOKENS, headers, name="more", scopes=["chat"]),
        client.delete(path, headers=headers),
    ]
    assert [error_code(response, 403) for response in responses] == ["forbidden"] * 3
    assert owner_client.get(TOKENS).status_code == 200
    for response in (client.get(TOKENS), post(client, TOKENS, name="x", scopes=["chat"]), client.delete(path)):
        assert error_code(response, 401) == "not_signed_in"
