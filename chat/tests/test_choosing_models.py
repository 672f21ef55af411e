"""The model of a chat: listed and chosen in the API and on the page, by its owner only."""

import json
from typing import Any

import pytest
from django.http import HttpResponse
from django.test import Client
from pytest_django import Settings

from chat.models import Conversation, User
from chat.tests.api import bearer, error_of
from chat.tests.model_entry import model_entry
from chat.tests.talk import conversation

pytestmark = pytest.mark.django_db
THREADS = "/api/chatkit/threads"


@pytest.fixture
def several(settings: Settings) -> None:
    settings.AGENT_MODELS = (model_entry("fast"), model_entry("slow"))


def call(user: User, method: str, path: str, body: object = None) -> HttpResponse:
    given: Any = {} if body is None else {"data": json.dumps(body), "content_type": "application/json"}
    answer: HttpResponse = Client().generic(method, path, headers=bearer(user, "chat"), **given)  # type: ignore[assignment]
    return answer


def test_models_are_listed_the_default_first(owner: User, several: None) -> None:
    answer = json.loads(call(owner, "GET", "/api/models").content)

    assert answer == {
        "items": [
            {"name": "fast", "label": "Fast", "is_default": True},
            {"name": "slow", "label": "Slow", "is_default": False},
        ],
        "has_more": False,
        "after": None,
    }
    assert Client().get("/api/models").status_code == 401


def test_the_built_in_model_has_no_name(owner: User) -> None:
    assert json.loads(call(owner, "GET", "/api/models").content)["items"] == []
    row = conversation(owner)
    assert json.loads(call(owner, "GET", f"{THREADS}/{row.pk}").content)["model"] is None
    assert error_of(call(owner, "PATCH", f"{THREADS}/{row.pk}", {"model": "fast"}), 400) == "bad_input"


def test_a_thread_is_made_with_a_model_and_changed(owner: User, outsider: User, several: None) -> None:
    made = json.loads(call(owner, "POST", THREADS, {"model": "slow"}).content)
    path = f"{THREADS}/{made['thread_id']}"
    assert json.loads(call(owner, "GET", path).content)["model"] == "slow"

    changed = json.loads(call(owner, "PATCH", path, {"model": "fast"}).content)
    assert (changed["model"], changed["title"]) == ("fast", "")
    both = json.loads(call(owner, "PATCH", path, {"model": "slow", "title": "Party"}).content)
    assert (both["model"], both["title"]) == ("slow", "Party")

    assert error_of(call(owner, "PATCH", path, {"model": "none", "title": "x"}), 400) == "bad_input"
    assert error_of(call(owner, "PATCH", path, {}), 422) == "invalid"
    assert error_of(call(owner, "POST", THREADS, {"model": "none"}), 400) == "bad_input"
    assert error_of(call(outsider, "PATCH", path, {"model": "fast"}), 404) == "not_found"
    row = Conversation.objects.get(pk=made["thread_id"])
    assert (row.model, row.title) == ("slow", "Party")


def test_a_name_that_is_not_configured_any_more_is_the_default(owner: User, several: None, settings: Settings) -> None:
    row = conversation(owner)
    Conversation.objects.update(model="slow")
    settings.AGENT_MODELS = (model_entry("fast"), model_entry("new"))

    assert json.loads(call(owner, "GET", f"{THREADS}/{row.pk}").content)["model"] == "fast"


def test_the_page_offers_a_choice_only_where_there_is_one(owner: User, several: None, settings: Settings) -> None:
    client = Client()
    client.force_login(owner)
    row = conversation(owner)
    Conversation.objects.update(model="slow")
    page = client.get(f"/c/{row.pk}/").content.decode()
    assert '<option value="slow" selected>Slow</option>' in page
    assert '<label for="model">Model</label>' in page

    settings.AGENT_MODELS = (model_entry("fast"),)
    assert 'id="model"' not in client.get(f"/c/{row.pk}/").content.decode()


def test_the_page_chooses_with_the_csrf_token_for_its_own_chats(owner: User, outsider: User, several: None) -> None:
    row = conversation(owner)
    path = f"/c/{row.pk}/model/"
    client = Client(enforce_csrf_checks=True)
    client.force_login(owner)
    assert client.post(path, {"model": "slow"}).status_code == 403

    client.get(f"/c/{row.pk}/")
    token = client.cookies["csrftoken"].value
    answer = client.post(path, {"model": "slow", "csrfmiddlewaretoken": token})
    assert answer.json()["conversation"]["model"] == "slow"
    refused = client.post(path, {"model": "none", "csrfmiddlewaretoken": token})
    assert (refused.status_code, refused.json()["error"]["code"]) == (400, "bad_input")

    other = Client()
    other.force_login(outsider)
    assert other.post(path, {"model": "fast"}).status_code == 404
    assert Client().post(path, {"model": "fast"}).status_code == 302
    assert Conversation.objects.get().model == "slow"
