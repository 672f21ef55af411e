"""Creating an account."""

import json
import re
from datetime import timedelta
from typing import Any

import pytest
import time_machine
from django.contrib.auth import get_user
from django.core.mail import EmailMessage
from django.test import Client
from django.utils import timezone
from pytest_django import DjangoAssertNumQueries, Settings

from chat.models import User
from chat.tests.mail import link_in, wait_for_mail
from config.tests.support import PASSWORD

URL = "/accounts/signup/"
pytestmark = pytest.mark.django_db


def form(**fields: str) -> dict[str, str]:
    return {"email": "new@example.com", "password": PASSWORD, "time_zone": "Europe/Berlin", **fields}


def test_sign_up_creates_an_account_and_signs_in(client: Client) -> None:
    response = client.post(URL, form(email=" New@Example.com "))
    assert response.status_code == 302
    assert response["Location"] == "/"
    user = User.objects.get()
    assert user.email == "new@example.com"
    assert user.time_zone == "Europe/Berlin"
    assert not user.is_staff
    assert get_user(client) == user


@pytest.mark.parametrize(
    ("time_zone", "kept"),
    [
        ("", "UTC"),
        ("Mars/Olympus", "UTC"),
        ("../../etc/passwd", "UTC"),
        ("Europe/Berlin\n", "Europe/Berlin"),
        ("US/Eastern", "US/Eastern"),
    ],
)
def test_unknown_time_zone_becomes_utc(client: Client, time_zone: str, kept: str) -> None:
    client.post(URL, form(time_zone=time_zone))
    assert User.objects.get().time_zone == kept


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"email": "nobody"}, "Enter a valid email address."),
        ({"email": ""}, "This field is required."),
        ({"password": ""}, "This field is required."),
        ({"password": "short"}, "too short"),
        ({"password": "password123"}, "too common"),
        ({"password": "74629174629"}, "entirely numeric"),
        ({"password": "new@example.com"}, "too similar"),
    ],
)
def test_invalid_sign_up_form_shows_an_error(client: Client, fields: dict[str, str], message: str) -> None:
    response = client.post(URL, form(**fields))
    assert message in response.content.decode()
    assert not User.objects.exists()


def test_address_taken_during_sign_up_shows_an_error(
    client: Client, owner: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    # As if the other account appeared after the form's check, and before this account is created.
    monkeypatch.setattr("chat.web.forms.SignUpForm.clean_email", lambda form: form.cleaned_data["email"].lower())
    response = client.post(URL, form(email=owner.email))
    assert response.status_code == 200
    assert "There is an account with this e-mail address." in response.content.decode()


def test_closed_sign_up_returns_403(client: Client, settings: Settings) -> None:
    settings.SIGNUP = "closed"
    for response in (client.get(URL), client.post(URL, form())):
        assert response.status_code == 403
        assert "Sign-up is closed" in response.content.decode()
    assert not User.objects.exists()
    assert "Create an account" not in client.get("/accounts/login/").content.decode()


def test_signed_in_user_is_redirected_from_the_sign_up_page(owner_client: Client) -> None:
    response = owner_client.get(URL)
    assert response.status_code == 302
    assert response["Location"] == "/"


@pytest.mark.parametrize(
    ("next_url", "location"),
    [
        ("/settings/", "/settings/"),
        ("https://evil.example/", "/"),
        ("//evil.example", "/"),
        ("javascript:alert(1)", "/"),
    ],
)
def test_sign_up_redirects_to_own_pages_only(client: Client, next_url: str, location: str) -> None:
    response = client.post(URL, form(next=next_url))
    assert response["Location"] == location


def test_form_without_a_csrf_token_is_rejected(owner: User) -> None:
    response = Client(enforce_csrf_checks=True).post(URL, form())
    assert response.status_code == 403
    assert "Access denied" in response.content.decode()


def test_sign_up_page_needs_no_query(client: Client, django_assert_num_queries: DjangoAssertNumQueries) -> None:
    with django_assert_num_queries(0):
        client.get(URL)


# With mail configured, sign-up does not reveal which addresses have an account.


@pytest.fixture
def with_mail(settings: Settings, transactional_db: None) -> None:
    settings.EMAIL_URL = "console://"


def status_and_body(response: Any) -> tuple[int, str]:
    return response.status_code, re.sub(r'name="csrfmiddlewaretoken" value="\w+"', "", response.content.decode())


@pytest.mark.usefixtures("with_mail")
def test_sign_up_with_mail_does_not_reveal_accounts(
    client: Client, owner: User, mailoutbox: list[EmailMessage]
) -> None:
    pages = [status_and_body(client.post(URL, form(email=email))) for email in ("Owner@example.com", "new@example.com")]
    assert pages[0] == pages[1]
    assert "Check your e-mail" in pages[0][1]
    for email in (owner.email, "other@example.com"):
        body = json.dumps({"email": email, "password": PASSWORD})
        response = client.post("/api/auth/register", body, content_type="application/json")
        assert (response.status_code, set(response.json())) == (202, {"detail"})
    wait_for_mail()
    assert User.objects.count() == 1
    subjects = {mail.to[0]: mail.subject for mail in mailoutbox}
    assert subjects == {  # one mail each: the owner's mailbox is not flooded
        "owner@example.com": "Your Threadkeeper account",
        "new@example.com": "Create your Threadkeeper account",
        "other@example.com": "Create your Threadkeeper account",
    }
    assert len(mailoutbox) == 3


@pytest.mark.usefixtures("with_mail")
def test_sign_up_link_creates_the_account_once(client: Client, mailoutbox: list[EmailMessage]) -> None:
    client.post(URL, {"email": " New@example.com"})
    wait_for_mail()
    link = link_in(mailoutbox[0])
    assert "You sign in as <strong>new@example.com</strong>" in client.get(link).content.decode()
    assert "too similar" in client.post(link, {"password": "new@example.com"}).content.decode()
    response = client.post(link, {"password": PASSWORD, "time_zone": "Europe/Berlin"})
    assert response["Location"] == "/"
    user = User.objects.get()
    assert (user.email, user.time_zone, get_user(client)) == ("new@example.com", "Europe/Berlin", user)

    again = Client().post(link, {"password": "another good password"})
    assert "There is an account with this e-mail address." in again.content.decode()
    user.refresh_from_db()
    assert user.check_password(PASSWORD)
    assert Client().get(link + "x").status_code == 404
    with time_machine.travel(timezone.now() + timedelta(days=4)):
        assert Client().get(link).status_code == 404


@pytest.mark.parametrize(("week_start", "kept"), [("7", 7), ("6", 6), ("3", 1), ("", 1), ("x", 1)])
def test_first_day_of_the_week_comes_from_the_browser(client: Client, week_start: str, kept: int) -> None:
    client.post(URL, form(week_start=week_start))
    assert User.objects.get().week_start == kept
