"""Closing an account ends all that is open in it; opening it again brings back nothing but the way in."""

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
from chat.tests import talk
from chat.tests.conftest import Chat, Gate
from chat.tests.live import open_socket, shared_server, sign_in
from chat.turns import process
from chat.turns.accept import accept
from config.tests.support import PASSWORD, ServerProcess
from sessions_admin.audit import user_actor
from sessions_admin.models import AuditRecord
from sessions_admin.people.accounts import check_demotion, deactivate_person, reactivate_person
from sessions_admin.tests.conftest import Hire

__all__ = ["shared_server"]

PEOPLE = "/admin/chat/user/"
CLOSED = "This account is closed."


def press(browser: Client, verb: str, *people: User, **more: str) -> str:
    """Choose people and a verb; return the page that comes of it."""
    chosen = {"_selected_action": [str(person.pk) for person in people]}
    return browser.post(PEOPLE, {"action": verb, **chosen, **more}, follow=True).content.decode()


def sign_in_page(email: str) -> str:
    return Client().post("/accounts/login/", {"username": email, "password": PASSWORD}).content.decode()


def test_the_logins_of_the_person_end_and_nobody_elses(
    owner: User, owner_client: Client, outsider_client: Client
) -> None:
    another_browser = Client()
    another_browser.force_login(owner, backend="django.contrib.auth.backends.ModelBackend")

    assert deactivate_person(owner.pk, actor="os:root", reason="left").logins == 2

    assert [browser.get("/").status_code for browser in (owner_client, another_browser)] == [302, 302]
    assert outsider_client.get("/").status_code == 200


def test_an_old_login_is_not_back_when_the_account_is_opened_again(owner: User, owner_client: Client) -> None:
    login = Session.objects.get()
    deactivate_person(owner.pk, actor="os:root", reason="left")
    login.save(force_insert=True)  # as if the closing had been cut off before it was removed

    assert reactivate_person(owner.pk, actor="os:root").logins == 1

    assert owner_client.get("/").status_code == 302
    owner_client.post("/accounts/login/", {"username": owner.email, "password": PASSWORD})
    assert owner_client.get("/").status_code == 200


def test_the_tokens_of_the_person_end_for_good_and_nobody_elses(owner: User, outsider: User, client: Client) -> None:
    theirs, others = (tokens.make(user=person, name="script", scopes=["tasks"]).key for person in (owner, outsider))

    assert deactivate_person(owner.pk, actor="os:root", reason="left").tokens == 1
    reactivate_person(owner.pk, actor="os:root")

    for key, status in ((theirs, 401), (others, 200)):
        assert client.get("/api/auth/me", headers={"Authorization": f"Bearer {key}"}).status_code == status


def test_an_old_token_is_not_back_when_the_account_is_opened_again(owner: User) -> None:
    User.objects.filter(pk=owner.pk).update(is_active=False)  # as if the closing had been cut off after that
    key = tokens.make(user=owner, name="script", scopes=["tasks"]).key

    assert reactivate_person(owner.pk, actor="os:root").tokens == 1

    with pytest.raises(NotSignedIn):
        tokens.find(key)


def test_who_knows_the_password_is_told_plainly_and_nobody_else(owner: User) -> None:
    deactivate_person(owner.pk, actor="os:root", reason="left")

    assert CLOSED in sign_in_page(owner.email.upper())
    wrong = Client().post("/accounts/login/", {"username": owner.email, "password": "wrong"})
    assert CLOSED not in wrong.content.decode()


def test_turns_that_wait_or_are_queued_stop(owner: User) -> None:
    one, other = talk.conversation(owner), talk.conversation(owner)
    turns = [
        talk.say(one, "Delete it all", None, status=Status.WAITING),
        talk.say(one, "And then", None, status=Status.QUEUED),
        talk.say(other, "Hello", None, status=Status.QUEUED),
    ]
    running = talk.say(talk.conversation(owner), "Slowly", None, status=Status.RUNNING)

    assert deactivate_person(owner.pk, actor="os:root", reason="left").turns == 4

    assert {Turn.objects.get(pk=turn.pk).status for turn in turns} == {Status.STOPPED}
    assert Turn.objects.get(pk=running.pk).stop_asked  # its process looks every two seconds


def test_nothing_more_is_accepted(owner: User) -> None:
    begun = talk.conversation(owner)
    deactivate_person(owner.pk, actor="os:root", reason="left")

    for conversation_id in (begun.pk, uuid.uuid4()):
        with pytest.raises(NotFound):
            accept(user_id=owner.pk, conversation_id=conversation_id, client_id=uuid.uuid4(), text="Hello?")
    assert owner.conversations.count() == 1


@pytest.mark.django_db(transaction=True)
async def test_what_this_server_is_doing_for_them_stops_at_once(
    chat: Chat, owner: User, monkeypatch: pytest.MonkeyPatch
) -> None:
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
    await chat.settled()

    ended = {turn.pk: turn.status async for turn in Turn.objects.all()}
    await sync_to_async(connections.close_all)()  # of the thread in which the page was made
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
            assert await socket.closed(within=2) == 4401  # the sweep comes every 5 s only
    assert database.query("SELECT is_active FROM chat_user WHERE id = %s", person.id) == [(False,)]


# Who may.


def test_it_is_audited_with_who_and_why(owner: User, staff: User) -> None:
    deactivate_person(owner.pk, actor=user_actor(staff), reason="asked for")
    reactivate_person(owner.pk, actor="os:root", reason="a slip")

    said = AuditRecord.objects.order_by("pk").values_list("action", "actor", "person", "reason")
    assert list(said) == [
        ("deactivate", str(staff.pk), str(owner.pk), "asked for"),
        ("reactivate", "os:root", str(owner.pk), "a slip"),
    ]


def test_it_needs_a_reason(owner: User) -> None:
    with pytest.raises(BadInput):
        deactivate_person(owner.pk, actor="os:root", reason=" ")
    owner.refresh_from_db()
    assert owner.is_active


def test_an_administrator_is_closed_by_an_administrator_alone(staff: User, hire: Hire) -> None:
    helper = hire("deactivate_user")
    User.objects.create_superuser("second@example.com")

    assert "Only an administrator" in press(helper, "deactivate", staff, confirmed="yes", reason="why not")
    staff.refresh_from_db()
    assert staff.is_active
    with pytest.raises(Conflict):
        reactivate_person(staff.pk, actor=str(User.objects.get(email__startswith="staff1").pk))


def test_nobody_closes_their_own_account_here_nor_the_last_administrators(staff: User, staff_client: Client) -> None:
    assert "You cannot close your own account here" in press(
        staff_client, "deactivate", staff, confirmed="yes", reason="bye"
    )
    with pytest.raises(Conflict, match="the only administrator"):
        deactivate_person(staff.pk, actor="os:root", reason="bye")
    staff.refresh_from_db()
    assert staff.is_active
    assert [record.result for record in AuditRecord.objects.all()] == [
        {"failed": "This is the only administrator; appoint another one first."}
    ]


@pytest.mark.parametrize("left", [{"is_staff": "on"}, {"is_superuser": "on"}])
def test_an_administrator_takes_no_right_from_themselves(
    left: dict[str, str], staff: User, staff_client: Client
) -> None:
    second = User.objects.create_superuser("second@example.com")
    answers = [
        staff_client.post(f"{PEOPLE}{each.pk}/change/", {"email": each.email, "time_zone": "UTC", **left})
        for each in (staff, second)
    ]

    assert [answer.status_code for answer in answers] == [200, 302]
    assert "You would lock yourself out of the administration" in answers[0].text
    administrators = User.objects.filter(is_staff=True, is_superuser=True)
    assert [each.email for each in administrators] == [staff.email]


def test_two_administrators_who_demote_each_other_leave_one(staff: User) -> None:
    second = User.objects.create_superuser("second@example.com")
    User.objects.filter(pk=staff.pk).update(is_superuser=False)  # by the other, whose request was first

    with transaction.atomic(), pytest.raises(Conflict, match="Only an administrator"):
        check_demotion(second.pk, actor=user_actor(staff))
    User.objects.filter(pk=staff.pk).update(is_superuser=True, is_staff=False)
    with transaction.atomic(), pytest.raises(Conflict, match="the only administrator"):
        check_demotion(second.pk, actor=user_actor(staff))


def test_the_buttons_ask_first_and_name_whom_it_is_about(hire: Hire, owner: User) -> None:
    helper = hire("deactivate_user")

    assert f"{PEOPLE}{owner.pk}/do/deactivate/" in helper.get(f"{PEOPLE}{owner.pk}/change/").content.decode()
    for page in (helper.get(f"{PEOPLE}{owner.pk}/do/deactivate/").content.decode(), press(helper, "deactivate", owner)):
        assert owner.email in page
        assert "can no longer sign in" in page
    assert "Please enter a reason." in press(helper, "deactivate", owner, confirmed="yes", reason=" ")
    owner.refresh_from_db()
    assert owner.is_active

    assert "is closed" in press(helper, "deactivate", owner, confirmed="yes", reason="left")
    page = helper.get(f"{PEOPLE}{owner.pk}/change/").content.decode()
    assert ("do/reactivate/" in page, "do/deactivate/" in page) == (True, False)
    assert "can sign in again" in press(helper, "reactivate", owner, confirmed="yes")


def test_an_account_is_not_closed_by_editing_it(staff_client: Client, owner: User, owner_client: Client) -> None:
    staff_client.post(f"{PEOPLE}{owner.pk}/change/", {"email": owner.email, "time_zone": "UTC", "is_staff": "on"})

    owner.refresh_from_db()
    assert (owner.is_active, owner.is_staff) == (True, True)
    assert owner_client.get("/").status_code == 200
