"""Two members of staff act on the same rows at once, or on rows that another one has removed."""

import threading
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from django.db import connection
from django.test import Client

from chat.exceptions import Conflict, NotFound
from chat.models import AgentSession, Conversation, User
from config.tests.support import PASSWORD
from sessions_admin.people import accounts
from sessions_admin.people.erase import erase_person
from sessions_admin.sessions import lifecycle
from sessions_admin.tests.conftest import MakeSession

SESSIONS, USERS, TOKENS = "/admin/chat/agentsession/", "/admin/chat/user/", "/admin/chat/apitoken/"
NOBODY = uuid.UUID(int=1)


@contextmanager
def in_another_request(act: Callable[[], object], *, before: str) -> Iterator[None]:
    """Act once on another connection, just before a statement with these words."""
    waiting = [act]

    def run() -> None:
        try:
            waiting.pop()()
        finally:
            connection.close()

    def watch(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        if before in sql and waiting:
            thread = threading.Thread(target=run)
            thread.start()
            thread.join()
        return execute(sql, params, many, context)

    with connection.execute_wrapper(watch):
        yield
    assert not waiting


@pytest.mark.parametrize(
    ("page", "action", "row", "noun"),
    [
        (USERS, "deactivate", NOBODY, "user"),
        (USERS, "erase", NOBODY, "user"),
        (TOKENS, "revoke", NOBODY, "token"),
        (SESSIONS, "hold", 1, "session"),
        (SESSIONS, "export", 1, "session"),
    ],
)
@pytest.mark.parametrize("confirmed", [{}, {"confirmed": "yes", "reason": "asked"}], ids=["first", "confirmed"])
def test_action_on_a_removed_row_is_reported(
    staff_client: Client, page: str, action: str, row: object, noun: str, confirmed: dict[str, str]
) -> None:
    response = staff_client.post(page, {"action": action, "_selected_action": row, **confirmed}, follow=True)
    assert f"Not in this list any more: 1 {noun}." in response.text


@pytest.mark.django_db(transaction=True)
def test_action_on_a_session_that_is_removed_meanwhile_is_refused(make_session: MakeSession, owner: User) -> None:
    session = make_session(owner)

    def remove() -> None:
        AgentSession.objects.all().delete()
        Conversation.objects.all().delete()

    with in_another_request(remove, before="FOR NO KEY UPDATE"), pytest.raises(NotFound):
        lifecycle.hold_session(session.session_id, actor="os:root", reason="court order")


@pytest.mark.django_db(transaction=True)
def test_value_that_another_request_saves_first_is_an_error_of_the_form(staff_client: Client) -> None:
    form = {"email": "anna@example.com", "usable_password": "true", "password1": PASSWORD, "password2": PASSWORD}
    with in_another_request(lambda: User.objects.create_user("anna@example.com"), before='INSERT INTO "chat_user"'):
        response = staff_client.post(f"{USERS}add/", form)
    errors = response.context["adminform"].form.errors
    assert (response.status_code, list(errors)) == (200, ["email"])


def test_hold_until_the_last_day_of_the_calendar_is_refused(
    staff_client: Client, make_session: MakeSession, owner: User
) -> None:
    chosen = {"_selected_action": make_session(owner).pk, "confirmed": "yes", "reason": "court order"}
    response = staff_client.post(SESSIONS, {"action": "hold", "until": "9999-12-31", **chosen})
    assert "A hold can last at most 100 years" in response.text


@pytest.mark.django_db(transaction=True)
def test_account_of_an_erased_person_stays_closed(make_session: MakeSession, owner: User) -> None:
    lifecycle.hold_session(make_session(owner).session_id, actor="os:root", reason="court order")
    erase_person(owner.pk, actor="os:root", reason="asked")
    with pytest.raises(Conflict, match="erased"):
        accounts.reactivate_person(owner.pk, actor="os:root")
