"""Closing an account ends its logins, tokens, turns and sockets; reactivation only restores the sign-in."""

import uuid
from contextlib import closing

import pytest
from asgiref.sync import sync_to_async
from django.contrib.sessions.models import Session
from django.db import connections, transaction
from django.test import AsyncClient, Client

from chat.accounts import tokens
from chat.exceptions import BadInput, Conflict, NotFound, NotSignedIn
from chat.models import Turn, User
from chat.models.turn import Status
from chat.tests import stored_turns
from chat.tests.conftest import Chat, Gate
from chat.tests.live import open_socket, shared_server, sign_in
from chat.turns import process
from chat.turns.accept import accept
from config.tests.support import PASSWORD, ServerProcess
from sessions_admin.audit import user_actor
from sessions_admin.models import AuditRecord
from sessions_admin.people.accounts import check_demotion, deactivate_person, reactivate_person
from sessions_admin.tests.conftest import MakeStaffClient

__all__ = ["shared_server"]

PEOPLE = "/admin/chat/user/"
CLOSED = "This account is closed."


def run_action(browser: Client, action: str, *people: User, **fields: str) -> str:
    """Run an action of the admin on users; return the resulting page."""
    selected = {"_selected_action": [str(person.pk) for person in people]}
    return browser.post(PEOPLE, {"action": action, **selected, **fields}, follow=True).content.decode()


def sign_in_page(email: str) -> str:
    return Client().post("/accounts/login/", {"username": email, "password": PASSWORD}).content.decode()


def test_closing_an_account_ends_its_logins_only(owner: User, owner_client: Client, outsider_client: Client) -> None:
    another_browser = Client()
    another_browser.force_login(owner, backend="django.contrib.auth.backends.ModelBackend")

    assert deactivate_person(owner.pk, actor="os:root", reason="left").logins == 2

    assert [browser.get("/").status_code for browser in (owner_client, another_browser)] == [302, 302]
    assert outsider_client.get("/").status_code == 200


def test_reactivation_removes_a_leftover_login(owner: User, owner_client: Client) -> None:
    login = Session.objects.get()
    deactivate_person(owner.pk, actor="os:root", reason="left")
    login.save(force_insert=True)  # as if the deactivation had stopped before it removed the login

    assert reactivate_person(owner.pk, actor="os:root").logins == 1

    assert owner_client.get("/").status_code == 302
    owner_client.post("/accounts/login/", {"username": owner.email, "password": PASSWORD})
    assert owner_client.get("/").status_code == 200


def test_closing_an_account_revokes_its_tokens_only_and_for_good(owner: User, outsider: User, client: Client) -> None:
    own_key, other_key = (tokens.make(user=person, name="script", scopes=["tasks"]).key for person in (owner, outsider))

    assert deactivate_person(owner.pk, actor="os:root", reason="left").tokens == 1
    reactivate_person(owner.pk, actor="os:root")

    for key, status in ((own_key, 401), (other_key, 200)):
        assert client.get("/api/auth/me", headers={"Authorization": f"Bearer {key}"}).status_code == status


def test_reactivation_revokes_a_leftover_token(owner: User) -> None:
    User.objects.filter(pk=owner.pk).update(is_active=False)  # as if the deactivation had stopped after this step
    key = tokens.make(user=owner, name="script", scopes=["tasks"]).key

    assert reactivate_person(owner.pk, actor="os:root").tokens == 1

    with pytest.raises(NotSignedIn):
        tokens.find(key)


def test_login_reports_a_closed_account_only_with_the_right_password(owner: User) -> None:
    deactivate_person(owner.pk, actor="os:root", reason="left")

    assert CLOSED in sign_in_page(owner.email.upper())
    wrong = Client().post("/accounts/login/", {"username": owner.email, "password": "wrong"})
    assert CLOSED not in wrong.content.decode()


def test_closing_an_account_stops_its_open_turns(owner: User) -> None:
    one, other = stored_turns.conversation(owner), stored_turns.conversation(owner)
    turns = [
        stored_turns.add_turn(one, "Delete it all", None, status=Status.WAITING),
        stored_turns.add_turn(one, "And then", None, status=Status.QUEUED),
        stored_turns.add_turn(other, "Hello", None, status=Status.QUEUED),
    ]
    running = stored_turns.add_turn(stored_turns.conversation(owner), "Slowly", None, status=Status.RUNNING)

    assert deactivate_person(owner.pk, actor="os:root", reason="left").turns == 4

    assert {Turn.objects.get(pk=turn.pk).status for turn in turns} == {Status.STOPPED}
    assert Turn.objects.get(pk=running.pk).stop_asked  # its process checks this every two seconds


def test_closed_account_cannot_send_messages(owner: User) -> None:
    conversation = stored_turns.conversation(owner)
    deactivate_person(owner.pk, actor="os:root", reason="left")

    for conversation_id in (conversation.pk, uuid.uuid4()):
        with pytest.raises(NotFound):
            accept(user_id=owner.pk, conversation_id=conversation_id, client_id=uuid.uuid4(), text="Hello?")
    assert owner.conversations.count() == 1


@pytest.mark.django_db(transaction=True)
async def test_turns_of_this_server_stop_at_once(chat: Chat, owner: User, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process, "_runner", chat.runner)
    staff = await User.objects.acreate(email="staff@example.com", is_staff=True, is_superuser=True)
    browser = AsyncClient()
    await browser.aforce_login(staff, backend="django.contrib.auth.backends.ModelBackend")
    gate = Gate("Well, ")
    chat.runner.turns.choose("").enqueue(gate.step())  # type: ignore[attr-defined]
    running, queued = await chat.send("Think long"), await chat.send("And longer")
    await gate.reached.wait()

    form = {"action": "deactivate", "_selected_action": str(owner.pk), "confirmed": "yes", "reason": "left"}
    assert (await browser.post(PEOPLE, form)).status_code == 302
    await chat.wait_until_idle()

    ended = {turn.pk: turn.status async for turn in Turn.objects.all()}
    await sync_to_async(connections.close_all)()  # of the thread that served the page
    assert ended == {running.turn.pk: Status.STOPPED, queued.turn.pk: Status.STOPPED}


@pytest.mark.service
async def test_open_sockets_close_at_once(shared_server: ServerProcess) -> None:
    database = shared_server.database
    admin, person = f"{uuid.uuid4().hex}@example.com", sign_in(shared_server)
    database.add_user(admin, staff=True)
    conversation_id = uuid.uuid4()
    with closing(shared_server.client(admin)) as browser:
        async with open_socket(shared_server, person, conversation_id) as socket:
            await socket.ready()
            page = browser.get(f"{PEOPLE}{person.id}/do/deactivate/")
            form = {"action": "deactivate", "_selected_action": str(person.id), "confirmed": "yes", "reason": "left"}
            token = {"csrfmiddlewaretoken": browser.cookies["csrftoken"]}
            assert (page.status_code, browser.post(PEOPLE, data=form | token).status_code) == (200, 200)
            assert await socket.closed(within=2) == 4401  # the periodic check runs only every 5 s
    assert database.query("SELECT is_active FROM chat_user WHERE id = %s", person.id) == [(False,)]


# Permissions.


def test_closing_and_reactivation_are_audited_with_actor_and_reason(owner: User, staff: User) -> None:
    deactivate_person(owner.pk, actor=user_actor(staff), reason="asked for")
    reactivate_person(owner.pk, actor="os:root", reason="a slip")

    records = AuditRecord.objects.order_by("pk").values_list("action", "actor", "person", "reason")
    assert list(records) == [
        ("deactivate", str(staff.pk), str(owner.pk), "asked for"),
        ("reactivate", "os:root", str(owner.pk), "a slip"),
    ]


def test_closing_an_account_requires_a_reason(owner: User) -> None:
    with pytest.raises(BadInput):
        deactivate_person(owner.pk, actor="os:root", reason=" ")
    owner.refresh_from_db()
    assert owner.is_active


def test_only_administrators_can_close_an_administrator_account(
    staff: User, make_staff_client: MakeStaffClient
) -> None:
    staff_browser = make_staff_client("deactivate_user")
    User.objects.create_superuser("second@example.com")

    assert "Only an administrator" in run_action(staff_browser, "deactivate", staff, confirmed="yes", reason="why not")
    staff.refresh_from_db()
    assert staff.is_active
    with pytest.raises(Conflict):
        reactivate_person(staff.pk, actor=str(User.objects.get(email__startswith="staff1").pk))


def test_own_account_and_last_administrator_cannot_be_closed(staff: User, staff_client: Client) -> None:
    assert "You cannot close your own account here" in run_action(
        staff_client, "deactivate", staff, confirmed="yes", reason="bye"
    )
    with pytest.raises(Conflict, match="the only administrator"):
        deactivate_person(staff.pk, actor="os:root", reason="bye")
    staff.refresh_from_db()
    assert staff.is_active
    assert [record.result for record in AuditRecord.objects.all()] == [
        {"failed": "This is the only administrator; appoint another one first."}
    ]


@pytest.mark.parametrize("remaining", [{"is_staff": "on"}, {"is_superuser": "on"}])
def test_administrator_cannot_remove_their_own_rights(
    remaining: dict[str, str], staff: User, staff_client: Client
) -> None:
    second = User.objects.create_superuser("second@example.com")
    responses = [
        staff_client.post(f"{PEOPLE}{each.pk}/change/", {"email": each.email, "time_zone": "UTC", **remaining})
        for each in (staff, second)
    ]

    assert [response.status_code for response in responses] == [200, 302]
    assert "You would lock yourself out of the administration" in responses[0].text
    administrators = User.objects.filter(is_staff=True, is_superuser=True)
    assert [each.email for each in administrators] == [staff.email]


def test_two_administrators_cannot_both_demote_each_other(staff: User) -> None:
    second = User.objects.create_superuser("second@example.com")
    User.objects.filter(pk=staff.pk).update(is_superuser=False)  # by the other administrator, whose request came first

    with transaction.atomic(), pytest.raises(Conflict, match="Only an administrator"):
        check_demotion(second.pk, actor=user_actor(staff))
    User.objects.filter(pk=staff.pk).update(is_superuser=True, is_staff=False)
    with transaction.atomic(), pytest.raises(Conflict, match="the only administrator"):
        check_demotion(second.pk, actor=user_actor(staff))


def test_action_pages_ask_for_confirmation_and_name_the_user(make_staff_client: MakeStaffClient, owner: User) -> None:
    staff_browser = make_staff_client("deactivate_user")

    assert f"{PEOPLE}{owner.pk}/do/deactivate/" in staff_browser.get(f"{PEOPLE}{owner.pk}/change/").content.decode()
    for page in (
        staff_browser.get(f"{PEOPLE}{owner.pk}/do/deactivate/").content.decode(),
        run_action(staff_browser, "deactivate", owner),
    ):
        assert owner.email in page
        assert "can no longer sign in" in page
    assert "Please enter a reason." in run_action(staff_browser, "deactivate", owner, confirmed="yes", reason=" ")
    owner.refresh_from_db()
    assert owner.is_active

    assert "is closed" in run_action(staff_browser, "deactivate", owner, confirmed="yes", reason="left")
    page = staff_browser.get(f"{PEOPLE}{owner.pk}/change/").content.decode()
    assert ("do/reactivate/" in page, "do/deactivate/" in page) == (True, False)
    assert "can sign in again" in run_action(staff_browser, "reactivate", owner, confirmed="yes")


def test_editing_a_user_does_not_close_the_account(staff_client: Client, owner: User, owner_client: Client) -> None:
    staff_client.post(f"{PEOPLE}{owner.pk}/change/", {"email": owner.email, "time_zone": "UTC", "is_staff": "on"})

    owner.refresh_from_db()
    assert (owner.is_active, owner.is_staff) == (True, True)
    assert owner_client.get("/").status_code == 200
