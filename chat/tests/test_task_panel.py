"""The task panel of pages and sockets is limited in size and follows changes of the list."""

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
def committed_user(transactional_db: None) -> User:
    return User.objects.create_user("ada@example.com", "correct horse battery")


def test_panel_holds_the_first_open_tasks_and_the_counts_of_all(user: User) -> None:
    fill(user, 12)
    Task.objects.filter(number=11).update(due_date="2026-03-13")
    Task.objects.filter(number=12).update(completed_at="2026-03-13T10:00:00Z")

    panel = load_panel(user.pk, size=5)

    assert [task.number for task in panel.open] == [11, 1, 2, 3, 4]
    assert (panel.open_count, panel.open_left, panel.completed_count, panel.completed_left) == (11, 6, 1, 0)


def test_changes_since_a_revision_list_added_changed_and_removed_tasks(user: User) -> None:
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


def test_removed_task_and_its_replacement_are_both_reported(user: User) -> None:
    deleted = add(user, "Milk")
    since, known = current_revision(user.pk), task_ids(user.pk)
    tasks.delete_task(user_id=user.pk, number=deleted.number)
    new = add(user, "Bread")

    changes = read_changes(user.pk, since=since, known=known)

    assert ([task.id for task in changes.changed], changes.removed) == ([new.pk], [deleted.pk])


def test_too_many_changes_for_a_frame_request_a_reload(user: User) -> None:
    fill(user, TASKS_SENT + 1, revision=1)
    frame = tasks_frame(read_changes(user.pk, since=0, known=set()))
    assert (frame["reload"], frame["tasks"], frame["counts"]["open"]) == (True, [], TASKS_SENT + 1)


async def test_sockets_of_a_user_share_one_encoded_frame(committed_user: User) -> None:
    feed = TaskFeed(committed_user.pk)
    revision = await feed.start()
    await asyncio.to_thread(_add_and_close, committed_user, "Milk")

    results = await asyncio.gather(*(feed.frames_after(revision) for _ in range(20)))

    assert len({id(texts[0]) for texts, _ in results}) == 1
    assert {(len(texts), newest) for texts, newest in results} == {(1, revision + 1)}


async def test_cancelled_read_of_one_socket_loses_no_change_for_others(committed_user: User) -> None:
    task = await asyncio.to_thread(_add_and_close, committed_user, "Milk")
    feed = TaskFeed(committed_user.pk)
    revision = await feed.start()
    await asyncio.to_thread(_delete_and_close, committed_user, task.number)
    leaving = asyncio.create_task(feed.frames_after(revision))
    await asyncio.sleep(0)
    leaving.cancel()
    await asyncio.wait({leaving})

    texts, _ = await feed.frames_after(revision)

    assert str(task.pk) in texts[-1]


def test_concurrent_additions_do_not_exceed_the_task_limit(committed_user: User, settings: Settings) -> None:
    settings.TASKS_PER_USER = 3
    fill(committed_user, 2)

    def attempt(title: str) -> bool:
        try:
            _add_and_close(committed_user, title, number_from=100)
        except TooManyTasks:
            return False
        return True

    with ThreadPoolExecutor(4) as pool:
        assert sorted(pool.map(attempt, "abcd")) == [False, False, False, True]
    assert Task.objects.filter(user=committed_user).count() == 3


def test_change_of_one_task_reads_only_that_task(user: User) -> None:
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


def test_adding_to_a_full_list_raises_too_many_tasks(user: User, settings: Settings) -> None:
    settings.TASKS_PER_USER = 1
    add(user, "Milk")
    with pytest.raises(TooManyTasks, match="holds 1 tasks"):
        add(user, "Bread")
