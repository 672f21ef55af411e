"""Staff see which tokens a person's programs have, and revoke them; what a key is they never see."""

import uuid

import pytest
from django.test import Client

from chat.accounts import tokens
from chat.accounts.tokens import NewToken
from chat.exceptions import BadInput, Conflict, NotFound
from chat.models import User
from sessions_admin.models import AuditRecord
from sessions_admin.people.tokens import revoke_token
from sessions_admin.tests.conftest import Hire

pytestmark = pytest.mark.django_db
TOKENS = "/admin/chat/apitoken/"


@pytest.fixture
def made(owner: User) -> NewToken:
    return tokens.make(user=owner, name="My script", scopes=["tasks"])


def press(browser: Client, *made: NewToken, **more: str) -> str:
    """Choose tokens and “Revoke”; return the page that comes of it."""
    chosen = [str(new.token.pk) for new in made]
    return browser.post(TOKENS, {"action": "revoke", "_selected_action": chosen, **more}, follow=True).content.decode()


def test_it_ends_and_is_audited_by_ids_only(made: NewToken, owner: User, staff: User) -> None:
    revoke_token(made.token.pk, actor=str(staff.pk), reason="It was in a public file.")
    assert not tokens.holds(made.token.pk)
    record = AuditRecord.objects.get()
    assert (record.action, record.actor, record.person) == ("revoke_token", str(staff.pk), str(owner.pk))
    assert (record.reason, record.result) == ("It was in a public file.", {"token": str(made.token.pk)})


def test_it_needs_a_reason_and_a_token_that_there_is(made: NewToken) -> None:
    with pytest.raises(BadInput):
        revoke_token(made.token.pk, actor="os:root", reason=" ")
    with pytest.raises(NotFound):
        revoke_token(uuid.uuid4(), actor="os:root", reason="why not")
    assert tokens.holds(made.token.pk)
    revoke_token(made.token.pk, actor="os:root", reason="it leaked")
    with pytest.raises(Conflict):
        revoke_token(made.token.pk, actor="os:root", reason="it leaked")
    assert [record.result.get("failed") is None for record in AuditRecord.objects.order_by("at")] == [True, False]


def test_an_administrators_token_is_revoked_by_administrators_only(hire: Hire, staff: User) -> None:
    theirs = tokens.make(user=staff, name="Theirs", scopes=["tasks"])
    hire("deactivate_user")
    manager = User.objects.exclude(pk=staff.pk).get(is_staff=True)
    with pytest.raises(Conflict):
        revoke_token(theirs.token.pk, actor=str(manager.pk), reason="why not")
    assert tokens.holds(theirs.token.pk)


def test_staff_with_the_permission_see_and_revoke_them(hire: Hire, made: NewToken) -> None:
    browser = hire("deactivate_user")
    for path in (TOKENS, f"{TOKENS}{made.token.pk}/change/"):
        page = browser.get(path).content.decode()
        assert "My script" in page and f"{made.token.beginning}…" in page
        assert made.key not in page and made.token.hash not in page
    asked = press(browser, made)
    assert "My script" in asked and "Reason" in asked
    assert "Please enter a reason" in press(browser, made, confirmed="yes")
    assert tokens.holds(made.token.pk)
    assert "is revoked" in press(browser, made, confirmed="yes", reason="it leaked")
    assert not tokens.holds(made.token.pk)
    assert "already revoked" in press(browser, made, confirmed="yes", reason="once more")


def test_nobody_makes_changes_or_deletes_one_there(staff_client: Client, made: NewToken) -> None:
    assert staff_client.get(f"{TOKENS}add/").status_code == 403
    assert staff_client.get(f"{TOKENS}{made.token.pk}/delete/").status_code == 403
    assert staff_client.post(f"{TOKENS}{made.token.pk}/change/", {"name": "Mine"}).status_code == 403
    assert "delete_selected" not in staff_client.get(TOKENS).content.decode()
