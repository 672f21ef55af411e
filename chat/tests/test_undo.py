"""A change is stored with the tasks before and after, and its undo restores the same row, number and state."""

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


def add_task(owner: User) -> Task:
    return tasks.create_task(
        user_id=owner.pk,
        title="Buy milk",
        description="Oat",
        due_date=date(2026, 12, 24),
        due_time=time(18, 30),
        priority="high",
        completed=True,
    )


def undo_change(owner: User, task: Task) -> undo.Undone:
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
def test_undo_restores_every_changed_field(owner: User, changes: Changes) -> None:
    task = add_task(owner)
    before = state(task)
    changed = tasks.update_task(user_id=owner.pk, number=task.number, changes=changes)
    assert state(task) != before
    (each,) = undo_change(owner, changed).tasks
    assert each.kind == "changed back"
    assert state(task) == before


def test_change_recorded_without_a_newer_field_is_undone(owner: User) -> None:
    task = add_task(owner)
    changed = tasks.update_task(user_id=owner.pk, number=task.number, changes=Changes(title="Buy bread"))
    assert changed.change_id is not None
    change = TaskChange.objects.get(pk=changed.change_id)
    for row in change.states[0].values():
        del row["priority"]
    change.save()
    before_the_change = TaskChange.objects.exclude(pk=change.pk).get().made_at

    (line,) = undo.changed_outside(user_id=owner.pk, conversation_id=uuid.uuid4(), since=before_the_change)
    assert line == 'task 1 "Buy bread" was changed (title to "Buy bread")'
    assert [each.kind for each in undo_change(owner, changed).tasks] == ["changed back"]
    row = Task.objects.get(pk=task.pk)
    assert (row.title, row.get_priority_display()) == ("Buy milk", "high")


def test_undo_restores_a_deleted_task_with_its_row_and_number(owner: User) -> None:
    task = add_task(owner)
    before = state(task)
    deleted = tasks.delete_task(user_id=owner.pk, number=task.number)
    other = tasks.create_task(user_id=owner.pk, title="Another")
    assert [each.kind for each in undo_change(owner, deleted).tasks] == ["restored"]
    assert state(task) == before
    assert (task.number, other.number) == (1, 2)
    assert Task.objects.get(pk=task.pk).revision > other.revision


def test_undo_restores_tasks_that_were_deleted_together(owner: User) -> None:
    several = [tasks.create_task(user_id=owner.pk, title=title) for title in ("One", "Two", "Three")]
    before = [state(task) for task in several]
    first, *_ = tasks.delete_tasks(user_id=owner.pk, numbers=[1, 2, 3])
    assert len(undo_change(owner, first).tasks) == 3
    assert [state(task) for task in several] == before


def test_undo_of_an_addition_can_be_undone(owner: User) -> None:
    task = add_task(owner)
    before = state(task)
    first = undo_change(owner, task)
    assert [each.kind for each in first.tasks] == ["removed"]
    assert not Task.objects.exists()
    undo.undo(user_id=owner.pk, change_id=first.change_id)
    assert state(task) == before
    assert [change.undone_at is None for change in TaskChange.objects.order_by("made_at")] == [True, False, True]


def test_task_changed_since_is_not_undone(owner: User) -> None:
    task = add_task(owner)
    opened = tasks.update_task(user_id=owner.pk, number=1, changes=Changes(completed=False))
    tasks.update_task(user_id=owner.pk, number=1, changes=Changes(title="Buy bread"))
    with pytest.raises(NotUndoable, match="Task 1 .* has changed since"):
        undo_change(owner, opened)
    assert Task.objects.get(pk=task.pk).title == "Buy bread"


def test_changes_are_undone_in_reverse_order(owner: User) -> None:
    task = add_task(owner)
    before = state(task)
    first = tasks.update_task(user_id=owner.pk, number=1, changes=Changes(title="Buy bread"))
    second = tasks.update_task(user_id=owner.pk, number=1, changes=Changes(priority="low"))
    undo_change(owner, second)
    undo_change(owner, first)
    assert state(task) == before


def test_change_cannot_be_undone_twice(owner: User) -> None:
    task = tasks.delete_task(user_id=owner.pk, number=add_task(owner).number)
    undo_change(owner, task)
    with pytest.raises(NotUndoable, match="already"):
        undo_change(owner, task)
    assert Task.objects.count() == 1


def test_update_without_effect_is_not_recorded(owner: User) -> None:
    add_task(owner)
    assert tasks.update_task(user_id=owner.pk, number=1, changes=Changes(title="Buy milk")).change_id is None
    assert TaskChange.objects.count() == 1


def test_change_of_another_user_cannot_be_undone(owner: User, outsider: User) -> None:
    task = add_task(owner)
    assert task.change_id is not None
    with pytest.raises(NotFound):
        undo.undo(user_id=outsider.pk, change_id=task.change_id)
    with pytest.raises(NotFound):
        undo.undo(user_id=owner.pk, change_id=uuid.uuid4())


def test_undo_does_not_exceed_the_task_limit(owner: User, settings: object) -> None:
    task = tasks.delete_task(user_id=owner.pk, number=add_task(owner).number)
    tasks.create_task(user_id=owner.pk, title="Another")
    settings.TASKS_PER_USER = 1  # type: ignore[attr-defined]
    with pytest.raises(TooManyTasks):
        undo_change(owner, task)


def test_task_changes_are_deleted_after_30_days(owner: User) -> None:
    task = tasks.delete_task(user_id=owner.pk, number=add_task(owner).number)
    with time_machine.travel(timezone.now() + timedelta(days=29)):
        assert undo.forget_old() == 0
    with time_machine.travel(timezone.now() + timedelta(days=31)):
        assert undo.forget_old() == 2
    assert not TaskChange.objects.exists()
    with pytest.raises(NotFound):
        undo_change(owner, task)


def test_changes_outside_the_conversation_are_described_by_their_net_effect(owner: User) -> None:
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
    described = undo.changed_outside(
        user_id=owner.pk, conversation_id=conversation_id, since=later - timedelta(seconds=0.5)
    )
    assert described == [
        'task 1 "Oat \\"milk\\"" was completed and changed (title to "Oat \\"milk\\"", priority to "high")',
        'task 2 "Bread" was deleted',
    ]
    assert len(undo.changed_outside(user_id=owner.pk, conversation_id=conversation_id, since=since)) == 2


def test_description_of_outside_changes_is_limited(owner: User) -> None:
    since = timezone.now()
    for n in range(25):
        tasks.create_task(user_id=owner.pk, title=f"Task {n}")
    described = undo.changed_outside(user_id=owner.pk, conversation_id=uuid.uuid4(), since=since)
    assert len(described) == 21
    assert described[-1] == "and 5 more tasks"
