"""Models are listed and chosen per chat, in the API and on the page, by the chat's owner only."""

import json
from typing import Any

import pytest
from django.http import HttpResponse
from django.test import Client
from pytest_django import Settings

from chat.models import Conversation, User
from chat.tests.api import bearer, error_code
from chat.tests.model_entry import model_entry
from chat.tests.stored_turns import conversation

pytestmark = pytest.mark.django_db
THREADS = "/api/chatkit/threads"


@pytest.fixture
def two_models(settings: Settings) -> None:
    settings.AGENT_MODELS = (model_entry("fast"), model_entry("slow"))


def call(user: User, method: str, path: str, body: object = None) -> HttpResponse:
    request: Any = {} if body is None else {"data": json.dumps(body), "content_type": "application/json"}
    response: HttpResponse = Client().generic(method, path, headers=bearer(user, "chat"), **request)  # type: ignore[assignment]
    return response


def test_models_are_listed_with_the_default_first(owner: User, two_models: None) -> None:
    response = json.loads(call(owner, "GET", "/api/models").content)

    assert response == {
        "items": [
            {"name": "fast", "label": "Fast", "is_default": True},
            {"name": "slow", "label": "Slow", "is_default": False},
        ],
        "has_more": False,
        "after": None,
    }
    assert Client().get("/api/models").status_code == 401


def test_built_in_model_is_not_listed(owner: User) -> None:
    assert json.loads(call(owner, "GET", "/api/models").content)["items"] == []
    row = conversation(owner)
    assert json.loads(call(owner, "GET", f"{THREADS}/{row.pk}").content)["model"] is None
    assert error_code(call(owner, "PATCH", f"{THREADS}/{row.pk}", {"model": "fast"}), 400) == "bad_input"


def test_thread_is_created_with_a_model_and_changed(owner: User, outsider: User, two_models: None) -> None:
    created = json.loads(call(owner, "POST", THREADS, {"model": "slow"}).content)
    path = f"{THREADS}/{created['thread_id']}"
    assert json.loads(call(owner, "GET", path).content)["model"] == "slow"

    changed = json.loads(call(owner, "PATCH", path, {"model": "fast"}).content)
    assert (changed["model"], changed["title"]) == ("fast", "")
    both = json.loads(call(owner, "PATCH", path, {"model": "slow", "title": "Party"}).content)
    assert (both["model"], both["title"]) == ("slow", "Party")

    assert error_code(call(owner, "PATCH", path, {"model": "none", "title": "x"}), 400) == "bad_input"
    assert error_code(call(owner, "PATCH", path, {}), 422) == "invalid"
    assert error_code(call(owner, "POST", THREADS, {"model": "none"}), 400) == "bad_input"
    assert error_code(call(outsider, "PATCH", path, {"model": "fast"}), 404) == "not_found"
    row = Conversation.objects.get(pk=created["thread_id"])
    assert (row.model, row.title) == ("slow", "Party")


def test_removed_model_falls_back_to_the_default(owner: User, two_models: None, settings: Settings) -> None:
    row = conversation(owner)
    Conversation.objects.update(model="slow")
    settings.AGENT_MODELS = (model_entry("fast"), model_entry("new"))

    assert json.loads(call(owner, "GET", f"{THREADS}/{row.pk}").content)["model"] == "fast"


def test_page_offers_models_only_if_there_are_several(owner: User, two_models: None, settings: Settings) -> None:
    client = Client()
    client.force_login(owner)
    row = conversation(owner)
    Conversation.objects.update(model="slow")
    page = client.get(f"/c/{row.pk}/").content.decode()
    assert '<option value="slow" selected>Slow</option>' in page
    assert '<label for="model">Model</label>' in page

    settings.AGENT_MODELS = (model_entry("fast"),)
    assert 'id="model"' not in client.get(f"/c/{row.pk}/").content.decode()


def test_page_changes_the_model_of_own_chats_with_csrf_token(owner: User, outsider: User, two_models: None) -> None:
    row = conversation(owner)
    path = f"/c/{row.pk}/model/"
    client = Client(enforce_csrf_checks=True)
    client.force_login(owner)
    assert client.post(path, {"model": "slow"}).status_code == 403

    client.get(f"/c/{row.pk}/")
    token = client.cookies["csrftoken"].value
    response = client.post(path, {"model": "slow", "csrfmiddlewaretoken": token})
    assert response.json()["conversation"]["model"] == "slow"
    refused = client.post(path, {"model": "none", "csrfmiddlewaretoken": token})
    assert (refused.status_code, refused.json()["error"]["code"]) == (400, "bad_input")

    other = Client()
    other.force_login(outsider)
    assert other.post(path, {"model": "fast"}).status_code == 404
    assert Client().post(path, {"model": "fast"}).status_code == 302
    assert Conversation.objects.get().model == "slow"
