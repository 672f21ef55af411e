"""Guarantees of sessions, checked with the SDK's own session class on the file that the product writes."""

from contextlib import closing
from datetime import timedelta

import pytest
import time_machine
from agents import SQLiteSession, TResponseInputItem
from agents.testing import ScriptedModel, assistant_message, function_call
from django.utils import timezone
from pytest_django import Settings

from chat.infra.db_threads import in_database
from chat.memory.identity import SessionId
from chat.memory.items import faults, is_user_message
from chat.tests.conftest import Chat, StartRunner
from sessions_admin.retention.cleanup import cleanup

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def _use_chat_session_file(chat: Chat, settings: Settings) -> None:
    settings.AGENT_SESSION_DB_PATH = chat.session_file


async def sdk_items(chat: Chat) -> list[TResponseInputItem]:
    """Return the items that the SDK reads of a conversation."""
    session_id = str(SessionId(chat.user.pk, chat.conversation_id))
    with closing(SQLiteSession(session_id, chat.session_file)) as session:
        return list(await session.get_items())


def user_texts(items: list[TResponseInputItem]) -> list[object]:
    return [item.get("content") for item in items if item.get("role") == "user"]


async def send_messages(chat: Chat, script: ScriptedModel, *texts: str) -> None:
    for text in texts:
        script.enqueue([assistant_message(f"To {text}.")])
        await chat.run_turn(text)
        await chat.wait_until_idle()


async def test_session_survives_a_restart_of_the_process(
    chat: Chat, script: ScriptedModel, start_runner: StartRunner
) -> None:
    await send_messages(chat, script, "One", "Two")
    await chat.runner.drain(0)

    restarted = Chat(await start_runner(script), chat.user, chat.conversation_id)
    await send_messages(restarted, script, "Three")

    assert user_texts(await sdk_items(restarted)) == ["One", "Two", "Three"]
    assert script.last_call is not None
    assert user_texts(list(script.last_call.input)) == ["One", "Two", "Three"]


@pytest.mark.long
async def test_session_keeps_at_most_200_items_in_whole_turns(chat: Chat, script: ScriptedModel) -> None:
    for n in range(30):
        calls = [function_call("list_tasks", "{}", call_id=f"c{n}-{i}") for i in range(4)]
        script.enqueue(calls)
        await send_messages(chat, script, str(n))

    items = await sdk_items(chat)
    assert 190 < len(items) <= 200
    assert is_user_message(items[0]) and faults(items) == {}
    assert user_texts(items)[-1] == "29"


@pytest.mark.parametrize(("days", "is_kept"), [(6.99, True), (7.01, False)])
async def test_session_expires_after_seven_days(chat: Chat, script: ScriptedModel, days: float, is_kept: bool) -> None:
    await send_messages(chat, script, "One")
    later = timezone.now() + timedelta(days=days)

    def clean() -> None:
        with time_machine.travel(later):
            cleanup(trigger="schedule")

    await in_database(clean)
    assert bool(await sdk_items(chat)) is is_kept
    # The journal still has the turn.
    await send_messages(chat, script, "Two")
    assert user_texts(await sdk_items(chat)) == ["One", "Two"]
