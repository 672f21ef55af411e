"""An e-mail address of an international domain has two spellings, and one account."""

from typing import Any

import pytest
from django.core.management import call_command
from django.test import Client

from chat.models import User
from chat.models.email import canonical_email
from chat.tests.api import error_code
from config.tests.support import PASSWORD

UNICODE, ASCII = "ada@müller.example", "ada@xn--mller-kva.example"
SPELLINGS = (UNICODE, ASCII, "ADA@MÜLLER.example", "Ada@XN--MLLER-KVA.Example")
pytestmark = pytest.mark.django_db


def post(client: Client, verb: str, email: str, password: str = PASSWORD) -> Any:
    return client.post(f"/api/auth/{verb}", {"email": email, "password": password}, "application/json")


@pytest.mark.parametrize("first", SPELLINGS)
def test_all_spellings_of_an_address_share_one_account(client: Client, first: str) -> None:
    registered = post(client, "register", first)
    assert (registered.status_code, registered.json()["email"]) == (201, UNICODE)
    for spelling in SPELLINGS:
        assert error_code(post(client, "register", spelling), 409) == "taken"
        assert client.post("/accounts/signup/", {"email": spelling, "password": PASSWORD}).status_code == 200
        assert post(client, "login", spelling).status_code == 200
    assert User.objects.count() == 1


@pytest.mark.parametrize("stored", [UNICODE, ASCII])
def test_existing_account_is_found_by_either_spelling_and_unchanged(client: Client, stored: str) -> None:
    user = User.objects.create_user("someone@example.com", PASSWORD)
    User.objects.filter(pk=user.pk).update(email=stored)
    user.refresh_from_db()
    user.save()
    for spelling in SPELLINGS:
        assert error_code(post(client, "register", spelling), 409) == "taken"
        assert post(client, "login", spelling).json()["email"] == stored
        assert client.post("/accounts/login/", {"username": spelling, "password": PASSWORD}).status_code == 302


def test_two_existing_accounts_sign_in_by_their_own_spelling(client: Client) -> None:
    for name, email in (("one@example.com", UNICODE), ("two@example.com", ASCII)):
        user = User.objects.create_user(name, PASSWORD + email)
        User.objects.filter(pk=user.pk).update(email=email)
    for email in (UNICODE, ASCII):
        response = post(client, "login", email, PASSWORD + email)
        assert response.json()["email"] == email


def test_command_accepts_either_spelling(capsys: pytest.CaptureFixture[str]) -> None:
    User.objects.create_user(UNICODE, PASSWORD)
    call_command("erase_user", ASCII, "--dry-run", "--json")
    assert capsys.readouterr().out


@pytest.mark.parametrize(
    "address",
    ["ada@example.com", "ada", "", "@", "ada@xn--", "ada@xn--a", "ada@-ü-.example", "ü@example.com", "a@b@ü.de"],
)
def test_address_without_an_international_domain_is_unchanged(address: str) -> None:
    assert canonical_email(address) == address
