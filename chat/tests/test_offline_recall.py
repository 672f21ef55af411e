"""The offline model searches the stored conversation for messages that its session no longer holds."""

import pytest
from pytest_django import Settings

from chat.infra.db_threads import in_database
from chat.memory.identity import SessionId
from chat.models import Conversation, Task, ToolCall
from chat.tests.conftest import Chat

FIRST = "What was the first thing I asked?"


async def converse(chat: Chat, settings: Settings, *messages: str) -> None:
    """Send messages, of which the session keeps the last two turns."""
    settings.AGENT_SESSION_MAX_MESSAGES = 8
    for text in messages:
        await chat.reply(text)
        await chat.wait_until_idle()


MANY = ("add buy soap", "add fix the bike", "hello", "show my tasks", "thanks", "good morning")


async def test_first_request_is_found_without_its_session_items(offline_chat: Chat, settings: Settings) -> None:
    await converse(offline_chat, settings, *MANY)
    session_id = str(SessionId(offline_chat.user.pk, offline_chat.conversation_id))
    assert "add buy soap" not in str(await offline_chat.runner.store.rows(session_id)), "it was pruned"

    assert await offline_chat.reply(FIRST) == "The first thing you asked was: “add buy soap”"
    assert await offline_chat.reply("What was the second thing I asked?") == "That was: “add fix the bike”"
    listed = await offline_chat.reply("What have I said so far?")
    assert all(text in listed for text in MANY)
    assert listed.startswith("You said:")
    offline_chat.session_file.unlink()
    assert await offline_chat.reply(FIRST) == "The first thing you asked was: “add buy soap”"
    await offline_chat.wait_until_idle()
    offline_chat.session_file.unlink()
    offline_chat.session_file.mkdir()
    assert await offline_chat.reply(FIRST) == "The first thing you asked was: “add buy soap”"


async def test_recall_starts_where_the_memory_was_cleared(offline_chat: Chat, settings: Settings) -> None:
    await converse(offline_chat, settings, *MANY)
    await in_database(Conversation.objects.filter(pk=offline_chat.conversation_id).update, memory_from=3)

    assert await offline_chat.reply(FIRST) == "The first thing you asked was: “show my tasks”"


async def test_first_request_of_a_new_conversation_is_the_question(offline_chat: Chat) -> None:
    assert "the first thing you have asked me" in await offline_chat.reply(FIRST)


async def test_user_name_is_found_after_pruning(offline_chat: Chat, settings: Settings) -> None:
    await converse(offline_chat, settings, "call me Zebra", *MANY)

    assert await offline_chat.reply("what is my name?") == "You asked me to call you Zebra."


@pytest.mark.parametrize(
    "question",
    [
        "What did I say about soap?",
        "when did I mention the soap?",
        "did I ever mention soap",
        "search this conversation for soap",
    ],
)
async def test_earlier_message_about_a_topic_is_found(offline_chat: Chat, settings: Settings, question: str) -> None:
    await converse(offline_chat, settings, *MANY)

    reply = await offline_chat.reply(question)

    assert reply == "You said:\n\n1. “add buy soap”"
    assert await in_database(Task.objects.count) == 2
    assert [call.name for call in await in_database(lambda: list(ToolCall.objects.all()))][-1] == "search_conversation"


async def test_recall_of_an_unknown_topic_finds_nothing(offline_chat: Chat) -> None:
    reply = await offline_chat.reply("What did I tell you about the dentist?")

    assert reply == "I find nothing you said about “the dentist” in this conversation."


# Odd numbers and titles.


@pytest.mark.parametrize(
    "message",
    ["complete -1", "mark task -1 as done", "complete −1", "delete -1", "move -1 to friday", "rename -1 to bread"],
)
async def test_negative_number_matches_no_task(offline_chat: Chat, message: str) -> None:
    await offline_chat.reply("add buy soap")
    before = await in_database(Task.objects.values().get)

    reply = await offline_chat.reply(message)

    assert await in_database(Task.objects.values().get) == before
    assert "no task" in reply


@pytest.mark.parametrize("message", ["add \u200b", "add task: \u200b\u2060\u3164", "remind me to \u200b tomorrow"])
async def test_invisible_title_is_asked_for(offline_chat: Chat, message: str) -> None:
    reply = await offline_chat.reply(message)

    assert not await in_database(Task.objects.exists)
    assert reply.endswith("?") or "title" in reply
