"""An endless answer is aborted before it fills memory or blocks other tasks; a redirect is not followed."""

import asyncio
import gzip
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from agents import Model, ModelResponse
from agents.items import TResponseStreamEvent
from openai.types.responses import ResponseCompletedEvent, ResponseTextDeltaEvent

from chat.assistant.endpoints import http_client, retrying
from chat.assistant.endpoints.retrying import Retrying
from chat.assistant.endpoints.validation import items, model
from chat.infra.db_threads import in_database
from chat.models import Task
from chat.tests.conftest import Chat
from chat.tests.endpoint.conftest import events_of, failure_of, reply_of
from chat.tests.model_server import Answer, Call, ModelServer, Raw, text_reply

WORD = {
    "responses": {"type": "response.output_text.delta", "delta": "word " * 100},
    "chat_completions": {
        "object": "chat.completion.chunk",
        "choices": [{"index": 0, "delta": {"content": "word " * 100}, "finish_reason": None}],
    },
}


def endless(api: str, pieces: int) -> Raw:
    """Return a long text answer without an end event."""
    return Raw((f"data: {json.dumps(WORD[api])}\n\n".encode() * 100,) * pieces)


async def test_endless_answer_is_aborted(
    online: Chat, endpoint: ModelServer, api: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(model, "LONGEST_ANSWER", 100_000)
    endpoint.play(endless(api, 10), text_reply("Yes."))

    assert "grew too long" in failure_of(await events_of(online, "Go on")).detail
    assert reply_of(await events_of(online, "Still there?")) == "Yes."


@pytest.mark.parametrize("piece", [b"data: " + b"x" * 2**20, b"data: x\n" * 2**17], ids=["line", "event"])
async def test_endless_event_is_aborted(
    online: Chat, endpoint: ModelServer, piece: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http_client, "LONGEST_EVENT", 2**21)
    endpoint.play(Raw((piece,) * 8), text_reply("Yes."))

    assert "grew too long" in failure_of(await events_of(online, "Go on")).detail
    assert len(endpoint.requests) == 1
    assert reply_of(await events_of(online, "Still there?")) == "Yes."


async def test_compressed_answer_is_not_decompressed(online: Chat, endpoint: ModelServer) -> None:
    bomb = gzip.compress(b"data: " + b"x" * 2**24)
    endpoint.play(Raw((bomb,), headers={"Content-Encoding": "gzip"}), text_reply("Yes."))

    assert reply_of(await events_of(online, "Go on")) == "Yes."
    assert {request.headers["accept-encoding"] for request in endpoint.requests} == {"identity"}


async def test_redirect_is_not_followed(online: Chat, endpoint: ModelServer) -> None:
    async with ModelServer() as elsewhere:
        answer = Raw((b"{}",), 307, "application/json", {"Location": f"{elsewhere.url}/chat/completions"})
        endpoint.play(answer, text_reply("Yes."))

        assert "configured address" in failure_of(await events_of(online, "Go on")).detail
        assert not elsewhere.requests and not elsewhere.unknown_requests
    assert reply_of(await events_of(online, "Still there?")) == "Yes."


async def test_tool_calls_over_the_limit_are_dropped(
    online: Chat, endpoint: ModelServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(items, "MOST_CALLS", 3)
    calls = tuple(Call("create_task", {"title": f"Task {n}"}) for n in range(5))
    endpoint.play(Answer(parts=calls), text_reply("Three of them."))

    assert reply_of(await events_of(online, "Add five tasks")) == "Three of them."
    titles = await in_database(lambda: [*Task.objects.order_by("number").values_list("title", flat=True)])
    assert titles == ["Task 0", "Task 1", "Task 2"]


class Flood(Model):
    """A model whose events are all available at once."""

    async def get_response(self, *args: Any, **kwargs: Any) -> ModelResponse:
        raise NotImplementedError

    async def stream_response(self, *args: Any, **kwargs: Any) -> AsyncIterator[TResponseStreamEvent]:
        for _ in range(1_000):
            yield ResponseTextDeltaEvent.model_construct(type="response.output_text.delta", delta="word ")
        yield ResponseCompletedEvent.model_construct(type="response.completed")


async def test_other_tasks_run_while_a_fast_answer_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retrying, "LONGEST_STEP", 0.0)
    steps = 0

    async def other() -> None:
        nonlocal steps
        while True:
            await asyncio.sleep(0)
            steps += 1

    task = asyncio.create_task(other())
    events = [event async for event in Retrying(Flood(), lambda: None).stream_response(None, "hi")]
    task.cancel()
    assert len(events) == 1_001
    assert steps > 900
