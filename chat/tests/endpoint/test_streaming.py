"""Replies over HTTP: connections, request parameters, stored usage, refusals and encrypted reasoning."""

import pytest

from chat.infra.db_threads import in_database
from chat.models import Turn, TurnStep
from chat.tests.conftest import Chat
from chat.tests.endpoint.conftest import events_of, reply_of, shown_text
from chat.tests.model_server import Answer, Api, Call, ModelServer, Reasoning, Refusal, Text, text_reply
from chat.turns.events import TurnFinished


async def test_consecutive_replies_share_one_connection(online: Chat, endpoint: ModelServer) -> None:
    for n in range(3):
        endpoint.play(text_reply(f"Reply {n}"))
        await events_of(online, "hi")

    assert endpoint.connection_count == 1, "a TLS handshake costs more than the request"
    assert endpoint.abandoned_streams == 0


async def test_token_usage_is_stored_with_the_step_and_the_turn(online: Chat, endpoint: ModelServer) -> None:
    endpoint.play(
        Answer(parts=(Call("list_tasks", {}),), input_tokens=100, output_tokens=7),
        Answer(parts=(Text(("Nothing.",)),), input_tokens=200, output_tokens=5),
    )

    last = (await events_of(online, "what is there?"))[-1]

    assert isinstance(last, TurnFinished)
    usage = {"input_tokens": 300, "output_tokens": 12}
    assert last.usage == (await in_database(Turn.objects.get)).usage == usage
    steps = await in_database(lambda: list(TurnStep.objects.order_by("n").values_list("usage", flat=True)))
    assert steps == [{"input_tokens": 100, "output_tokens": 7}, {"input_tokens": 200, "output_tokens": 5}]


async def test_request_names_the_model_and_disables_storage_at_the_provider(
    online: Chat, endpoint: ModelServer, api: Api
) -> None:
    endpoint.play(text_reply("Hello"))

    await events_of(online, "hi")

    (request,) = endpoint.requests
    assert (request.api, request.model, request.stream) == (api, "stub-1", True)
    assert "to-do list" in request.instructions
    assert {"create_task", "list_tasks", "delete_task"} <= set(request.tool_names)
    if api == "responses":
        assert request.body["store"] is False
        assert request.body["include"] == ["reasoning.encrypted_content"]
    else:
        assert request.wants_usage
        assert request.body.get("store") is not True


async def test_refusal_of_the_model_is_the_reply(online: Chat, endpoint: ModelServer) -> None:
    endpoint.play(Answer(parts=(Refusal(("I would ", "rather not.")),)), text_reply("Gladly."))

    events = await events_of(online, "add something forbidden")
    assert shown_text(events) == reply_of(events) == "I would rather not."

    assert reply_of(await events_of(online, "add milk then")) == "Gladly."
    assert "I would rather not." in str(endpoint.requests[1].items)


@pytest.mark.parametrize("api", ["responses"], indirect=True)
async def test_encrypted_reasoning_is_sent_back_to_the_provider(online: Chat, endpoint: ModelServer) -> None:
    endpoint.play(Answer(parts=(Reasoning("gAAA-secret", "Thinking of milk"), Text(("Noted.",)))), text_reply("Yes."))

    await events_of(online, "I need milk")
    await events_of(online, "did you note it?")

    (reasoning,) = [item for item in endpoint.requests[1].items if item.get("type") == "reasoning"]
    assert reasoning["encrypted_content"] == "gAAA-secret"
    assert [part["text"] for part in reasoning["summary"]] == ["Thinking of milk"]
