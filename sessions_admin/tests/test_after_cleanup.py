"""The effect of a clean-up on conversations: the next turn rebuilds its context from the database."""

import asyncio
from datetime import timedelta

from agents import SQLiteSession
from agents.testing import ScriptedModel, assistant_message
from django.db.models import F
from django.utils import timezone
from pytest_django import Settings

from chat.infra.db_threads import in_database
from chat.memory.identity import SessionId
from chat.models import AgentSession, Conversation
from chat.tests.conftest import Chat
from chat.turns.events import Warned
from sessions_admin.models import Trigger
from sessions_admin.retention.cleanup import CleanupReport, cleanup


async def clean_up_idle_conversation(chat: Chat, settings: Settings) -> CleanupReport:
    """Make the conversation idle for eight days, then clean up while the server has the file open."""
    await chat.wait_until_idle()
    settings.AGENT_SESSION_DB_PATH = chat.session_file
    await in_database(AgentSession.objects.update, last_activity_at=timezone.now() - timedelta(days=8))
    async with asyncio.timeout(30):
        # After a turn the runner looks for the next one, and a clean-up skips a conversation that it has locked.
        while not (report := await in_database(cleanup, trigger=Trigger.SCHEDULE)).sessions:
            assert report.examined == 1
    return report


async def test_next_turn_rebuilds_its_context_from_the_database(
    chat: Chat, script: ScriptedModel, settings: Settings
) -> None:
    script.extend([[assistant_message("Hello Zebra!")], [assistant_message("Zebra.")]])
    await chat.reply("call me Zebra")
    report = await clean_up_idle_conversation(chat, settings)

    accepted = await chat.send("what do you call me?")
    warnings = [
        entry.event.code for entry in await chat.follow_to_end(accepted.turn) if isinstance(entry.event, Warned)
    ]
    await chat.wait_until_idle()

    assert (report.sessions, report.items) == (1, 2)
    assert warnings == ["context_rebuilt"]
    last = script.last_call
    assert last is not None
    assert [item["content"] for item in last.input if item["role"] == "user"] == [
        "call me Zebra",
        "what do you call me?",
    ]
    sdk_session = SQLiteSession(str(SessionId(chat.user.pk, chat.conversation_id)), chat.session_file)
    assert len(await sdk_session.get_items()) == 4
    sdk_session.close()


async def test_turn_after_clearing_starts_with_an_empty_context(
    chat: Chat, script: ScriptedModel, settings: Settings
) -> None:
    script.extend([[assistant_message("Hello Zebra!")], [assistant_message("I do not know.")]])
    await chat.reply("call me Zebra")
    await clean_up_idle_conversation(chat, settings)
    await in_database(lambda: Conversation.objects.update(memory_from=F("last_seq")))

    await chat.reply("what do you call me?")
    await chat.wait_until_idle()

    last = script.last_call
    assert last is not None
    assert [item["content"] for item in last.input] == ["what do you call me?"]
    assert last.system_instructions is not None
    assert "the beginning of this conversation is no longer remembered" in last.system_instructions


async def test_offline_model_recalls_the_first_request_after_cleanup(offline_chat: Chat, settings: Settings) -> None:
    await offline_chat.reply("Add a task to buy groceries for the party")
    await clean_up_idle_conversation(offline_chat, settings)

    answer = await offline_chat.reply("What was the first thing I asked you to do?")

    assert "add a task to buy groceries" in answer.lower()
    assert "groceries" in (await offline_chat.reply("show my tasks")).lower()


async def test_offline_model_recalls_messages_beyond_its_rebuilt_context(
    offline_chat: Chat, settings: Settings
) -> None:
    settings.AGENT_SESSION_MAX_MESSAGES = 4
    for text in ("add buy soap", "hello", "thanks", "good morning"):
        await offline_chat.reply(text)
    await clean_up_idle_conversation(offline_chat, settings)

    assert await offline_chat.reply("What was the first thing I asked?") == (
        "The first thing you asked was: “add buy soap”"
    )
