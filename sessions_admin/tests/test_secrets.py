"""Secrets submitted in forms and API requests are neither stored nor logged."""

import json
import logging
from collections.abc import Iterator
from itertools import count
from typing import Any

import pytest
from django.contrib.auth.tokens import default_token_generator
from django.contrib.sessions.backends.db import SessionStore
from django.contrib.sessions.models import Session
from django.db import connection
from django.test import Client
from django.utils.encoding import force_bytes
from django.utils.http import urlsafe_base64_encode
from django_q.models import OrmQ
from django_q.models import Task as QueueTask
from pytest_django import Settings

from chat.models import User
from chat.tests.mail import wait_for_mail
from config.tests.support import PASSWORD

# Every column of a text, JSON or array type in every table.
COLUMNS = """
SELECT table_name, column_name FROM information_schema.columns
WHERE table_schema = 'public' AND data_type IN ('text', 'character varying', 'json', 'jsonb', 'ARRAY')
"""


class Secrets:
    """Generates secrets and searches texts for all of them."""

    def __init__(self) -> None:
        self._numbers = count(1)
        self.submitted: list[str] = []

    def __call__(self, prefix: str = "Xyzzy plugh ") -> str:
        self.submitted.append(f"{prefix}sekret{next(self._numbers)}")
        return self.submitted[-1]

    def found_in(self, text: str) -> list[str]:
        return [secret for secret in self.submitted if secret in text]


def stored_texts() -> Iterator[tuple[str, str]]:
    """Yield all data of the database as text, by its place; encoded values are decoded."""
    with connection.cursor() as cursor:
        cursor.execute(COLUMNS)
        for table, column in cursor.fetchall():
            cursor.execute(f'SELECT string_agg("{column}"::text, chr(10)) FROM "{table}"')  # noqa: S608
            yield f"{table}.{column}", cursor.fetchone()[0] or ""
    yield "logins", repr([SessionStore().decode(row.session_data) for row in Session.objects.all()])
    yield "queue", repr([row.task for row in OrmQ.objects.all()])
    yield "tasks", repr([(row.args, row.kwargs, row.result) for row in QueueTask.objects.all()])


def submit_everything(secret: Secrets, owner: User, owner_client: Client, staff_client: Client) -> None:
    client = Client()

    def api(path: str, headers: dict[str, str] | None = None, **body: Any) -> Any:
        return client.post(f"/api/auth/{path}", json.dumps(body), content_type="application/json", headers=headers)

    def check_status(response: Any) -> None:
        assert response.status_code in (200, 302, 400, 401, 409, 422), response.content

    access_token = api("login", email=owner.email, password=PASSWORD).json()["access_token"]
    api_token = api("tokens", {"Authorization": f"Bearer {access_token}"}, name="script", scopes=["tasks"]).json()[
        "access_token"
    ]
    form = {"name": "script", "scopes": ["tasks"], "days": "7"}
    token_page = owner_client.post("/settings/tokens/", form, follow=True)
    secret.submitted += [access_token, api_token, token_page.context["new_token"].key]

    for sign_in in ("/accounts/login/", "/admin/login/"):
        check_status(client.post(f"{sign_in}?next=/settings/", {"username": owner.email, "password": secret()}))
        check_status(client.post(sign_in, {"username": secret(), "password": secret()}))
        check_status(client.post(sign_in, {"username": f"{secret('')}@example.com", "password": secret()}))
    check_status(client.post("/accounts/signup/", {"email": "weak@example.com", "password": secret("")}))
    check_status(client.post("/accounts/signup/", {"email": owner.email, "password": secret()}))
    assert Client().post("/accounts/signup/", {"email": "new@example.com", "password": secret()}).status_code == 302
    passwords = {"old_password": secret(), "new_password1": secret(), "new_password2": secret()}
    check_status(owner_client.post("/accounts/password/", passwords))
    email_form = {"form": "email", "email": "other@example.com", "current_password": secret()}
    check_status(owner_client.post("/settings/", email_form))
    check_status(owner_client.post("/settings/data/delete/", {"current_password": secret()}))
    check_status(api("login", email=owner.email, password=secret()))
    check_status(api("login", email=secret(), password=secret()))
    check_status(api("register", email=owner.email, password=secret("")))
    assert api("register", email="program@example.com", password=secret()).status_code == 201
    for key in (secret(), f"tk_{secret()}"):
        check_status(client.get("/api/auth/me", headers={"Authorization": f"Bearer {key}"}))

    add = {"email": "third@example.com", "usable_password": "true", "password1": secret()}
    assert staff_client.post("/admin/chat/user/add/", add | {"password2": add["password1"]}).status_code == 302
    check_status(
        staff_client.post("/admin/chat/user/add/", add | {"email": "fourth@example.com", "password2": secret()})
    )
    third = User.objects.get(email="third@example.com")
    staff_form = {"usable_password": "true", "password1": secret(), "password2": secret()}
    check_status(staff_client.post(f"/admin/chat/user/{third.pk}/password/", staff_form))

    password_form = {"old_password": PASSWORD, "new_password1": secret()}
    password_form["new_password2"] = password_form["new_password1"]
    assert owner_client.post("/accounts/password/", password_form).status_code == 302
    owner.refresh_from_db()
    secret.submitted.append(token := default_token_generator.make_token(owner))
    page = client.get(f"/accounts/reset/{urlsafe_base64_encode(force_bytes(owner.pk))}/{token}/", follow=True)
    reset_form = {"new_password1": secret(), "new_password2": secret()}
    check_status(client.post(page.redirect_chain[-1][0], reset_form))
    reset_form["new_password2"] = reset_form["new_password1"]
    assert client.post(page.redirect_chain[-1][0], reset_form).status_code == 302


@pytest.mark.django_db
def test_submitted_secrets_are_neither_stored_nor_logged(
    owner: User,
    owner_client: Client,
    staff_client: Client,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
) -> None:
    caplog.set_level(logging.DEBUG)
    secret = Secrets()

    submit_everything(secret, owner, owner_client, staff_client)

    assert len(secret.submitted) > 30
    places = dict(stored_texts())
    assert {"axes_accessattempt.post_data", "django_cache.value", "chat_apitoken.hash"} <= set(places)
    assert {place: found for place, text in places.items() if (found := secret.found_in(text))} == {}
    printed = capfd.readouterr()
    # An SQL statement is logged with its values only while DEBUG is on.
    assert secret.found_in(caplog.text + printed.out + printed.err) == []


@pytest.mark.django_db(transaction=True)
def test_tokens_of_mailed_links_are_not_stored(
    owner: User, client: Client, settings: Settings, mailoutbox: Any
) -> None:
    settings.EMAIL_URL = "console://"
    client.post("/accounts/reset/", {"email": owner.email})
    client.post("/accounts/signup/", {"email": "new@example.com"})
    wait_for_mail()
    links = [word for mail in mailoutbox for word in mail.body.split() if "/accounts/" in word]
    tokens = [link.strip("/").rpartition("/")[2] for link in links]
    assert len(tokens) == 2
    assert {place for place, text in stored_texts() for token in tokens if token in text} == set()
