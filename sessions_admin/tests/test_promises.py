"""What sessions promise, seen from outside by the SDK's own class: it reads the file that the product writes."""

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
def _same_file(chat: Chat, settings: Settings) -> None:
    settings.AGENT_SESSION_DB_PATH = chat.session_file


async def remembered(chat: Chat) -> list[TResponseInputItem]:
    """Return what the SDK reads of a conversation."""
    session_id = str(SessionId(chat.user.pk, chat.conversation_id))
    with closing(SQLiteSession(session_id, chat.session_file)) as session:
        return list(await session.get_items())


def spoken(items: list[TResponseInputItem]) -> list[object]:
    return [item.get("content") for item in items if item.get("role") == "user"]


async def talk(chat: Chat, script: ScriptedModel, *texts: str) -> None:
    for text in texts:
        script.enqueue([assistant_message(f"To {text}.")])
        await chat.say(text)
        await chat.settled()


async def test_it_outlives_the_process(chat: Chat, script: ScriptedModel, start_runner: StartRunner) -> None:
    await talk(chat, script, "One", "Two")
    await chat.runner.drain(0)

    again = Chat(await start_runner(script), chat.user, chat.conversation_id)
    await talk(again, script, "Three")

    assert spoken(await remembered(again)) == ["One", "Two", "Three"]
    assert script.last_call is not None
    assert spoken(list(script.last_call.input)) == ["One", "Two", "Three"]


async def test_it_holds_200_items_at_most_and_whole_turns(chat: Chat, script: ScriptedModel) -> None:
    for n in range(30):
        calls = [function_call("list_tasks", "{}", call_id=f"c{n}-{i}") for i in range(4)]
        script.enqueue(calls)
        await talk(chat, script, str(n))

    items = await remembered(chat)
    assert 190 < len(items) <= 200
    assert is_user_message(items[0]) and faults(items) == {}
    assert spoken(items)[-1] == "29"


@pytest.mark.parametrize(("days", "is_there"), [(6.99, True), (7.01, False)])
async def test_it_is_kept_for_seven_days(chat: Chat, script: ScriptedModel, days: float, is_there: bool) -> None:
    await talk(chat, script, "One")
    later = timezone.now() + timedelta(days=days)

    def clean() -> None:
        with time_machine.travel(later):
            cleanup(trigger="schedule")

    await in_database(clean)
    assert bool(await remembered(chat)) is is_there
    # The record has it still.
    await talk(chat, script, "Two")
    assert spoken(await remembered(chat)) == ["One", "Two"]
