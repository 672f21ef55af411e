"""Making an account."""

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


def test_it_makes_an_account_and_signs_in(client: Client) -> None:
    answer = client.post(URL, form(email=" New@Example.com "))
    assert answer.status_code == 302
    assert answer["Location"] == "/"
    person = User.objects.get()
    assert person.email == "new@example.com"
    assert person.time_zone == "Europe/Berlin"
    assert not person.is_staff
    assert get_user(client) == person


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
def test_a_time_zone_that_nobody_knows_becomes_utc(client: Client, time_zone: str, kept: str) -> None:
    client.post(URL, form(time_zone=time_zone))
    assert User.objects.get().time_zone == kept


@pytest.mark.parametrize(
    ("fields", "complaint"),
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
def test_it_says_what_is_wrong(client: Client, fields: dict[str, str], complaint: str) -> None:
    answer = client.post(URL, form(**fields))
    assert complaint in answer.content.decode()
    assert not User.objects.exists()


def test_of_two_who_ask_for_an_address_at_once_one_is_told(
    client: Client, owner: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The other account appears after the form has looked, and before the account is made.
    monkeypatch.setattr("chat.web.forms.SignUpForm.clean_email", lambda form: form.cleaned_data["email"].lower())
    answer = client.post(URL, form(email=owner.email))
    assert answer.status_code == 200
    assert "There is an account with this e-mail address." in answer.content.decode()


def test_a_closed_server_says_so(client: Client, settings: Settings) -> None:
    settings.SIGNUP = "closed"
    for answer in (client.get(URL), client.post(URL, form())):
        assert answer.status_code == 403
        assert "Sign-up is closed" in answer.content.decode()
    assert not User.objects.exists()
    assert "Create an account" not in client.get("/accounts/login/").content.decode()


def test_whoever_is_signed_in_has_an_account(owner_client: Client) -> None:
    answer = owner_client.get(URL)
    assert answer.status_code == 302
    assert answer["Location"] == "/"


@pytest.mark.parametrize(
    ("wanted", "got"),
    [
        ("/settings/", "/settings/"),
        ("https://evil.example/", "/"),
        ("//evil.example", "/"),
        ("javascript:alert(1)", "/"),
    ],
)
def test_it_leads_on_to_pages_of_ours_only(client: Client, wanted: str, got: str) -> None:
    answer = client.post(URL, form(next=wanted))
    assert answer["Location"] == got


def test_a_form_of_another_site_is_refused(owner: User) -> None:
    answer = Client(enforce_csrf_checks=True).post(URL, form())
    assert answer.status_code == 403
    assert "Access denied" in answer.content.decode()


def test_the_page_asks_the_database_for_nothing(
    client: Client, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    with django_assert_num_queries(0):
        client.get(URL)


# Where mail is configured, nobody learns who has an account.


@pytest.fixture
def with_mail(settings: Settings, transactional_db: None) -> None:
    settings.EMAIL_URL = "console://"


def visible(answer: Any) -> tuple[int, str]:
    return answer.status_code, re.sub(r'name="csrfmiddlewaretoken" value="\w+"', "", answer.content.decode())


@pytest.mark.usefixtures("with_mail")
def test_with_mail_every_address_is_answered_alike(client: Client, owner: User, mailoutbox: list[EmailMessage]) -> None:
    pages = [visible(client.post(URL, form(email=email))) for email in ("Owner@example.com", "new@example.com")]
    assert pages[0] == pages[1]
    assert "Check your e-mail" in pages[0][1]
    for email in (owner.email, "other@example.com"):
        body = json.dumps({"email": email, "password": PASSWORD})
        answer = client.post("/api/auth/register", body, content_type="application/json")
        assert (answer.status_code, set(answer.json())) == (202, {"detail"})
    wait_for_mail()
    assert User.objects.count() == 1
    subjects = {mail.to[0]: mail.subject for mail in mailoutbox}
    assert subjects == {  # and one mail each: the owner's mailbox is not flooded
        "owner@example.com": "Your Threadkeeper account",
        "new@example.com": "Create your Threadkeeper account",
        "other@example.com": "Create your Threadkeeper account",
    }
    assert len(mailoutbox) == 3


@pytest.mark.usefixtures("with_mail")
def test_with_mail_an_account_is_made_by_the_link(client: Client, mailoutbox: list[EmailMessage]) -> None:
    client.post(URL, {"email": " New@example.com"})
    wait_for_mail()
    link = link_in(mailoutbox[0])
    assert "You sign in as <strong>new@example.com</strong>" in client.get(link).content.decode()
    assert "too similar" in client.post(link, {"password": "new@example.com"}).content.decode()
    answer = client.post(link, {"password": PASSWORD, "time_zone": "Europe/Berlin"})
    assert answer["Location"] == "/"
    person = User.objects.get()
    assert (person.email, person.time_zone, get_user(client)) == ("new@example.com", "Europe/Berlin", person)

    again = Client().post(link, {"password": "another good password"})
    assert "There is an account with this e-mail address." in again.content.decode()
    person.refresh_from_db()
    assert person.check_password(PASSWORD)
    assert Client().get(link + "x").status_code == 404
    with time_machine.travel(timezone.now() + timedelta(days=4)):
        assert Client().get(link).status_code == 404


@pytest.mark.parametrize(("week_start", "kept"), [("7", 7), ("6", 6), ("3", 1), ("", 1), ("x", 1)])
def test_weeks_start_where_the_browser_says(client: Client, week_start: str, kept: int) -> None:
    client.post(URL, form(week_start=week_start))
    assert User.objects.get().week_start == kept
