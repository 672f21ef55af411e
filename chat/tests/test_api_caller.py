"""Who may call the API, and how they show it."""

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
from chat.tests.api import bearer, error_of

pytestmark = pytest.mark.django_db
ME = "/api/auth/me"


def test_a_token_says_whose_it_is(client: Client, owner: User) -> None:
    answer = client.get(ME, headers=bearer(owner))
    assert answer.status_code == 200
    assert answer.json() == {
        "user_id": str(owner.pk),
        "email": "owner@example.com",
        "created_at": owner.created_at.isoformat(),
        "is_active": True,
    }


def test_nobody_is_told_how_to_sign_in(client: Client) -> None:
    answer = client.get(ME)
    assert error_of(answer, 401) == "not_signed_in"
    assert answer["WWW-Authenticate"] == "Bearer"


@pytest.mark.parametrize("what", ["expired", "revoked", "closed", "unknown", "of no form", "empty", "hashed"])
def test_whatever_is_wrong_with_a_token_is_said_in_the_same_words(client: Client, owner: User, what: str) -> None:
    made = tokens.make(user=owner, name="script", scopes=["tasks"])
    key = {"unknown": "tk_" + "a" * 43, "of no form": "“" * 2000, "empty": "", "hashed": hash_of(made.key)}
    if what == "expired":
        ApiToken.objects.update(expires_at=timezone.now())
    elif what == "revoked":
        tokens.revoke(user_id=owner.pk, token_id=made.token.pk)
    elif what == "closed":
        User.objects.filter(pk=owner.pk).update(is_active=False)
    answer = client.get(ME, headers={"Authorization": f"Bearer {key.get(what, made.key)}".encode().decode("latin1")})
    assert answer.json() == client.get(ME, headers={"Authorization": "Bearer tk_none"}).json()
    assert error_of(answer, 401) == "not_signed_in"


def test_beside_a_token_no_cookie_is_looked_at(owner_client: Client, outsider: User) -> None:
    assert owner_client.get(ME, headers=bearer(outsider)).json()["email"] == "outsider@example.com"
    assert owner_client.get(ME, headers={"Authorization": "Bearer tk_none"}).status_code == 401
    # What a proxy in front asks for is not for us.
    assert owner_client.get(ME, headers={"Authorization": "Basic eDp5"}).status_code == 200


def test_a_key_is_not_kept(owner: User) -> None:
    made = tokens.make(user=owner, name="script", scopes=["chat"])
    row = ApiToken.objects.filter(pk=made.token.pk).values().get()
    assert made.key.startswith("tk_") and len(made.key) > 40
    assert made.key not in str(row)
    assert row["hash"] == hash_of(made.key) and made.key.startswith(row["beginning"])


def test_the_last_use_is_noted_once_a_minute(
    client: Client, owner: User, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    headers = bearer(owner)
    assert ApiToken.objects.get().last_used_at is None
    client.get(ME, headers=headers)
    noted = ApiToken.objects.get().last_used_at
    assert noted is not None
    with django_assert_num_queries(1):
        client.get(ME, headers=headers)
    assert ApiToken.objects.get().last_used_at == noted
    ApiToken.objects.update(last_used_at=noted - timedelta(minutes=2))
    client.get(ME, headers=headers)
    assert (ApiToken.objects.get().last_used_at or noted - timedelta(minutes=1)) >= noted


def test_more_requests_than_allowed_are_told_when_to_come_back(
    client: Client, owner: User, outsider: User, settings: Settings
) -> None:
    settings.API_REQUESTS_PER_MINUTE = 2
    headers, others = bearer(owner), bearer(outsider)
    assert [client.get(ME, headers=headers).status_code for _ in range(3)] == [200, 200, 429]
    # With another token, and with the login, they are still the same person.
    refused = client.get(ME, headers=bearer(owner))
    assert error_of(refused, 429) == "rate_limited"
    assert 1 <= int(refused["Retry-After"]) <= 30
    assert client.get(ME, headers=others).status_code == 200


def test_who_guesses_tokens_is_slowed_down(client: Client, owner: User, settings: Settings) -> None:
    settings.API_ANONYMOUS_PER_MINUTE = 2
    guess = {"Authorization": "Bearer tk_guess"}
    assert [client.get(ME, headers=guess).status_code for _ in range(3)] == [401, 401, 429]
    for path in ("/api/health", "/api/openapi.json"):
        assert error_of(client.get(path), 429) == "rate_limited"
    assert client.get(ME, headers=bearer(owner)).status_code == 200


def test_whoever_asked_too_often_may_ask_again_later() -> None:
    now = [1000.0]
    throttle = Throttle(lambda: 2, clock=lambda: now[0])
    throttle.count("somebody")
    throttle.count("somebody")
    with pytest.raises(RateLimited) as refused:
        throttle.count("somebody")
    assert refused.value.retry_after == 30
    now[0] += 30
    throttle.count("somebody")
    with pytest.raises(RateLimited):
        throttle.count("somebody")


@pytest.mark.parametrize("given", ["none", "wrong", "right", "a token"])
def test_with_a_login_what_changes_something_needs_the_csrf_header(owner: User, given: str) -> None:
    browser = Client(enforce_csrf_checks=True)
    browser.force_login(owner, backend="django.contrib.auth.backends.ModelBackend")
    browser.get("/settings/")
    headers = {
        "none": {},
        "wrong": {"X-CSRFToken": "a" * 64},
        "right": {"X-CSRFToken": browser.cookies["csrftoken"].value},
        "a token": bearer(owner, "tasks"),
    }[given]
    answer = browser.post("/api/tasks", {"title": "Buy milk"}, content_type="application/json", headers=headers)
    if given in ("right", "a token"):
        assert answer.status_code == 201
    else:
        assert error_of(answer, 403) == "csrf_failed"
    assert browser.get(ME).status_code == 200


def test_which_tokens_have_ended_is_told_to_what_stays_open(owner: User, outsider: User) -> None:
    good, revoked, expired, sign_in = (
        tokens.make(user=owner, name="good", scopes=["chat"]).token,
        tokens.make(user=owner, name="revoked", scopes=["chat"]).token,
        tokens.make(user=owner, name="expired", scopes=["chat"]).token,
        tokens.make_by_sign_in(owner).token,
    )
    closed = tokens.make(user=outsider, name="closed", scopes=["chat"]).token
    all_of_them = {token.pk for token in (good, revoked, expired, sign_in, closed)}
    assert tokens.ended(all_of_them) == set()
    tokens.revoke(user_id=owner.pk, token_id=revoked.pk)
    ApiToken.objects.filter(pk=expired.pk).update(expires_at=timezone.now())
    User.objects.filter(pk=outsider.pk).update(is_active=False)
    owner.set_password("another good password")
    owner.save()
    deleted = tokens.make(user=owner, name="deleted", scopes=["chat"]).token
    gone = deleted.pk
    deleted.delete()
    assert tokens.ended(all_of_them | {gone}) == {revoked.pk, expired.pk, sign_in.pk, closed.pk, gone}
    assert tokens.holds(good.pk) and not tokens.holds(revoked.pk)
