"""Accounts and tokens over the API, as its contract says, field by field."""

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
from chat.tests.api import bearer, error_of, shown
from config.tests.support import PASSWORD

pytestmark = pytest.mark.django_db
REGISTER, LOGIN, ME, TOKENS = (f"/api/auth/{name}" for name in ("register", "login", "me", "tokens"))
OWN_TOKEN = {
    "token_id", "name", "scopes", "beginning", "is_sign_in", "created_at", "expires_at", "last_used_at", "revoked_at",
    "is_valid",
}  # fmt: skip


def post(client: Client, path: str, headers: dict[str, str] | None = None, /, **body: Any) -> Any:
    return client.post(path, json.dumps(body), content_type="application/json", headers=headers)


def signed_in(client: Client, email: str = "owner@example.com") -> dict[str, str]:
    return shown(post(client, LOGIN, email=email, password=PASSWORD).json()["access_token"])


# Register.


def test_an_account_is_made_and_signed_in_to(client: Client) -> None:
    answer = post(client, REGISTER, email="Ada@Example.com", password=PASSWORD)
    assert answer.status_code == 201
    user = User.objects.get()
    assert set(answer.json()) == {"user_id", "email", "access_token"}
    assert (answer.json()["user_id"], answer.json()["email"]) == (str(user.pk), "ada@example.com")
    me = client.get(ME, headers=shown(answer.json()["access_token"]))
    assert me.json()["user_id"] == str(user.pk)
    assert signed_in(client, "ada@example.com")
    assert Session.objects.count() == 0  # no login of the pages began


@pytest.mark.parametrize(("given", "kept"), [("US/Eastern", "US/Eastern"), ("Mars/Olympus", "UTC")])
def test_an_account_has_the_time_zone_that_a_program_names(client: Client, given: str, kept: str) -> None:
    assert post(client, REGISTER, email="ada@example.com", password=PASSWORD, time_zone=given).status_code == 201
    assert User.objects.get().time_zone == kept


@pytest.mark.parametrize("password", ["short", "password123", "0123456789", "somebody@example.com"])
def test_a_weak_password_is_refused(client: Client, password: str) -> None:
    assert error_of(post(client, REGISTER, email="somebody@example.com", password=password), 400) == "weak_password"
    assert User.objects.count() == 0


def test_where_sign_up_is_closed_nobody_registers(client: Client, settings: Settings) -> None:
    settings.SIGNUP = "closed"
    assert error_of(post(client, REGISTER, email="ada@example.com", password=PASSWORD), 403) == "signup_closed"
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
def test_what_does_not_fit_is_told_by_field(client: Client, path: str, body: dict[str, object], field: str) -> None:
    answer = post(client, path, **body)
    assert error_of(answer, 422) == "invalid"
    assert set(answer.json()["error"]["fields"]) == {field}


@pytest.mark.parametrize(
    "body", [b"{", b"\xff", b'{"email": NaN}', b"[" * 20_000, b"[]", b"1", b'"text"', b"null", b"[null]"]
)
def test_what_is_no_json_object_is_told(client: Client, body: bytes) -> None:
    assert error_of(client.post(LOGIN, body, content_type="application/json"), 400) == "bad_request"


def test_nothing_at_all_does_not_fit(client: Client) -> None:
    assert error_of(client.post(LOGIN, b"", content_type="application/json"), 422) == "invalid"


def test_a_body_that_is_too_large_is_told(client: Client) -> None:
    answer = client.post(LOGIN, b" " * 3_000_000, content_type="application/json")
    assert error_of(answer, 413) == "too_large"


# Sign in.


def test_a_program_signs_in(client: Client, owner: User) -> None:
    answer = post(client, LOGIN, email=" OWNER@example.com".strip(), password=PASSWORD)
    assert answer.status_code == 200
    assert set(answer.json()) == {"user_id", "email", "access_token"}
    assert (answer.json()["user_id"], answer.json()["email"]) == (str(owner.pk), "owner@example.com")
    token = ApiToken.objects.get()
    assert token.expires_at is not None
    assert timedelta(days=29) < token.expires_at - timezone.now() < timedelta(days=31)
    assert "sessionid" not in answer.cookies
    owner.refresh_from_db()
    assert owner.last_login is not None


@pytest.mark.parametrize(("who", "scopes"), [("owner", ["chat", "tasks"]), ("staff", ["chat", "tasks", "sessions"])])
def test_a_sign_in_opens_what_the_person_may_do(
    client: Client, owner: User, staff: User, who: str, scopes: Any
) -> None:
    signed_in(client, f"{who}@example.com")
    assert ApiToken.objects.get().scopes == scopes


def test_a_wrong_password_and_an_unknown_address_are_told_alike(client: Client, owner: User) -> None:
    wrong = post(client, LOGIN, email="owner@example.com", password="wrong")
    unknown = post(client, LOGIN, email="nobody@example.com", password="wrong")
    assert error_of(wrong, 401) == "not_signed_in"
    assert wrong.json() == unknown.json()
    assert ApiToken.objects.count() == 0


def test_who_knows_the_password_of_a_closed_account_is_told_so(client: Client, owner: User) -> None:
    User.objects.update(is_active=False)
    assert error_of(post(client, LOGIN, email=owner.email, password=PASSWORD), 403) == "account_closed"
    assert error_of(post(client, LOGIN, email=owner.email, password="wrong"), 401) == "not_signed_in"


def test_attempts_are_counted_together_with_those_at_the_page(client: Client, owner: User, settings: Settings) -> None:
    for n in range(settings.AXES_FAILURE_LIMIT):
        if n % 2:
            client.post("/accounts/login/", {"username": owner.email, "password": "wrong"})
        else:
            post(client, LOGIN, email=owner.email.upper(), password="wrong")
    answer = post(client, LOGIN, email=owner.email, password=PASSWORD)
    assert error_of(answer, 429) == "rate_limited"
    assert answer["Retry-After"] == "900"
    assert client.post("/accounts/login/", {"username": owner.email, "password": PASSWORD}).status_code == 429


def test_a_sign_in_forgets_the_failures_before_it(client: Client, owner: User, settings: Settings) -> None:
    for _ in range(2):
        for _ in range(settings.AXES_FAILURE_LIMIT - 1):
            post(client, LOGIN, email=owner.email, password="wrong")
        assert post(client, LOGIN, email=owner.email, password=PASSWORD).status_code == 200


def test_the_token_of_a_sign_in_ends_with_the_password_and_one_made_by_name_does_not(
    client: Client, owner: User, owner_client: Client
) -> None:
    of_sign_in, by_name = signed_in(client), bearer(owner)
    form = {"old_password": PASSWORD, "new_password1": "another good one", "new_password2": "another good one"}
    assert owner_client.post("/accounts/password/", form).status_code == 302
    assert error_of(client.get(ME, headers=of_sign_in), 401) == "not_signed_in"
    assert client.get(ME, headers=by_name).status_code == 200


def test_of_too_many_sign_ins_the_first_one_ends(client: Client, owner: User, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tokens, "MAX_TOKENS", 3)
    by_name = bearer(owner)
    first, second, third = (signed_in(client) for _ in range(3))
    statuses = [client.get(ME, headers=headers).status_code for headers in (by_name, first, second, third)]
    assert statuses == [200, 401, 200, 200]


# Tokens.


def test_a_token_is_made_and_its_key_shown_once(client: Client, owner: User) -> None:
    headers = signed_in(client)
    expires = (timezone.now() + timedelta(days=7)).isoformat()
    answer = post(client, TOKENS, headers, name="  My  script ", scopes=["tasks", "chat"], expires_at=expires)
    assert answer.status_code == 201
    made = answer.json()
    assert set(made) == OWN_TOKEN | {"access_token"}
    assert (made["name"], made["scopes"], made["expires_at"]) == ("My script", ["chat", "tasks"], expires)
    assert (made["is_sign_in"], made["is_valid"], made["last_used_at"], made["revoked_at"]) == (False, True, None, None)
    assert made["access_token"].startswith(made["beginning"])
    assert client.get("/api/tasks", headers=shown(made["access_token"])).status_code == 200

    listed = client.get(TOKENS, headers=headers)
    assert set(listed.json()) == {"items", "has_more", "after"}
    newest, sign_in = listed.json()["items"]
    assert set(newest) == OWN_TOKEN
    assert newest["last_used_at"] is not None
    assert (sign_in["is_sign_in"], sign_in["scopes"]) == (True, ["chat", "tasks"])
    assert made["access_token"] not in listed.content.decode()


def test_tokens_are_listed_a_page_at_a_time_with_none_lost_among_ties(client: Client, owner: User) -> None:
    headers = signed_in(client)
    for n in range(6):
        tokens.make(user=owner, name=str(n), scopes=["chat"])
    same = timezone.now()
    ApiToken.objects.filter(name__in="1234").update(created_at=same)
    seen: list[str] = []
    after = ""
    while True:
        answer = client.get(TOKENS, {"limit": "2", "after": after}, headers=headers).json()
        assert len(answer["items"]) <= 2
        seen += [item["token_id"] for item in answer["items"]]
        if not answer["has_more"]:
            break
        after = answer["after"]
    assert answer["after"] is None
    assert seen == [str(token.pk) for token in tokens.of_user(owner.pk)]


@pytest.mark.parametrize("after", ["x", "~~~", "WzFd", "W10", "bnVsbA", "WyIyMDI2LTAxLTAxIiwieCJd", "[" * 150, "é"])
def test_a_cursor_that_nobody_gave_out_is_refused(client: Client, owner: User, after: str) -> None:
    assert error_of(client.get(TOKENS, {"after": after}, headers=signed_in(client)), 400) == "bad_cursor"


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
def test_a_token_that_cannot_be_is_refused(client: Client, owner: User, status: int, body: dict[str, object]) -> None:
    headers = signed_in(client)
    assert error_of(post(client, TOKENS, headers, **body), status) == "invalid"
    assert ApiToken.objects.count() == 1


def test_there_is_an_end_to_tokens(client: Client, owner: User, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tokens, "MAX_TOKENS", 2)
    headers = signed_in(client)
    assert post(client, TOKENS, headers, name="x", scopes=["chat"]).status_code == 201
    assert error_of(post(client, TOKENS, headers, name="y", scopes=["chat"]), 409) == "conflict"


def test_a_revoked_token_opens_nothing_and_stays_listed_for_a_while(client: Client, owner: User) -> None:
    headers, made = signed_in(client), tokens.make(user=owner, name="old", scopes=["tasks"])
    path = f"{TOKENS}/{made.token.pk}"
    answer = client.delete(path, headers=headers)
    assert (answer.status_code, answer.content) == (204, b"")
    assert client.get("/api/tasks", headers=shown(made.key)).status_code == 401
    assert client.delete(path, headers=headers).status_code == 204  # once more changes nothing
    revoked_at, is_valid = next(
        (item["revoked_at"], item["is_valid"])
        for item in client.get(TOKENS, headers=headers).json()["items"]
        if item["name"] == "old"
    )
    assert (revoked_at is not None, is_valid) == (True, False)
    ApiToken.objects.filter(pk=made.token.pk).update(revoked_at=timezone.now() - timedelta(days=31))
    tokens.make(user=owner, name="new", scopes=["tasks"])
    assert not ApiToken.objects.filter(pk=made.token.pk).exists()


def test_somebody_elses_token_does_not_exist(client: Client, owner: User, outsider: User) -> None:
    theirs = tokens.make(user=owner, name="theirs", scopes=["tasks"])
    headers = signed_in(client, "outsider@example.com")
    answers = [client.delete(f"{TOKENS}/{key}", headers=headers) for key in (theirs.token.pk, uuid.uuid4())]
    assert [error_of(answer, 404) for answer in answers] == ["not_found", "not_found"]
    assert answers[0].json() == answers[1].json()
    assert client.get(ME, headers=shown(theirs.key)).status_code == 200
    assert "theirs" not in client.get(TOKENS, headers=headers).content.decode()


def test_a_token_made_by_name_does_not_look_after_tokens(client: Client, owner: User, owner_client: Client) -> None:
    headers = bearer(owner)
    path = f"{TOKENS}/{ApiToken.objects.get().pk}"
    answers = [
        client.get(TOKENS, headers=headers),
        post(client, TOKENS, headers, name="more", scopes=["chat"]),
        client.delete(path, headers=headers),
    ]
    assert [error_of(answer, 403) for answer in answers] == ["forbidden"] * 3
    assert owner_client.get(TOKENS).status_code == 200
    for answer in (client.get(TOKENS), post(client, TOKENS, name="x", scopes=["chat"]), client.delete(path)):
        assert error_of(answer, 401) == "not_signed_in"
