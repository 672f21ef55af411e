"""A user's to-do list. Tools of other apps use what this package exports."""

from typing import Any

from chat.models import Task
from chat.read_models import TaskOut
from chat.tasks.services import (
    Changes,
    complete_task,
    create_task,
    delete_task,
    delete_tasks,
    find_tasks,
    get_task,
    list_tasks,
    update_task,
)

__all__ = [
    "Changes",
    "complete_task",
    "create_task",
    "delete_task",
    "delete_tasks",
    "find_tasks",
    "get_task",
    "list_tasks",
    "update_task",
    "view",
]


def view(task: Task) -> dict[str, Any]:
    """Return the JSON form of a task."""
    return TaskOut.of(task).as_json()
