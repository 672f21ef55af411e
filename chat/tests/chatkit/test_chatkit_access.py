"""Authentication, permissions and error responses of the ChatKit endpoint."""

import json
import uuid
from typing import Any, get_args

import pytest
from agents.testing import ScriptedModel, assistant_message
from chatkit.types import NonStreamingReq, StreamingReq
from django.conf import LazySettings
from django.test import AsyncClient, Client

from chat.api.chatkit import ChatKitRequest
from chat.api.streams import open_streams
from chat.conversations import services as conversations
from chat.infra.db_threads import in_database
from chat.models import Conversation, Message, Turn, User
from chat.realtime.connections import Credential
from chat.tests import stored_turns
from chat.tests.api import bearer
from chat.tests.api import error_code as code_of
from chat.tests.chatkit.front_end import (
    PATH,
    FrontEnd,
    completed_item,
    error_message,
    event_types,
    front_end,
    message,
    unknown_id,
)
from chat.tests.conftest import Chat, StartRunner
from chat.turns import process

ACTION = {"type": "turn.stop", "payload": None}
AUDIO = {"audio_base64": "aGVsbG8=", "mime_type": "audio/webm"}
FILE = {"name": "a.txt", "size": 1, "mime_type": "text/plain"}


@pytest.fixture
async def chat(start_runner: StartRunner, script: ScriptedModel, owner: User, monkeypatch: pytest.MonkeyPatch) -> Chat:
    """A conversation of the owner, and the runner of this process."""
    runner = await start_runner(script)
    monkeypatch.setattr(process, "_runner", runner)

    def fill() -> Conversation:
        conversation = stored_turns.conversation(owner)
        stored_turns.add_turn(conversation, "Hello", "Hi.")
        return conversation

    return Chat(runner, owner, (await in_database(fill)).pk)


def requests(thread_id: object, item_id: object) -> dict[str, dict[str, Any]]:
    """Return the parameters of one request of each type about an item of a thread."""
    thread, item = {"thread_id": str(thread_id)}, {"item_id": str(item_id)}
    return {
        "threads.get_by_id": thread,
        "threads.update": {**thread, "title": "Mine"},
        "threads.delete": thread,
        "threads.add_user_message": {**thread, "input": message("Hello")},
        "threads.retry_after_item": {**thread, **item},
        "threads.custom_action": {**thread, "action": ACTION},
        "items.list": thread,
    }


async def test_thread_of_another_user_gets_404_and_is_unchanged(chat: Chat, outsider: User) -> None:
    kit = await front_end(outsider)
    prompt = await in_database(lambda: str(Turn.objects.get().prompt_id))
    for kind, params in requests(chat.conversation_id, prompt).items():
        response = await kit.post(kind, **params)
        assert code_of(response, 404) == "not_found", kind
        unknown = await kit.post(kind, **requests(unknown_id(), unknown_id())[kind])
        assert unknown.json() == response.json(), kind
    assert (await kit.request_json("threads.list"))["data"] == []
    row = await in_database(Conversation.objects.get)
    assert (row.title, row.trashed_at, row.last_position) == ("Groceries", None, 2)


async def test_missing_credentials_get_401_and_wrong_scope_gets_403(chat: Chat) -> None:
    for kind, params in requests(chat.conversation_id, unknown_id()).items():
        assert code_of(await FrontEnd().post(kind, **params), 401) == "not_signed_in"
    key = await in_database(bearer, chat.user, "tasks")
    assert code_of(await FrontEnd(headers=key).post("threads.list"), 403) == "forbidden"


@pytest.mark.django_db
def test_login_session_needs_a_csrf_header(owner: User) -> None:
    client = Client(enforce_csrf_checks=True)
    client.force_login(owner, backend="django.contrib.auth.backends.ModelBackend")
    body = json.dumps({"type": "threads.list", "params": {}})
    assert code_of(client.post(PATH, body, content_type="application/json"), 403) == "csrf_failed"
    client.get("/settings/")
    header = {"X-CSRFToken": client.cookies["csrftoken"].value}
    response = client.post(PATH, body, content_type="application/json", headers=header)
    assert response.json() == {"data": [], "has_more": False}


async def test_login_session_can_send_messages(
    chat: Chat, async_owner_client: AsyncClient, script: ScriptedModel
) -> None:
    script.enqueue([assistant_message("Gladly.")])
    kit = FrontEnd(async_owner_client)
    assert (
        completed_item(await kit.send_message(chat.conversation_id, "Please"), "assistant_message")["content"][0][
            "text"
        ]
        == "Gladly."
    )


async def test_thread_is_read_renamed_and_trashed(chat: Chat) -> None:
    kit, thread = await front_end(chat.user), {"thread_id": str(chat.conversation_id)}
    thread_json = await kit.request_json("threads.get_by_id", **thread)
    assert thread_json == {
        "id": thread["thread_id"],
        "title": "Groceries",
        "created_at": thread_json["created_at"],
        "status": {"type": "active"},
        "metadata": {},
        "items": {"data": await kit.items(thread["thread_id"]), "has_more": False},
    }
    assert (await kit.request_json("threads.update", **thread, title=" Week plan "))["id"] == thread["thread_id"]
    assert (await in_database(Conversation.objects.get)).title == "Week plan"
    for title, code in [("", "bad_input"), ("x" * 101, "too_long")]:
        assert code_of(await kit.post("threads.update", **thread, title=title), 400) == code

    assert await kit.request_json("threads.delete", **thread) == {}
    assert (await in_database(Conversation.objects.get)).trashed_at is not None
    for kind, params in requests(chat.conversation_id, unknown_id()).items():
        if kind != "threads.delete":
            assert code_of(await kit.post(kind, **params), 404) == "not_found", kind
    assert await in_database(Message.objects.count) == 2
    await in_database(conversations.restore, user_id=chat.user.pk, conversation_id=chat.conversation_id)
    assert len(await kit.items(chat.conversation_id)) == 2


async def test_unsupported_requests_and_actions_are_rejected(chat: Chat) -> None:
    kit, thread = await front_end(chat.user), {"thread_id": str(chat.conversation_id)}
    json_requests: dict[str, dict[str, Any]] = {
        "attachments.create": FILE,
        "attachments.delete": {"attachment_id": "file_1"},
        "input.transcribe": AUDIO,
        "items.feedback": {**thread, "item_ids": [unknown_id()], "kind": "positive"},
        "threads.sync_custom_action": {**thread, "action": ACTION},
    }
    for kind, params in json_requests.items():
        assert code_of(await kit.post(kind, **params), 400) == "bad_input", kind
    invalid_audio = {**AUDIO, "audio_base64": "x"}
    assert code_of(await kit.post("input.transcribe", **invalid_audio), 400) == "bad_input"
    stream_requests: dict[str, dict[str, Any]] = {
        "threads.add_client_tool_output": {**thread, "result": 1},
        "threads.add_structured_input": {**thread, "item_id": "x", "input": {}},
        "threads.custom_action": {**thread, "action": {"type": "order.pizza", "payload": {}}},
    }
    for kind, params in stream_requests.items():
        assert error_message(await kit.events(kind, **params)).endswith("."), kind
    for payload in (None, {}, {"turn_id": unknown_id(), "call_id": "c", "approve": "yes"}, {"turn_id": 1}):
        assert error_message(await kit.send_action(chat.conversation_id, "approval.decide", payload)).startswith(
            "A decision needs"
        )
    unknown = {"turn_id": unknown_id(), "call_id": "c", "approve": True}
    assert error_message(await kit.send_action(chat.conversation_id, "approval.decide", unknown)).startswith(
        "There is no such item"
    )


async def test_invalid_requests_are_rejected(chat: Chat) -> None:
    kit = await front_end(chat.user)
    assert code_of(await kit.post("threads.explode"), 422) == "invalid"
    response = await kit.post("threads.add_user_message", thread_id=1, input=message("Hello"))
    assert code_of(response, 400) == "invalid"
    assert response.json()["error"]["fields"] == {"params.thread_id": "It needs to be a text"}
    for body in ("", "{", "[]", "null", '{"type": 1}'):
        response = await kit.client.post(PATH, body, content_type="application/json", headers=kit.headers)
        assert response.status_code in (400, 422), body
        code_of(response, response.status_code)


def test_schema_lists_every_request_type_of_the_protocol() -> None:
    known = {get_args(kind.model_fields["type"].annotation)[0] for kind in get_args(StreamingReq | NonStreamingReq)}
    assert set(get_args(ChatKitRequest.model_fields["type"].annotation)) == known


async def test_idempotency_key_gives_no_access_to_another_users_thread(chat: Chat, outsider: User) -> None:
    """The ID of a new thread is derived from the idempotency key and the user."""
    kit = await front_end(outsider)
    kit.headers["Idempotency-Key"] = str(uuid.uuid4())
    response = await kit.post("threads.add_user_message", thread_id=str(chat.conversation_id), input=message("Mine"))
    assert code_of(response, 404) == "not_found"
    assert await in_database(Message.objects.count) == 2


async def test_full_stream_limit_rejects_all_streams_except_turn_stop(
    chat: Chat, owner: User, settings: LazySettings
) -> None:
    settings.SOCKETS_PER_USER = 1
    kit = await front_end(owner)
    thread, decision = str(chat.conversation_id), {"type": "approval.decide", "payload": {}}
    slot = open_streams.reserve(Credential(owner, "", None))
    try:
        for kind, params in (
            ("threads.create", {"input": message("Hello")}),
            ("threads.add_user_message", {"thread_id": thread, "input": message("Hello")}),
            ("threads.custom_action", {"thread_id": thread, "action": decision}),
        ):
            assert code_of(await kit.post(kind, **params), 429) == "rate_limited"
        assert event_types(await kit.send_action(thread, "turn.stop")) == ["stream_options"]
        assert await kit.request_json("items.list", thread_id=thread)
    finally:
        slot.release()
    assert "error" in event_types(await kit.events("threads.custom_action", thread_id=thread, action=decision))
