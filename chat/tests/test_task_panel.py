"""The to-do list as pages and sockets show it: bounded, and followed by its changes."""

import asyncio
from concurrent.futures import ThreadPoolExecutor

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from pytest_django import Settings

from chat.exceptions import TooManyTasks
from chat.models import Task, User
from chat.models.task import TaskCounter
from chat.realtime.server_frames import TASKS_SENT, tasks_frame
from chat.realtime.task_feed import TaskFeed
from chat.tasks import services as tasks
from chat.tasks.panel import current_revision, load_panel, read_changes, task_ids


def add(user: User, title: str) -> Task:
    return tasks.create_task(user_id=user.pk, title=title)


def fill(user: User, count: int, **fields: object) -> None:
    Task.objects.bulk_create(Task(user=user, number=n, title=f"Task {n}", **fields) for n in range(1, count + 1))


@pytest.fixture
def user(db: None) -> User:
    return User.objects.create_user("ada@example.com", "correct horse battery")


@pytest.fixture
def committed(transactional_db: None) -> User:
    return User.objects.create_user("ada@example.com", "correct horse battery")


def test_a_panel_holds_the_first_open_tasks_and_says_how_many_there_are(user: User) -> None:
    fill(user, 12)
    Task.objects.filter(number=11).update(due_date="2026-03-13")
    Task.objects.filter(number=12).update(completed_at="2026-03-13T10:00:00Z")

    panel = load_panel(user.pk, size=5)

    assert [task.number for task in panel.open] == [11, 1, 2, 3, 4]
    assert (panel.open_count, panel.open_left, panel.completed_count, panel.completed_left) == (11, 6, 1, 0)


def test_changes_since_a_revision_are_the_tasks_added_changed_and_removed(user: User) -> None:
    first, second, third = (add(user, title) for title in ("Milk", "Bread", "Eggs"))
    since, known = current_revision(user.pk), task_ids(user.pk)
    tasks.complete_task(user_id=user.pk, number=first.number)
    tasks.delete_tasks(user_id=user.pk, numbers=[second.number])
    fourth = add(user, "Butter")

    changes = read_changes(user.pk, since=since, known=known)

    assert [task.id for task in changes.changed] == [first.pk, fourth.pk]
    assert changes.removed == [second.pk]
    assert (changes.open_count, changes.completed_count) == (2, 1)
    assert third.id not in {task.id for task in changes.changed}
    assert changes.revision == current_revision(user.pk) > since


def test_a_task_removed_and_one_added_in_its_place_are_both_found(user: User) -> None:
    gone = add(user, "Milk")
    since, known = current_revision(user.pk), task_ids(user.pk)
    tasks.delete_task(user_id=user.pk, number=gone.number)
    new = add(user, "Bread")

    changes = read_changes(user.pk, since=since, known=known)

    assert ([task.id for task in changes.changed], changes.removed) == ([new.pk], [gone.pk])


def test_more_changes_than_a_frame_carries_are_a_request_to_load_the_list_again(user: User) -> None:
    fill(user, TASKS_SENT + 1, revision=1)
    frame = tasks_frame(read_changes(user.pk, since=0, known=set()))
    assert (frame["reload"], frame["tasks"], frame["counts"]["open"]) == (True, [], TASKS_SENT + 1)


async def test_many_sockets_of_a_person_share_what_is_read_and_encoded(committed: User) -> None:
    feed = TaskFeed(committed.pk)
    revision = await feed.start()
    await asyncio.to_thread(_add_and_close, committed, "Milk")

    answers = await asyncio.gather(*(feed.frames_after(revision) for _ in range(20)))

    assert len({id(texts[0]) for texts, _ in answers}) == 1
    assert {(len(texts), newest) for texts, newest in answers} == {(1, revision + 1)}


async def test_a_socket_whose_read_was_cancelled_loses_no_change_for_the_others(committed: User) -> None:
    task = await asyncio.to_thread(_add_and_close, committed, "Milk")
    feed = TaskFeed(committed.pk)
    revision = await feed.start()
    await asyncio.to_thread(_delete_and_close, committed, task.number)
    leaving = asyncio.create_task(feed.frames_after(revision))
    await asyncio.sleep(0)
    leaving.cancel()
    await asyncio.wait({leaving})

    texts, _ = await feed.frames_after(revision)

    assert str(task.pk) in texts[-1]


def test_a_list_takes_no_more_than_its_limit_of_those_who_add_at_once(committed: User, settings: Settings) -> None:
    settings.TASKS_PER_USER = 3
    fill(committed, 2)

    def attempt(title: str) -> bool:
        try:
            _add_and_close(committed, title, number_from=100)
        except TooManyTasks:
            return False
        return True

    with ThreadPoolExecutor(4) as pool:
        assert sorted(pool.map(attempt, "abcd")) == [False, False, False, True]
    assert Task.objects.filter(user=committed).count() == 3


def test_a_change_of_one_task_among_many_reads_that_one_only(user: User) -> None:
    fill(user, 300)
    since, known = current_revision(user.pk), task_ids(user.pk)
    tasks.complete_task(user_id=user.pk, number=7)
    with CaptureQueriesContext(connection) as queries:
        changes = read_changes(user.pk, since=since, known=known)
    assert [task.number for task in changes.changed] == [7]
    assert len(queries) == 3


def _add_and_close(user: User, title: str, number_from: int = 0) -> Task:
    try:
        if number_from:
            TaskCounter.objects.get_or_create(user=user, defaults={"last_number": number_from})
        return add(user, title)
    finally:
        connection.close()


def _delete_and_close(user: User, number: int) -> None:
    try:
        tasks.delete_task(user_id=user.pk, number=number)
    finally:
        connection.close()


def test_a_person_is_told_when_their_list_is_full(user: User, settings: Settings) -> None:
    settings.TASKS_PER_USER = 1
    add(user, "Milk")
    with pytest.raises(TooManyTasks, match="holds 1 tasks"):
        add(user, "Bread")
