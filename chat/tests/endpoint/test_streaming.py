"""A reply over HTTP: streamed as it comes, stored as it was, and what it cost."""

import asyncio

import pytest

from chat.infra.db_threads import in_database
from chat.models import Message, Turn, TurnStep
from chat.tests.conftest import Chat
from chat.tests.endpoint.conftest import events_of, reply_of, shown
from chat.tests.model_server import Answer, Api, ModelServer, Reasoning, Refusal, Text, says
from chat.turns.events import TextDelta, TurnFinished
from chat.turns.follow import follow


async def test_a_reply_is_streamed_in_order_and_stored(online: Chat, endpoint: ModelServer) -> None:
    endpoint.play(says("Hel", "lo ", "thére", " 🎉"))

    events = await events_of(online, "hi")

    assert shown(events) == reply_of(events) == "Hello thére 🎉"
    stored = await in_database(lambda: list(Message.objects.order_by("position").values_list("role", "text")))
    assert stored == [("user", "hi"), ("assistant", "Hello thére 🎉")]


async def test_each_piece_is_shown_when_it_comes(online: Chat, endpoint: ModelServer) -> None:
    endpoint.play(says("one ", "two ", "three", delay=0.15))

    accepted = await online.send("count")
    deltas = []
    async for seen in follow(online.runner.logs, accepted.turn.pk):
        deltas += [entry.event for entry in seen.entries if isinstance(entry.event, TextDelta)]

    assert [(delta.text, delta.at) for delta in deltas] == [("one ", 0), ("two ", 4), ("three", 8)]


async def test_a_follower_sees_the_first_words_before_the_last_are_written(online: Chat, endpoint: ModelServer) -> None:
    endpoint.play(says("first", fault="stall", after=1))

    accepted = await online.send("hi")
    async with asyncio.timeout(5):
        async for seen in follow(online.runner.logs, accepted.turn.pk):
            if any(isinstance(entry.event, TextDelta) for entry in seen.entries):
                break
    await online.runner.stop(user_id=online.user.pk, conversation_id=online.conversation_id, turn_id=accepted.turn.pk)
    await online.settled()


async def test_one_connection_serves_one_reply_after_another(online: Chat, endpoint: ModelServer) -> None:
    for n in range(3):
        endpoint.play(says(f"Reply {n}"))
        await events_of(online, "hi")

    assert endpoint.connected == 1, "an encrypted connection costs more than the request"
    assert endpoint.hung_up == 0


async def test_what_it_cost_is_stored_with_the_step_and_the_turn(online: Chat, endpoint: ModelServer) -> None:
    endpoint.play(Answer(parts=(Text(("Hello",)),), input_tokens=123, output_tokens=45))

    events = await events_of(online, "hi")

    spent = {"input_tokens": 123, "output_tokens": 45}
    last = events[-1]
    assert isinstance(last, TurnFinished)
    assert last.usage == spent
    assert (await in_database(Turn.objects.get)).usage == spent
    assert (await in_database(TurnStep.objects.get)).usage == spent


async def test_the_request_names_the_model_and_asks_that_nothing_is_kept(
    online: Chat, endpoint: ModelServer, api: Api
) -> None:
    endpoint.play(says("Hello"))

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


async def test_what_a_model_says_instead_of_an_answer_is_a_reply(online: Chat, endpoint: ModelServer) -> None:
    endpoint.play(Answer(parts=(Refusal(("I would ", "rather not.")),)), says("Gladly."))

    events = await events_of(online, "add something forbidden")
    assert shown(events) == reply_of(events) == "I would rather not."

    assert reply_of(await events_of(online, "add milk then")) == "Gladly."
    assert "I would rather not." in str(endpoint.requests[1].items)


async def test_a_reply_longer_than_any_column_is_kept_whole(online: Chat, endpoint: ModelServer) -> None:
    endpoint.play(says(*["word " * 40] * 500))

    assert len(reply_of(await events_of(online, "tell me"))) == 100_000


async def test_an_answer_without_a_word_fails_with_a_sentence(online: Chat, endpoint: ModelServer) -> None:
    endpoint.play(Answer(parts=()))

    last = (await events_of(online, "hi"))[-1]

    assert getattr(last, "detail", None) == "The assistant gave no answer."


@pytest.mark.parametrize("api", ["responses"], indirect=True)
async def test_reasoning_is_sent_back_as_only_the_provider_can_read_it(online: Chat, endpoint: ModelServer) -> None:
    endpoint.play(Answer(parts=(Reasoning("gAAA-secret", "Thinking of milk"), Text(("Noted.",)))), says("Yes."))

    await events_of(online, "I need milk")
    await events_of(online, "did you note it?")

    (thought,) = [item for item in endpoint.requests[1].items if item.get("type") == "reasoning"]
    assert thought["encrypted_content"] == "gAAA-secret"
    assert [part["text"] for part in thought["summary"]] == ["Thinking of milk"]
