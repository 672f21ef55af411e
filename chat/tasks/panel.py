"""The to-do list for pages and sockets: a bounded part of it, and the changes since a revision."""

import uuid
from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, time
from typing import Any

from django.db.models import Count, Q

from chat.models import Turn
from chat.models.task import Task, TaskCounter
from chat.models.turn import Decision, Status
from chat.read_models import TaskOut
from chat.tasks import services as tasks

OPEN_SHOWN = 100
COMPLETED_SHOWN = 50


@dataclass(frozen=True, slots=True)
class TaskPanel:
    """Some of a user's tasks, in the order of the panel, and their total numbers.

    `named` holds those that a pending approval concerns and that are in neither list.
    """

    revision: int
    open: list[TaskOut]
    completed: list[TaskOut]
    named: list[TaskOut]
    open_count: int
    completed_count: int

    @property
    def tasks(self) -> list[TaskOut]:
        """All loaded tasks."""
        return [*self.open, *self.completed, *self.named]

    @property
    def open_left(self) -> int:
        """The number of open tasks that are not shown."""
        return self.open_count - len(self.open)

    @property
    def completed_left(self) -> int:
        """The number of completed tasks that are not shown."""
        return self.completed_count - len(self.completed)

    @property
    def next_size(self) -> int:
        """The number of open tasks in a larger panel."""
        return len(self.open) + OPEN_SHOWN

    def as_json(self) -> dict[str, Any]:
        """Return the initial state for the page's script."""
        return {
            "tasks": [task.as_json() for task in self.tasks],
            "tasks_revision": self.revision,
            "task_counts": {"open": self.open_count, "completed": self.completed_count},
        }


def load_panel(user_id: uuid.UUID, *, size: int = OPEN_SHOWN) -> TaskPanel:
    """Return a user's panel with at most `size` open tasks."""
    theirs = Task.objects.owned_by(user_id)
    # Before the tasks: a change in between is sent twice, and none is missed.
    revision = current_revision(user_id)
    still_open = [TaskOut.of(row) for row in theirs.filter(completed_at=None).order_by(*tasks.PANEL_ORDER)[:size]]
    latest = theirs.exclude(completed_at=None).order_by("-completed_at", "-number")[:COMPLETED_SHOWN]
    completed = [TaskOut.of(row) for row in latest]
    loaded = {task.number for task in (*still_open, *completed)}
    numbers = _awaiting_approval(user_id) - loaded
    named = [TaskOut.of(row) for row in theirs.filter(number__in=numbers)] if numbers else []
    is_whole = len(still_open) < size and len(completed) < COMPLETED_SHOWN
    counts = (len(still_open), len(completed)) if is_whole else _counts(user_id)
    return TaskPanel(revision, still_open, completed, named, *counts)


def current_revision(user_id: uuid.UUID) -> int:
    """Return the revision of a user's list."""
    return TaskCounter.objects.filter(pk=user_id).values_list("revision", flat=True).first() or 0


def is_overdue(task: TaskOut, now: datetime) -> bool:
    """Return whether a task is open after it was due, by the user's own clock."""
    if task.is_completed or task.due_date is None:
        return False
    return datetime.combine(task.due_date, task.due_time or time.max) < now.replace(tzinfo=None)


def _counts(user_id: uuid.UUID) -> tuple[int, int]:
    is_open = Count("pk", filter=Q(completed_at=None))
    counts = Task.objects.owned_by(user_id).aggregate(open=is_open, completed=Count("completed_at"))
    return counts["open"], counts["completed"]


def _awaiting_approval(user_id: uuid.UUID) -> set[int]:
    """Return the task numbers in calls that await the user's decision."""
    turns = Turn.objects.filter(user_id=user_id, status=Status.WAITING, tool_calls__decision=Decision.AWAITING)
    waiting = turns.values_list("tool_calls__arguments", flat=True)
    numbers = [arguments.get("numbers") for arguments in waiting if isinstance(arguments, dict)]
    listed = [number for some in numbers if isinstance(some, list) for number in some]
    return {number for number in listed if isinstance(number, int) and 0 < number < 2**31}


@dataclass(frozen=True, slots=True)
class TaskChanges:
    """The changes of a user's list between two revisions."""

    since: int
    revision: int
    changed: list[TaskOut]
    removed: list[uuid.UUID]
    open_count: int
    completed_count: int


def read_changes(user_id: uuid.UUID, *, since: int, known: Collection[uuid.UUID]) -> TaskChanges:
    """Return the changes after a revision at which the list held the tasks `known`."""
    theirs = Task.objects.owned_by(user_id)
    revision = current_revision(user_id)
    changed = [TaskOut.of(row) for row in theirs.filter(revision__gt=since).order_by("number")]
    open_count, completed_count = _counts(user_id)
    together = {*known, *(task.id for task in changed)}
    removed: list[uuid.UUID] = []
    if len(together) != open_count + completed_count:
        removed = list(together - task_ids(user_id))
    return TaskChanges(since, revision, changed, removed, open_count, completed_count)


def task_ids(user_id: uuid.UUID) -> set[uuid.UUID]:
    """Return the ids of a user's tasks."""
    return set(Task.objects.owned_by(user_id).values_list("pk", flat=True))
