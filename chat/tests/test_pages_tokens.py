"""The page on which users create and revoke their API tokens."""

import re
import uuid
from datetime import timedelta

import pytest
from django.test import Client
from django.utils import timezone

from chat.accounts import tokens
from chat.models import ApiToken, User
from chat.tests.api import auth_header

pytestmark = pytest.mark.django_db
PAGE, ME = "/settings/tokens/", "/api/auth/me"
FORM = {"name": "My script", "scopes": ["tasks"], "days": "30"}


def test_key_is_shown_once_after_its_creation(owner_client: Client, owner: User, client: Client) -> None:
    response = owner_client.post(PAGE, FORM)
    assert (response.status_code, response["Location"]) == (302, PAGE)
    cookie = response.cookies["new_token"]
    assert (cookie["httponly"], cookie["samesite"], cookie["path"]) == (True, "Strict", PAGE)
    created = owner_client.get(PAGE)
    assert "no-store" in created["Cache-Control"]
    (key,) = re.findall(r"tk_[\w-]{43}", created.content.decode())
    assert client.get(ME, headers=auth_header(key)).json()["email"] == owner.email
    token = ApiToken.objects.get()
    assert (token.name, token.scopes, token.signed_in_by) == ("My script", ["tasks"], "")
    assert token.expires_at is not None
    assert timedelta(days=29) < token.expires_at - timezone.now() < timedelta(days=31)

    page = owner_client.get(PAGE).content.decode()
    assert key not in page
    assert "My script" in page and f"{token.beginning}…" in page and "Last used" in page


def test_key_of_another_user_is_not_shown(owner_client: Client, outsider: User) -> None:
    key = tokens.make(user=outsider, name="script", scopes=["tasks"]).key
    owner_client.cookies["new_token"] = key
    assert key not in owner_client.get(PAGE).text


def test_token_can_be_created_without_expiry(owner_client: Client) -> None:
    owner_client.post(PAGE, FORM | {"days": ""})
    assert ApiToken.objects.get().expires_at is None
    assert "Never used" in owner_client.get(PAGE).content.decode()


@pytest.mark.parametrize(
    "invalid",
    [{"name": ""}, {"name": "x" * 101}, {"scopes": []}, {"scopes": ["all"]}, {"scopes": ["sessions"]}, {"days": "-1"}],
)
def test_invalid_form_creates_no_token(owner_client: Client, invalid: dict[str, object]) -> None:
    response = owner_client.post(PAGE, FORM | invalid)
    assert response.status_code == 422
    assert "field__error" in response.content.decode()
    assert ApiToken.objects.count() == 0


def test_only_staff_can_choose_the_sessions_scope(owner_client: Client, staff_client: Client) -> None:
    assert 'value="sessions"' not in owner_client.get(PAGE).content.decode()
    assert 'value="sessions"' in staff_client.get(PAGE).content.decode()
    staff_client.post(PAGE, FORM | {"scopes": ["sessions"]})
    assert ApiToken.objects.get().scopes == ["sessions"]


def test_revoked_token_is_listed_as_revoked_and_gets_401(owner_client: Client, owner: User, client: Client) -> None:
    created = tokens.make(user=owner, name="My script", scopes=["tasks"])
    response = owner_client.post(f"{PAGE}{created.token.pk}/revoke/", follow=True)
    assert "is revoked" in response.content.decode()
    assert "1 expired or revoked" in response.content.decode()
    assert client.get(ME, headers=auth_header(created.key)).status_code == 401


def test_revoke_link_asks_for_confirmation(owner_client: Client, outsider_client: Client, owner: User) -> None:
    created = tokens.make(user=owner, name="My script", scopes=["tasks"])
    link = f"{PAGE}{created.token.pk}/revoke/"
    assert f'href="{link}"' in owner_client.get(PAGE).content.decode()
    assert f'action="{link}"' not in owner_client.get(PAGE).content.decode()
    assert "Revoke “My script”?" in owner_client.get(link).content.decode()
    assert tokens.holds(created.token.pk)
    assert outsider_client.get(link)["Location"] == PAGE
    tokens.revoke(user_id=owner.pk, token_id=created.token.pk)
    assert owner_client.get(link)["Location"] == PAGE


def test_tokens_of_another_user_are_neither_shown_nor_revoked(
    owner: User, outsider_client: Client, staff_client: Client, client: Client
) -> None:
    created = tokens.make(user=owner, name="The robot", scopes=["tasks"])
    for other_client in (outsider_client, staff_client):
        assert "The robot" not in other_client.get(PAGE).content.decode()
        existing = other_client.post(f"{PAGE}{created.token.pk}/revoke/")
        missing = other_client.post(f"{PAGE}{uuid.uuid4()}/revoke/")
        assert (existing.status_code, existing.content) == (missing.status_code, missing.content)
        assert existing.status_code == 404
    assert client.post(f"{PAGE}{created.token.pk}/revoke/").status_code == 302
    assert client.post(PAGE, FORM).status_code == 302
    assert tokens.holds(created.token.pk) and ApiToken.objects.count() == 1


def test_settings_link_to_the_page(owner_client: Client) -> None:
    assert f'href="{PAGE}"' in owner_client.get("/settings/").content.decode()
