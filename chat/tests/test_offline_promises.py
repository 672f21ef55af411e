"""What the offline model says of what it cannot do, and that it counts tasks, days and weeks as the person does."""

import uuid
from datetime import UTC, date, datetime

import pytest
import time_machine

from chat.accounts.services import change_time_zone
from chat.infra.db_threads import in_database
from chat.models import Task
from chat.tasks.panel import load_panel
from chat.tasks.services import create_task
from chat.tests.conftest import Chat


@pytest.mark.parametrize(
    ("said", "told"),
    [
        ("Remind me to pay the bills by Friday", ["Added **1** Pay the bills", "I don't send reminders"]),
        ("Water the plants every Monday", ["Added **1** Water the plants", "I don't repeat tasks"]),
        ("remind me every day to stretch", ["Stretch every day", "I don't send reminders", "I don't repeat tasks"]),
        ("add a weekly task: call Mum", ["Added **1** Call Mum", "I don't repeat tasks"]),
    ],
)
async def test_what_the_assistant_cannot_do_it_does_not_promise(offline_chat: Chat, said: str, told: list[str]) -> None:
    reply = await offline_chat.reply(said)
    assert all(part in reply for part in told), reply


@pytest.mark.parametrize(
    "said", ["Do you send reminders?", "remind me of it an hour before", "make it repeat every week"]
)
async def test_what_the_assistant_cannot_do_changes_nothing(offline_chat: Chat, said: str) -> None:
    await offline_chat.reply("Add a task to call Mum tomorrow")
    before = await in_database(lambda: list(Task.objects.values()))
    reply = await offline_chat.reply(said)
    assert "I don't send reminders" in reply or "I don't repeat tasks" in reply
    assert await in_database(lambda: list(Task.objects.values())) == before


async def test_errands_with_such_words_are_no_wishes_for_them(offline_chat: Chat) -> None:
    reply = await offline_chat.reply("Add a task to write the weekly report and a task to send a reminder to Ann")
    assert "I don't" not in reply


async def test_the_reply_to_a_note_names_the_task_and_the_note(offline_chat: Chat) -> None:
    await offline_chat.reply("Add three tasks: buy milk, call the dentist, water the plants")
    reply = await offline_chat.reply("add a note to the dentist: bring the card")
    assert "**2** Call the dentist · note: “bring the card”" in reply


async def test_the_first_one_is_the_first_of_the_panel(offline_chat: Chat) -> None:
    user_id = offline_chat.user.pk
    await in_database(lambda: create_task(user_id=user_id, title="Buy milk"))
    await in_database(lambda: create_task(user_id=user_id, title="Pay rent", due_date=date(2030, 1, 1)))
    panel = await in_database(lambda: [task.number for task in load_panel(user_id).open])
    assert panel == [2, 1]
    listed = await offline_chat.reply("Show my tasks")
    assert listed.index("Pay rent") < listed.index("Buy milk")
    elsewhere = Chat(offline_chat.runner, offline_chat.user, uuid.uuid4())
    assert "**2** Pay rent" in await elsewhere.reply("Mark the first one as done")


async def test_this_week_goes_on_where_weeks_start_on_sunday(offline_chat: Chat) -> None:
    user = offline_chat.user
    await in_database(lambda: create_task(user_id=user.pk, title="Buy milk", due_date=date(2026, 11, 30)))
    with time_machine.travel(datetime(2026, 11, 29, 12, tzinfo=UTC)):
        assert "no open tasks" in await offline_chat.reply("What is due this week?")
        await in_database(lambda: change_time_zone(user, time_zone="UTC", week_start=7))
        assert "Buy milk" in await offline_chat.reply("What is due this week?")
