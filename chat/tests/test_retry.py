"""A turn that failed says so in a sentence, and can be tried again without doing anything twice."""

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


async def failed_after_a_tool(chat: Chat, script: ScriptedModel) -> Accepted:
    script.extend([[function_call("create_task", {"title": "Buy milk"}, call_id="call_1")], BROKEN])
    accepted = await chat.send("Add milk")
    assert isinstance((await chat.log(accepted.turn))[-1].event, TurnFailed)
    await chat.settled()
    return accepted


async def test_what_a_failed_turn_had_begun_to_say_is_no_reply(chat: Chat, script: ScriptedModel) -> None:
    async def break_off(call: ModelCall) -> AsyncIterator[TResponseStreamEvent]:
        yield ResponseTextDeltaEvent.model_construct(type="response.output_text.delta", delta="I have add")
        raise ModelFailed("The model broke off.", retryable=False)

    script.enqueue(ModelStep.stream(break_off))
    accepted = await chat.send("Add milk")

    assert isinstance((await chat.log(accepted.turn))[-1].event, TurnFailed)
    await chat.settled()
    assert (await in_database(Turn.objects.get)).text == "I have add"
    assert [message.text for message in await in_database(lambda: list(Message.objects.all()))] == ["Add milk"]


async def test_trying_again_goes_on_after_what_the_tools_did(chat: Chat, script: ScriptedModel) -> None:
    accepted = await failed_after_a_tool(chat, script)
    script.enqueue([assistant_message("Added task 1.")])

    again = await chat.retry(accepted.turn)
    last = (await chat.log(again.turn))[-1].event
    await chat.settled()

    assert isinstance(last, TurnFinished)
    assert last.message.text == "Added task 1."
    assert await in_database(Task.objects.count) == 1
    assert await in_database(ToolCall.objects.filter(turn=again.turn.pk).count) == 1
    turn = await in_database(lambda: Turn.objects.get(replaces=accepted.turn.pk))
    session = await chat.runner.store.rows(await in_database(lambda: turn.conversation.session.session_id))
    assert [row.item for row in session] == turn.items, "the failed try is not in the session any more"


async def test_the_same_client_id_tries_once(chat: Chat, script: ScriptedModel) -> None:
    accepted = await failed_after_a_tool(chat, script)
    script.enqueue([assistant_message("Added.")])
    client_id = uuid.uuid4()

    first = await chat.retry(accepted.turn, client_id)
    second = await chat.retry(accepted.turn, client_id)

    assert first.turn.pk == second.turn.pk
    assert not second.is_new
    await chat.log(first.turn)


async def test_a_failed_turn_is_not_tried_again_once_the_conversation_has_moved_on(
    chat: Chat, script: ScriptedModel
) -> None:
    accepted = await failed_after_a_tool(chat, script)
    script.enqueue([assistant_message("Yes?")])
    await chat.reply("hello?")

    with pytest.raises(Conflict):
        await chat.retry(accepted.turn)


async def test_nobody_else_can_try_it_again(chat: Chat, script: ScriptedModel, outsider: User) -> None:
    accepted = await failed_after_a_tool(chat, script)
    script.enqueue([assistant_message("Hello.")])
    elsewhere = Chat(chat.runner, chat.user, uuid.uuid4())
    await elsewhere.reply("hi")

    nowhere = Chat(chat.runner, chat.user, uuid.uuid4())
    for other in (Chat(chat.runner, outsider, chat.conversation_id), nowhere, elsewhere):
        with pytest.raises(NotFound):
            await other.retry(accepted.turn)
