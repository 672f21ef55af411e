"""Signing in and out, and who is kept from guessing."""

import pytest
from django.contrib.auth import get_user
from django.test import Client

from chat.models import User
from config.tests.support import PASSWORD

URL = "/accounts/login/"
WRONG = "This e-mail address and password do not go together."
pytestmark = pytest.mark.django_db


def is_signed_in(client: Client) -> bool:
    return get_user(client).is_authenticated


def test_e_mail_and_password_sign_in(client: Client, owner: User) -> None:
    answer = client.post(URL, {"username": " OWNER@example.com ", "password": PASSWORD})
    assert answer.status_code == 302
    assert answer["Location"] == "/"
    assert is_signed_in(client)


def test_it_does_not_tell_who_has_an_account(client: Client, owner: User) -> None:
    known = client.post(URL, {"username": owner.email, "password": "wrong"})
    unknown = client.post(URL, {"username": "nobody@example.com", "password": "wrong"})
    for answer in (known, unknown):
        assert answer.status_code == 200
        assert WRONG in answer.content.decode()
    assert not is_signed_in(client)


def test_a_deactivated_person_stays_out(client: Client, owner: User) -> None:
    User.objects.update(is_active=False)
    client.post(URL, {"username": owner.email, "password": PASSWORD})
    assert not is_signed_in(client)


def test_a_deactivated_person_is_signed_out(owner_client: Client) -> None:
    User.objects.update(is_active=False)
    assert owner_client.get("/").status_code == 302


def guess(client: Client, email: str, *, address: str = "203.0.113.1") -> int:
    return client.post(URL, {"username": email, "password": "wrong"}, REMOTE_ADDR=address).status_code


def test_guessing_is_limited(client: Client, owner: User) -> None:
    # The address in other letters is the same address.
    answers = [guess(client, owner.email.upper() if n % 2 else owner.email) for n in range(10)]
    assert answers == [200] * 9 + [429]
    locked = client.post(URL, {"username": owner.email, "password": PASSWORD}, REMOTE_ADDR="203.0.113.1")
    assert locked.status_code == 429
    text = locked.content.decode()
    assert "Too many attempts" in text
    assert "15 minutes" in text
    assert not is_signed_in(client)


def test_the_owner_can_sign_in_from_elsewhere_while_somebody_guesses(client: Client, owner: User) -> None:
    for _ in range(11):
        guess(client, owner.email)
    client.post(URL, {"username": owner.email, "password": PASSWORD}, REMOTE_ADDR="198.51.100.7")
    assert is_signed_in(client)


def test_a_good_password_forgets_the_bad_ones(client: Client, owner: User) -> None:
    for _ in range(8):
        guess(client, owner.email)
    client.post(URL, {"username": owner.email, "password": PASSWORD}, REMOTE_ADDR="203.0.113.1")
    client.logout()
    assert [guess(client, owner.email) for _ in range(8)] == [200] * 8


@pytest.mark.parametrize(
    ("wanted", "got"), [("/settings/", "/settings/"), ("https://evil.example/", "/"), ("//evil.example/", "/")]
)
def test_it_leads_on_to_pages_of_ours_only(client: Client, owner: User, wanted: str, got: str) -> None:
    answer = client.post(URL, {"username": owner.email, "password": PASSWORD, "next": wanted})
    assert answer["Location"] == got


def test_signing_in_changes_the_cookie(client: Client, owner: User) -> None:
    client.get("/accounts/reset/")
    session = client.session
    session["seen"] = True
    session.save()
    before = session.session_key
    client.post(URL, {"username": owner.email, "password": PASSWORD})
    assert client.session.session_key != before


def test_signing_out_needs_a_post(owner_client: Client) -> None:
    assert owner_client.get("/accounts/logout/").status_code == 405
    assert is_signed_in(owner_client)
    answer = owner_client.post("/accounts/logout/")
    assert answer["Location"] == "/accounts/login/"
    assert not is_signed_in(owner_client)


def test_whoever_is_signed_in_goes_on(owner_client: Client) -> None:
    assert owner_client.get(URL)["Location"] == "/"
