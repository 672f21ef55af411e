"""The user, or the assistant on request, undoes the assistant's changes; the page and the instructions reflect it."""

import json

import pytest
from agents.testing import ScriptedModel, assistant_message, function_call

from chat.infra.db_threads import in_database
from chat.models import Task, TaskChange, ToolCall
from chat.tasks import services as tasks
from chat.tasks import undo
from chat.tests.conftest import Chat
from chat.tests.versions import page, wait_for_end
from chat.turns.accept import Accepted

pytestmark = pytest.mark.django_db(transaction=True)


async def add_milk(chat: Chat, script: ScriptedModel) -> Accepted:
    script.extend([[function_call("create_task", {"title": "Milk"}, call_id="c1")], [assistant_message("Added.")]])
    return await wait_for_end(chat, await chat.send("Add milk"))


async def undo_call(chat: Chat, call_id: str) -> undo.Undone:
    change = await in_database(lambda: TaskChange.objects.get(turn__conversation=chat.conversation_id, call_id=call_id))
    return await in_database(lambda: undo.undo(user_id=chat.user.pk, change_id=change.pk))


def instructions(script: ScriptedModel) -> str:
    assert script.last_call is not None
    return str(script.last_call.system_instructions)


async def test_user_undoes_a_tool_call_and_the_page_shows_it(chat: Chat, script: ScriptedModel) -> None:
    await add_milk(chat, script)
    (change,) = (await page(chat)).changes
    assert (change.call_id, change.undone, change.undoable) == ("c1", False, True)

    await undo_call(chat, "c1")

    assert not await in_database(Task.objects.exists)
    current = await page(chat)
    assert [(each.call_id, each.undone, each.undoable) for each in current.changes] == [("c1", True, False)]
    assert [call.undone for call in current.turns[0].tools] == [True]


async def test_instructions_list_what_the_user_undid_and_changed(chat: Chat, script: ScriptedModel) -> None:
    await add_milk(chat, script)
    await in_database(lambda: tasks.create_task(user_id=chat.user.pk, title="Bread"))
    await undo_call(chat, "c1")
    script.enqueue([assistant_message("I see.")])
    await wait_for_end(chat, await chat.send("Hello"))
    assert '- task 1 "Milk" was deleted, which undid what you had done' in instructions(script)
    assert '- task 2 "Bread" was added' in instructions(script)

    script.enqueue([assistant_message("I see.")])
    await wait_for_end(chat, await chat.send("Hello again"))
    assert "Changed by the person" not in instructions(script)


async def test_instructions_for_a_regenerated_reply_omit_undone_calls(chat: Chat, script: ScriptedModel) -> None:
    accepted = await add_milk(chat, script)
    await undo_call(chat, "c1")
    script.enqueue([assistant_message("Again.")])
    await wait_for_end(chat, await chat.retry(accepted.turn))
    assert "Done before" not in instructions(script)
    assert [call.undone for call in (await page(chat)).turns[0].kept] == [True]


async def test_undo_tool_undoes_all_changes_of_the_previous_turn(chat: Chat, script: ScriptedModel) -> None:
    await in_database(lambda: tasks.create_task(user_id=chat.user.pk, title="Bread"))
    script.extend(
        [
            [
                function_call("create_task", {"title": "Milk"}, call_id="c1"),
                function_call("complete_task", {"number": 1}, call_id="c2"),
            ],
            [assistant_message("Done.")],
            [function_call("undo", {}, call_id="c3")],
            [assistant_message("Undone.")],
        ]
    )
    await wait_for_end(chat, await chat.send("Add milk, bread is done"))
    await wait_for_end(chat, await chat.send("Undo that"))
    rows = await in_database(lambda: [(task.number, task.is_completed) for task in Task.objects.all()])
    assert rows == [(1, False)]
    current = await page(chat)
    assert {change.call_id: change.undone for change in current.changes} == {"c1": True, "c2": True, "c3": False}
    output = json.loads(str(current.turns[1].tools[0].output))
    assert [(each["kind"], each["task"]["number"]) for each in output["undone"]] == [
        ("changed back", 1),
        ("removed", 2),
    ]


async def test_undo_tool_undoes_the_last_change_of_one_task(chat: Chat, script: ScriptedModel) -> None:
    script.extend(
        [
            [
                function_call("create_task", {"title": "Milk"}, call_id="c1"),
                function_call("create_task", {"title": "Bread"}, call_id="c2"),
            ],
            [assistant_message("Done.")],
            [function_call("undo", {"number": 1}, call_id="c3")],
            [assistant_message("Undone.")],
        ]
    )
    await wait_for_end(chat, await chat.send("Add milk and bread"))
    await wait_for_end(chat, await chat.send("Not the milk"))
    assert await in_database(lambda: [task.title for task in Task.objects.all()]) == ["Bread"]


async def test_undo_tool_returns_an_error_for_a_task_changed_since(chat: Chat, script: ScriptedModel) -> None:
    await add_milk(chat, script)
    await in_database(lambda: tasks.complete_task(user_id=chat.user.pk, number=1))
    script.extend([[function_call("undo", {}, call_id="c2")], [assistant_message("That has changed.")]])
    accepted = await wait_for_end(chat, await chat.send("Undo that"))
    output = await in_database(lambda: ToolCall.objects.get(turn=accepted.turn, call_id="c2").output)
    assert json.loads(str(output))["error"] == "not_undoable"
    assert await in_database(Task.objects.count) == 1


async def test_offline_undo_restores_a_deleted_task_with_its_number(offline_chat: Chat) -> None:
    await offline_chat.reply("Add a task to buy milk by Friday")
    before = await in_database(Task.objects.get)
    await offline_chat.reply("Delete task 1")
    assert "**1** Buy milk is back on your list" in await offline_chat.reply("undo that")
    after = await in_database(Task.objects.get)
    assert undo.state_of(after) == undo.state_of(before)
    assert "Done: **1** Buy milk" in await offline_chat.reply("mark it as done")
    assert "is as it was before" in await offline_chat.reply("undo")
    assert "off your list" in await offline_chat.reply("undo")
    assert "nothing in this conversation" in await offline_chat.reply("undo")


async def test_offline_undo_keeps_a_task_that_the_user_changed_since(offline_chat: Chat) -> None:
    await offline_chat.reply("Add a task to buy milk")
    await in_database(
        lambda: tasks.update_task(user_id=offline_chat.user.pk, number=1, changes=tasks.Changes(title="Buy bread"))
    )
    assert "has changed since" in await offline_chat.reply("undo that")
    assert await in_database(lambda: Task.objects.get().title) == "Buy bread"
