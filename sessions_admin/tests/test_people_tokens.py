"""Staff see and revoke the API tokens of users, but never see a key."""

import uuid

import pytest
from django.test import Client

from chat.accounts import tokens
from chat.accounts.tokens import NewToken
from chat.exceptions import BadInput, Conflict, NotFound
from chat.models import User
from sessions_admin.models import AuditRecord
from sessions_admin.people.tokens import revoke_token
from sessions_admin.tests.conftest import MakeStaffClient

pytestmark = pytest.mark.django_db
TOKENS = "/admin/chat/apitoken/"


@pytest.fixture
def new_token(owner: User) -> NewToken:
    return tokens.make(user=owner, name="My script", scopes=["tasks"])


def revoke_in_admin(browser: Client, *new_tokens: NewToken, **fields: str) -> str:
    """Run the action “Revoke” on tokens; return the resulting page."""
    selected = [str(new.token.pk) for new in new_tokens]
    return browser.post(
        TOKENS, {"action": "revoke", "_selected_action": selected, **fields}, follow=True
    ).content.decode()


def test_revocation_is_audited_with_ids_only(new_token: NewToken, owner: User, staff: User) -> None:
    revoke_token(new_token.token.pk, actor=str(staff.pk), reason="It was in a public file.")
    assert not tokens.holds(new_token.token.pk)
    record = AuditRecord.objects.get()
    assert (record.action, record.actor, record.person) == ("revoke_token", str(staff.pk), str(owner.pk))
    assert (record.reason, record.result) == ("It was in a public file.", {"token": str(new_token.token.pk)})


def test_revocation_requires_a_reason_and_an_active_token(new_token: NewToken) -> None:
    with pytest.raises(BadInput):
        revoke_token(new_token.token.pk, actor="os:root", reason=" ")
    with pytest.raises(NotFound):
        revoke_token(uuid.uuid4(), actor="os:root", reason="why not")
    assert tokens.holds(new_token.token.pk)
    revoke_token(new_token.token.pk, actor="os:root", reason="it leaked")
    with pytest.raises(Conflict):
        revoke_token(new_token.token.pk, actor="os:root", reason="it leaked")
    assert [record.result.get("failed") is None for record in AuditRecord.objects.order_by("at")] == [True, False]


def test_only_administrators_can_revoke_an_administrators_token(
    make_staff_client: MakeStaffClient, staff: User
) -> None:
    created = tokens.make(user=staff, name="Theirs", scopes=["tasks"])
    make_staff_client("deactivate_user")
    manager = User.objects.exclude(pk=staff.pk).get(is_staff=True)
    with pytest.raises(Conflict):
        revoke_token(created.token.pk, actor=str(manager.pk), reason="why not")
    assert tokens.holds(created.token.pk)


def test_staff_with_permission_can_see_and_revoke_tokens(
    make_staff_client: MakeStaffClient, new_token: NewToken
) -> None:
    browser = make_staff_client("deactivate_user")
    for path in (TOKENS, f"{TOKENS}{new_token.token.pk}/change/"):
        page = browser.get(path).content.decode()
        assert "My script" in page and f"{new_token.token.beginning}…" in page
        assert new_token.key not in page and new_token.token.hash not in page
    confirmation = revoke_in_admin(browser, new_token)
    assert "My script" in confirmation and "Reason" in confirmation
    assert "Please enter a reason" in revoke_in_admin(browser, new_token, confirmed="yes")
    assert tokens.holds(new_token.token.pk)
    assert "is revoked" in revoke_in_admin(browser, new_token, confirmed="yes", reason="it leaked")
    assert not tokens.holds(new_token.token.pk)
    assert "already revoked" in revoke_in_admin(browser, new_token, confirmed="yes", reason="once more")


def test_tokens_cannot_be_added_changed_or_deleted_in_the_admin(staff_client: Client, new_token: NewToken) -> None:
    assert staff_client.get(f"{TOKENS}add/").status_code == 403
    assert staff_client.get(f"{TOKENS}{new_token.token.pk}/delete/").status_code == 403
    assert staff_client.post(f"{TOKENS}{new_token.token.pk}/change/", {"name": "Mine"}).status_code == 403
    assert "delete_selected" not in staff_client.get(TOKENS).content.decode()
