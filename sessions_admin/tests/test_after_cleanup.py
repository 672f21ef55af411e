"""What people notice of a clean-up: nothing that they can read is missing, and the next message is understood."""

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


async def clean_up_a_week_later(chat: Chat, settings: Settings) -> CleanupReport:
    """Let the conversation be silent for eight days, then clean up while the server still has the file open."""
    await chat.settled()
    settings.AGENT_SESSION_DB_PATH = chat.session_file
    await in_database(AgentSession.objects.update, last_activity_at=timezone.now() - timedelta(days=8))
    async with asyncio.timeout(30):
        # After a turn the runner looks for the next one; a conversation that it looks at is passed over.
        while not (report := await in_database(cleanup, trigger=Trigger.SCHEDULE)).sessions:
            assert report.examined == 1
    return report


async def test_the_next_message_gets_its_memory_back_from_the_record(
    chat: Chat, script: ScriptedModel, settings: Settings
) -> None:
    script.extend([[assistant_message("Hello Zebra!")], [assistant_message("Zebra.")]])
    await chat.reply("call me Zebra")
    report = await clean_up_a_week_later(chat, settings)

    accepted = await chat.send("what do you call me?")
    warnings = [entry.event.code for entry in await chat.log(accepted.turn) if isinstance(entry.event, Warned)]
    await chat.settled()

    assert (report.sessions, report.items) == (1, 2)
    assert warnings == ["context_rebuilt"]
    last = script.last_call
    assert last is not None
    assert [item["content"] for item in last.input if item["role"] == "user"] == [
        "call me Zebra",
        "what do you call me?",
    ]
    theirs = SQLiteSession(str(SessionId(chat.user.pk, chat.conversation_id)), chat.session_file)
    assert len(await theirs.get_items()) == 4
    theirs.close()


async def test_after_a_clearing_the_next_message_gets_a_fresh_session_with_nothing_from_before(
    chat: Chat, script: ScriptedModel, settings: Settings
) -> None:
    script.extend([[assistant_message("Hello Zebra!")], [assistant_message("I do not know.")]])
    await chat.reply("call me Zebra")
    await clean_up_a_week_later(chat, settings)
    await in_database(lambda: Conversation.objects.update(memory_from=F("last_seq")))

    await chat.reply("what do you call me?")
    await chat.settled()

    last = script.last_call
    assert last is not None
    assert [item["content"] for item in last.input] == ["what do you call me?"]
    assert last.system_instructions is not None
    assert "the beginning of this conversation is no longer remembered" in last.system_instructions


async def test_the_offline_model_still_knows_the_first_thing_that_was_asked(
    offline_chat: Chat, settings: Settings
) -> None:
    await offline_chat.reply("Add a task to buy groceries for the party")
    await clean_up_a_week_later(offline_chat, settings)

    answer = await offline_chat.reply("What was the first thing I asked you to do?")

    assert "add a task to buy groceries" in answer.lower()
    assert "groceries" in (await offline_chat.reply("show my tasks")).lower()


async def test_the_offline_model_looks_up_what_it_was_filled_without(offline_chat: Chat, settings: Settings) -> None:
    settings.AGENT_SESSION_MAX_MESSAGES = 4
    for text in ("add buy soap", "hello", "thanks", "good morning"):
        await offline_chat.reply(text)
    await clean_up_a_week_later(offline_chat, settings)

    assert await offline_chat.reply("What was the first thing I asked?") == (
        "The first thing you asked was: “add buy soap”"
    )
