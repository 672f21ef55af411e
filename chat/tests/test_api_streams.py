"""Turns over the API: the events of a stream, its end, and stop, retry and approval."""

import asyncio
import gc
import json
import logging
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, cast

import pytest
from agents.testing import ScriptedModel, assistant_message
from asgiref.sync import sync_to_async
from django.conf import LazySettings
from django.db import connection, connections
from django.test import AsyncClient

from chat.accounts import tokens
from chat.api import streams
from chat.api.streams import open_streams
from chat.infra.db_threads import in_database
from chat.models import Conversation, Turn, User
from chat.models.turn import Status
from chat.realtime import connections as realtime_connections
from chat.tasks import services as tasks
from chat.tests.api import bearer, error_code
from chat.tests.approvals import DELETE
from chat.tests.conftest import Chat, Gate, StartRunner
from chat.tests.streams import Reader, read
from chat.turns import process
from chat.turns.events import reply_id

THREADS = "/api/chatkit/threads"


def rename_table(table: str, name: str) -> None:
    """Rename a table; until it has its name back, queries of it fail."""
    with connection.cursor() as cursor:
        cursor.execute(f"ALTER TABLE {table} RENAME TO {name}")


class ApiClient:
    """A client of this process's API, with a token."""

    def __init__(self, headers: dict[str, str], thread_id: uuid.UUID) -> None:
        self.client = AsyncClient()
        self.headers = headers
        self.thread = f"{THREADS}/{thread_id}"

    async def __call__(self, method: str, path: str, body: object = None, **headers: str) -> Any:
        given: dict[str, Any] = {} if body is None else {"data": json.dumps(body), "content_type": "application/json"}
        given["headers"] = self.headers | {name.replace("_", "-"): value for name, value in headers.items()}
        async with asyncio.timeout(20):
            return await self.client.generic(method, self.thread + path, **given)

    async def stream(self, method: str, path: str, body: object = None, **headers: str) -> AsyncIterator[bytes]:
        """Open a stream."""
        response = await self(method, path, body, **headers)
        assert response.status_code == 200, response.content
        assert response["Content-Type"] == "text/event-stream"
        return cast(AsyncIterator[bytes], response.streaming_content)

    async def send_message(self, text: str, **headers: str) -> Reader:
        """Send a message and read its stream to the end."""
        async with asyncio.timeout(20):
            return await read(await self.stream("POST", "/messages", {"text": text}, **headers))

    async def follow(self, turn_id: object, last: str = "") -> Reader:
        """Read a turn's stream to its end."""
        given = {"Last_Event_ID": last} if last else {}
        async with asyncio.timeout(20):
            return await read(await self.stream("GET", f"/turns/{turn_id}/events", **given))


@pytest.fixture
async def chat(start_runner: StartRunner, script: ScriptedModel, owner: User, monkeypatch: pytest.MonkeyPatch) -> Chat:
    """The owner's conversation with the scripted model; this process serves its API."""
    runner = await start_runner(script)
    monkeypatch.setattr(process, "_runner", runner)
    conversation = await in_database(lambda: Conversation.objects.create(user=owner, updated_at=owner.created_at))
    return Chat(runner, owner, conversation.pk)


@pytest.fixture
async def api(chat: Chat) -> AsyncIterator[ApiClient]:
    yield ApiClient(await in_database(bearer, chat.user, "chat"), chat.conversation_id)
    # Django's client leaves the connection of its shared thread open, and a database in use cannot be dropped.
    await sync_to_async(connections.close_all)()


@asynccontextmanager
async def open_stream(api: ApiClient, text: str = "hi") -> AsyncIterator[tuple[AsyncIterator[bytes], Reader]]:
    """Send a message and read its stream up to the first text."""
    parts, reader = await api.stream("POST", "/messages", {"text": text}), Reader()
    async with asyncio.timeout(20):
        while not reader.text:
            reader.feed(await anext(parts))
        yield parts, reader


async def test_reply_is_streamed(chat: Chat, api: ApiClient, script: ScriptedModel) -> None:
    script.enqueue([assistant_message("Hello “you”!\n\nHow are you?")])
    response = await api("POST", "/messages", {"text": "hi"})
    assert response.status_code == 200
    assert response["Cache-Control"] == "no-store" and response["X-Accel-Buffering"] == "no"
    reader = await read(cast(AsyncIterator[bytes], response.streaming_content))
    turn = await in_database(Turn.objects.get)
    assert response["Content-Location"] == f"{api.thread}/turns/{turn.pk}/events"
    assert reader.types() == ["message_start", "content_delta", "message_end"]
    reply = str(reply_id(turn.pk))
    start, end = reader.events[0], reader.events[-1]
    assert start.id == "1-1"
    assert start.data == {
        "type": "message_start",
        "message_id": reply,
        "thread_id": str(chat.conversation_id),
        "turn_id": str(turn.pk),
    }
    assert set(reader.events[1].data) == {"type", "delta"}
    assert end.data == {"type": "message_end", "message_id": reply, "content": reader.text, "status": "done"}
    message = (await api("GET", f"/messages/{reply}")).json()
    assert message["content"] == reader.text == "Hello “you”!\n\nHow are you?"


@pytest.mark.parametrize("key", ["7c9e6679-7425-40de-944b-e07fc1f90ae7", "order 17 “ü”", "x" * 255])
async def test_same_idempotency_key_sends_one_message(api: ApiClient, script: ScriptedModel, key: str) -> None:
    script.enqueue([assistant_message("Once.")])
    header = key.encode().decode("latin1")
    first = await api.send_message("hi", Idempotency_Key=header)
    again = await api.send_message("hi", Idempotency_Key=header)
    assert again.events == first.events
    rest = await api.send_message("hi", Idempotency_Key=header, Last_Event_ID=first.events[-2].id)
    assert rest.events == first.events[-1:]
    other = await api("POST", "/messages", {"text": "something else"}, Idempotency_Key=header)
    assert error_code(other, 422) == "key_reused"
    without = await api("POST", "/messages", {"text": "hi"}, Last_Event_ID=first.events[-2].id)
    assert error_code(without, 400) == "bad_input"
    assert await in_database(Turn.objects.count) == 1
    script.enqueue([assistant_message("Twice.")])
    assert (await api.send_message("hi")).text == "Twice."


async def test_invalid_message_is_rejected(api: ApiClient, chat: Chat) -> None:
    invalid: list[object] = [{}, {"text": ""}, {"text": "x" * 10_001}, {"text": "\x00"}, {"text": 5}]
    for body in invalid:
        assert error_code(await api("POST", "/messages", body), 422) == "invalid"
    not_objects: list[object] = [[], "\ud800"]
    for body in not_objects:
        assert error_code(await api("POST", "/messages", body), 400) == "bad_request"
    assert error_code(await api("POST", "/messages", {"text": " \n"}), 400) == "empty"
    too_long = await api("POST", "/messages", {"text": "x"}, Idempotency_Key="x" * 256)
    assert error_code(too_long, 422) == "invalid"
    assert await in_database(Turn.objects.count) == 0


async def test_message_rate_limit_returns_retry_after(
    api: ApiClient, script: ScriptedModel, settings: LazySettings
) -> None:
    settings.MESSAGES_PER_MINUTE = 1
    script.enqueue([assistant_message("Hello!")])
    await api.send_message("hi")
    refused = await api("POST", "/messages", {"text": "hi again"})
    assert error_code(refused, 429) == "rate_limited"
    assert 1 <= int(refused["Retry-After"]) <= 60


async def test_open_streams_per_user_are_limited(api: ApiClient, script: ScriptedModel, settings: LazySettings) -> None:
    settings.SOCKETS_PER_USER = 1
    script.enqueue(Gate("so far").step())
    async with open_stream(api) as (_, reader):
        turn_id = reader.events[0].data["turn_id"]
        for refused in (
            await api("GET", f"/turns/{turn_id}/events"),
            await api("POST", "/messages", {"text": "more"}),
        ):
            assert error_code(refused, 429) == "rate_limited"
            assert int(refused["Retry-After"]) > 0
    assert await in_database(Turn.objects.count) == 1


async def test_cut_stream_resumes_at_the_last_event_id(api: ApiClient, chat: Chat, script: ScriptedModel) -> None:
    gate = Gate("Hello", " there")
    script.enqueue(gate.step())
    async with open_stream(api) as (parts, reader):
        await gate.reached.wait()
        await cast(Any, parts).aclose()
        turn_id = uuid.UUID(reader.events[0].data["turn_id"])
        log = chat.runner.logs.get(turn_id)
        assert log is not None and log.is_live, "a disconnect does not stop the turn"
        second = asyncio.create_task(api.follow(turn_id, reader.last_id))
        whole = asyncio.create_task(api.follow(turn_id))
        await chat.runner.stop(user_id=chat.user.pk, conversation_id=chat.conversation_id, turn_id=turn_id)
        rest = await second
    first = await whole
    assert reader.events[0] == first.events[0]
    assert "message_start" not in rest.types()
    assert reader.text + "".join(event.data.get("delta", "") for event in rest.events) == first.text == "Hello there"
    end = first.events[-1].data
    assert rest.events[-1] == first.events[-1]
    assert (end["status"], end["content"]) == ("stopped", "Hello there")
    # After the last event, the stream has no more events.
    assert (await api.follow(turn_id, first.last_id)).events == []


async def test_disconnected_stream_leaves_no_task(api: ApiClient, chat: Chat, script: ScriptedModel) -> None:
    """The server cancels the application's task for a request at any point; so does this test."""
    gate = Gate("so far")
    script.enqueue(gate.step())
    accepted = await chat.send("hi")
    async with asyncio.timeout(20):
        await gate.reached.wait()
    before = {task for task in asyncio.all_tasks() if not task.done()}
    for _ in range(3):
        parts = await api.stream("GET", f"/turns/{accepted.turn.pk}/events")

        async def watch(parts: AsyncIterator[bytes] = parts) -> None:
            await read(parts)

        watching = asyncio.create_task(watch())
        async with asyncio.timeout(20):
            while not list(open_streams):
                await asyncio.sleep(0)
            for _ in range(20):
                await asyncio.sleep(0)
            watching.cancel()
            await asyncio.wait({watching})
            del parts, watch, watching
            while list(open_streams):
                gc.collect()
                await asyncio.sleep(0)
    left = {task for task in asyncio.all_tasks() if not task.done()} - before - {open_streams._watching}
    assert not [task for task in left if "_next" in repr(task)]


async def test_silent_stream_sends_heartbeats(
    api: ApiClient, script: ScriptedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(streams, "HEARTBEAT_EVERY", 0.01)
    script.enqueue(Gate("so far").step())
    async with open_stream(api) as (parts, reader):
        seen, events = reader.comments, len(reader.events)
        while reader.comments < seen + 3:
            reader.feed(await anext(parts))
        assert len(reader.events) == events


@pytest.mark.parametrize("credential", ["token", "login"])
async def test_stream_ends_with_its_token_or_login(
    api: ApiClient, chat: Chat, script: ScriptedModel, monkeypatch: pytest.MonkeyPatch, credential: str
) -> None:
    monkeypatch.setattr(realtime_connections, "CHECK_EVERY", 0.01)
    script.enqueue(Gate("so far").step())
    if credential == "login":
        await api.client.aforce_login(chat.user, backend="django.contrib.auth.backends.ModelBackend")
        api.headers = {}
    async with open_stream(api) as (parts, reader):
        for _ in range(3):
            await in_database(tokens.ended, [])  # time enough for a wrong end
        assert list(open_streams)
        if credential == "login":
            await api.client.alogout()
        else:
            await in_database(tokens.end_all, chat.user.pk)
        await read(parts, reader)
    assert not reader.ended
    turn_id = reader.events[0].data["turn_id"]
    assert error_code(await api("GET", f"/turns/{turn_id}/events"), 401) == "not_signed_in"
    assert (await in_database(Turn.objects.get)).status == Status.RUNNING


async def test_stream_ends_with_its_token_after_a_database_error(
    api: ApiClient, chat: Chat, script: ScriptedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(realtime_connections, "CHECK_EVERY", 0.01)
    failed, handler = asyncio.Event(), logging.Handler()
    monkeypatch.setattr(handler, "emit", lambda record: failed.set())
    realtime_connections.logger.addHandler(handler)
    script.enqueue(Gate("so far").step())
    try:
        async with open_stream(api) as (parts, reader), asyncio.timeout(20):
            await in_database(rename_table, "chat_apitoken", "chat_gone")
            try:
                await failed.wait()
            finally:
                await in_database(rename_table, "chat_gone", "chat_apitoken")
            await in_database(tokens.end_all, chat.user.pk)
            await read(parts, reader)
    finally:
        realtime_connections.logger.removeHandler(handler)
    assert not reader.ended


async def test_server_shutdown_ends_streams(api: ApiClient, script: ScriptedModel) -> None:
    script.enqueue(Gate("so far").step())
    async with open_stream(api) as (parts, reader):
        streams.end_all()
        await read(parts, reader)
    assert not reader.ended


async def test_approval_request_ends_the_stream_and_decision_resumes_the_turn(
    api: ApiClient, chat: Chat, script: ScriptedModel
) -> None:
    for title in ("Milk", "Bread", "Eggs"):
        await in_database(tasks.create_task, user_id=chat.user.pk, title=title)
    script.enqueue([assistant_message("Gladly."), *DELETE])
    requested = await api.send_message("Delete the first two tasks")
    assert requested.types() == ["message_start", "content_delta", "approval_requested"]
    turn_id = requested.events[0].data["turn_id"]
    assert requested.events[-1].data == {
        "type": "approval_requested",
        "turn_id": turn_id,
        "call_id": "call_1",
        "name": "delete_tasks",
        "arguments": {"numbers": [1, 2]},
    }
    await chat.wait_until_idle()
    again = await api.follow(turn_id)
    assert (again.text, again.events[-1].data) == (requested.text, requested.events[-1].data)

    approvals = f"/turns/{turn_id}/approvals"
    assert error_code(await api("POST", f"{approvals}/call_9", {"approve": True}), 404) == "not_found"
    assert error_code(await api("POST", f"{approvals}/call_1", {"approve": "yes"}), 422) == "invalid"
    script.enqueue([assistant_message("Deleted.")])
    waiting = asyncio.create_task(api.follow(turn_id, requested.last_id))
    decided = await api("POST", f"{approvals}/call_1", {"approve": True})
    assert decided.status_code == 200
    assert set(decided.json()) == {"turn_id", "status"} and decided.json()["turn_id"] == turn_id
    rest = await waiting
    assert rest.ended and rest.text == (await api.follow(turn_id)).text == "Gladly.\n\nDeleted."
    assert error_code(await api("POST", f"{approvals}/call_1", {"approve": True}), 409) == "conflict"
    assert len(await in_database(lambda: tasks.list_tasks(user_id=chat.user.pk).tasks)) == 1


async def test_turn_is_stopped_and_retried(api: ApiClient, script: ScriptedModel) -> None:
    gate = Gate("so far")
    script.enqueue(gate.step())
    async with open_stream(api) as (parts, reader):
        turn_id = reader.events[0].data["turn_id"]
        await gate.reached.wait()
        stopped = await api("POST", f"/turns/{turn_id}/stop")
        assert stopped.status_code == 200 and set(stopped.json()) == {"turn_id", "status"}
        await read(parts, reader)
    assert reader.events[-1].data["status"] == "stopped"
    ended = await api("POST", f"/turns/{turn_id}/stop")
    assert ended.json() == {"turn_id": turn_id, "status": "stopped"}

    script.enqueue([assistant_message("Whole.")])
    retried = [await api("POST", f"/turns/{turn_id}/retry", Idempotency_Key="again") for _ in range(2)]
    new = retried[0].json()
    assert retried[0].status_code == 200
    assert set(new) == {"turn_id", "status", "message_id", "ahead", "replaces"}
    assert (new["replaces"], new["ahead"]) == (turn_id, 0)
    assert retried[1].json()["turn_id"] == new["turn_id"]
    assert (await api.follow(new["turn_id"])).text.endswith("Whole.")
    assert error_code(await api("POST", f"/turns/{turn_id}/retry"), 409) == "conflict"


async def test_model_failure_sends_an_error_event(api: ApiClient, script: ScriptedModel) -> None:
    script.enqueue([])
    reader = await api.send_message("hi")
    assert reader.types() == ["message_start", "error"]
    error = reader.events[-1].data["error"]
    assert set(error) == {"code", "detail", "retryable"} and error["code"] == "model_error"
    turn_id = reader.events[0].data["turn_id"]
    assert (await api.follow(turn_id, "1-99")).events[-1].data == reader.events[-1].data


CALLS = [
    ("POST", "/messages", {"text": "hello"}),
    ("GET", "/turns/{turn}/events", None),
    ("POST", "/turns/{turn}/stop", None),
    ("POST", "/turns/{turn}/retry", None),
    ("POST", "/turns/{turn}/approvals/c0", {"approve": True}),
]


async def test_turn_of_another_user_returns_the_same_404_as_no_turn(
    chat: Chat, api: ApiClient, script: ScriptedModel, outsider: User, staff: User
) -> None:
    gate = Gate("so far")
    script.enqueue(gate.step())
    turn_id = (await chat.send("hi")).turn.pk
    async with asyncio.timeout(20):
        await gate.reached.wait()
    for user in (outsider, staff):
        headers = await in_database(bearer, user)
        existing, missing = ApiClient(headers, chat.conversation_id), ApiClient(headers, uuid.uuid4())
        for method, path, body in CALLS:
            response = await existing(method, path.format(turn=turn_id), body)
            assert error_code(response, 404) == "not_found", path
            assert response.content == (await missing(method, path.format(turn=uuid.uuid4()), body)).content
    api.headers = await in_database(bearer, chat.user, "tasks")
    for method, path, body in CALLS:
        assert error_code(await api(method, path.format(turn=turn_id), body), 403) == "forbidden"
    api.headers = {}
    for method, path, body in CALLS:
        assert error_code(await api(method, path.format(turn=turn_id), body), 401) == "not_signed_in"
    turn = await in_database(Turn.objects.get)
    assert (turn.status, turn.stop_asked) == (Status.RUNNING, False)
    assert await in_database(Conversation.objects.count) == 1
