"""A person sees who looked, takes their data along, and deletes their account."""

from collections.abc import AsyncIterator
from datetime import timedelta
from io import BytesIO
from pathlib import Path
from typing import cast
from zipfile import ZipFile

import pytest
import time_machine
from asgiref.sync import sync_to_async
from django.contrib.sessions.models import Session
from django.db import connections
from django.test import AsyncClient, Client
from django.utils import timezone

from chat.models import Conversation, Task, TaskCounter, User
from config.tests.support import PASSWORD
from sessions_admin import audit
from sessions_admin.models import Action, AuditRecord
from sessions_admin.sessions.lifecycle import hold_session
from sessions_admin.tests.conftest import GivenSession, stored

PAGE, EXPORT, DELETE = "/settings/data/", "/settings/data/export/", "/settings/data/delete/"


def test_the_page_says_who_looked_when_and_why(
    owner: User, owner_client: Client, outsider_client: Client, given_session: GivenSession, staff: User
) -> None:
    session = given_session(owner, title="Summer party")
    assert "No administrator has viewed your chats." in owner_client.get(PAGE).content.decode()
    audit.record(
        Action.INSPECT, actor=str(staff.pk), person=owner.pk, session_id=session.session_id, reason="It got <stuck>"
    )

    answer = owner_client.get(PAGE)
    page = answer.content.decode()

    assert "no-store" in answer["Cache-Control"]
    assert f'<a href="/c/{session.conversation_id}/">Summer party</a>' in page
    assert "It got &lt;stuck&gt;" in page
    assert f"{timezone.now():%Y}" in page
    assert staff.email not in page
    assert "No administrator has viewed your chats." in outsider_client.get(PAGE).content.decode()


def test_the_settings_lead_there_and_tell_of_a_look_for_a_month(owner: User, owner_client: Client) -> None:
    assert f'href="{PAGE}"' in owner_client.get("/settings/").content.decode()
    assert "viewed your chats" not in owner_client.get("/settings/").content.decode()
    audit.record(Action.EXPORT, actor=str(owner.pk), person=owner.pk)  # by themself
    assert "viewed your chats" not in owner_client.get("/settings/").content.decode()

    audit.record(Action.INSPECT, actor="os:root", person=owner.pk, reason="stuck")
    assert "viewed your chats in the last 30 days" in owner_client.get("/settings/").content.decode()

    with time_machine.travel(timezone.now() + timedelta(days=31)):
        owner_client.force_login(owner, backend="django.contrib.auth.backends.ModelBackend")
        assert "viewed your chats" not in owner_client.get("/settings/").content.decode()


def test_the_download_is_ones_own(owner: User, owner_client: Client, given_session: GivenSession) -> None:
    given_session(owner, title="Summer party")
    answer = owner_client.post(EXPORT)
    with ZipFile(BytesIO(b"".join(answer.streaming_content))) as archive:  # type: ignore[attr-defined]
        assert b"Summer party" in archive.read("everything.json")
    assert owner_client.get(EXPORT).status_code == 405


@pytest.mark.django_db(transaction=True)
async def test_a_server_sends_it_a_piece_at_a_time(owner: User, session_file: Path) -> None:
    browser = AsyncClient()
    await browser.aforce_login(owner, backend="django.contrib.auth.backends.ModelBackend")

    answer = await browser.post(EXPORT)

    assert answer.is_async  # type: ignore[attr-defined]
    pieces = cast(AsyncIterator[bytes], answer.streaming_content)  # type: ignore[attr-defined]
    data = b"".join([piece async for piece in pieces])
    assert len(data) == int(answer["Content-Length"])
    assert ZipFile(BytesIO(data)).testzip() is None
    await sync_to_async(connections.close_all)()


def test_an_account_is_deleted_with_the_password_and_says_goodbye(
    owner: User, owner_client: Client, given_session: GivenSession, session_file: Path
) -> None:
    session = given_session(owner)
    Task.objects.create(user=owner, number=TaskCounter.take(owner.pk), title="Buy a cake")

    wrong = owner_client.post(DELETE, {"current_password": "wrong"})
    assert (wrong.status_code, User.objects.count()) == (422, 1)
    assert "That is not your current password." in wrong.content.decode()

    goodbye = owner_client.post(DELETE, {"current_password": PASSWORD})

    assert "Goodbye" in goodbye.content.decode()
    assert goodbye.cookies["sessionid"].value == ""
    assert (User.objects.count(), Conversation.objects.count(), Task.objects.count()) == (0, 0, 0)
    assert not Session.objects.exists()
    assert stored(session_file, session.session_id) == [0, 0, 0]
    assert owner_client.get("/").status_code == 302
    record = AuditRecord.objects.first()
    assert record is not None
    assert (record.action, record.actor, record.person) == ("erase", str(owner.pk), str(owner.pk))


def test_with_something_held_the_account_is_closed_and_the_rest_goes(
    owner: User, owner_client: Client, given_session: GivenSession, session_file: Path
) -> None:
    held, other = given_session(owner), given_session(owner)
    hold_session(held.session_id, actor="os:root", reason="a court asked")

    goodbye = owner_client.post(DELETE, {"current_password": PASSWORD}).content.decode()

    assert "has placed a hold on one of your chats" in goodbye
    assert "a court asked" not in goodbye
    assert stored(session_file, held.session_id)[0] == 4
    assert stored(session_file, other.session_id)[0] == 0
    owner.refresh_from_db()
    assert not owner.is_active


def test_the_only_administrator_is_told_why_not(staff: User, staff_client: Client, session_file: Path) -> None:
    answer = staff_client.post(DELETE, {"current_password": PASSWORD})
    assert answer.status_code == 409
    assert "This is the only administrator" in answer.content.decode()
    assert User.objects.get().is_active


def test_guessing_the_password_here_is_limited_too(owner_client: Client) -> None:
    assert [owner_client.post(DELETE, {"current_password": "wrong"}).status_code for _ in range(10)][-1] == 429


def test_nobody_comes_here_who_is_not_signed_in(client: Client, owner: User) -> None:
    answers = [client.get(PAGE), client.post(EXPORT), client.post(DELETE, {"current_password": PASSWORD})]
    assert [answer.status_code for answer in answers] == [302] * 3
    assert all("/accounts/login/" in answer["Location"] for answer in answers)
    assert User.objects.filter(pk=owner.pk).exists()


def test_the_forms_need_their_token(owner: User) -> None:
    browser = Client(enforce_csrf_checks=True)
    browser.force_login(owner, backend="django.contrib.auth.backends.ModelBackend")
    assert [browser.post(page, {"current_password": PASSWORD}).status_code for page in (EXPORT, DELETE)] == [403, 403]
    assert User.objects.exists()
