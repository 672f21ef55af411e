"""Authentication, rate limits and CSRF protection of the API."""

from datetime import timedelta

import pytest
from django.test import Client
from django.utils import timezone
from pytest_django import DjangoAssertNumQueries, Settings

from chat.accounts import tokens
from chat.exceptions import RateLimited
from chat.infra.throttle import Throttle
from chat.models import ApiToken, User
from chat.models.token import hash_of
from chat.tests.api import bearer, error_code

pytestmark = pytest.mark.django_db
ME = "/api/auth/me"


def test_token_authenticates_its_user(client: Client, owner: User) -> None:
    response = client.get(ME, headers=bearer(owner))
    assert response.status_code == 200
    assert response.json() == {
        "user_id": str(owner.pk),
        "email": "owner@example.com",
        "created_at": owner.created_at.isoformat(),
        "is_active": True,
    }


def test_anonymous_request_gets_401_with_www_authenticate(client: Client) -> None:
    response = client.get(ME)
    assert error_code(response, 401) == "not_signed_in"
    assert response["WWW-Authenticate"] == "Bearer"


@pytest.mark.parametrize("defect", ["expired", "revoked", "closed", "unknown", "of no form", "empty", "hashed"])
def test_every_invalid_token_gets_the_same_error(client: Client, owner: User, defect: str) -> None:
    created = tokens.make(user=owner, name="script", scopes=["tasks"])
    key = {"unknown": "tk_" + "a" * 43, "of no form": "“" * 2000, "empty": "", "hashed": hash_of(created.key)}
    if defect == "expired":
        ApiToken.objects.update(expires_at=timezone.now())
    elif defect == "revoked":
        tokens.revoke(user_id=owner.pk, token_id=created.token.pk)
    elif defect == "closed":
        User.objects.filter(pk=owner.pk).update(is_active=False)
    response = client.get(
        ME, headers={"Authorization": f"Bearer {key.get(defect, created.key)}".encode().decode("latin1")}
    )
    assert response.json() == client.get(ME, headers={"Authorization": "Bearer tk_none"}).json()
    assert error_code(response, 401) == "not_signed_in"


def test_token_takes_precedence_over_the_session_cookie(owner_client: Client, outsider: User) -> None:
    assert owner_client.get(ME, headers=bearer(outsider)).json()["email"] == "outsider@example.com"
    assert owner_client.get(ME, headers={"Authorization": "Bearer tk_none"}).status_code == 401
    # Basic credentials are for a proxy in front of the server.
    assert owner_client.get(ME, headers={"Authorization": "Basic eDp5"}).status_code == 200


def test_token_key_is_stored_only_as_a_hash(owner: User) -> None:
    created = tokens.make(user=owner, name="script", scopes=["chat"])
    row = ApiToken.objects.filter(pk=created.token.pk).values().get()
    assert created.key.startswith("tk_") and len(created.key) > 40
    assert created.key not in str(row)
    assert row["hash"] == hash_of(created.key) and created.key.startswith(row["beginning"])


def test_last_use_is_saved_once_a_minute(
    client: Client, owner: User, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    headers = bearer(owner)
    assert ApiToken.objects.get().last_used_at is None
    client.get(ME, headers=headers)
    saved = ApiToken.objects.get().last_used_at
    assert saved is not None
    with django_assert_num_queries(1):
        client.get(ME, headers=headers)
    assert ApiToken.objects.get().last_used_at == saved
    ApiToken.objects.update(last_used_at=saved - timedelta(minutes=2))
    client.get(ME, headers=headers)
    assert (ApiToken.objects.get().last_used_at or saved - timedelta(minutes=1)) >= saved


def test_rate_limit_per_user_returns_retry_after(
    client: Client, owner: User, outsider: User, settings: Settings
) -> None:
    settings.API_REQUESTS_PER_MINUTE = 2
    headers, other_headers = bearer(owner), bearer(outsider)
    assert [client.get(ME, headers=headers).status_code for _ in range(3)] == [200, 200, 429]
    # Another token of the same user counts towards the same limit.
    limited = client.get(ME, headers=bearer(owner))
    assert error_code(limited, 429) == "rate_limited"
    assert 1 <= int(limited["Retry-After"]) <= 30
    assert client.get(ME, headers=other_headers).status_code == 200


def test_anonymous_requests_are_rate_limited(client: Client, owner: User, settings: Settings) -> None:
    settings.API_ANONYMOUS_PER_MINUTE = 2
    guessed_token = {"Authorization": "Bearer tk_guess"}
    assert [client.get(ME, headers=guessed_token).status_code for _ in range(3)] == [401, 401, 429]
    for path in ("/api/health", "/api/openapi.json"):
        assert error_code(client.get(path), 429) == "rate_limited"
    assert client.get(ME, headers=bearer(owner)).status_code == 200


def test_throttle_admits_requests_after_retry_after() -> None:
    now = [1000.0]
    throttle = Throttle(lambda: 2, clock=lambda: now[0])
    throttle.count("somebody")
    throttle.count("somebody")
    with pytest.raises(RateLimited) as limited:
        throttle.count("somebody")
    assert limited.value.retry_after == 30
    now[0] += 30
    throttle.count("somebody")
    with pytest.raises(RateLimited):
        throttle.count("somebody")


@pytest.mark.parametrize("credential", ["none", "wrong", "right", "a token"])
def test_session_login_requires_the_csrf_header_for_changes(owner: User, credential: str) -> None:
    browser = Client(enforce_csrf_checks=True)
    browser.force_login(owner, backend="django.contrib.auth.backends.ModelBackend")
    browser.get("/settings/")
    headers = {
        "none": {},
        "wrong": {"X-CSRFToken": "a" * 64},
        "right": {"X-CSRFToken": browser.cookies["csrftoken"].value},
        "a token": bearer(owner, "tasks"),
    }[credential]
    response = browser.post("/api/tasks", {"title": "Buy milk"}, content_type="application/json", headers=headers)
    if credential in ("right", "a token"):
        assert response.status_code == 201
    else:
        assert error_code(response, 403) == "csrf_failed"
    assert browser.get(ME).status_code == 200


def test_ended_tokens_are_found_among_given_ids(owner: User, outsider: User) -> None:
    good, revoked, expired, sign_in = (
        tokens.make(user=owner, name="good", scopes=["chat"]).token,
        tokens.make(user=owner, name="revoked", scopes=["chat"]).token,
        tokens.make(user=owner, name="expired", scopes=["chat"]).token,
        tokens.make_by_sign_in(owner).token,
    )
    closed = tokens.make(user=outsider, name="closed", scopes=["chat"]).token
    all_ids = {token.pk for token in (good, revoked, expired, sign_in, closed)}
    assert tokens.ended(all_ids) == set()
    tokens.revoke(user_id=owner.pk, token_id=revoked.pk)
    ApiToken.objects.filter(pk=expired.pk).update(expires_at=timezone.now())
    User.objects.filter(pk=outsider.pk).update(is_active=False)
    owner.set_password("another good password")
    owner.save()
    deleted = tokens.make(user=owner, name="deleted", scopes=["chat"]).token
    deleted_id = deleted.pk
    deleted.delete()
    assert tokens.ended(all_ids | {deleted_id}) == {revoked.pk, expired.pk, sign_in.pk, closed.pk, deleted_id}
    assert tokens.holds(good.pk) and not tokens.holds(revoked.pk)
