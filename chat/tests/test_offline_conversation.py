"""The offline model over several turns: what a yes covers, what "the other one" is, and what was done just now."""

from datetime import datetime
from zoneinfo import ZoneInfo

import pytest

from chat.tests.conftest import StartRunner
from chat.tests.play import Played, play

NOW = datetime(2026, 3, 11, 10, tzinfo=ZoneInfo("Europe/Berlin"))
TWO = ("Buy soap", "Fix bike")


async def talked(start_runner: StartRunner, *said: str, titles: tuple[str, ...] = TWO) -> list[Played]:
    """Play a conversation with a person who has tasks of these titles, and approves all but what is asked first."""
    runner = await start_runner()
    return await play(runner, said, now=NOW, given=[{"title": title} for title in titles], approves=range(1, len(said)))


@pytest.mark.parametrize("answer", ["yes", "yes, I'm sure", "yes, delete them all"])
async def test_a_yes_to_the_question_whether_all_should_go_deletes_what_was_shown(
    start_runner: StartRunner, answer: str
) -> None:
    asked, answered = await talked(start_runner, "delete everything", answer)
    assert "Delete 2 tasks?" in asked.reply
    assert len(asked.after) == 2
    assert answered.after == {}


async def test_two_are_both_and_more_are_counted(start_runner: StartRunner) -> None:
    (two,) = await talked(start_runner, "mark everything as done")
    (three,) = await talked(start_runner, "mark everything as done", titles=(*TWO, "Call Ann"))
    assert "Shall I mark both of these as done" in two.reply
    assert "Shall I mark all 3 of these as done" in three.reply


@pytest.mark.parametrize("answer", ["hmm no, better keep them", "no", "which ones?"])
async def test_anything_else_deletes_nothing(start_runner: StartRunner, answer: str) -> None:
    *_, answered = await talked(start_runner, "delete everything", answer)
    assert answered.after == answered.before


async def test_several_that_are_named_are_deleted_together_and_come_back_together(start_runner: StartRunner) -> None:
    titles = ("Buy soap", "Fix bike", "Call Ann")
    _, deleted, undone = await talked(start_runner, "hello", "delete 1 and 3", "undo", titles=titles)
    assert "Buy soap" in deleted.reply
    assert "Call Ann" in deleted.reply
    assert list(deleted.after) == [2]
    assert sorted(task["title"] for task in undone.after.values()) == sorted(titles)


async def test_of_several_only_those_that_are_there_are_deleted(start_runner: StartRunner) -> None:
    _, deleted = await talked(start_runner, "hello", "delete 2 and 7")
    assert "no task **7**" in deleted.reply
    assert list(deleted.after) == [1]


async def test_a_yes_to_another_question_deletes_nothing(start_runner: StartRunner) -> None:
    *_, asked, answered = await talked(start_runner, "delete everything", "mark the banana as done", "yes")
    assert "?" in asked.reply
    assert answered.after == answered.before


async def test_the_other_one_is_the_one_that_was_not_spoken_of(start_runner: StartRunner) -> None:
    kept, deleted = await talked(
        start_runner, "don't delete the soap task, I still need it", "delete the other one instead"
    )
    assert kept.after == kept.before
    assert list(deleted.after) == [1]


async def test_what_was_deleted_can_be_asked(start_runner: StartRunner) -> None:
    *_, told = await talked(start_runner, "delete 2", "add call Ann", "which one did you just delete?")
    assert "Fix bike" in told.reply
    assert told.after == told.before


async def test_what_looks_like_a_chore_but_names_a_task_is_asked_back(start_runner: StartRunner) -> None:
    (asked,) = await talked(start_runner, "oil the bike")
    assert "?" in asked.reply
    assert asked.after == asked.before


async def test_words_that_a_title_does_not_have_replace_nothing(start_runner: StartRunner) -> None:
    (asked,) = await talked(start_runner, "the bike is Hanna, not Anna - please fix the title")
    assert asked.after == asked.before


async def test_more_than_it_can_read_is_said_so_and_does_nothing(start_runner: StartRunner) -> None:
    too_much, shown = await talked(start_runner, "delete task 1. " * 100, "show my tasks")

    assert "up to 1,000 characters at a time" in too_much.reply
    assert too_much.after == too_much.before
    assert all(title in shown.reply for title in TWO), "the conversation goes on"


SIX = "add six tasks: soap, bread, milk, eggs, flour, rice"


async def test_many_tasks_that_were_added_some_turns_ago_are_named_before_that_is_undone(
    start_runner: StartRunner,
) -> None:
    runner = await start_runner()
    *_, asked, undone = await play(runner, [SIX, "delete everything", "no", "undo", "yes"], now=NOW)
    assert asked.after == asked.before
    assert "**6** Rice. Shall I undo that?" in asked.reply
    assert undone.after == {}
    assert "**6** Rice are off your list again" in undone.reply


async def test_undo_takes_back_the_last_change_that_took_effect_and_names_it(start_runner: StartRunner) -> None:
    runner = await start_runner()
    said = [SIX, "mark 2 as done", "delete everything", "no", "undo"]
    *_, undone = await play(runner, said, now=NOW)
    assert "**2** Bread is as it was before" in undone.reply
    assert len(undone.after) == 6
    assert not any(task["is_completed"] for task in undone.after.values())


async def test_many_tasks_that_were_added_just_now_are_undone_at_once(start_runner: StartRunner) -> None:
    _, undone = await play(await start_runner(), [SIX, "undo"], now=NOW)
    assert undone.after == {}
    assert "Undone: “add six tasks" in undone.reply


@pytest.mark.parametrize("order", ["add buy bread", "mark 1 as done", "delete 1", "move 1 to Friday"])
@pytest.mark.parametrize("thought", ["actually no", "Never mind."])
async def test_a_second_thought_takes_back_what_was_just_done(
    start_runner: StartRunner, order: str, thought: str
) -> None:
    done, undone, again = await talked(start_runner, order, thought, thought)
    assert done.after != done.before
    assert undone.after == done.before
    assert again.after == again.before, "an undo is not taken back, nor what was done before it"


@pytest.mark.parametrize("thought", ["no thanks", "leave it"])
async def test_who_wants_no_more_takes_nothing_back(start_runner: StartRunner, thought: str) -> None:
    _, declined = await talked(start_runner, "mark 1 as done", thought)
    assert declined.after == declined.before


@pytest.mark.parametrize("question", ["what is due today?", "how do I do that?", "does it need a date"])
async def test_a_question_is_not_what_the_new_task_says(start_runner: StartRunner, question: str) -> None:
    _, answered = await talked(start_runner, "add a task", question)
    assert answered.after == answered.before


async def test_what_the_new_task_says_may_be_quoted_or_end_with_a_question_mark(start_runner: StartRunner) -> None:
    _, quoted, _, asked = await talked(
        start_runner, "add a task", "“What is love?”", "add a task", "ask Bob what he wants?"
    )
    assert len(quoted.after) == len(quoted.before) + 1
    assert len(asked.after) == len(asked.before) + 1
