"""The task services create, change, list and delete the tasks of one user."""

import uuid
from concurrent.futures import ThreadPoolExecutor
from datetime import date, time

import pytest
from django.db import connection

from chat.exceptions import AlreadyCompleted, BadTask, NotFound
from chat.models import Task, User
from chat.read_models import TaskOut
from chat.tasks import services as tasks
from chat.tasks.services import Changes


def titles(owner: User, **filters: str) -> list[str]:
    return [task.title for task in tasks.list_tasks(user_id=owner.pk, **filters).tasks]  # type: ignore[arg-type]


def test_task_numbers_increase_per_user_and_are_never_reused(owner: User, outsider: User) -> None:
    for title in ("one", "two"):
        tasks.create_task(user_id=owner.pk, title=title)
    tasks.delete_task(user_id=owner.pk, number=2)

    assert tasks.create_task(user_id=owner.pk, title="three").number == 3
    assert tasks.create_task(user_id=outsider.pk, title="theirs").number == 1


def test_control_characters_are_removed_from_titles_and_descriptions(owner: User) -> None:
    title = "Buy\x1b[31m \u202emilk\u2066\x07 \x9b and\r\n\x1b\ttea\x85"
    task = tasks.create_task(user_id=owner.pk, title=title, description="\x1b]0;a\x07\n\tb\u202e\nc")
    assert (task.title, task.description) == ("Buy[31m milk and tea", "]0;a\n\tb\nc")
    changed = tasks.update_task(user_id=owner.pk, number=1, changes=Changes(title="Call\x08"))
    assert changed.title == "Call"
    for hidden in ("\x1b", "\u202e", "\u2066\u2069"):
        with pytest.raises(BadTask, match="needs a title"):
            tasks.create_task(user_id=owner.pk, title=hidden)


@pytest.mark.django_db(transaction=True)
def test_concurrently_created_tasks_get_different_numbers(owner: User) -> None:
    def create(n: int) -> int:
        try:
            return tasks.create_task(user_id=owner.pk, title=f"task {n}").number
        finally:
            connection.close()

    with ThreadPoolExecutor(8) as threads:
        assert sorted(threads.map(create, range(40))) == list(range(1, 41))


@pytest.mark.parametrize("title", ["é", "e\u0301", "👩\u200d🚀", "!", "任务"])
def test_title_with_a_visible_character_is_accepted(owner: User, title: str) -> None:
    assert tasks.create_task(user_id=owner.pk, title=title).title == title


@pytest.mark.parametrize("title", ["", "   ", "\u200b\u2060", "\u3164 \u2800", "\ufe0f\u0301", "x" * 101, "nul \x00"])
def test_empty_too_long_or_invisible_title_is_rejected(owner: User, title: str) -> None:
    with pytest.raises(BadTask):
        tasks.create_task(user_id=owner.pk, title=title)

    assert not Task.objects.exists()


def test_description_has_at_most_1000_characters(owner: User) -> None:
    tasks.create_task(user_id=owner.pk, title="x" * 100, description="y" * 1000)
    with pytest.raises(BadTask):
        tasks.create_task(user_id=owner.pk, title="x", description="y" * 1001)


def test_due_time_requires_a_due_date(owner: User) -> None:
    with pytest.raises(BadTask):
        tasks.create_task(user_id=owner.pk, title="x", due_time=time(9))
    task = tasks.create_task(user_id=owner.pk, title="x", due_date=date(2026, 3, 13), due_time=time(9, 30))

    assert TaskOut.of(task).due == "2026-03-13T09:30"


def test_completing_a_task_twice_is_rejected(owner: User) -> None:
    tasks.create_task(user_id=owner.pk, title="x")
    assert tasks.complete_task(user_id=owner.pk, number=1).is_completed

    with pytest.raises(AlreadyCompleted):
        tasks.complete_task(user_id=owner.pk, number=1)


def test_update_changes_only_the_given_fields(owner: User) -> None:
    tasks.create_task(user_id=owner.pk, title="x", description="d", due_date=date(2026, 3, 13), due_time=time(9))

    changed = tasks.update_task(user_id=owner.pk, number=1, changes=Changes(priority="high"))

    assert (changed.title, changed.description, changed.due_date, changed.due_time, changed.priority) == (
        "x",
        "d",
        date(2026, 3, 13),
        time(9),
        3,
    )


def test_new_or_cleared_due_date_drops_the_due_time(owner: User) -> None:
    tasks.create_task(user_id=owner.pk, title="x", due_date=date(2026, 3, 13), due_time=time(9))

    moved = tasks.update_task(user_id=owner.pk, number=1, changes=Changes(due_date=date(2026, 3, 20)))
    assert (moved.due_date, moved.due_time) == (date(2026, 3, 20), None)
    cleared = tasks.update_task(user_id=owner.pk, number=1, changes=Changes(clear_due=True))
    assert cleared.due_date is None


def test_task_lists_are_filtered_sorted_and_paginated(owner: User) -> None:
    tasks.create_task(user_id=owner.pk, title="later", due_date=date(2026, 4, 1))
    tasks.create_task(user_id=owner.pk, title="some day", priority="low")
    tasks.create_task(user_id=owner.pk, title="soon", due_date=date(2026, 3, 1), priority="high")
    tasks.create_task(user_id=owner.pk, title="done")
    tasks.complete_task(user_id=owner.pk, number=4)

    assert titles(owner) == ["later", "some day", "soon", "done"]
    assert titles(owner, status="pending", sort="due") == ["soon", "later", "some day"]
    assert titles(owner, sort="priority") == ["soon", "later", "done", "some day"]
    assert titles(owner, status="completed") == ["done"]
    page = tasks.list_tasks(user_id=owner.pk, limit=1, offset=1)
    assert ([task.title for task in page.tasks], page.total) == (["some day"], 4)


@pytest.mark.parametrize("number", [0, -1, 2, 2**31, 10**30])
def test_unknown_task_number_raises_not_found(owner: User, number: int) -> None:
    tasks.create_task(user_id=owner.pk, title="x")

    for operation in (tasks.get_task, tasks.complete_task, tasks.delete_task):
        with pytest.raises(NotFound):
            operation(user_id=owner.pk, number=number)


def test_tasks_of_another_user_are_not_accessible(owner: User, outsider: User) -> None:
    tasks.create_task(user_id=owner.pk, title="private")

    assert titles(outsider) == []
    for operation in (tasks.get_task, tasks.complete_task, tasks.delete_task):
        with pytest.raises(NotFound):
            operation(user_id=outsider.pk, number=1)
    with pytest.raises(NotFound):
        tasks.update_task(user_id=outsider.pk, number=1, changes=Changes(title="mine"))
    assert tasks.get_task(user_id=owner.pk, number=1).title == "private"
    assert tasks.list_tasks(user_id=uuid.uuid4()).total == 0


@pytest.mark.parametrize(("text", "parse"), [("tomorrow", tasks.parse_date), ("9 am", tasks.parse_time)])
def test_date_or_time_in_another_format_is_rejected(text: str, parse: object) -> None:
    with pytest.raises(BadTask):
        parse(text)  # type: ignore[operator]
