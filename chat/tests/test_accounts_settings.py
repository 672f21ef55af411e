"""Changing the e-mail address, the time zone and the first day of the week."""

import pytest
from django.core.mail import EmailMessage
from django.test import Client
from pytest_django import Settings

from chat.models import User
from chat.tests.mail import link_in, wait_for_mail
from config.tests.support import PASSWORD

URL = "/settings/"
pytestmark = pytest.mark.django_db


def new_email(email: str = "new@example.com", password: str = PASSWORD) -> dict[str, str]:
    return {"form": "email", "email": email, "current_password": password}


def test_correct_password_changes_the_email_address(owner: User, owner_client: Client) -> None:
    response = owner_client.post(URL, new_email(" New@Example.com"), follow=True)
    assert "Your e-mail address is changed." in response.content.decode()
    owner.refresh_from_db()
    assert owner.email == "new@example.com"
    assert Client().post("/accounts/login/", {"username": owner.email, "password": PASSWORD}).status_code == 302


def test_wrong_password_leaves_the_email_address(owner: User, owner_client: Client) -> None:
    response = owner_client.post(URL, new_email(password="wrong"))
    assert response.status_code == 422
    assert "That is not your current password." in response.content.decode()
    owner.refresh_from_db()
    assert owner.email == "owner@example.com"


def test_wrong_passwords_on_the_settings_page_are_rate_limited(owner_client: Client) -> None:
    assert [owner_client.post(URL, new_email(password="wrong")).status_code for _ in range(10)][-1] == 429


def test_address_of_another_account_is_rejected(owner: User, outsider: User, owner_client: Client) -> None:
    response = owner_client.post(URL, new_email(outsider.email.upper()))
    assert response.status_code == 422
    assert "There is an account with this e-mail address." in response.content.decode()
    owner.refresh_from_db()
    assert owner.email == "owner@example.com"


@pytest.mark.parametrize(
    ("before", "given", "kept"),
    [
        ("UTC", "Asia/Tokyo", "Asia/Tokyo"),
        ("UTC", "US/Eastern", "US/Eastern"),  # an old name
        ("Etc/GMT+3", "Etc/GMT+3", "Etc/GMT+3"),
        ("UTC", "Mars/Olympus", "UTC"),
    ],
)
def test_valid_time_zone_is_saved(
    owner: User, outsider: User, owner_client: Client, before: str, given: str, kept: str
) -> None:
    User.objects.filter(pk=owner.pk).update(time_zone=before)
    response = owner_client.post(URL, {"form": "time_zone", "time_zone": given})
    assert response.status_code == (302 if kept == given else 422)
    page = owner_client.get(URL).content.decode()
    assert ("Your time zone and week are saved." in page) == (kept == given)
    assert f'<option value="{kept}" selected>' in page
    assert list(User.objects.order_by("email").values_list("time_zone", flat=True)) == ["UTC", kept]


def test_first_day_of_the_week_is_saved(owner: User, owner_client: Client) -> None:
    owner_client.post(URL, {"form": "time_zone", "time_zone": "UTC", "week_start": "7"})
    owner.refresh_from_db()
    assert owner.week_start == 7
    assert owner_client.post(URL, {"form": "time_zone", "time_zone": "UTC", "week_start": "3"}).status_code == 422


def test_time_zone_list_shows_place_names_and_no_aliases(owner_client: Client) -> None:
    page = owner_client.get(URL).content.decode()
    assert '<option value="America/New_York">America/New York</option>' in page
    assert "Asia/Kolkata" in page and "Asia/Calcutta" not in page and "Europe/Belfast" not in page


def test_former_addresses_are_kept_for_every_way_of_change(
    owner: User, owner_client: Client, staff_client: Client
) -> None:
    owner_client.post(URL, new_email("second@example.com"))
    staff_client.post(f"/admin/chat/user/{owner.pk}/change/", {"email": "Third@example.com", "time_zone": "UTC"})
    owner_client.post(URL, new_email("owner@example.com"))
    former = owner.former_emails.order_by("changed_at").values_list("email", flat=True)
    assert list(former) == ["owner@example.com", "second@example.com", "third@example.com"]


@pytest.mark.django_db(transaction=True)
def test_address_change_is_confirmed_by_mail_without_revealing_accounts(
    owner: User,
    outsider: User,
    owner_client: Client,
    outsider_client: Client,
    settings: Settings,
    mailoutbox: list[EmailMessage],
) -> None:
    settings.EMAIL_URL = "console://"
    pages = [owner_client.post(URL, new_email(email), follow=True) for email in ("new@example.com", outsider.email)]
    assert all("We have sent a link to your new address" in page.content.decode() for page in pages)
    wait_for_mail()
    mail_by_address = {mail.to[0]: mail for mail in mailoutbox}
    assert mail_by_address[outsider.email].subject == "Your Threadkeeper account"
    link = link_in(mail_by_address["new@example.com"])
    assert outsider_client.post(link).status_code == 404
    assert "Confirm this address" in owner_client.get(link).content.decode()
    owner.refresh_from_db()
    assert owner.email == "owner@example.com"
    owner_client.post(link)
    owner.refresh_from_db()
    assert owner.email == "new@example.com"
    assert owner_client.post(link).status_code == 404


def test_address_changes_are_rate_limited(outsider: User, owner_client: Client) -> None:
    statuses = [owner_client.post(URL, new_email(outsider.email)).status_code for _ in range(11)]
    assert statuses == [422] * 10 + [429]
