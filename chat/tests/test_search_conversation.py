"""The search_conversation tool finds messages of its own conversation, however old, and of no other."""

import json
import uuid
from typing import Any

import pytest
from agents.testing import ScriptedModel, assistant_message, function_call
from pytest_django import Settings

from chat.infra.db_threads import in_database
from chat.memory.identity import SessionId
from chat.models import Conversation, Message, ToolCall, User
from chat.search.conversation import MAX_SHOWN
from chat.tasks import services as tasks
from chat.tests.conftest import Chat


async def send_texts(chat: Chat, script: ScriptedModel, *texts: str) -> None:
    """Send each text; the model replies "Yes" and the text."""
    for text in texts:
        script.enqueue([assistant_message(f"Yes: {text[:40]}")])
        await chat.reply(text)
        await chat.wait_until_idle()


async def output_of(chat: Chat, script: ScriptedModel, tool: str = "search_conversation", **arguments: Any) -> Any:
    """Have the model call a tool; return its output."""
    script.extend([[function_call(tool, arguments, call_id=f"call_{uuid.uuid4().hex}")], [assistant_message("Done.")]])
    await chat.reply("Look it up")
    await chat.wait_until_idle()
    return json.loads((await in_database(ToolCall.objects.latest, "pk")).output or "")


async def search_texts(chat: Chat, script: ScriptedModel, **arguments: Any) -> list[str]:
    """Return the texts that a search finds."""
    output = await output_of(chat, script, **arguments)
    assert output["ok"], output
    return [message["text"] for message in output["messages"]]


async def test_query_finds_messages_of_user_and_assistant_newest_first(chat: Chat, script: ScriptedModel) -> None:
    await send_texts(chat, script, "The dentist is on Elm Street", "Buy milk", "The dentist moved")

    assert await search_texts(chat, script, query="dentist") == [
        "Yes: The dentist moved",
        "The dentist moved",
        "Yes: The dentist is on Elm Street",
        "The dentist is on Elm Street",
    ]
    assert await search_texts(chat, script, query="dentist elm", role="user") == ["The dentist is on Elm Street"]
    assert await search_texts(chat, script, query="plumber") == []


async def test_search_without_query_lists_earlier_messages_only(chat: Chat, script: ScriptedModel) -> None:
    await send_texts(chat, script, "one", "two")

    assert await search_texts(chat, script, order="oldest", role="user") == ["one", "two"]
    assert await search_texts(chat, script, order="oldest", limit=1, offset=1) == ["Yes: one"]


async def test_messages_of_other_conversations_and_users_are_not_found(
    chat: Chat, script: ScriptedModel, outsider: User
) -> None:
    await send_texts(Chat(chat.runner, chat.user, uuid.uuid4()), script, "secret elsewhere")
    await send_texts(Chat(chat.runner, outsider, uuid.uuid4()), script, "secret of an outsider")
    await send_texts(chat, script, "hello")

    assert await search_texts(chat, script, query="secret") == []
    assert await search_texts(chat, script, role="user") == ["Look it up", "hello"]


async def test_replaced_version_of_a_message_is_not_found(chat: Chat, script: ScriptedModel) -> None:
    await send_texts(chat, script, "about the dentist", "and more")
    first = await in_database(Message.objects.get, text="about the dentist")
    script.enqueue([assistant_message("Yes.")])
    accepted = await chat.edit(first.pk, "about the plumber")
    await chat.follow_to_end(accepted.turn)
    await chat.wait_until_idle()

    assert await search_texts(chat, script, order="oldest") == ["about the plumber", "Yes."]
    assert await search_texts(chat, script, query="dentist") == []


async def test_regenerated_reply_keeps_its_user_message(chat: Chat, script: ScriptedModel) -> None:
    await send_texts(chat, script, "about the dentist")
    turn = (await in_database(Message.objects.select_related("turn").get, text="about the dentist")).turn
    script.enqueue([assistant_message("Another answer.")])
    await chat.follow_to_end((await chat.retry(turn)).turn)
    await chat.wait_until_idle()

    assert await search_texts(chat, script, order="oldest") == ["about the dentist", "Another answer."]


async def test_messages_before_cleared_memory_are_not_found(chat: Chat, script: ScriptedModel) -> None:
    await send_texts(chat, script, "before", "between", "after")
    await in_database(Conversation.objects.filter(pk=chat.conversation_id).update, memory_from=2)

    assert await search_texts(chat, script, order="oldest", role="user") == ["after"]
    assert await search_texts(chat, script, query="before") == []


async def test_pruned_messages_are_found(chat: Chat, script: ScriptedModel, settings: Settings) -> None:
    settings.AGENT_SESSION_MAX_MESSAGES = 4
    await send_texts(chat, script, *(f"message {n}" for n in range(6)))
    session_id = str(SessionId(chat.user.pk, chat.conversation_id))
    assert len(await chat.runner.store.rows(session_id)) == 4

    assert await search_texts(chat, script, order="oldest", role="user", limit=1) == ["message 0"]


@pytest.mark.parametrize("query", ["x" * 300, " ".join(f"word{n}" for n in range(20))])
async def test_invalid_query_returns_an_error_to_the_model(chat: Chat, script: ScriptedModel, query: str) -> None:
    output = await output_of(chat, script, query=query)

    assert output["ok"] is False
    assert "search" in output["detail"].lower()


async def test_search_changes_nothing_and_needs_no_approval(chat: Chat, script: ScriptedModel) -> None:
    await output_of(chat, script)

    call = await in_database(ToolCall.objects.get)
    assert (call.name, call.decision, call.changed_something) == ("search_conversation", "", False)


async def test_long_message_is_excerpted_around_the_match(chat: Chat, script: ScriptedModel) -> None:
    await send_texts(chat, script, "filler " * 900 + "dentist " + "filler " * 300)

    (text,) = await search_texts(chat, script, query="dentist", role="user")
    assert "dentist" in text
    (beginning,) = await search_texts(chat, script, order="oldest", role="user", limit=1)
    assert len(beginning) == MAX_SHOWN + 1


# -- size of a tool's output


@pytest.fixture
def limited_context(settings: Settings) -> None:
    """Configure a model with a limited context."""
    settings.OPENAI_API_KEY = "sk-test"
    settings.AGENT_GUARDRAIL = False


def _many_tasks(user: User) -> None:
    for n in range(1, 91):
        tasks.create_task(user_id=user.pk, title=f"Task {n}", description="note " * 20)


async def test_long_task_list_is_paginated(limited_context: None, chat: Chat, script: ScriptedModel) -> None:
    await in_database(_many_tasks, chat.user)

    numbers: list[int] = []
    offset = 0
    while offset is not None:
        page = await output_of(chat, script, "list_tasks", limit=100, offset=offset)
        assert len(json.dumps(page, ensure_ascii=False)) <= 8_000
        assert page["total"] == 90
        numbers += [task["number"] for task in page["tasks"]]
        assert page.get("more", 0) == 90 - len(numbers)
        offset = page.get("next_offset")

    assert numbers == list(range(1, 91))


async def test_bulk_delete_output_is_shortened_but_undo_data_is_complete(
    limited_context: None, chat: Chat, script: ScriptedModel
) -> None:
    await in_database(_many_tasks, chat.user)
    script.extend(
        [
            [function_call("delete_tasks", {"numbers": list(range(1, 91))}, call_id="call_1")],
            [assistant_message("Done.")],
        ]
    )
    accepted, asked = await chat.request_approval("Delete all")
    await chat.decide(accepted.turn, asked.call_id, True)
    await chat.follow_to_end(accepted.turn)
    await chat.wait_until_idle()

    call = await in_database(ToolCall.objects.get)
    output = json.loads(call.output or "")
    assert len(call.output or "") <= 8_000
    assert (output["total"], output["more"]) == (90, 90 - len(output["tasks"]))
    assert "next_offset" not in output
    assert len((call.before or {})["tasks"]) == 90


async def test_found_messages_are_paginated(limited_context: None, chat: Chat, script: ScriptedModel) -> None:
    await send_texts(chat, script, *(f"{n} " + "word " * 600 for n in range(4)))

    output = await output_of(chat, script, order="oldest", role="user")

    assert len(json.dumps(output, ensure_ascii=False)) <= 8_000
    assert (len(output["messages"]), output["more"], output["next_offset"]) == (2, 2, 2)


async def test_offline_model_gets_the_whole_output(chat: Chat, script: ScriptedModel) -> None:
    await in_database(_many_tasks, chat.user)

    page = await output_of(chat, script, "list_tasks", limit=100)

    assert len(page["tasks"]) == 90
    assert "more" not in page
