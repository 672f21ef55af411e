"""Deleting several tasks needs a confirmation of the same tasks, unchanged, by the same user, within ten minutes."""

from datetime import timedelta

import pytest
import time_machine
from django.utils import timezone

from chat.exceptions import NotConfirmed, NotFound
from chat.models import Task, User
from chat.tasks import confirmations
from chat.tasks import services as tasks


@pytest.fixture
def confirmation_of_two(owner: User) -> str:
    """A confirmation for the first two of the owner's three tasks."""
    for title in ("Milk", "Bread", "Eggs"):
        tasks.create_task(user_id=owner.pk, title=title)
    request = confirmations.ask_to_delete(user_id=owner.pk, numbers=[2, 1, 9])
    assert [task.title for task in request.tasks] == ["Milk", "Bread"]
    return request.confirmation


def delete(user: User, numbers: list[int], confirmation: str) -> list[str]:
    deleted = confirmations.delete_confirmed(user_id=user.pk, numbers=numbers, confirmation=confirmation)
    return [task.title for task in deleted]


def test_confirmed_tasks_are_deleted_and_returned(owner: User, confirmation_of_two: str) -> None:
    assert delete(owner, [1, 2], confirmation_of_two) == ["Milk", "Bread"]
    assert [task.title for task in Task.objects.all()] == ["Eggs"]


def test_confirmation_cannot_be_used_twice(owner: User, confirmation_of_two: str) -> None:
    delete(owner, [1, 2], confirmation_of_two)
    with pytest.raises(NotFound):
        delete(owner, [1, 2], confirmation_of_two)


@pytest.mark.parametrize("numbers", [[1], [1, 2, 3], [1, 3], [3]])
def test_confirmation_is_rejected_for_other_numbers(owner: User, confirmation_of_two: str, numbers: list[int]) -> None:
    with pytest.raises(NotConfirmed, match="confirmed for other tasks"):
        delete(owner, numbers, confirmation_of_two)
    assert Task.objects.count() == 3


def test_confirmation_is_rejected_for_tasks_with_the_same_titles(owner: User, confirmation_of_two: str) -> None:
    for title in ("Milk", "Bread"):
        tasks.create_task(user_id=owner.pk, title=title)
    with pytest.raises(NotConfirmed):
        delete(owner, [4, 5], confirmation_of_two)
    assert Task.objects.count() == 5


def test_confirmation_is_rejected_for_another_user(owner: User, outsider: User, confirmation_of_two: str) -> None:
    for title in ("Milk", "Bread"):
        tasks.create_task(user_id=outsider.pk, title=title)
    with pytest.raises(NotConfirmed):
        delete(outsider, [1, 2], confirmation_of_two)
    assert Task.objects.count() == 5


def test_confirmation_is_rejected_after_a_task_has_changed(owner: User, confirmation_of_two: str) -> None:
    tasks.update_task(user_id=owner.pk, number=1, changes=tasks.Changes(title="The car"))
    with pytest.raises(NotConfirmed):
        delete(owner, [1, 2], confirmation_of_two)
    assert Task.objects.count() == 3


def test_confirmation_expires(owner: User, confirmation_of_two: str) -> None:
    with time_machine.travel(timezone.now() + timedelta(minutes=11)), pytest.raises(NotConfirmed, match="too old"):
        delete(owner, [1, 2], confirmation_of_two)
    with time_machine.travel(timezone.now() + timedelta(minutes=9)):
        assert delete(owner, [1, 2], confirmation_of_two) == ["Milk", "Bread"]


@pytest.mark.parametrize("forged", ["", "yes", "a:b:c", "x" * 400])
def test_forged_confirmation_is_rejected(owner: User, confirmation_of_two: str, forged: str) -> None:
    with pytest.raises(NotConfirmed, match="not a confirmation"):
        delete(owner, [1, 2], forged or confirmation_of_two[:-1])
    assert Task.objects.count() == 3


def test_confirmation_for_missing_tasks_is_not_found(owner: User) -> None:
    with pytest.raises(NotFound, match="no such task"):
        confirmations.ask_to_delete(user_id=owner.pk, numbers=[1, 2])
