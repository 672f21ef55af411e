"""Tool calls of an earlier version keep their effect: the page shows them, and the model is given them."""

import pytest
from agents.testing import ModelStep, ScriptedModel, assistant_message, function_call

from chat.conversations.chat_page import ChatPage
from chat.exceptions import ModelFailed
from chat.infra.db_threads import in_database
from chat.models import Task, Turn
from chat.read_models import ToolCallOut, TurnOut
from chat.tasks import services as tasks
from chat.tests.conftest import Chat
from chat.tests.versions import displayed_messages, page, wait_for_end
from chat.turns.accept import Accepted

BROKEN = ModelStep.raise_error(ModelFailed("The model's endpoint cannot be reached at the moment.", retryable=False))


async def test_tool_calls_of_earlier_versions_are_shown_as_kept(chat: Chat, script: ScriptedModel) -> None:
    script.extend(
        [
            [
                function_call("create_task", {"title": "Milk"}, call_id="c1"),
                function_call("list_tasks", {}, call_id="c2"),
            ],
            [assistant_message("Added.")],
        ]
    )
    old = await wait_for_end(chat, await chat.send("Add milk"))
    script.extend([[function_call("create_task", {"title": "Bread"}, call_id="c3")], [assistant_message("Added.")]])
    await wait_for_end(chat, await chat.send("Add bread"))
    script.extend([[function_call("create_task", {"title": "Oat milk"}, call_id="c4")], [assistant_message("Added.")]])
    await wait_for_end(chat, await chat.edit(old.message.id, "Add oat milk"))

    assert await in_database(Task.objects.count) == 3
    (turn,) = (await page(chat)).turns
    assert [call.arguments for call in turn.kept] == [{"title": "Milk"}, {"title": "Bread"}]
    assert [call.arguments for call in turn.tools] == [{"title": "Oat milk"}]
    script.enqueue([assistant_message("Nothing to do.")])
    again = await wait_for_end(chat, await chat.retry(await in_database(lambda: Turn.objects.get(seq=3))))
    assert [call.arguments for call in kept(await page(chat), again)] == [
        {"title": "Milk"},
        {"title": "Bread"},
        {"title": "Oat milk"},
    ]


def kept(page: ChatPage, accepted: Accepted) -> tuple[ToolCallOut, ...]:
    turn: TurnOut = next(turn for turn in page.turns if turn.id == accepted.turn.pk)
    return turn.kept


async def test_instructions_list_the_kept_tool_calls(chat: Chat, script: ScriptedModel) -> None:
    script.extend([[function_call("create_task", {"title": "Milk"}, call_id="c1")], [assistant_message("Added.")]])
    old = await wait_for_end(chat, await chat.send("Add milk"))
    script.enqueue([assistant_message("Milk is on your list.")])
    await wait_for_end(chat, await chat.retry(old.turn))

    request = script.last_call
    assert request is not None
    assert "Done before" in str(request.system_instructions)
    assert "create_task" in str(request.system_instructions)
    assert "Milk" in str(request.system_instructions)


async def test_offline_model_does_not_add_the_same_task_again(offline_chat: Chat) -> None:
    accepted = await wait_for_end(offline_chat, await offline_chat.send("Add a task to buy milk"))
    await wait_for_end(offline_chat, await offline_chat.retry(accepted.turn))

    assert await in_database(Task.objects.count) == 1
    assert "buy milk" in str((await page(offline_chat)).turns[0].reply).lower()


@pytest.mark.parametrize("prompt", ["Delete tasks 1 and 2", "Delete everything"])
async def test_regenerated_offline_reply_lists_the_tasks_deleted_before(offline_chat: Chat, prompt: str) -> None:
    user = offline_chat.user
    await in_database(lambda: [tasks.create_task(user_id=user.pk, title=title) for title in ("Buy soap", "Fix bike")])
    accepted, approval = await offline_chat.request_approval(prompt)
    await offline_chat.decide(accepted.turn, approval.call_id, True)
    await wait_for_end(offline_chat, accepted)
    await wait_for_end(offline_chat, await offline_chat.retry(accepted.turn))

    (turn,) = (await page(offline_chat)).turns
    assert turn.reply is not None
    assert "Fix bike" in turn.reply.text
    assert "There is no" not in turn.reply.text


async def test_retry_of_a_failed_version_keeps_its_tool_calls(chat: Chat, script: ScriptedModel) -> None:
    script.extend([[function_call("create_task", {"title": "Milk"}, call_id="c1")], BROKEN])
    failed = await chat.send("Add milk")
    await chat.follow_to_end(failed.turn)
    await chat.wait_until_idle()
    script.enqueue([assistant_message("Added.")])
    new = await wait_for_end(chat, await chat.retry(failed.turn))

    (turn,) = (await page(chat)).turns
    assert turn.versions == (failed.turn.pk, new.turn.pk)
    assert [call.call_id for call in turn.tools] == ["c1"]
    assert turn.kept == ()
    assert await displayed_messages(chat, failed.turn.pk) == [("Add milk", None)]
