"""A parameter that the endpoint refuses is left out of the repeated request, and of all later ones."""

import asyncio
import json
import uuid

import pytest
from pytest_django import Settings

from chat.tests.conftest import Chat
from chat.tests.endpoint.conftest import events_of, failure_of, reply_of
from chat.tests.model_server import Api, HttpError, ModelServer, Raw, Request, Rule, Step, text_reply
from chat.turns.events import TurnResumed

UNKNOWN = {"responses": "include", "chat_completions": "stream_options"}


def strict(*names: str) -> Rule:
    """Return a rule that refuses parameters, one at a time."""

    async def rule(request: Request) -> Step:
        for name in names:
            if name in request.body:
                return HttpError(400, f"Unknown parameter: '{name}'.", "unknown_parameter")
        return text_reply("Hello")

    return rule


async def test_refused_parameter_is_left_out_at_once_and_later(online: Chat, endpoint: ModelServer, api: Api) -> None:
    name = UNKNOWN[api]
    endpoint.rule = strict(name)

    events = await events_of(online, "hi")
    assert reply_of(events) == "Hello"
    assert not [event for event in events if isinstance(event, TurnResumed)], "the client sees no retry"
    assert [name in request.body for request in endpoint.requests] == [True, False]

    assert reply_of(await events_of(online, "hi again")) == "Hello"
    assert [name in request.body for request in endpoint.requests] == [True, False, False]


async def test_parameter_refused_inside_a_stream_is_left_out(online: Chat, endpoint: ModelServer, api: Api) -> None:
    name = UNKNOWN[api]

    async def rule(request: Request) -> Step:
        if name not in request.body:
            return text_reply("Hello")
        error = {"error": {"message": f"Unknown parameter: '{name}'.", "code": 400}}
        return Raw((f"data: {json.dumps(error)}\n\n".encode(), b"data: [DONE]\n\n"))

    endpoint.rule = rule

    events = await events_of(online, "hi")
    assert reply_of(events) == "Hello"
    assert not [event for event in events if isinstance(event, TurnResumed)]
    assert len(endpoint.requests) == 2


async def test_several_refused_parameters_are_left_out_one_by_one(
    online: Chat, endpoint: ModelServer, api: Api
) -> None:
    names = ["store", "include"] if api == "responses" else ["stream_options"]
    endpoint.rule = strict(*names)

    assert reply_of(await events_of(online, "hi")) == "Hello"
    assert len(endpoint.requests) == len(names) + 1


async def test_concurrently_refused_requests_are_both_repeated(online: Chat, endpoint: ModelServer, api: Api) -> None:
    both_arrived, arrived = asyncio.Event(), 0

    async def rule(request: Request) -> Step:
        nonlocal arrived
        arrived += 1
        if arrived == 2:
            both_arrived.set()
        await both_arrived.wait()
        return await strict(UNKNOWN[api])(request)

    endpoint.rule = rule
    other = Chat(online.runner, online.user, uuid.uuid4())

    replies = await asyncio.gather(events_of(online, "hi"), events_of(other, "hi"))

    assert [reply_of(events) for events in replies] == ["Hello", "Hello"]
    assert len(endpoint.requests) == 4


async def test_turn_fails_if_an_omitted_parameter_is_refused_again(
    online: Chat, endpoint: ModelServer, api: Api
) -> None:
    async def rule(request: Request) -> Step:
        return HttpError(400, f"Unknown parameter: '{UNKNOWN[api]}'.")

    endpoint.rule = rule

    failure_of(await events_of(online, "hi"))
    assert len(endpoint.requests) == 2


class TestConfigured:
    @pytest.fixture
    def configured(self, configured: None, settings: Settings, api: Api) -> None:
        # The Responses API requires `strict` in a tool.
        settings.AGENT_OMIT = ["store", "include"] if api == "responses" else ["stream_options", "strict"]

    async def test_parameters_in_agent_omit_are_never_sent(self, online: Chat, endpoint: ModelServer, api: Api) -> None:
        endpoint.play(text_reply("Hello"))

        assert reply_of(await events_of(online, "hi")) == "Hello"
        (request,) = endpoint.requests
        assert request.body.keys().isdisjoint({"store", "include", "stream_options"})
        assert request.tool_names
        assert ("'strict'" in str(request.body["tools"])) == (api == "responses")
