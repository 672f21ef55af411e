"""Access of anonymous users, outsiders, owners and staff to the pages."""

import re
import uuid

import pytest
from django.test import Client
from django.urls import URLPattern, get_resolver

from chat.models import Conversation, User
from chat.tests import stored_turns
from chat.web.urls import urlpatterns

# Pages for users that are not signed in.
OPEN = {
    "login", "logout", "signup", "password_reset", "password_reset_done", "password_reset_confirm",
}  # fmt: skip
pytestmark = pytest.mark.django_db


@pytest.fixture
def chat_of_owner(owner: User) -> Conversation:
    chat = stored_turns.conversation(owner)
    stored_turns.add_turn(chat, "Buy milk for the owner only")
    return chat


def test_every_other_page_requires_a_login(client: Client) -> None:
    assert {pattern.name for pattern in urlpatterns} >= OPEN
    for pattern in urlpatterns:
        assert isinstance(pattern, URLPattern)
        if pattern.name in OPEN:
            continue
        path = "/" + re.sub(r"<uuid:\w+>", str(uuid.uuid4()), str(pattern.pattern))
        assert get_resolver().resolve(path)
        response = client.get(path)
        assert response.status_code == 302, path
        assert response["Location"].startswith("/accounts/login/?next="), path


@pytest.mark.parametrize("end", ["", "state/"])
def test_conversation_is_visible_to_its_owner_only(
    client: Client,
    owner_client: Client,
    outsider_client: Client,
    staff_client: Client,
    chat_of_owner: Conversation,
    end: str,
) -> None:
    path = f"/c/{chat_of_owner.pk}/{end}"
    assert client.get(path).status_code == 302
    page = owner_client.get(path)
    assert page.status_code == 200
    assert "Buy milk for the owner only" in page.content.decode()
    # Staff use the admin, which has its own permission and its own access log.
    for other_client in (outsider_client, staff_client):
        response = other_client.get(path)
        assert response.status_code == 404
        assert "Buy milk" not in response.content.decode()


def test_conversation_of_another_user_looks_like_a_missing_one(
    outsider_client: Client, chat_of_owner: Conversation
) -> None:
    existing = outsider_client.get(f"/c/{chat_of_owner.pk}/")
    missing = outsider_client.get(f"/c/{uuid.uuid4()}/")
    assert (existing.status_code, existing.content) == (missing.status_code, missing.content)


def test_sidebar_lists_only_own_chats_and_tasks(
    owner: User, outsider_client: Client, chat_of_owner: Conversation
) -> None:
    from chat.tasks.services import create_task

    create_task(user_id=owner.pk, title="A secret errand")
    page = outsider_client.get("/").content.decode()
    assert "Groceries" not in page
    assert "A secret errand" not in page


def test_only_staff_see_the_link_to_the_admin(owner_client: Client, staff_client: Client) -> None:
    assert 'href="/admin/"' not in owner_client.get("/").content.decode()
    assert 'href="/admin/"' in staff_client.get("/").content.decode()


@pytest.mark.parametrize(
    "path",
    ["/", "/settings/", "/nothing/", "/accounts/password/", "/accounts/login/", "/accounts/signup/"],
)
def test_pages_load_no_inline_or_external_code(client: Client, owner_client: Client, path: str) -> None:
    # The login page redirects signed-in users.
    response = (client if path in ("/accounts/login/", "/accounts/signup/") else owner_client).get(path)
    assert response.status_code == (404 if path == "/nothing/" else 200)
    policy = response["Content-Security-Policy"]
    assert "script-src 'self';" in policy + ";"
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    page = response.content.decode()
    assert "http://" not in page.replace("http://www.w3.org/", "")
    assert "https://" not in page
    assert " style=" not in page
    assert "onclick" not in page


@pytest.mark.parametrize("path", ["/", "/state/", "/c/{0}/", "/c/{0}/state/", "/settings/", "/accounts/password/"])
def test_private_pages_are_not_cached(owner_client: Client, chat_of_owner: Conversation, path: str) -> None:
    assert "no-store" in owner_client.get(path.format(chat_of_owner.pk)).headers.get("Cache-Control", "")


def test_read_only_pages_refuse_post(owner_client: Client, chat_of_owner: Conversation) -> None:
    for path in ("/", "/state/", f"/c/{chat_of_owner.pk}/", f"/c/{chat_of_owner.pk}/state/"):
        assert owner_client.post(path).status_code == 405
