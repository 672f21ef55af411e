"""The page on which a person looks after the tokens of their programs."""

import re
import uuid
from datetime import timedelta

import pytest
from django.test import Client
from django.utils import timezone

from chat.accounts import tokens
from chat.models import ApiToken, User
from chat.tests.api import shown

pytestmark = pytest.mark.django_db
PAGE, ME = "/settings/tokens/", "/api/auth/me"
FORM = {"name": "My script", "scopes": ["tasks"], "days": "30"}


def test_a_key_is_on_the_page_after_the_form_and_on_no_other(owner_client: Client, owner: User, client: Client) -> None:
    answer = owner_client.post(PAGE, FORM)
    assert (answer.status_code, answer["Location"]) == (302, PAGE)
    cookie = answer.cookies["new_token"]
    assert (cookie["httponly"], cookie["samesite"], cookie["path"]) == (True, "Strict", PAGE)
    made = owner_client.get(PAGE)
    assert "no-store" in made["Cache-Control"]
    (key,) = re.findall(r"tk_[\w-]{43}", made.content.decode())
    assert client.get(ME, headers=shown(key)).json()["email"] == owner.email
    token = ApiToken.objects.get()
    assert (token.name, token.scopes, token.signed_in_by) == ("My script", ["tasks"], "")
    assert token.expires_at is not None
    assert timedelta(days=29) < token.expires_at - timezone.now() < timedelta(days=31)

    page = owner_client.get(PAGE).content.decode()
    assert key not in page
    assert "My script" in page and f"{token.beginning}…" in page and "Last used" in page


def test_a_key_of_another_person_is_not_shown(owner_client: Client, outsider: User) -> None:
    key = tokens.make(user=outsider, name="script", scopes=["tasks"]).key
    owner_client.cookies["new_token"] = key
    assert key not in owner_client.get(PAGE).text


def test_a_token_may_hold_until_it_is_revoked(owner_client: Client) -> None:
    owner_client.post(PAGE, FORM | {"days": ""})
    assert ApiToken.objects.get().expires_at is None
    assert "Never used" in owner_client.get(PAGE).content.decode()


@pytest.mark.parametrize(
    "wrong",
    [{"name": ""}, {"name": "x" * 101}, {"scopes": []}, {"scopes": ["all"]}, {"scopes": ["sessions"]}, {"days": "-1"}],
)
def test_what_does_not_fit_makes_no_token(owner_client: Client, wrong: dict[str, object]) -> None:
    answer = owner_client.post(PAGE, FORM | wrong)
    assert answer.status_code == 422
    assert "field__error" in answer.content.decode()
    assert ApiToken.objects.count() == 0


def test_only_staff_are_offered_what_staff_do(owner_client: Client, staff_client: Client) -> None:
    assert 'value="sessions"' not in owner_client.get(PAGE).content.decode()
    assert 'value="sessions"' in staff_client.get(PAGE).content.decode()
    staff_client.post(PAGE, FORM | {"scopes": ["sessions"]})
    assert ApiToken.objects.get().scopes == ["sessions"]


def test_a_revoked_token_is_told_of_as_ended(owner_client: Client, owner: User, client: Client) -> None:
    made = tokens.make(user=owner, name="My script", scopes=["tasks"])
    answer = owner_client.post(f"{PAGE}{made.token.pk}/revoke/", follow=True)
    assert "is revoked" in answer.content.decode()
    assert "1 expired or revoked" in answer.content.decode()
    assert client.get(ME, headers=shown(made.key)).status_code == 401


def test_a_link_asks_and_revokes_nothing(owner_client: Client, outsider_client: Client, owner: User) -> None:
    made = tokens.make(user=owner, name="My script", scopes=["tasks"])
    link = f"{PAGE}{made.token.pk}/revoke/"
    assert f'href="{link}"' in owner_client.get(PAGE).content.decode()
    assert f'action="{link}"' not in owner_client.get(PAGE).content.decode()
    assert "Revoke “My script”?" in owner_client.get(link).content.decode()
    assert tokens.holds(made.token.pk)
    assert outsider_client.get(link)["Location"] == PAGE
    tokens.revoke(user_id=owner.pk, token_id=made.token.pk)
    assert owner_client.get(link)["Location"] == PAGE


def test_somebody_elses_tokens_are_neither_shown_nor_revoked(
    owner: User, outsider_client: Client, staff_client: Client, client: Client
) -> None:
    made = tokens.make(user=owner, name="The robot", scopes=["tasks"])
    for somebody in (outsider_client, staff_client):
        assert "The robot" not in somebody.get(PAGE).content.decode()
        theirs = somebody.post(f"{PAGE}{made.token.pk}/revoke/")
        none = somebody.post(f"{PAGE}{uuid.uuid4()}/revoke/")
        assert (theirs.status_code, theirs.content) == (none.status_code, none.content)
        assert theirs.status_code == 404
    assert client.post(f"{PAGE}{made.token.pk}/revoke/").status_code == 302
    assert client.post(PAGE, FORM).status_code == 302
    assert tokens.holds(made.token.pk) and ApiToken.objects.count() == 1


def test_the_settings_lead_to_it(owner_client: Client) -> None:
    assert f'href="{PAGE}"' in owner_client.get("/settings/").content.decode()
