"""Changing the model or the API drops the old model's encrypted reasoning, and nothing else."""

from collections.abc import AsyncIterator, Awaitable, Callable

import pytest
from openai import AsyncOpenAI
from pytest_django import Settings

from chat.assistant.endpoints.providers import Models
from chat.infra.db_threads import in_database
from chat.memory.identity import SessionId
from chat.models import Turn
from chat.tests.conftest import Chat, StartRunner
from chat.tests.endpoint.conftest import events_of, reply_of
from chat.tests.model_server import Answer, Call, ModelServer, Reasoning, Text, text_reply

Reconfigure = Callable[[], Awaitable[None]]


@pytest.fixture
async def restarted(online: Chat, start_runner: StartRunner) -> AsyncIterator[Reconfigure]:
    """Restart the runner with the model that the settings name."""
    clients = []

    async def restart() -> None:
        await online.runner.drain(1)
        model = Models().choose("")
        clients.append(getattr(model, "_client"))  # noqa: B009 - the SDK's own, closed below
        online.runner = await start_runner(model)

    yield restart
    await online.runner.drain(1)
    for client in clients:
        assert isinstance(client, AsyncOpenAI)
        await client.close()


def item_kinds(endpoint: ModelServer) -> list[str]:
    """Return the kinds of the items in the last request."""
    items = endpoint.requests[-1].items
    return [str(item.get("role") or item["type"]) for item in items]


def play_reasoning_and_call(endpoint: ModelServer) -> None:
    """Queue two responses with reasoning: a tool call, then text."""
    endpoint.play(Answer(parts=(Reasoning("gAAA-1"), Call("create_task", {"title": "Tea"}))))
    endpoint.play(Answer(parts=(Reasoning("gAAA-2"), Text(("Added.",)))))


WITHOUT_REASONING = ["user", "function_call", "function_call_output", "assistant", "user"]
WITH_REASONING = ["user", "reasoning", "function_call", "function_call_output", "reasoning", "assistant", "user"]


@pytest.mark.parametrize("api", ["responses"], indirect=True)
@pytest.mark.parametrize(
    ("changed", "sent"),
    [
        ({}, WITH_REASONING),
        ({"AGENT_MODEL": "stub-2"}, WITHOUT_REASONING),
        ({"AGENT_API": "chat_completions"}, WITHOUT_REASONING),
    ],
    ids=["no change", "another model", "another API"],
)
async def test_reasoning_is_sent_only_to_the_model_that_produced_it(
    online: Chat,
    endpoint: ModelServer,
    restarted: Reconfigure,
    settings: Settings,
    changed: dict[str, str],
    sent: list[str],
) -> None:
    play_reasoning_and_call(endpoint)
    await events_of(online, "add tea")

    for name, value in changed.items():
        setattr(settings, name, value)
    await restarted()
    endpoint.play(text_reply("Tea."))

    assert reply_of(await events_of(online, "what did I ask?")) == "Tea."
    assert item_kinds(endpoint) == sent
    assert "provider_data" not in str(endpoint.requests[-1].body)


@pytest.mark.parametrize("api", ["responses"], indirect=True)
async def test_switching_back_sends_the_first_models_reasoning_again(
    online: Chat, endpoint: ModelServer, restarted: Reconfigure, settings: Settings
) -> None:
    play_reasoning_and_call(endpoint)
    await events_of(online, "add tea")
    settings.AGENT_MODEL = "stub-2"
    await restarted()
    endpoint.play(Answer(parts=(Reasoning("gBBB"), Text(("Tea.",)))))
    await events_of(online, "what did I ask?")

    settings.AGENT_MODEL = "stub-1"
    await restarted()
    endpoint.play(text_reply("Still tea."))
    await events_of(online, "and now?")

    reasoning = [i["encrypted_content"] for i in endpoint.requests[-1].items if i.get("type") == "reasoning"]
    assert reasoning == ["gAAA-1", "gAAA-2"]
    rows = await online.runner.store.rows(str(SessionId(online.user.pk, online.conversation_id)))
    assert sum(row.item.get("type") == "reasoning" for row in rows) == 3, "the session keeps all reasoning"
    assert await in_database(Turn.objects.filter(status="done").count) == 3


@pytest.mark.parametrize("api", ["chat_completions"], indirect=True)
async def test_responses_api_continues_a_chat_completions_conversation(
    online: Chat, endpoint: ModelServer, restarted: Reconfigure, settings: Settings
) -> None:
    endpoint.play(Answer(parts=(Call("create_task", {"title": "Tea"}),)), text_reply("Added."))
    await events_of(online, "add tea")

    settings.AGENT_API = "responses"
    await restarted()
    endpoint.play(text_reply("Tea."))

    assert reply_of(await events_of(online, "what did I ask?")) == "Tea."
    assert item_kinds(endpoint) == WITHOUT_REASONING
