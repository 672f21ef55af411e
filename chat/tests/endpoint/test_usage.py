"""Model usage is recorded once, with its cost at the price of that moment, and outlives the conversation."""

import uuid
from collections.abc import AsyncIterator
from decimal import Decimal

import pytest
from pytest_django import Settings

from chat.assistant import model_config
from chat.assistant.endpoints import retrying
from chat.assistant.endpoints.providers import Models
from chat.infra.db_threads import in_database
from chat.models import Conversation, ModelUsage, TurnStep, User
from chat.tests.conftest import Chat, StartRunner
from chat.tests.endpoint.conftest import KEY, events_after, events_of, failure_of, reply_of
from chat.tests.model_entry import model_entry
from chat.tests.model_server import Answer, Call, HttpError, ModelServer, Text
from config.models_file import ModelEntry


@pytest.fixture
async def priced(
    endpoint: ModelServer, settings: Settings, monkeypatch: pytest.MonkeyPatch, start_runner: StartRunner, owner: User
) -> AsyncIterator[Chat]:
    """The owner in a conversation with a model that has a price."""
    model_config.learned.cache_clear()
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setattr(retrying, "FIRST_PAUSE", 0.001)
    settings.AGENT_GUARDRAIL = False
    settings.AGENT_MODELS = (entry(endpoint, Decimal("0.25"), Decimal(2)),)
    models = Models()
    runner = await start_runner(choose=models.choose)
    yield Chat(runner, owner, uuid.uuid4())
    await runner.drain(1)
    await models.close()


def entry(endpoint: ModelServer, input_price: Decimal | None, output_price: Decimal | None) -> ModelEntry:
    """Configure the model, with prices per million tokens."""
    return model_entry("fast", endpoint.url, api_key=KEY, input_price=input_price, output_price=output_price)


def answer(*parts: Text | Call) -> Answer:
    return Answer(parts=parts, input_tokens=1_000, output_tokens=100)


async def totals() -> tuple[int, int, int, Decimal | None]:
    """Return the totals of the only user, day and model."""
    row = await in_database(ModelUsage.objects.get)
    return row.responses, row.input_tokens, row.output_tokens, row.cost


async def test_each_response_is_added_to_the_day_at_the_current_price(
    priced: Chat, endpoint: ModelServer, settings: Settings
) -> None:
    endpoint.play(answer(Call("create_task", {"title": "Tea"})), answer(Text(("Added.",))))
    await events_of(priced, "add tea")

    steps = await in_database(lambda: list(TurnStep.objects.order_by("n")))
    assert [(step.model, step.input_tokens, step.output_tokens, step.cost) for step in steps] == [
        ("fast", 1_000, 100, Decimal("0.00045"))
    ] * 2
    assert await totals() == (2, 2_000, 200, Decimal("0.0009"))

    settings.AGENT_MODELS = (entry(endpoint, Decimal(10), Decimal(0)),)
    endpoint.play(answer(Text(("Hello.",))))
    await events_of(priced, "hi")
    assert await totals() == (3, 3_000, 300, Decimal("0.0109"))

    settings.AGENT_MODELS = (entry(endpoint, None, None),)
    endpoint.play(answer(Text(("Hello.",))))
    await events_of(priced, "hi")
    assert await totals() == (4, 4_000, 400, Decimal("0.0109")), "without a price nothing is added to the cost"


async def test_retry_does_not_count_reused_responses_again(priced: Chat, endpoint: ModelServer) -> None:
    endpoint.play(answer(Call("create_task", {"title": "Tea"})), HttpError(400, "Bad."))
    accepted = await priced.send("add tea")
    failure_of(await events_after(priced, accepted))
    assert (await totals())[0] == 1

    endpoint.play(answer(Text(("Added.",))))
    assert reply_of(await events_after(priced, await priced.retry(accepted.turn))) == "Added."

    assert (await totals())[:3] == (2, 2_000, 200)
    costs = await in_database(lambda: [step.cost for step in TurnStep.objects.order_by("pk")])
    assert costs == [Decimal("0.00045"), None, Decimal("0.00045")]


async def test_usage_outlives_the_conversation(priced: Chat, endpoint: ModelServer) -> None:
    endpoint.play(answer(Text(("Hello.",))))
    await events_of(priced, "hi")

    await in_database(Conversation.objects.all().delete)

    assert (await totals())[0] == 1


async def test_usage_of_the_offline_model_is_not_counted(offline_chat: Chat) -> None:
    await offline_chat.reply("Add a task to buy milk")

    assert set(await in_database(lambda: list(TurnStep.objects.values_list("model", flat=True)))) == {"offline"}
    assert not await in_database(ModelUsage.objects.exists)
