"""The offline model over several turns: the scope of a "yes", the reference of "the other one", and undo."""

from datetime import datetime
from zoneinfo import ZoneInfo

import pytest

from chat.tests.conftest import StartRunner
from chat.tests.offline_play import TurnResult, play

NOW = datetime(2026, 3, 11, 10, tzinfo=ZoneInfo("Europe/Berlin"))
TWO = ("Buy soap", "Fix bike")


async def converse(start_runner: StartRunner, *messages: str, titles: tuple[str, ...] = TWO) -> list[TurnResult]:
    """Play a conversation of a user with tasks of these titles, who approves all calls after the first message."""
    runner = await start_runner()
    return await play(
        runner, messages, now=NOW, tasks=[{"title": title} for title in titles], approved_turns=range(1, len(messages))
    )


@pytest.mark.parametrize("answer", ["yes", "yes, I'm sure", "yes, delete them all"])
async def test_yes_to_delete_everything_deletes_the_listed_tasks(start_runner: StartRunner, answer: str) -> None:
    question, answered = await converse(start_runner, "delete everything", answer)
    assert "Delete 2 tasks?" in question.reply
    assert len(question.after) == 2
    assert answered.after == {}


async def test_question_says_both_for_two_tasks_and_counts_more(start_runner: StartRunner) -> None:
    (two,) = await converse(start_runner, "mark everything as done")
    (three,) = await converse(start_runner, "mark everything as done", titles=(*TWO, "Call Ann"))
    assert "Shall I mark both of these as done" in two.reply
    assert "Shall I mark all 3 of these as done" in three.reply


@pytest.mark.parametrize("answer", ["hmm no, better keep them", "no", "which ones?"])
async def test_answer_other_than_yes_deletes_nothing(start_runner: StartRunner, answer: str) -> None:
    *_, answered = await converse(start_runner, "delete everything", answer)
    assert answered.after == answered.before


async def test_tasks_deleted_together_are_restored_together(start_runner: StartRunner) -> None:
    titles = ("Buy soap", "Fix bike", "Call Ann")
    _, deleted, undone = await converse(start_runner, "hello", "delete 1 and 3", "undo", titles=titles)
    assert "Buy soap" in deleted.reply
    assert "Call Ann" in deleted.reply
    assert list(deleted.after) == [2]
    assert sorted(task["title"] for task in undone.after.values()) == sorted(titles)


async def test_bulk_deletion_reports_missing_numbers(start_runner: StartRunner) -> None:
    _, deleted = await converse(start_runner, "hello", "delete 2 and 7")
    assert "no task **7**" in deleted.reply
    assert list(deleted.after) == [1]


async def test_yes_to_another_question_deletes_nothing(start_runner: StartRunner) -> None:
    *_, question, answered = await converse(start_runner, "delete everything", "mark the banana as done", "yes")
    assert "?" in question.reply
    assert answered.after == answered.before


async def test_other_one_refers_to_the_unmentioned_task(start_runner: StartRunner) -> None:
    kept, deleted = await converse(
        start_runner, "don't delete the soap task, I still need it", "delete the other one instead"
    )
    assert kept.after == kept.before
    assert list(deleted.after) == [1]


async def test_question_about_the_last_deletion_is_answered(start_runner: StartRunner) -> None:
    *_, answered = await converse(start_runner, "delete 2", "add call Ann", "which one did you just delete?")
    assert "Fix bike" in answered.reply
    assert answered.after == answered.before


async def test_chore_that_names_an_existing_task_is_asked_about(start_runner: StartRunner) -> None:
    (question,) = await converse(start_runner, "oil the bike")
    assert "?" in question.reply
    assert question.after == question.before


async def test_correction_of_a_word_missing_from_the_title_changes_nothing(start_runner: StartRunner) -> None:
    (question,) = await converse(start_runner, "the bike is Hanna, not Anna - please fix the title")
    assert question.after == question.before


async def test_too_long_message_is_refused_and_changes_nothing(start_runner: StartRunner) -> None:
    too_much, shown = await converse(start_runner, "delete task 1. " * 100, "show my tasks")

    assert "up to 1,000 characters at a time" in too_much.reply
    assert too_much.after == too_much.before
    assert all(title in shown.reply for title in TWO), "the next message is answered"


SIX = "add six tasks: soap, bread, milk, eggs, flour, rice"


async def test_undo_of_an_earlier_bulk_addition_asks_first(
    start_runner: StartRunner,
) -> None:
    runner = await start_runner()
    *_, question, undone = await play(runner, [SIX, "delete everything", "no", "undo", "yes"], now=NOW)
    assert question.after == question.before
    assert "**6** Rice. Shall I undo that?" in question.reply
    assert undone.after == {}
    assert "**6** Rice are off your list again" in undone.reply


async def test_undo_reverts_and_names_the_last_effective_change(start_runner: StartRunner) -> None:
    runner = await start_runner()
    messages = [SIX, "mark 2 as done", "delete everything", "no", "undo"]
    *_, undone = await play(runner, messages, now=NOW)
    assert "**2** Bread is as it was before" in undone.reply
    assert len(undone.after) == 6
    assert not any(task["is_completed"] for task in undone.after.values())


async def test_undo_of_the_last_bulk_addition_does_not_ask(start_runner: StartRunner) -> None:
    _, undone = await play(await start_runner(), [SIX, "undo"], now=NOW)
    assert undone.after == {}
    assert "Undone: “add six tasks" in undone.reply


@pytest.mark.parametrize("order", ["add buy bread", "mark 1 as done", "delete 1", "move 1 to Friday"])
@pytest.mark.parametrize("thought", ["actually no", "Never mind."])
async def test_second_thought_undoes_the_last_change_once(start_runner: StartRunner, order: str, thought: str) -> None:
    done, undone, again = await converse(start_runner, order, thought, thought)
    assert done.after != done.before
    assert undone.after == done.before
    assert again.after == again.before, "neither the undo nor an earlier change is reverted"


@pytest.mark.parametrize("thought", ["no thanks", "leave it"])
async def test_declining_more_help_undoes_nothing(start_runner: StartRunner, thought: str) -> None:
    _, declined = await converse(start_runner, "mark 1 as done", thought)
    assert declined.after == declined.before


@pytest.mark.parametrize("question", ["what is due today?", "how do I do that?", "does it need a date"])
async def test_question_is_not_taken_as_the_title(start_runner: StartRunner, question: str) -> None:
    _, answered = await converse(start_runner, "add a task", question)
    assert answered.after == answered.before


async def test_title_may_be_quoted_or_end_with_a_question_mark(start_runner: StartRunner) -> None:
    _, quoted, _, question = await converse(
        start_runner, "add a task", "“What is love?”", "add a task", "ask Bob what he wants?"
    )
    assert len(quoted.after) == len(quoted.before) + 1
    assert len(question.after) == len(question.before) + 1
