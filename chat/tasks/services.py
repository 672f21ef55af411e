"""Operations on a user's to-do list, for every entry point (the assistant, pages, the API, MCP).

Every function takes the user it acts for, and reaches only this user's tasks.
"""

import re
import uuid
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time
from typing import Literal

from django.conf import settings
from django.db import transaction
from django.db.models import F, QuerySet
from django.db.models.expressions import OrderBy
from django.utils import timezone

from chat.exceptions import AlreadyCompleted, BadTask, NotFound, TooManyTasks
from chat.infra.lookup import get_one
from chat.infra.visible import has_visible, one_line, without_controls
from chat.models.task import DESCRIPTION_LENGTH, TITLE_LENGTH, Priority, Task, TaskCounter
from chat.read_models import PriorityWord
from chat.tasks.undo import State, record, state_of

Status = Literal["all", "pending", "completed"]
Sort = Literal["number", "due", "priority", "panel"]
DUE_FORM = re.compile(r"[1-9][0-9]{3}-[0-9]{2}-[0-9]{2}(T[0-9]{2}:[0-9]{2})?")


# The order of the panel: open tasks by date, then by priority; then completed ones, the newest first.
PANEL_ORDER = (
    F("completed_at").desc(nulls_first=True),
    F("due_date").asc(nulls_last=True),
    F("due_time").asc(nulls_last=True),
    F("priority").desc(),
    F("number").asc(),
)


@dataclass(frozen=True, slots=True)
class TaskPage:
    """A page of a user's tasks, and their total number."""

    tasks: list[Task]
    total: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Changes:
    """The changes to a task; None leaves a field unchanged."""

    title: str | None = None
    description: str | None = None
    due_date: date | None = None
    due_time: time | None = None
    clear_due: bool = False
    priority: PriorityWord | None = None
    completed: bool | None = None


def create_task(
    *,
    user_id: uuid.UUID,
    title: str,
    description: str = "",
    due_date: date | None = None,
    due_time: time | None = None,
    priority: PriorityWord = "normal",
    completed: bool = False,
) -> Task:
    """Create a task. Raise BadTask, TooManyTasks."""
    task = Task(user_id=user_id, due_date=due_date, due_time=due_time, priority=_rank(priority))
    task.completed_at = timezone.now() if completed else None
    _set_texts(task, title=title, description=description)
    _check_due(task)
    with transaction.atomic():
        # The counter's row is locked from here on: two transactions cannot both create the last allowed task.
        task.number = TaskCounter.take(user_id)
        if Task.objects.owned_by(user_id).count() >= settings.TASKS_PER_USER:
            raise TooManyTasks(settings.TASKS_PER_USER)
        task.revision = TaskCounter.take_revision(user_id)
        task.save(force_insert=True)
        task.change_id = record(user_id, [(None, state_of(task))])
    return task


def list_tasks(
    *, user_id: uuid.UUID, status: Status = "all", sort: Sort = "number", limit: int = 100, offset: int = 0
) -> TaskPage:
    """Return a page of the list: by number, by due date, by priority, or in the order of the panel."""
    tasks: QuerySet[Task] = Task.objects.owned_by(user_id)
    if status != "all":
        tasks = tasks.filter(completed_at__isnull=status == "pending")
    orders: dict[Sort, Sequence[OrderBy]] = {
        "number": [F("number").asc()],
        "due": [F("due_date").asc(nulls_last=True), F("due_time").asc(nulls_last=True), F("number").asc()],
        "priority": [F("priority").desc(), F("number").asc()],
        "panel": PANEL_ORDER,
    }
    return TaskPage(list(tasks.order_by(*orders[sort])[offset : offset + limit]), tasks.count())


def tasks_after(*, user_id: uuid.UUID, status: Status, number: int, limit: int) -> list[Task]:
    """Return the tasks after a number, by number; one more than the limit, if there is."""
    tasks = Task.objects.owned_by(user_id).filter(number__gt=number)
    if status != "all":
        tasks = tasks.filter(completed_at__isnull=status == "pending")
    return list(tasks.order_by("number")[: limit + 1])


def number_of(*, user_id: uuid.UUID, task_id: uuid.UUID) -> int:
    """Return the number of a task by its public id; a number is never reused. Raise NotFound."""
    return get_one(Task.objects.owned_by(user_id).filter(pk=task_id).values_list("number", flat=True), "task")


def get_task(*, user_id: uuid.UUID, number: int) -> Task:
    """Return a task by its number. Raise NotFound."""
    return _find(Task.objects.owned_by(user_id), number)


def find_tasks(*, user_id: uuid.UUID, numbers: Collection[int], lock: bool = False) -> list[Task]:
    """Return the existing tasks of the numbers, by number; locked if in a transaction.

    Raise NotFound if none exists.
    """
    theirs = Task.objects.owned_by(user_id).filter(number__in={_storable(number) for number in numbers})
    found = list((theirs.select_for_update(no_key=True) if lock else theirs).order_by("number"))
    if not found:
        raise NotFound("There is no such task any more.")
    return found


def complete_task(*, user_id: uuid.UUID, number: int) -> Task:
    """Complete a task. Raise NotFound, AlreadyCompleted."""
    with transaction.atomic():
        task = _locked(user_id, number)
        if task.completed_at is not None:
            raise AlreadyCompleted(f"Task {number} (“{task.title}”) is completed already.")
        before = state_of(task)
        task.completed_at = timezone.now()
        _save(task, before)
    return task


def update_task(*, user_id: uuid.UUID, number: int, changes: Changes) -> Task:
    """Change a task; without a difference nothing is written. A new date without a time removes the old time.

    Raise NotFound, BadTask.
    """
    with transaction.atomic():
        task = _locked(user_id, number)
        before = state_of(task)
        _set_texts(task, title=changes.title, description=changes.description)
        if changes.clear_due:
            task.due_date = task.due_time = None
        if changes.due_date is not None:
            task.due_date, task.due_time = changes.due_date, changes.due_time
        elif changes.due_time is not None:
            task.due_time = changes.due_time
        _check_due(task)
        if changes.priority is not None:
            task.priority = _rank(changes.priority)
        if changes.completed is not None and changes.completed != task.is_completed:
            task.completed_at = timezone.now() if changes.completed else None
        _save(task, before)
    return task


def delete_task(*, user_id: uuid.UUID, number: int) -> Task:
    """Delete a task and return its last state. Raise NotFound."""
    with transaction.atomic():
        task = _locked(user_id, number)
        _delete([task])
    return task


def delete_tasks(*, user_id: uuid.UUID, numbers: Collection[int]) -> list[Task]:
    """Delete tasks and return their last states, by number. Raise NotFound if none exists."""
    with transaction.atomic():
        deleted = find_tasks(user_id=user_id, numbers=numbers, lock=True)
        _delete(deleted)
    return deleted


def _delete(deleted: list[Task]) -> None:
    user_id = deleted[0].user_id
    Task.objects.filter(pk__in=[task.pk for task in deleted]).delete()
    revision = TaskCounter.take_revision(user_id)
    change_id = record(user_id, [(state_of(task), None) for task in deleted])
    for task in deleted:
        task.revision, task.change_id = revision, change_id


def _save(task: Task, before: State) -> None:
    if state_of(task) == before:
        return
    task.revision = TaskCounter.take_revision(task.user_id)
    task.save()
    task.change_id = record(task.user_id, [(before, state_of(task))])


def _locked(user_id: uuid.UUID, number: int) -> Task:
    return _find(Task.objects.owned_by(user_id).select_for_update(no_key=True), number)


def _find(tasks: QuerySet[Task], number: int) -> Task:
    task = tasks.filter(number=_storable(number)).first()
    if task is None:
        raise _no_such_task(number)
    return task


def _storable(number: int) -> int:
    """Replace a number that the column cannot hold with one that no task has."""
    return number if 0 < number < 2**31 else 0


def _no_such_task(number: int) -> NotFound:
    return NotFound(f"There is no task {number}.")


def _rank(word: PriorityWord) -> int:
    try:
        return int(Priority[word.upper()])
    except KeyError:
        raise BadTask(f"A priority is low, normal or high, not “{word}”.") from None


def _set_texts(task: Task, *, title: str | None, description: str | None) -> None:
    if title is not None:
        task.title = one_line(title)
        if not has_visible(task.title):
            raise BadTask("A task needs a title.")
        if len(task.title) > TITLE_LENGTH:
            raise BadTask(f"A title has at most {TITLE_LENGTH} characters; this one has {len(task.title)}.")
    if description is not None:
        task.description = without_controls(description).strip()
        if len(task.description) > DESCRIPTION_LENGTH:
            raise BadTask(
                f"A description has at most {DESCRIPTION_LENGTH} characters; this one has {len(description)}."
            )
    for text in (title, description):
        if text is not None and "\x00" in text:
            raise BadTask("The text has a character that cannot be stored.")


def _check_due(task: Task) -> None:
    if task.due_time is not None and task.due_date is None:
        raise BadTask("A time needs a date.")


def parse_date(text: str | None) -> date | None:
    """Parse YYYY-MM-DD; raise BadTask."""
    try:
        return date.fromisoformat(text) if text else None
    except ValueError:
        raise BadTask(f"“{text}” is not a date of the form YYYY-MM-DD.") from None


def parse_due(text: str | None) -> tuple[date | None, time | None]:
    """Parse YYYY-MM-DD or YYYY-MM-DDTHH:MM; raise BadTask."""
    day, _, clock = (text or "").partition("T")
    if text and not DUE_FORM.fullmatch(text):
        raise BadTask(f"“{text[:40]}” is not of the form YYYY-MM-DD or YYYY-MM-DDTHH:MM.")
    return parse_date(day), parse_time(clock)


def parse_time(text: str | None) -> time | None:
    """Parse HH:MM; raise BadTask."""
    try:
        return datetime.strptime(text, "%H:%M").time() if text else None  # a time of day has no zone
    except ValueError:
        raise BadTask(f"“{text}” is not a time of the form HH:MM.") from None
