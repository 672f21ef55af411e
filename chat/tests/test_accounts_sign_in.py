"""Signing in and out, and the limits on failed sign-ins."""

import json
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
import time_machine
from axes.models import AccessAttempt, AccessLog
from django.contrib.auth import get_user
from django.db import connections
from django.test import Client
from django.utils import timezone
from pytest_django import Settings

from chat.accounts import hashing, sign_in_log
from chat.accounts.backend import PER_ACCOUNT, PER_ADDRESS
from chat.models import AttemptCount, User
from config.tests.support import PASSWORD

URL = "/accounts/login/"
WRONG = "The e-mail address or the password is wrong."
pytestmark = pytest.mark.django_db


def is_signed_in(client: Client) -> bool:
    return get_user(client).is_authenticated


def test_email_and_password_sign_in(client: Client, owner: User) -> None:
    response = client.post(URL, {"username": " OWNER@example.com ", "password": PASSWORD})
    assert response.status_code == 302
    assert response["Location"] == "/"
    assert is_signed_in(client)


def test_failed_sign_in_does_not_reveal_accounts(client: Client, owner: User) -> None:
    known = client.post(URL, {"username": owner.email, "password": "wrong"})
    unknown = client.post(URL, {"username": "nobody@example.com", "password": "wrong"})
    for response in (known, unknown):
        assert response.status_code == 200
        assert WRONG in response.content.decode()
    assert not is_signed_in(client)


def test_deactivated_user_cannot_sign_in(client: Client, owner: User) -> None:
    User.objects.update(is_active=False)
    client.post(URL, {"username": owner.email, "password": PASSWORD})
    assert not is_signed_in(client)


def test_deactivated_user_is_signed_out(owner_client: Client) -> None:
    User.objects.update(is_active=False)
    assert owner_client.get("/").status_code == 302


def attempt(client: Client, email: str, password: str, *, address: str = "203.0.113.1") -> int:
    return client.post(URL, {"username": email, "password": password}, REMOTE_ADDR=address).status_code


def guess(client: Client, email: str, *, address: str = "203.0.113.1") -> int:
    return attempt(client, email, "wrong", address=address)


OTHER_ADDRESSES = [f"198.51.100.{n}" for n in range(1, PER_ACCOUNT.most + 1)]


def test_failed_sign_ins_are_rate_limited(client: Client, owner: User) -> None:
    # Upper case makes no other address.
    statuses = [guess(client, owner.email.upper() if n % 2 else owner.email) for n in range(10)]
    assert statuses == [200] * 9 + [429]
    locked = client.post(URL, {"username": owner.email, "password": PASSWORD}, REMOTE_ADDR="203.0.113.1")
    assert locked.status_code == 429
    text = locked.content.decode()
    assert "Too many attempts" in text
    assert "15 minutes" in text
    assert not is_signed_in(client)


def test_owner_signs_in_from_another_address_during_an_attack(client: Client, owner: User) -> None:
    for _ in range(11):
        guess(client, owner.email)
    client.post(URL, {"username": owner.email, "password": PASSWORD}, REMOTE_ADDR="198.51.100.7")
    assert is_signed_in(client)


def test_successful_sign_in_resets_the_failure_count(client: Client, owner: User) -> None:
    for _ in range(8):
        guess(client, owner.email)
    client.post(URL, {"username": owner.email, "password": PASSWORD}, REMOTE_ADDR="203.0.113.1")
    client.logout()
    assert [guess(client, owner.email) for _ in range(8)] == [200] * 8


# Limits.


@pytest.mark.parametrize("spelling", ["OWNER@example.com", " owner@example.com\t", "ｏｗｎｅｒ@example.com"])
def test_failures_are_counted_per_account_for_every_spelling(client: Client, owner: User, spelling: str) -> None:
    for _ in range(5):
        guess(client, owner.email)
        guess(client, spelling)
    assert attempt(client, owner.email, PASSWORD) == 429


def test_failures_from_many_addresses_lock_page_and_api(client: Client, owner: User) -> None:
    statuses = [guess(Client(), owner.email, address=address) for address in OTHER_ADDRESSES]
    assert statuses == [200] * (PER_ACCOUNT.most - 1) + [429]
    assert attempt(client, owner.email, PASSWORD, address="192.0.2.1") == 429
    body = json.dumps({"email": owner.email, "password": PASSWORD})
    response = client.post("/api/auth/login", body, content_type="application/json", REMOTE_ADDR="192.0.2.2")
    assert response.status_code == 429
    with time_machine.travel(timezone.now() + PER_ACCOUNT.window):
        assert attempt(client, owner.email, PASSWORD, address="192.0.2.1") == 302


def lock_out(owner: User) -> None:
    for address in OTHER_ADDRESSES:
        guess(Client(), owner.email, address=address)
    assert attempt(Client(), owner.email, PASSWORD, address="192.0.2.1") == 429


def test_known_device_is_not_locked_out(client: Client, owner: User) -> None:
    attempt(client, owner.email, PASSWORD)
    client.post("/accounts/logout/")
    lock_out(owner)
    for _ in range(10):
        guess(Client(), owner.email)  # from the same address as well
    assert attempt(client, owner.email, PASSWORD) == 302


def test_known_device_is_rate_limited_and_ends_with_the_password(client: Client, owner: User) -> None:
    attempt(client, owner.email, PASSWORD)
    thief = Client()
    thief.cookies["known_devices"] = client.cookies["known_devices"].value
    assert [guess(thief, owner.email) for _ in range(10)] == [200] * 9 + [429]
    assert attempt(thief, owner.email, PASSWORD) == 429
    assert attempt(Client(), owner.email, PASSWORD) == 302

    lock_out(owner)
    AttemptCount.objects.filter(count=10).delete()
    owner.set_password("another good password")
    owner.save()
    assert attempt(thief, owner.email, "another good password") == 429


def test_known_device_cookie_is_signed_and_covers_its_accounts(client: Client, owner: User, outsider: User) -> None:
    for person in (owner, outsider):
        attempt(client, person.email, PASSWORD)
        client.post("/accounts/logout/")
    cookie = client.cookies["known_devices"]
    assert (cookie["httponly"], cookie["samesite"]) == (True, "Lax")
    forged = Client()
    forged.cookies["known_devices"] = cookie.value[:-1] + ("a" if cookie.value[-1] != "a" else "b")
    lock_out(owner)
    assert attempt(forged, owner.email, PASSWORD) == 429
    assert attempt(client, owner.email, PASSWORD) == 302


def test_client_address_trying_many_accounts_is_limited(client: Client, owner: User) -> None:
    statuses = Counter(guess(client, f"person{n}@example.com") for n in range(PER_ADDRESS.most))
    assert statuses == {200: PER_ADDRESS.most - 1, 429: 1}
    assert attempt(client, owner.email, PASSWORD) == 429
    assert attempt(client, owner.email, PASSWORD, address="192.0.2.1") == 302


@pytest.mark.django_db(transaction=True)
def test_concurrent_failures_are_all_counted(owner: User) -> None:
    def guess_in_thread(_: int) -> int:
        try:
            return guess(Client(), owner.email)
        finally:
            connections.close_all()

    with ThreadPoolExecutor(10) as threads:
        statuses = Counter(threads.map(guess_in_thread, range(30)))
    assert statuses == {200: 9, 429: 21}


def test_full_hashing_queue_returns_503_with_retry_after(
    client: Client, owner: User, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.PASSWORD_HASHERS = ["chat.accounts.hashing.PooledPasswordHasher"]
    for _ in range(hashing.MAX_PENDING):
        assert hashing._admitted.acquire(blocking=False)
    try:
        response = client.post(URL, {"username": owner.email, "password": PASSWORD})
        body = json.dumps({"email": "nobody@example.com", "password": PASSWORD})
        statuses = [client.post("/api/auth/login", body, content_type="application/json") for _ in range(20)]
    finally:
        hashing._admitted.release(hashing.MAX_PENDING)
    assert (response.status_code, response["Retry-After"]) == (503, str(hashing.RETRY_AFTER))
    assert {(response.status_code, response["Retry-After"]) for response in statuses} == {
        (503, str(hashing.RETRY_AFTER))
    }
    assert not AttemptCount.objects.filter(count__gt=0).exists()


# The log.


def test_sign_in_log_omits_typed_text_and_expires_after_thirty_days(client: Client, owner: User) -> None:
    client.post(URL, {"username": owner.email.upper(), "password": "wrong", "next": "/c/secret/"})
    client.post(URL, {"username": "my-passw0rd", "password": "wrong"})
    attempt(client, owner.email, PASSWORD)
    rows = AccessAttempt.objects.order_by("-username").values_list("username", "get_data", "post_data")
    assert list(rows) == [(owner.email, "", ""), ("", "", "")]
    with time_machine.travel(timezone.now() + timedelta(days=29)):
        sign_in_log.expire()
    assert (AccessAttempt.objects.count(), AccessLog.objects.count()) == (2, 1)
    assert not AttemptCount.objects.exists()
    with time_machine.travel(timezone.now() + timedelta(days=31)):
        assert sign_in_log.expire() == 3
    assert (AccessAttempt.objects.count(), AccessLog.objects.count()) == (0, 0)


@pytest.mark.parametrize(
    ("next_url", "location"), [("/settings/", "/settings/"), ("https://evil.example/", "/"), ("//evil.example/", "/")]
)
def test_sign_in_redirects_to_own_pages_only(client: Client, owner: User, next_url: str, location: str) -> None:
    response = client.post(URL, {"username": owner.email, "password": PASSWORD, "next": next_url})
    assert response["Location"] == location


def test_sign_in_changes_the_session_key(client: Client, owner: User) -> None:
    client.get("/accounts/reset/")
    session = client.session
    session["seen"] = True
    session.save()
    before = session.session_key
    client.post(URL, {"username": owner.email, "password": PASSWORD})
    assert client.session.session_key != before


def test_sign_out_requires_post(owner_client: Client) -> None:
    assert owner_client.get("/accounts/logout/").status_code == 405
    assert is_signed_in(owner_client)
    response = owner_client.post("/accounts/logout/")
    assert response["Location"] == "/accounts/login/"
    assert not is_signed_in(owner_client)


def test_signed_in_user_is_redirected_from_the_sign_in_page(owner_client: Client) -> None:
    assert owner_client.get(URL)["Location"] == "/"
