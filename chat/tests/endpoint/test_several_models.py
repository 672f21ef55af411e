"""Several models: chosen per conversation, fixed within a turn, and with a fallback for an unavailable model."""

import asyncio
import uuid
from collections.abc import AsyncIterator

import pytest
from pytest_django import Settings

from chat.assistant import model_config
from chat.assistant.endpoints import retrying
from chat.assistant.endpoints.providers import Models
from chat.assistant.relevance import REFUSAL
from chat.conversations import services as conversations
from chat.infra.db_threads import in_database
from chat.models import Turn, TurnStep, User
from chat.tests.conftest import Chat, StartRunner
from chat.tests.endpoint.conftest import KEY, events_after, events_of, failure_of, reply_of
from chat.tests.model_entry import model_entry
from chat.tests.model_server import Answer, Call, HttpError, ModelServer, Request, Step, Text, text_reply, tool_calls
from chat.turns.events import ModelRetrying
from config.tests.collector import Collector


@pytest.fixture
async def second() -> AsyncIterator[ModelServer]:
    """A second endpoint."""
    async with ModelServer(key=KEY) as server:
        yield server
    assert server.problems == []


@pytest.fixture
async def several(
    endpoint: ModelServer,
    second: ModelServer,
    settings: Settings,
    monkeypatch: pytest.MonkeyPatch,
    start_runner: StartRunner,
    owner: User,
) -> AsyncIterator[Chat]:
    """The owner in a conversation with two models; the second is the fallback of the first."""
    model_config.learned.cache_clear()
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setattr(retrying, "FIRST_PAUSE", 0.001)
    settings.AGENT_GUARDRAIL = False
    settings.AGENT_MODEL_TIMEOUT = 10
    settings.AGENT_MODELS = (
        model_entry("fast", endpoint.url, api_key=KEY, fallback=["slow"]),
        model_entry("slow", second.url, api_key=KEY, api="chat_completions"),
    )
    models = Models()
    runner = await start_runner(choose=models.choose)
    yield Chat(runner, owner, uuid.uuid4())
    await runner.drain(1)
    await models.close()


async def choose(chat: Chat, name: str) -> None:
    await in_database(conversations.change, user_id=chat.user.pk, conversation_id=chat.conversation_id, model=name)


async def steps() -> list[str]:
    """Return the models that answered, in order."""
    return await in_database(lambda: list(TurnStep.objects.order_by("pk").values_list("model", flat=True)))


async def always_down(request: Request) -> Step:
    return HttpError(503)


async def test_default_model_answers_until_another_is_chosen(
    several: Chat, endpoint: ModelServer, second: ModelServer
) -> None:
    endpoint.play(text_reply("I am fast."))
    second.play(text_reply("I am slow."))

    assert reply_of(await events_of(several, "hi")) == "I am fast."
    await choose(several, "slow")
    assert reply_of(await events_of(several, "hi")) == "I am slow."

    assert [request.model for request in endpoint.requests + second.requests] == ["stub-fast", "stub-slow"]
    assert endpoint.requests[0].body["store"] is False
    assert second.requests[0].wants_usage
    assert await steps() == ["fast", "slow"]


async def test_default_model_replaces_a_chosen_model_that_was_removed(
    several: Chat, endpoint: ModelServer, second: ModelServer, settings: Settings
) -> None:
    second.play(text_reply("I am slow."))
    endpoint.play(text_reply("I am fast."))
    await several.runner.send(
        user_id=several.user.pk,
        conversation_id=several.conversation_id,
        client_id=uuid.uuid4(),
        text="hi",
        model="slow",
    )
    await several.wait_until_idle()

    settings.AGENT_MODELS = (model_entry("fast", endpoint.url, api_key=KEY),)

    assert reply_of(await events_of(several, "hi")) == "I am fast."


async def test_turn_keeps_the_model_it_started_with(several: Chat, endpoint: ModelServer, second: ModelServer) -> None:
    endpoint.play(tool_calls(Call("create_task", {"title": "Tea"})), tool_calls(Call("create_task", {"title": "Cups"})))
    endpoint.play(tool_calls(Call("delete_tasks", {"numbers": [1, 2]})), text_reply("As you wish."))
    accepted, asked = await several.request_approval("add tea and cups, and take them off again")
    await choose(several, "slow")

    await several.decide(accepted.turn, asked.call_id, False)
    await events_after(several, accepted)

    turn = await in_database(Turn.objects.get)
    assert (turn.status, turn.model, second.requests) == ("done", "fast", [])


async def test_queued_turn_uses_the_model_chosen_when_it_starts(
    several: Chat, endpoint: ModelServer, second: ModelServer
) -> None:
    endpoint.pause()
    endpoint.play(text_reply("I am fast."))
    second.play(text_reply("I am slow."))
    first = await several.send("one")
    queued = await several.send("two")

    await choose(several, "slow")
    endpoint.release()
    await several.follow_to_end(first.turn)

    assert reply_of(await events_after(several, queued)) == "I am slow."


@pytest.mark.parametrize(
    "step",
    [
        HttpError(503),
        HttpError(429, "Slow down.", headers={"retry-after": "90"}),
        HttpError(429, "Pay.", "insufficient_quota"),
        HttpError(401, "Who?", "invalid_api_key"),
        HttpError(404, "The model does not exist.", "model_not_found"),
    ],
    ids=["down", "busy", "no credit", "wrong key", "no such model"],
)
async def test_fallback_answers_if_the_chosen_model_is_unavailable(
    several: Chat, endpoint: ModelServer, second: ModelServer, step: Step
) -> None:
    async def rule(request: Request) -> Step:
        return step

    endpoint.rule = rule
    second.play(text_reply("I am slow."), text_reply("Still here."))

    assert reply_of(await events_of(several, "hi")) == "I am slow."
    assert await steps() == ["slow"]

    requests_before = len(endpoint.requests)
    assert reply_of(await events_of(several, "and now?")) == "Still here."
    assert len(endpoint.requests) == requests_before, "for a minute the unavailable model is not tried first"


async def test_request_with_a_fallback_is_one_span(
    several: Chat, endpoint: ModelServer, second: ModelServer, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "20")  # milliseconds
    endpoint.rule = always_down
    second.play(text_reply("I am slow."), HttpError(401, "Who?", "invalid_api_key"))

    with Collector() as collector:
        settings.OTEL_EXPORTER_OTLP_ENDPOINT = collector.url
        await events_of(several, "hi")
        await choose(several, "slow")
        await events_of(several, "and now?")
        spans = await asyncio.to_thread(collector.until, lambda spans: len(spans) == 6)

    fell_back, failed = [span for span in spans if span.name == "chat stub-slow"]
    assert fell_back.attributes["threadkeeper.model"] == "slow"
    *retries, fallback = fell_back.events
    assert {event.name for event in retries} == {"retry"}
    assert (fallback.name, fallback.attributes["gen_ai.request.model"]) == ("fallback", "stub-slow")
    assert fallback.attributes["error.type"] == retries[0].attributes["error.type"] == "503"
    assert (failed.has_failed, failed.attributes["error.type"]) == (True, "401")
    answered, unanswered = [span for span in spans if not span.parent_id]
    assert (answered.has_failed, unanswered.has_failed) == (False, True)
    assert unanswered.attributes["error.type"] == "model_error"


async def test_guardrail_asks_the_model_that_answers(
    several: Chat, endpoint: ModelServer, second: ModelServer, settings: Settings
) -> None:
    endpoint.play(HttpError(401, "Who?", "invalid_api_key"))
    second.play(text_reply("I am slow."), text_reply("No."))
    await events_of(several, "add nothing yet")

    settings.AGENT_GUARDRAIL = True
    events = await events_of(several, "Purple elephants dance at midnight while the river hums an old and quiet tune")

    assert reply_of(events) == REFUSAL
    assert second.requests[-1].wants_usage is False, "the guardrail's request is not streamed"


async def test_fallback_answers_if_the_endpoint_refuses_connections(
    several: Chat, endpoint: ModelServer, second: ModelServer
) -> None:
    await endpoint.refuse()
    second.play(text_reply("I am slow."))

    events = await events_of(several, "hi")

    assert reply_of(events) == "I am slow."
    assert [event for event in events if isinstance(event, ModelRetrying)]


@pytest.mark.parametrize(
    "step", [HttpError(400, "Bad."), HttpError(400, "No.", "content_filter")], ids=["bad request", "filtered content"]
)
async def test_rejected_request_is_not_sent_to_the_fallback(
    several: Chat, endpoint: ModelServer, second: ModelServer, step: Step
) -> None:
    endpoint.play(step)

    failure_of(await events_of(several, "hi"))

    assert second.requests == []


async def test_fallback_does_not_continue_a_partial_response(
    several: Chat, endpoint: ModelServer, second: ModelServer
) -> None:
    endpoint.play(text_reply("Half ", "of it", fault="cut", after=1))
    endpoint.rule = always_down

    failure_of(await events_of(several, "hi"))

    assert second.requests == []


async def test_fallback_continues_after_a_tool_call(several: Chat, endpoint: ModelServer, second: ModelServer) -> None:
    endpoint.play(Answer(parts=(Text(("One moment.",)), Call("create_task", {"title": "Tea"}))))
    endpoint.rule = always_down
    second.play(text_reply("Added."))

    assert reply_of(await events_of(several, "add tea")) == "One moment.\n\nAdded."
    assert await steps() == ["fast", "slow"]


async def test_turn_can_be_retried_after_all_models_were_unavailable(
    several: Chat, endpoint: ModelServer, second: ModelServer
) -> None:
    endpoint.rule = second.rule = always_down
    accepted = await several.send("hi")

    assert "fails at the moment" in failure_of(await events_after(several, accepted)).detail

    second.rule = None
    second.play(text_reply("I am slow."))
    assert reply_of(await events_after(several, await several.retry(accepted.turn))) == "I am slow."
