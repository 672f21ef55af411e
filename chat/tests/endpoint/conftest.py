"""Fixtures for tests of the model's endpoint: a loopback server, and a chat that reaches it through the real client."""

import uuid
from collections.abc import AsyncIterator, Sequence

import pytest
from openai import AsyncOpenAI
from pytest_django import Settings

from chat.assistant import model_config
from chat.assistant.endpoints import retrying
from chat.assistant.endpoints.providers import Models
from chat.models import User
from chat.tests.conftest import Chat, StartRunner
from chat.tests.model_server import Api, ModelServer
from chat.turns.accept import Accepted
from chat.turns.events import Event, TextDelta, TurnFailed, TurnFinished, TurnResumed

KEY = "sk-test-0123456789abcdef"


@pytest.fixture(params=["responses", "chat_completions"])
def api(request: pytest.FixtureRequest) -> Api:
    """Each of the two APIs."""
    chosen: Api = request.param
    return chosen


@pytest.fixture
async def endpoint() -> AsyncIterator[ModelServer]:
    """A model's endpoint; a request that a provider would refuse, or with an unknown path, fails the test."""
    async with ModelServer(key=KEY) as server:
        yield server
    assert server.problems == []
    assert server.unknown_requests == []
    assert not server.script, "part of the script was not played"


@pytest.fixture
def read_timeout() -> float:
    """Seconds without data after which a request is aborted; test_read_timeout.py overrides it."""
    return 10


@pytest.fixture
def configured(
    endpoint: ModelServer, api: Api, read_timeout: float, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Point the product at the endpoint, with short pauses between retries."""
    model_config.learned.cache_clear()
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")  # otherwise the client uses a developer's proxy
    settings.OPENAI_API_KEY = KEY
    settings.OPENAI_BASE_URL = endpoint.url
    settings.AGENT_API = api
    settings.AGENT_MODEL = "stub-1"
    settings.AGENT_GUARDRAIL = False
    settings.AGENT_MODEL_TIMEOUT = read_timeout
    monkeypatch.setattr(retrying, "FIRST_PAUSE", 0.01)


@pytest.fixture
async def online(configured: None, start_runner: StartRunner, owner: User) -> AsyncIterator[Chat]:
    """The owner in a conversation that the endpoint answers, through the real client."""
    model = Models().choose("")
    runner = await start_runner(model)
    yield Chat(runner, owner, uuid.uuid4())
    await runner.drain(1)
    client = getattr(model, "_client")  # noqa: B009 - the SDK's own, closed so that no socket is left open
    assert isinstance(client, AsyncOpenAI)
    await client.close()


async def events_of(chat: Chat, text: str) -> list[Event]:
    """Send a message and return all events of its turn."""
    accepted = await chat.send(text)
    return await events_after(chat, accepted)


async def events_after(chat: Chat, accepted: Accepted) -> list[Event]:
    """Return all events of an accepted turn."""
    events = [entry.event for entry in await chat.follow_to_end(accepted.turn)]
    await chat.wait_until_idle()
    return events


def shown_text(events: Sequence[Event]) -> str:
    """Return the text that a page shows after these events."""
    text = ""
    for event in events:
        if isinstance(event, TextDelta):
            text = text[: event.at] + event.text
        elif isinstance(event, TurnResumed):
            text = event.text
    return text


def reply_of(events: Sequence[Event]) -> str:
    """Return the stored reply of a turn that finished."""
    last = events[-1]
    assert isinstance(last, TurnFinished), last
    return last.message.text


def failure_of(events: Sequence[Event]) -> TurnFailed:
    """Return how a turn failed."""
    last = events[-1]
    assert isinstance(last, TurnFailed), last
    return last
