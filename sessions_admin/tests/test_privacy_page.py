"""Users see when staff inspected their chats, export their data and delete their account."""

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
from sessions_admin.tests.conftest import MakeSession, count_rows

PAGE, EXPORT, DELETE = "/settings/data/", "/settings/data/export/", "/settings/data/delete/"


def test_page_lists_staff_accesses_with_date_and_reason(
    owner: User, owner_client: Client, outsider_client: Client, make_session: MakeSession, staff: User
) -> None:
    session = make_session(owner, title="Summer party")
    assert "No administrator has viewed your chats." in owner_client.get(PAGE).content.decode()
    audit.record(
        Action.INSPECT, actor=str(staff.pk), person=owner.pk, session_id=session.session_id, reason="It got <stuck>"
    )

    response = owner_client.get(PAGE)
    page = response.content.decode()

    assert "no-store" in response["Cache-Control"]
    assert f'<a href="/c/{session.conversation_id}/">Summer party</a>' in page
    assert "It got &lt;stuck&gt;" in page
    assert f"{timezone.now():%Y}" in page
    assert staff.email not in page
    assert "No administrator has viewed your chats." in outsider_client.get(PAGE).content.decode()


def test_settings_mention_a_staff_access_for_30_days(owner: User, owner_client: Client) -> None:
    assert f'href="{PAGE}"' in owner_client.get("/settings/").content.decode()
    assert "viewed your chats" not in owner_client.get("/settings/").content.decode()
    audit.record(Action.EXPORT, actor=str(owner.pk), person=owner.pk)  # by the user
    assert "viewed your chats" not in owner_client.get("/settings/").content.decode()

    audit.record(Action.INSPECT, actor="os:root", person=owner.pk, reason="stuck")
    assert "viewed your chats in the last 30 days" in owner_client.get("/settings/").content.decode()

    with time_machine.travel(timezone.now() + timedelta(days=31)):
        owner_client.force_login(owner, backend="django.contrib.auth.backends.ModelBackend")
        assert "viewed your chats" not in owner_client.get("/settings/").content.decode()


def test_download_contains_own_data_and_requires_post(
    owner: User, owner_client: Client, make_session: MakeSession
) -> None:
    make_session(owner, title="Summer party")
    response = owner_client.post(EXPORT)
    with ZipFile(BytesIO(b"".join(response.streaming_content))) as archive:  # type: ignore[attr-defined]
        assert b"Summer party" in archive.read("everything.json")
    assert owner_client.get(EXPORT)["Location"] == "/settings/data/"


@pytest.mark.django_db(transaction=True)
async def test_asgi_server_streams_the_download(owner: User, session_file: Path) -> None:
    browser = AsyncClient()
    await browser.aforce_login(owner, backend="django.contrib.auth.backends.ModelBackend")

    response = await browser.post(EXPORT)

    assert response.is_async  # type: ignore[attr-defined]
    chunks = cast(AsyncIterator[bytes], response.streaming_content)  # type: ignore[attr-defined]
    data = b"".join([chunk async for chunk in chunks])
    assert len(data) == int(response["Content-Length"])
    assert ZipFile(BytesIO(data)).testzip() is None
    await sync_to_async(connections.close_all)()


def test_account_is_deleted_after_password_confirmation(
    owner: User, owner_client: Client, make_session: MakeSession, session_file: Path
) -> None:
    session = make_session(owner)
    Task.objects.create(user=owner, number=TaskCounter.take(owner.pk), title="Buy a cake")

    refused = owner_client.post(DELETE, {"current_password": "wrong"})
    assert (refused.status_code, User.objects.count()) == (422, 1)
    assert "That is not your current password." in refused.content.decode()

    deleted = owner_client.post(DELETE, {"current_password": PASSWORD})

    assert "Goodbye" in deleted.content.decode()
    assert deleted.cookies["sessionid"].value == ""
    assert (User.objects.count(), Conversation.objects.count(), Task.objects.count()) == (0, 0, 0)
    assert not Session.objects.exists()
    assert count_rows(session_file, session.session_id) == [0, 0, 0]
    assert owner_client.get("/").status_code == 302
    record = AuditRecord.objects.first()
    assert record is not None
    assert (record.action, record.actor, record.person) == ("erase", str(owner.pk), str(owner.pk))


def test_account_with_a_held_session_is_closed_and_other_data_deleted(
    owner: User, owner_client: Client, make_session: MakeSession, session_file: Path
) -> None:
    held, other = make_session(owner), make_session(owner)
    hold_session(held.session_id, actor="os:root", reason="a court asked")

    page = owner_client.post(DELETE, {"current_password": PASSWORD}).content.decode()

    assert "has placed a hold on one of your chats" in page
    assert "a court asked" not in page
    assert count_rows(session_file, held.session_id)[0] == 4
    assert count_rows(session_file, other.session_id)[0] == 0
    owner.refresh_from_db()
    assert not owner.is_active


def test_only_administrator_cannot_delete_their_account(staff: User, staff_client: Client, session_file: Path) -> None:
    response = staff_client.post(DELETE, {"current_password": PASSWORD})
    assert response.status_code == 409
    assert "This is the only administrator" in response.content.decode()
    assert User.objects.get().is_active


def test_password_attempts_on_the_delete_form_are_limited(owner_client: Client) -> None:
    assert [owner_client.post(DELETE, {"current_password": "wrong"}).status_code for _ in range(10)][-1] == 429


def test_anonymous_user_is_redirected_to_login(client: Client, owner: User) -> None:
    responses = [client.get(PAGE), client.post(EXPORT), client.post(DELETE, {"current_password": PASSWORD})]
    assert [response.status_code for response in responses] == [302] * 3
    assert all("/accounts/login/" in response["Location"] for response in responses)
    assert User.objects.filter(pk=owner.pk).exists()


def test_forms_require_a_csrf_token(owner: User) -> None:
    browser = Client(enforce_csrf_checks=True)
    browser.force_login(owner, backend="django.contrib.auth.backends.ModelBackend")
    assert [browser.post(page, {"current_password": PASSWORD}).status_code for page in (EXPORT, DELETE)] == [403, 403]
    assert User.objects.exists()
