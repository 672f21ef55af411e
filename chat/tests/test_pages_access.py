"""Who may see which page."""

import re
import uuid

import pytest
from django.test import Client
from django.urls import URLPattern, get_resolver

from chat.models import Conversation, User
from chat.tests import talk
from chat.web.urls import urlpatterns

# The pages one needs before one is signed in.
OPEN = {
    "login", "logout", "signup", "password_reset", "password_reset_done", "password_reset_confirm",
}  # fmt: skip
pytestmark = pytest.mark.django_db


@pytest.fixture
def chat_of_owner(owner: User) -> Conversation:
    begun = talk.conversation(owner)
    talk.say(begun, "Buy milk for the owner only")
    return begun


def test_every_page_but_the_way_in_needs_a_login(client: Client) -> None:
    assert {pattern.name for pattern in urlpatterns} >= OPEN
    for pattern in urlpatterns:
        assert isinstance(pattern, URLPattern)
        if pattern.name in OPEN:
            continue
        path = "/" + re.sub(r"<uuid:\w+>", str(uuid.uuid4()), str(pattern.pattern))
        assert get_resolver().resolve(path)
        answer = client.get(path)
        assert answer.status_code == 302, path
        assert answer["Location"].startswith("/accounts/login/?next="), path


@pytest.mark.parametrize("end", ["", "state/"])
def test_a_conversation_is_its_owners(
    client: Client,
    owner_client: Client,
    outsider_client: Client,
    staff_client: Client,
    chat_of_owner: Conversation,
    end: str,
) -> None:
    path = f"/c/{chat_of_owner.pk}/{end}"
    assert client.get(path).status_code == 302
    seen = owner_client.get(path)
    assert seen.status_code == 200
    assert "Buy milk for the owner only" in seen.content.decode()
    # Staff have the admin, with its own permission and its own record of who looked.
    for somebody in (outsider_client, staff_client):
        answer = somebody.get(path)
        assert answer.status_code == 404
        assert "Buy milk" not in answer.content.decode()


def test_nothing_tells_somebody_elses_conversation_from_none(
    outsider_client: Client, chat_of_owner: Conversation
) -> None:
    theirs = outsider_client.get(f"/c/{chat_of_owner.pk}/")
    none = outsider_client.get(f"/c/{uuid.uuid4()}/")
    assert (theirs.status_code, theirs.content) == (none.status_code, none.content)


def test_the_lists_beside_the_chat_are_ones_own(
    owner: User, outsider_client: Client, chat_of_owner: Conversation
) -> None:
    from chat.tasks.services import create_task

    create_task(user_id=owner.pk, title="A secret errand")
    page = outsider_client.get("/").content.decode()
    assert "Groceries" not in page
    assert "A secret errand" not in page


def test_only_staff_are_shown_the_way_to_the_admin(owner_client: Client, staff_client: Client) -> None:
    assert 'href="/admin/"' not in owner_client.get("/").content.decode()
    assert 'href="/admin/"' in staff_client.get("/").content.decode()


@pytest.mark.parametrize(
    "path",
    ["/", "/settings/", "/nothing/", "/accounts/password/", "/accounts/login/", "/accounts/signup/"],
)
def test_no_page_runs_or_fetches_anything_foreign(client: Client, owner_client: Client, path: str) -> None:
    # Who is signed in is sent on from the page at which one signs in.
    answer = (client if path in ("/accounts/login/", "/accounts/signup/") else owner_client).get(path)
    assert answer.status_code == (404 if path == "/nothing/" else 200)
    policy = answer["Content-Security-Policy"]
    assert "script-src 'self';" in policy + ";"
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    page = answer.content.decode()
    assert "http://" not in page.replace("http://www.w3.org/", "")
    assert "https://" not in page
    assert " style=" not in page
    assert "onclick" not in page


@pytest.mark.parametrize("path", ["/", "/state/", "/c/{0}/", "/c/{0}/state/", "/settings/", "/accounts/password/"])
def test_pages_of_a_person_are_not_kept_by_caches(owner_client: Client, chat_of_owner: Conversation, path: str) -> None:
    assert "no-store" in owner_client.get(path.format(chat_of_owner.pk)).headers.get("Cache-Control", "")


def test_pages_only_answer_what_they_are_for(owner_client: Client, chat_of_owner: Conversation) -> None:
    for path in ("/", "/state/", f"/c/{chat_of_owner.pk}/", f"/c/{chat_of_owner.pk}/state/"):
        assert owner_client.post(path).status_code == 405
