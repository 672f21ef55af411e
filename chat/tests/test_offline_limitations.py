"""The offline model says what it cannot do, and uses the user's order of tasks, dates and weeks."""

import uuid
from datetime import UTC, date, datetime, time

import pytest
import time_machine

from chat.accounts.services import change_time_zone
from chat.infra.db_threads import in_database
from chat.models import Task
from chat.tasks.panel import load_panel
from chat.tasks.services import create_task
from chat.tests.conftest import Chat


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        ("Remind me to pay the bills by Friday", ["Added **1** Pay the bills", "I don't send reminders"]),
        ("Water the plants every Monday", ["Added **1** Water the plants", "I don't repeat tasks"]),
        ("remind me every day to stretch", ["Stretch every day", "I don't send reminders", "I don't repeat tasks"]),
        ("add a weekly task: call Mum", ["Added **1** Call Mum", "I don't repeat tasks"]),
    ],
)
async def test_reply_states_the_limitation(offline_chat: Chat, message: str, expected: list[str]) -> None:
    reply = await offline_chat.reply(message)
    assert all(part in reply for part in expected), reply


@pytest.mark.parametrize(
    "message", ["Do you send reminders?", "remind me of it an hour before", "make it repeat every week"]
)
async def test_unsupported_request_changes_nothing(offline_chat: Chat, message: str) -> None:
    await offline_chat.reply("Add a task to call Mum tomorrow")
    before = await in_database(lambda: list(Task.objects.values()))
    reply = await offline_chat.reply(message)
    assert "I don't send reminders" in reply or "I don't repeat tasks" in reply
    assert await in_database(lambda: list(Task.objects.values())) == before


async def test_titles_that_mention_reminders_get_no_notice(offline_chat: Chat) -> None:
    reply = await offline_chat.reply("Add a task to write the weekly report and a task to send a reminder to Ann")
    assert "I don't" not in reply


async def test_reply_to_a_note_names_the_task_and_the_note(offline_chat: Chat) -> None:
    await offline_chat.reply("Add three tasks: buy milk, call the dentist, water the plants")
    reply = await offline_chat.reply("add a note to the dentist: bring the card")
    assert "**2** Call the dentist · note: “bring the card”" in reply


@pytest.mark.parametrize(
    ("messages", "note", "expected"),
    [
        (["add a note to task 1", "ring twice"], "bring the card\nring twice", "note: “bring the card ring twice”"),
        (["give task 1 a note: ring twice"], "bring the card\nring twice", "note: “bring the card ring twice”"),
        (["set the note of task 1 to ring"], "ring", "note: “ring” (it was “bring the card”)"),
        (["remove the note of task 1"], "", "without its note (it was “bring the card”)"),
    ],
)
async def test_changed_note_is_named_in_the_reply(
    offline_chat: Chat, messages: list[str], note: str, expected: str
) -> None:
    user_id = offline_chat.user.pk
    await in_database(lambda: create_task(user_id=user_id, title="Call Bob", description="bring the card"))
    for message in messages:
        reply = await offline_chat.reply(message)
    assert expected in reply
    assert await in_database(lambda: Task.objects.get().description) == note


async def test_first_one_is_the_first_of_the_panel(offline_chat: Chat) -> None:
    user_id = offline_chat.user.pk
    await in_database(lambda: create_task(user_id=user_id, title="Buy milk"))
    await in_database(lambda: create_task(user_id=user_id, title="Pay rent", due_date=date(2030, 1, 1)))
    panel = await in_database(lambda: [task.number for task in load_panel(user_id).open])
    assert panel == [2, 1]
    listed = await offline_chat.reply("Show my tasks")
    assert listed.index("Pay rent") < listed.index("Buy milk")
    elsewhere = Chat(offline_chat.runner, offline_chat.user, uuid.uuid4())
    assert "**2** Pay rent" in await elsewhere.reply("Mark the first one as done")


async def test_this_week_depends_on_the_first_day_of_the_week(offline_chat: Chat) -> None:
    user = offline_chat.user
    await in_database(lambda: create_task(user_id=user.pk, title="Buy milk", due_date=date(2026, 11, 30)))
    with time_machine.travel(datetime(2026, 11, 29, 12, tzinfo=UTC)):
        assert "no open tasks" in await offline_chat.reply("What is due this week?")
        await in_database(lambda: change_time_zone(user, time_zone="UTC", week_start=7))
        assert "Buy milk" in await offline_chat.reply("What is due this week?")


async def test_ticked_item_of_a_pasted_list_becomes_a_completed_task(offline_chat: Chat) -> None:
    reply = await offline_chat.reply("- [ ] buy milk\n- [x] call Bob")
    assert "- [ ] **1** Buy milk\n- [x] **2** Call Bob" in reply
    assert await in_database(lambda: [task.is_completed for task in Task.objects.order_by("number")]) == [False, True]


@pytest.mark.parametrize(
    ("message", "expected", "answer", "due"),
    [
        ("add pay the rent due 31 Feb", "There is no 31 Feb.", "28 Feb 2030", ("2030-02-28", None)),
        ("dentist on 30.02. at 5", "There is no 30.02.", "1 March 2030", ("2030-03-01", None)),
        ("add lunch at noon on 30 February 2029", "no 30 February 2029.", "1 March 2029", ("2029-03-01", "12:00")),
        ("add gym 25:00 on 2 May 2030", "There is no 25:00.", "at 3pm", ("2030-05-02", "15:00")),
        ("add call Bob due in -3 days", "There is no day “in -3 days”.", "2 May 2030", ("2030-05-02", None)),
        ("call Ann on 2 May 2030 at 25:00", "There is no 25:00.", "at 3pm", ("2030-05-02", "15:00")),
        ("- [ ] milk by 2030-02-30\n- [ ] eggs", "There is no 2030-02-30.", "", None),
    ],
)
async def test_nonexistent_date_is_named_and_asked_for(
    offline_chat: Chat, message: str, expected: str, answer: str, due: tuple[str, str | None] | None
) -> None:
    reply = await offline_chat.reply(message)
    assert expected in reply
    assert reply.rstrip().endswith("?")
    task = await in_database(lambda: Task.objects.get(number=1))
    assert task.due_time is None
    if due:
        await offline_chat.reply(answer)
        task = await in_database(lambda: Task.objects.get())
        assert (str(task.due_date), f"{task.due_time:%H:%M}" if task.due_time else None) == due


async def test_task_is_not_moved_to_a_nonexistent_date(offline_chat: Chat) -> None:
    user_id = offline_chat.user.pk
    await in_database(lambda: create_task(user_id=user_id, title="Pay rent", due_date=date(2030, 1, 1)))
    assert "There is no 31 April. **1** Pay rent: When" in await offline_chat.reply("move the rent to 31 April")
    assert "There is no 31 June." in await offline_chat.reply("31 June")
    assert await in_database(lambda: Task.objects.get().due_date) == date(2030, 1, 1)
    await offline_chat.reply("30 April 2030")
    assert await in_database(lambda: Task.objects.get().due_date) == date(2030, 4, 30)


async def test_time_given_with_a_nonexistent_date_is_kept(offline_chat: Chat) -> None:
    user_id = offline_chat.user.pk
    await in_database(lambda: create_task(user_id=user_id, title="Pay rent", due_date=date(2030, 1, 1)))
    await offline_chat.reply("move the rent to 31 April at noon")
    await offline_chat.reply("30 April 2030")
    task = await in_database(Task.objects.get)
    assert (task.due_date, task.due_time) == (date(2030, 4, 30), time(12))


async def test_missing_title_and_nonexistent_date_are_asked_for_together(offline_chat: Chat) -> None:
    reply = await offline_chat.reply("add something due in -3 days")
    assert reply == "There is no day “in -3 days”. What should the task say, and when is it due?"
    await offline_chat.reply("call Bob on 2 May 2030")
    task = await in_database(Task.objects.get)
    assert (task.title, task.due_date) == ("Call Bob", date(2030, 5, 2))


async def test_swap_of_equal_values_reports_no_change(offline_chat: Chat) -> None:
    await offline_chat.reply("Add three tasks: buy milk, call Bob, water the plants")
    reply = await offline_chat.reply("swap the priorities of 2 and 3")
    assert reply == "Nothing changes: **2** Call Bob and **3** Water the plants have the same priority."
    assert "have the same date" in await offline_chat.reply("swap the dates of 2 and 3")


async def test_first_of_several_times_is_used_and_named(offline_chat: Chat) -> None:
    reply = await offline_chat.reply("add call Ann at 3 or 4pm tomorrow")
    assert "at 15:00" in reply
    assert "“call Ann at 3 or 4pm” names more than one time, so I took the first." in reply
    assert "the first" not in await offline_chat.reply("add meet Ann from 3pm to 5pm tomorrow")


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        ("Take a note: buy a present for Ann", "can't take notes"),
        ("remember that I am allergic to nuts", "can't take notes"),
        ("Summarize my day", "what is due today"),
        ("plan my week", "what is due this week"),
        ("Rename this chat to Shopping", "*⋯* menu"),
        ("undo 3 times", "one change at a time"),
        ("undo the last 2 changes", "one change at a time"),
        ("I finished", "Which task do you mean?"),
        ("What is my landlord's number?", "**2** Call the landlord · note: “0123 456”"),
        ("The stamps have been bought", "I couldn't find such a task"),
    ],
)
async def test_reply_offers_an_alternative_and_nothing_changes(offline_chat: Chat, message: str, expected: str) -> None:
    def fill() -> None:
        create_task(user_id=user_id, title="Buy milk")
        create_task(user_id=user_id, title="Call the landlord", description="0123 456")

    user_id = offline_chat.user.pk
    await in_database(fill)
    before = await in_database(lambda: list(Task.objects.order_by("number").values()))
    assert expected in await offline_chat.reply(message)
    assert await in_database(lambda: list(Task.objects.order_by("number").values())) == before


async def test_clearing_done_items_asks_to_delete_the_completed_tasks(offline_chat: Chat) -> None:
    await offline_chat.reply("Add three tasks: buy milk, call Bob, water the plants")
    await offline_chat.reply("mark 1 and 2 as done")
    _, event = await offline_chat.request_approval("clear my list of done items")
    assert event.arguments == {"numbers": [1, 2]}


async def test_pasted_list_may_exceed_the_message_limit(offline_chat: Chat) -> None:
    lines = [f"{number}. buy a present for guest number {number}" for number in range(1, 61)]
    reply = await offline_chat.reply("\n".join(["Add these:", *lines]))
    assert "Added 60 tasks" in reply
    titles = await in_database(lambda: list(Task.objects.order_by("number").values_list("title", flat=True)))
    assert titles == [f"Buy a present for guest number {number}" for number in range(1, 61)]


async def test_priorities_and_dates_of_two_tasks_are_swapped(offline_chat: Chat) -> None:
    user_id = offline_chat.user.pk
    day, hour = date(2030, 1, 1), time(9)
    await in_database(lambda: create_task(user_id=user_id, title="Rent", priority="high"))
    await in_database(lambda: create_task(user_id=user_id, title="Milk", due_date=day, due_time=hour))
    await offline_chat.reply("swap the priorities of 1 and 2")
    await offline_chat.reply("swap the dates of the rent and the milk")
    rows = await in_database(lambda: list(Task.objects.order_by("number")))
    assert [row.get_priority_display() for row in rows] == ["normal", "high"]
    assert [(row.due_date, row.due_time) for row in rows] == [(day, hour), (None, None)]


async def test_refused_merge_suggests_a_deletion(offline_chat: Chat) -> None:
    assert "I can't merge" in (reply := await offline_chat.reply("merge tasks 1 and 2"))
    assert "*delete task 2*" in reply


async def test_removing_the_time_keeps_the_date(offline_chat: Chat) -> None:
    user_id, day = offline_chat.user.pk, date(2030, 1, 1)
    await in_database(lambda: create_task(user_id=user_id, title="Rent", due_date=day, due_time=time(9)))
    await offline_chat.reply("remove the time from 1")
    task = await in_database(Task.objects.get)
    assert (task.due_date, task.due_time) == (day, None)
