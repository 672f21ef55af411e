"""Streams with unusual or invalid bytes: the reply is complete, or the request is retried."""

import json

import pytest

from chat.assistant.endpoints.http_client import LONGEST_ERROR, EndpointClient
from chat.tests.conftest import Chat
from chat.tests.endpoint.conftest import KEY, events_of, reply_of
from chat.tests.model_server import HttpError, ModelServer, Raw, text_reply
from chat.turns.events import TurnResumed

pytestmark = pytest.mark.parametrize("api", ["chat_completions"], indirect=True)


def event(content: str = "", reason: object = None) -> bytes:
    choice = {"index": 0, "delta": {"content": content}, "finish_reason": reason}
    return f"data: {json.dumps({'choices': [choice]})}\n\n".encode()


async def test_finished_reply_is_kept_if_the_connection_stays_open(online: Chat, endpoint: ModelServer) -> None:
    endpoint.play(Raw((event("Hello"), event(reason="stop")), is_endless=True))
    events = await events_of(online, "hi")
    assert reply_of(events) == "Hello"
    assert not [each for each in events if isinstance(each, TurnResumed)]
    assert len(endpoint.requests) == 1


async def test_byte_order_mark_is_skipped(online: Chat, endpoint: ModelServer) -> None:
    endpoint.play(Raw((b"\xef\xbb\xbf" + event("Hello"), event(reason="stop"), b"data: [DONE]\n\n")))
    assert reply_of(await events_of(online, "hi")) == "Hello"


async def test_finish_reason_that_is_a_list_is_accepted(online: Chat, endpoint: ModelServer) -> None:
    endpoint.play(Raw((event("Hello"), event(reason=["stop"]), b"data: [DONE]\n\n")))
    assert reply_of(await events_of(online, "hi")) == "Hello"


@pytest.mark.parametrize(
    "data", [b'{"created":' + b"9" * 10_000 + b"}", b"[" * 100_000 + b"]" * 100_000], ids=["digits", "depth"]
)
async def test_request_is_retried_after_an_unparsable_event(online: Chat, endpoint: ModelServer, data: bytes) -> None:
    endpoint.play(Raw((b"data: " + data + b"\n\n",)), text_reply("Hello"))
    assert reply_of(await events_of(online, "hi")) == "Hello"


async def test_only_the_beginning_of_a_long_error_is_read(endpoint: ModelServer, api: str) -> None:
    endpoint.play(HttpError(400, "Unknown field. " * 500_000))
    body = {"model": "any", "messages": [{"role": "user", "content": "hi"}]}
    async with EndpointClient(trust_env=False) as client:
        answer = await client.post(
            f"{endpoint.url}/chat/completions", json=body, headers={"Authorization": f"Bearer {KEY}"}
        )
    assert (answer.status_code, len(answer.content)) == (400, LONGEST_ERROR)
