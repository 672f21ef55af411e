"""A model that says what cannot be stored ends its turn like any other, and its conversation goes on."""

import pytest
from agents.testing import ModelStep, ScriptedModel, assistant_message, function_call

from chat.infra.db_threads import in_database
from chat.models import Task
from chat.realtime import frames
from chat.tests.conftest import Chat
from chat.turns.events import TurnFailed, TurnFinished


@pytest.mark.parametrize("text", ["nul \x00 here", "half \ud83d of a pair"])
async def test_in_a_reply(chat: Chat, script: ScriptedModel, text: str) -> None:
    script.extend([[assistant_message(text)], [assistant_message("Hello!")]])

    assert await chat.reply("hi") == text.translate({0: "\ufffd", 0xD83D: "\ufffd"})
    assert await chat.reply("hi again") == "Hello!"


@pytest.mark.parametrize("escape", ["\\u0000", "\\ud83d"])
async def test_in_the_arguments_of_a_tool(chat: Chat, script: ScriptedModel, escape: str) -> None:
    asks = [function_call("create_task", f'{{"title": "a{escape}b"}}', call_id="call_1")]
    script.extend([asks, [assistant_message("Hm.")], [assistant_message("Hello!")]])

    log = await chat.log((await chat.send("hi")).turn)

    assert isinstance(log[-1].event, TurnFinished)
    for entry in log:
        frame = frames.event_frame(entry.event, turn_id=chat.conversation_id, attempt=1, n=entry.n)
        assert frames.encode(frame).encode()
    assert await in_database(lambda: Task.objects.get().title) == "a\ufffdb"


async def test_what_fails_does_not_keep_the_conversation(chat: Chat, script: ScriptedModel) -> None:
    script.extend([ModelStep.raise_error(ValueError("nobody foresaw this")), [assistant_message("Hello!")]])

    assert isinstance(await chat.say("hi"), TurnFailed)
    assert await chat.reply("hi again") == "Hello!"
