"""Changing the model or the API drops what only the old one can read, and nothing else."""

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
from chat.tests.model_server import Answer, Call, ModelServer, Reasoning, Text, says

Reconfigure = Callable[[], Awaitable[None]]


@pytest.fixture
async def restarted(online: Chat, start_runner: StartRunner) -> AsyncIterator[Reconfigure]:
    """Start the server again, with the model that the settings name by then."""
    clients = []

    async def restart() -> None:
        await online.runner.drain(1)
        model = Models().choose("")
        clients.append(getattr(model, "_client"))  # noqa: B009 - the SDK's own, to be closed
        online.runner = await start_runner(model)

    yield restart
    await online.runner.drain(1)
    for client in clients:
        assert isinstance(client, AsyncOpenAI)
        await client.close()


def kinds(endpoint: ModelServer) -> list[str]:
    """Name what the last request held."""
    items = endpoint.requests[-1].items
    return [str(item.get("role") or item["type"]) for item in items]


def think_and_act(endpoint: ModelServer) -> None:
    """Let the model think, act and answer."""
    endpoint.play(Answer(parts=(Reasoning("gAAA-1"), Call("create_task", {"title": "Tea"}))))
    endpoint.play(Answer(parts=(Reasoning("gAAA-2"), Text(("Added.",)))))


WITHOUT = ["user", "function_call", "function_call_output", "assistant", "user"]
WITH = ["user", "reasoning", "function_call", "function_call_output", "reasoning", "assistant", "user"]


@pytest.mark.parametrize("api", ["responses"], indirect=True)
@pytest.mark.parametrize(
    ("changed", "sent"),
    [({}, WITH), ({"AGENT_MODEL": "stub-2"}, WITHOUT), ({"AGENT_API": "chat_completions"}, WITHOUT)],
    ids=["nothing", "the model", "the API"],
)
async def test_only_what_it_can_read_is_sent_to_a_model(
    online: Chat,
    endpoint: ModelServer,
    restarted: Reconfigure,
    settings: Settings,
    changed: dict[str, str],
    sent: list[str],
) -> None:
    think_and_act(endpoint)
    await events_of(online, "add tea")

    for name, value in changed.items():
        setattr(settings, name, value)
    await restarted()
    endpoint.play(says("Tea."))

    assert reply_of(await events_of(online, "what did I ask?")) == "Tea."
    assert kinds(endpoint) == sent
    assert "provider_data" not in str(endpoint.requests[-1].body)


@pytest.mark.parametrize("api", ["responses"], indirect=True)
async def test_the_old_model_finds_its_own_thoughts_again(
    online: Chat, endpoint: ModelServer, restarted: Reconfigure, settings: Settings
) -> None:
    think_and_act(endpoint)
    await events_of(online, "add tea")
    settings.AGENT_MODEL = "stub-2"
    await restarted()
    endpoint.play(Answer(parts=(Reasoning("gBBB"), Text(("Tea.",)))))
    await events_of(online, "what did I ask?")

    settings.AGENT_MODEL = "stub-1"
    await restarted()
    endpoint.play(says("Still tea."))
    await events_of(online, "and now?")

    thoughts = [i["encrypted_content"] for i in endpoint.requests[-1].items if i.get("type") == "reasoning"]
    assert thoughts == ["gAAA-1", "gAAA-2"]
    rows = await online.runner.store.rows(str(SessionId(online.user.pk, online.conversation_id)))
    assert sum(row.item.get("type") == "reasoning" for row in rows) == 3, "nothing is lost in the session"
    assert await in_database(Turn.objects.filter(status="done").count) == 3


@pytest.mark.parametrize("api", ["chat_completions"], indirect=True)
async def test_responses_reads_what_chat_completions_left(
    online: Chat, endpoint: ModelServer, restarted: Reconfigure, settings: Settings
) -> None:
    endpoint.play(Answer(parts=(Call("create_task", {"title": "Tea"}),)), says("Added."))
    await events_of(online, "add tea")

    settings.AGENT_API = "responses"
    await restarted()
    endpoint.play(says("Tea."))

    assert reply_of(await events_of(online, "what did I ask?")) == "Tea."
    assert kinds(endpoint) == WITHOUT
