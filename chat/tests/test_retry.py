"""A failed turn can be retried without repeating the effects of its tools."""

import uuid
from collections.abc import AsyncIterator

import pytest
from agents.items import TResponseStreamEvent
from agents.testing import ModelCall, ModelStep, ScriptedModel, assistant_message, function_call
from openai.types.responses import ResponseTextDeltaEvent

from chat.exceptions import Conflict, ModelFailed, NotFound
from chat.infra.db_threads import in_database
from chat.models import Message, Task, ToolCall, Turn, User
from chat.tests.conftest import Chat
from chat.turns.accept import Accepted
from chat.turns.events import TurnFailed, TurnFinished

BROKEN = ModelStep.raise_error(ModelFailed("The model's endpoint cannot be reached at the moment.", retryable=False))


async def fail_after_a_tool_call(chat: Chat, script: ScriptedModel) -> Accepted:
    script.extend([[function_call("create_task", {"title": "Buy milk"}, call_id="call_1")], BROKEN])
    accepted = await chat.send("Add milk")
    assert isinstance((await chat.follow_to_end(accepted.turn))[-1].event, TurnFailed)
    await chat.wait_until_idle()
    return accepted


async def test_partial_text_of_a_failed_turn_is_not_stored_as_a_reply(chat: Chat, script: ScriptedModel) -> None:
    async def break_off(call: ModelCall) -> AsyncIterator[TResponseStreamEvent]:
        yield ResponseTextDeltaEvent.model_construct(type="response.output_text.delta", delta="I have add")
        raise ModelFailed("The model broke off.", retryable=False)

    script.enqueue(ModelStep.stream(break_off))
    accepted = await chat.send("Add milk")

    assert isinstance((await chat.follow_to_end(accepted.turn))[-1].event, TurnFailed)
    await chat.wait_until_idle()
    assert (await in_database(Turn.objects.get)).text == "I have add"
    assert [message.text for message in await in_database(lambda: list(Message.objects.all()))] == ["Add milk"]


async def test_retry_continues_after_the_tool_calls(chat: Chat, script: ScriptedModel) -> None:
    accepted = await fail_after_a_tool_call(chat, script)
    script.enqueue([assistant_message("Added task 1.")])

    retried = await chat.retry(accepted.turn)
    last = (await chat.follow_to_end(retried.turn))[-1].event
    await chat.wait_until_idle()

    assert isinstance(last, TurnFinished)
    assert last.message.text == "Added task 1."
    assert await in_database(Task.objects.count) == 1
    assert await in_database(ToolCall.objects.filter(turn=retried.turn.pk).count) == 1
    turn = await in_database(lambda: Turn.objects.get(replaces=accepted.turn.pk))
    session = await chat.runner.store.rows(await in_database(lambda: turn.conversation.session.session_id))
    assert [row.item for row in session] == turn.items, "the failed attempt is removed from the session"


async def test_same_client_id_retries_once(chat: Chat, script: ScriptedModel) -> None:
    accepted = await fail_after_a_tool_call(chat, script)
    script.enqueue([assistant_message("Added.")])
    client_id = uuid.uuid4()

    first = await chat.retry(accepted.turn, client_id)
    second = await chat.retry(accepted.turn, client_id)

    assert first.turn.pk == second.turn.pk
    assert not second.is_new
    await chat.follow_to_end(first.turn)


async def test_failed_turn_before_a_newer_turn_cannot_be_retried(chat: Chat, script: ScriptedModel) -> None:
    accepted = await fail_after_a_tool_call(chat, script)
    script.enqueue([assistant_message("Yes?")])
    await chat.reply("hello?")

    with pytest.raises(Conflict):
        await chat.retry(accepted.turn)


async def test_retry_by_another_user_or_elsewhere_is_not_found(
    chat: Chat, script: ScriptedModel, outsider: User
) -> None:
    accepted = await fail_after_a_tool_call(chat, script)
    script.enqueue([assistant_message("Hello.")])
    elsewhere = Chat(chat.runner, chat.user, uuid.uuid4())
    await elsewhere.reply("hi")

    nowhere = Chat(chat.runner, chat.user, uuid.uuid4())
    for other in (Chat(chat.runner, outsider, chat.conversation_id), nowhere, elsewhere):
        with pytest.raises(NotFound):
            await other.retry(accepted.turn)
