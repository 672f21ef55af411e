"""What changes a list is stored with the tasks before and after, and undone exactly: same row, number and state."""

import uuid
from datetime import date, time, timedelta

import pytest
import time_machine
from django.utils import timezone

from chat.exceptions import NotFound, NotUndoable, TooManyTasks
from chat.models import Task, TaskChange, User
from chat.tasks import services as tasks
from chat.tasks import undo
from chat.tasks.services import Changes

pytestmark = pytest.mark.django_db


def state(task: Task) -> dict[str, object]:
    names = ("id", "user_id", "number", "title", "description", "due_date", "due_time", "priority", "completed_at")
    row = Task.objects.get(pk=task.pk)
    return {name: getattr(row, name) for name in (*names, "created_at")}


def made(owner: User) -> Task:
    return tasks.create_task(
        user_id=owner.pk,
        title="Buy milk",
        description="Oat",
        due_date=date(2026, 12, 24),
        due_time=time(18, 30),
        priority="high",
        completed=True,
    )


def undone(owner: User, task: Task) -> undo.Undone:
    assert task.change_id is not None
    return undo.undo(user_id=owner.pk, change_id=task.change_id)


@pytest.mark.parametrize(
    "changes",
    [
        Changes(title="Buy bread"),
        Changes(description=""),
        Changes(clear_due=True),
        Changes(due_date=date(2027, 1, 1)),
        Changes(priority="low"),
        Changes(completed=False),
    ],
    ids=str,
)
def test_a_change_is_undone_exactly(owner: User, changes: Changes) -> None:
    task = made(owner)
    before = state(task)
    changed = tasks.update_task(user_id=owner.pk, number=task.number, changes=changes)
    assert state(task) != before
    (each,) = undone(owner, changed).tasks
    assert each.kind == "changed back"
    assert state(task) == before


def test_a_change_from_before_a_task_had_a_field_is_undone(owner: User) -> None:
    task = made(owner)
    changed = tasks.update_task(user_id=owner.pk, number=task.number, changes=Changes(title="Buy bread"))
    assert changed.change_id is not None
    change = TaskChange.objects.get(pk=changed.change_id)
    for row in change.states[0].values():
        del row["priority"]
    change.save()
    before_the_change = TaskChange.objects.exclude(pk=change.pk).get().made_at

    (line,) = undo.changed_outside(user_id=owner.pk, conversation_id=uuid.uuid4(), since=before_the_change)
    assert line == 'task 1 "Buy bread" was changed (title to "Buy bread")'
    assert [each.kind for each in undone(owner, changed).tasks] == ["changed back"]
    row = Task.objects.get(pk=task.pk)
    assert (row.title, row.get_priority_display()) == ("Buy milk", "high")


def test_a_deleted_task_comes_back_as_the_same_row_with_its_number(owner: User) -> None:
    task = made(owner)
    before = state(task)
    deleted = tasks.delete_task(user_id=owner.pk, number=task.number)
    other = tasks.create_task(user_id=owner.pk, title="Another")
    assert [each.kind for each in undone(owner, deleted).tasks] == ["restored"]
    assert state(task) == before
    assert (task.number, other.number) == (1, 2)
    assert Task.objects.get(pk=task.pk).revision > other.revision


def test_several_deleted_tasks_come_back_together(owner: User) -> None:
    several = [tasks.create_task(user_id=owner.pk, title=title) for title in ("One", "Two", "Three")]
    before = [state(task) for task in several]
    first, *_ = tasks.delete_tasks(user_id=owner.pk, numbers=[1, 2, 3])
    assert len(undone(owner, first).tasks) == 3
    assert [state(task) for task in several] == before


def test_an_added_task_goes_and_comes_back_when_that_is_undone(owner: User) -> None:
    task = made(owner)
    before = state(task)
    first = undone(owner, task)
    assert [each.kind for each in first.tasks] == ["removed"]
    assert not Task.objects.exists()
    undo.undo(user_id=owner.pk, change_id=first.change_id)
    assert state(task) == before
    assert [change.undone_at is None for change in TaskChange.objects.order_by("made_at")] == [True, False, True]


def test_what_has_changed_since_is_not_undone(owner: User) -> None:
    task = made(owner)
    opened = tasks.update_task(user_id=owner.pk, number=1, changes=Changes(completed=False))
    tasks.update_task(user_id=owner.pk, number=1, changes=Changes(title="Buy bread"))
    with pytest.raises(NotUndoable, match="Task 1 .* has changed since"):
        undone(owner, opened)
    assert Task.objects.get(pk=task.pk).title == "Buy bread"


def test_changes_are_undone_one_after_the_other(owner: User) -> None:
    task = made(owner)
    before = state(task)
    first = tasks.update_task(user_id=owner.pk, number=1, changes=Changes(title="Buy bread"))
    second = tasks.update_task(user_id=owner.pk, number=1, changes=Changes(priority="low"))
    undone(owner, second)
    undone(owner, first)
    assert state(task) == before


def test_nothing_is_undone_twice(owner: User) -> None:
    task = tasks.delete_task(user_id=owner.pk, number=made(owner).number)
    undone(owner, task)
    with pytest.raises(NotUndoable, match="already"):
        undone(owner, task)
    assert Task.objects.count() == 1


def test_a_change_that_changes_nothing_is_none(owner: User) -> None:
    made(owner)
    assert tasks.update_task(user_id=owner.pk, number=1, changes=Changes(title="Buy milk")).change_id is None
    assert TaskChange.objects.count() == 1


def test_nobody_undoes_what_another_changed(owner: User, outsider: User) -> None:
    task = made(owner)
    assert task.change_id is not None
    with pytest.raises(NotFound):
        undo.undo(user_id=outsider.pk, change_id=task.change_id)
    with pytest.raises(NotFound):
        undo.undo(user_id=owner.pk, change_id=uuid.uuid4())


def test_a_full_list_takes_nothing_back(owner: User, settings: object) -> None:
    task = tasks.delete_task(user_id=owner.pk, number=made(owner).number)
    tasks.create_task(user_id=owner.pk, title="Another")
    settings.TASKS_PER_USER = 1  # type: ignore[attr-defined]
    with pytest.raises(TooManyTasks):
        undone(owner, task)


def test_deleted_tasks_are_forgotten_after_30_days(owner: User) -> None:
    task = tasks.delete_task(user_id=owner.pk, number=made(owner).number)
    with time_machine.travel(timezone.now() + timedelta(days=29)):
        assert undo.forget_old() == 0
    with time_machine.travel(timezone.now() + timedelta(days=31)):
        assert undo.forget_old() == 2
    assert not TaskChange.objects.exists()
    with pytest.raises(NotFound):
        undone(owner, task)


def test_what_changed_elsewhere_is_described_by_its_net_effect(owner: User) -> None:
    since = timezone.now()
    for title in ("Milk", "Bread", "Eggs"):
        tasks.create_task(user_id=owner.pk, title=title)
    with time_machine.travel(timezone.now() + timedelta(seconds=1)):
        later = timezone.now()
        tasks.complete_task(user_id=owner.pk, number=1)
        tasks.update_task(user_id=owner.pk, number=1, changes=Changes(title='Oat "milk"', priority="high"))
        tasks.delete_task(user_id=owner.pk, number=2)
        tasks.complete_task(user_id=owner.pk, number=3)
        tasks.update_task(user_id=owner.pk, number=3, changes=Changes(completed=False))
    conversation_id = uuid.uuid4()
    told = undo.changed_outside(user_id=owner.pk, conversation_id=conversation_id, since=later - timedelta(seconds=0.5))
    assert told == [
        'task 1 "Oat \\"milk\\"" was completed and changed (title to "Oat \\"milk\\"", priority to "high")',
        'task 2 "Bread" was deleted',
    ]
    assert len(undo.changed_outside(user_id=owner.pk, conversation_id=conversation_id, since=since)) == 2


def test_what_is_described_is_bounded(owner: User) -> None:
    since = timezone.now()
    for n in range(25):
        tasks.create_task(user_id=owner.pk, title=f"Task {n}")
    told = undo.changed_outside(user_id=owner.pk, conversation_id=uuid.uuid4(), since=since)
    assert len(told) == 21
    assert told[-1] == "and 5 more tasks"
