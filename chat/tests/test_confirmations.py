"""A program deletes several tasks only with a confirmation of just these, as they are, of this person, of now."""

from datetime import timedelta

import pytest
import time_machine
from django.utils import timezone

from chat.exceptions import NotConfirmed, NotFound
from chat.models import Task, User
from chat.tasks import confirmations
from chat.tasks import services as tasks


@pytest.fixture
def shown(owner: User) -> str:
    """The confirmation of the first two of the owner's three tasks."""
    for title in ("Milk", "Bread", "Eggs"):
        tasks.create_task(user_id=owner.pk, title=title)
    question = confirmations.ask_to_delete(user_id=owner.pk, numbers=[2, 1, 9])
    assert [task.title for task in question.tasks] == ["Milk", "Bread"]
    return question.confirmation


def delete(user: User, numbers: list[int], confirmation: str) -> list[str]:
    gone = confirmations.delete_confirmed(user_id=user.pk, numbers=numbers, confirmation=confirmation)
    return [task.title for task in gone]


def test_what_was_shown_is_deleted_and_returned_as_it_was(owner: User, shown: str) -> None:
    assert delete(owner, [1, 2], shown) == ["Milk", "Bread"]
    assert [task.title for task in Task.objects.all()] == ["Eggs"]


def test_it_is_good_once(owner: User, shown: str) -> None:
    delete(owner, [1, 2], shown)
    with pytest.raises(NotFound):
        delete(owner, [1, 2], shown)


@pytest.mark.parametrize("numbers", [[1], [1, 2, 3], [1, 3], [3]])
def test_it_is_good_for_nothing_else(owner: User, shown: str, numbers: list[int]) -> None:
    with pytest.raises(NotConfirmed, match="confirmed for other tasks"):
        delete(owner, numbers, shown)
    assert Task.objects.count() == 3


def test_it_is_good_for_no_others_of_the_same_titles(owner: User, shown: str) -> None:
    for title in ("Milk", "Bread"):
        tasks.create_task(user_id=owner.pk, title=title)
    with pytest.raises(NotConfirmed):
        delete(owner, [4, 5], shown)
    assert Task.objects.count() == 5


def test_it_is_good_for_nobody_else(owner: User, outsider: User, shown: str) -> None:
    for title in ("Milk", "Bread"):
        tasks.create_task(user_id=outsider.pk, title=title)
    with pytest.raises(NotConfirmed):
        delete(outsider, [1, 2], shown)
    assert Task.objects.count() == 5


def test_a_task_that_is_another_one_by_now_was_not_meant(owner: User, shown: str) -> None:
    tasks.update_task(user_id=owner.pk, number=1, changes=tasks.Changes(title="The car"))
    with pytest.raises(NotConfirmed):
        delete(owner, [1, 2], shown)
    assert Task.objects.count() == 3


def test_it_does_not_last(owner: User, shown: str) -> None:
    with time_machine.travel(timezone.now() + timedelta(minutes=11)), pytest.raises(NotConfirmed, match="too old"):
        delete(owner, [1, 2], shown)
    with time_machine.travel(timezone.now() + timedelta(minutes=9)):
        assert delete(owner, [1, 2], shown) == ["Milk", "Bread"]


@pytest.mark.parametrize("made_up", ["", "yes", "a:b:c", "x" * 400])
def test_nobody_can_make_one_up(owner: User, shown: str, made_up: str) -> None:
    with pytest.raises(NotConfirmed, match="not a confirmation"):
        delete(owner, [1, 2], made_up or shown[:-1])
    assert Task.objects.count() == 3


def test_where_nothing_is_there_nothing_is_asked(owner: User) -> None:
    with pytest.raises(NotFound, match="no such task"):
        confirmations.ask_to_delete(user_id=owner.pk, numbers=[1, 2])
