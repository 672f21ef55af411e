"""A user's to-do list. Tools of other apps use what this package exports."""

from chat.read_models import task_json as view
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
