"""A person's to-do list."""

import uuid
from functools import partial
from typing import Annotated, Any, Literal

from django.http import HttpRequest, HttpResponse
from ninja import Field, Query, Router, Schema, Status
from ninja.schema import DjangoGetter
from pydantic import AfterValidator, StrictBool, model_validator

from chat.api.auth import SignedIn, caller
from chat.api.idempotency import CreationKey, once
from chat.api.paging import Listed, Page, Paging, page, place_cursor
from chat.api.schemas import ErrorReply, Input, Text, schema_of
from chat.exceptions import BadTask
from chat.models import Task
from chat.models.task import DESCRIPTION_LENGTH, TITLE_LENGTH
from chat.models.token import Scope
from chat.read_models import PriorityWord, TaskOut
from chat.tasks import services as tasks
from chat.tasks import undo
from chat.tasks.due_names import as_due
from chat.tasks.services import Changes

router = Router(tags=["tasks"], auth=SignedIn(Scope.TASKS))


def _due(text: str) -> str:
    try:
        tasks.parse_due(text)
    except BadTask as error:
        raise ValueError(error.detail) from None
    return text


DUE_SCHEMA = {
    "description": "A date, or a date and a time, where the person is; null or an empty text for none.",
    "pattern": (
        "^([1-9][0-9]{3}-((0[1-9]|1[0-2])-(0[1-9]|1[0-9]|2[0-8])|02-29|(0[13-9]|1[0-2])-(29|30)|(0[13578]|1[02])-31)"
        "(T([01][0-9]|2[0-3]):[0-5][0-9])?)?$"
    ),
    "examples": ["2026-12-24", "2026-12-24T18:00"],
}
Title = Annotated[Text, Field(min_length=1, max_length=TITLE_LENGTH, pattern=r"\S", examples=["Buy groceries"])]
Description = Annotated[Text, Field(max_length=DESCRIPTION_LENGTH)]
Due = Annotated[str, AfterValidator(_due), Field(json_schema_extra=DUE_SCHEMA)]


def _sent_values(given: Any) -> Any:
    return given._obj if isinstance(given, DjangoGetter) else given


class TaskInput(Input):
    """A task's fields; `due` by its name in the tools, too."""

    @model_validator(mode="before")
    @classmethod
    def _with_due(cls, given: Any) -> Any:
        values = _sent_values(given)
        return as_due(values) if isinstance(values, dict) else given


class NewTask(TaskInput):
    """A task to be put on the list."""

    title: Title
    description: Description = ""
    due: Due | None = None
    priority: PriorityWord = "normal"
    is_completed: StrictBool = False


class TaskChanges(TaskInput):
    """What to change of a task; what is not there stays as it is.

    No field has a default in the description: generated clients would send it with each change. The other fields of a
    task are ignored, so that a client may send back what it was given.
    """

    title: Title = Field(default_factory=str)
    description: Description = Field(default_factory=str)
    due: Due | None = Field(
        default_factory=lambda: None, description="Null takes the date away; a date without a time takes the time away."
    )
    priority: PriorityWord = Field(default_factory=lambda: "normal")
    is_completed: StrictBool = Field(default_factory=bool)

    @model_validator(mode="before")
    @classmethod
    def _without_the_fixed(cls, given: Any) -> Any:
        values = _sent_values(given)
        if not isinstance(values, dict):
            return given
        fixed = TaskReply.model_fields.keys() - cls.model_fields.keys()
        return {name: value for name, value in values.items() if name not in fixed}

    def as_changes(self) -> Changes:
        """Return the changes as the service takes them."""
        given = self.model_fields_set
        due_date, due_time = tasks.parse_due(self.due)
        return Changes(
            title=self.title if "title" in given else None,
            description=self.description if "description" in given else None,
            due_date=due_date,
            due_time=due_time,
            clear_due="due" in given and not self.due,
            priority=self.priority if "priority" in given else None,
            completed=self.is_completed if "is_completed" in given else None,
        )


class TaskReply(schema_of(TaskOut)):  # type: ignore[misc]
    """A task."""


class UndoneReply(Schema):
    """What undoing a change has done."""

    tasks: list[TaskReply] = Field(description="The tasks that are as they were before, or on the list again.")
    removed: list[uuid.UUID] = Field(description="The ids of the tasks that are off the list again.")


CHANGE_HEADER = "Task-Change"


def _changing(status: int) -> dict[str, Any]:
    """Describe the header of a reply to what changes tasks."""
    described = {
        "description": "The id of the change, to undo it; absent where nothing changed.",
        "schema": {"type": "string", "format": "uuid"},
    }
    return {"responses": {status: {"headers": {CHANGE_HEADER: described}}}}


CHANGES, CREATES, DELETES = _changing(200), _changing(201), _changing(204)


class TaskPage(Page[TaskReply]):
    """A part of a list."""


class WhichTasks(Paging):
    """The filter and order of a list of tasks."""

    status: Literal["all", "pending", "completed"] = "all"


@router.get("", response=TaskPage)
def list_tasks(request: HttpRequest, which: Query[WhichTasks]) -> Listed[TaskOut]:
    """List one's tasks, by number."""
    user = caller(request).user
    found = tasks.tasks_after(user_id=user.pk, status=which.status, number=which.place or 0, limit=which.limit)
    return page(found, limit=which.limit, cursor=lambda task: place_cursor(task.number)).map(TaskOut.of)


@router.post("", response={201: TaskReply, 409: ErrorReply}, openapi_extra=CREATES)
def create_task(
    request: HttpRequest, response: HttpResponse, body: NewTask, idempotency_key: CreationKey = ""
) -> Status[TaskOut]:
    """Add a task. 409 if the list is full."""
    user_id = caller(request).user.pk
    due_date, due_time = tasks.parse_due(body.due)
    create = partial(
        tasks.create_task,
        user_id=user_id,
        title=body.title,
        description=body.description,
        due_date=due_date,
        due_time=due_time,
        priority=body.priority,
        completed=body.is_completed,
    )
    task, is_new = once(
        user_id,
        "create_task",
        idempotency_key,
        body,
        create=create,
        id_of=lambda task: task.pk,
        find=lambda task_id: tasks.get_task(user_id=user_id, number=tasks.number_of(user_id=user_id, task_id=task_id)),
    )
    if not is_new:
        task.change_id = undo.creation_of(task)
    return Status(201, _changed(task, response))


@router.get("/{uuid:task_id}", response=TaskReply)
def get_task(request: HttpRequest, task_id: uuid.UUID) -> TaskOut:
    """Return a task."""
    user_id = caller(request).user.pk
    return TaskOut.of(tasks.get_task(user_id=user_id, number=tasks.number_of(user_id=user_id, task_id=task_id)))


@router.patch("/{uuid:task_id}", response=TaskReply, openapi_extra=CHANGES)
def update_task(request: HttpRequest, response: HttpResponse, task_id: uuid.UUID, body: TaskChanges) -> TaskOut:
    """Change a task."""
    user_id = caller(request).user.pk
    number = tasks.number_of(user_id=user_id, task_id=task_id)
    return _changed(tasks.update_task(user_id=user_id, number=number, changes=body.as_changes()), response)


@router.delete("/{uuid:task_id}", response={204: None}, openapi_extra=DELETES)
def delete_task(request: HttpRequest, response: HttpResponse, task_id: uuid.UUID) -> Status[None]:
    """Delete a task, which can be undone for 30 days."""
    user_id = caller(request).user.pk
    _changed(tasks.delete_task(user_id=user_id, number=tasks.number_of(user_id=user_id, task_id=task_id)), response)
    return Status(204, None)


@router.post("/{uuid:task_id}/complete", response={200: TaskReply, 409: ErrorReply}, openapi_extra=CHANGES)
def complete_task(request: HttpRequest, response: HttpResponse, task_id: uuid.UUID) -> TaskOut:
    """Mark a task as done. 409 if it is already."""
    user_id = caller(request).user.pk
    number = tasks.number_of(user_id=user_id, task_id=task_id)
    return _changed(tasks.complete_task(user_id=user_id, number=number), response)


@router.post("/changes/{uuid:change_id}/undo", response={200: UndoneReply, 409: ErrorReply}, openapi_extra=CHANGES)
def undo_change(request: HttpRequest, response: HttpResponse, change_id: uuid.UUID) -> dict[str, object]:
    """Undo a change of tasks exactly. 409 if a task has changed since, it is undone, or 30 days are over."""
    user_id = caller(request).user.pk
    undone = undo.undo(user_id=user_id, change_id=change_id)
    response[CHANGE_HEADER] = str(undone.change_id)
    return {
        "tasks": [TaskOut.of(each.task) for each in undone.tasks if each.kind != "removed"],
        "removed": [each.task.pk for each in undone.tasks if each.kind == "removed"],
    }


def _changed(task: Task, response: HttpResponse) -> TaskOut:
    """Show a task, with the id of the change that was made."""
    if task.change_id is not None:
        response[CHANGE_HEADER] = str(task.change_id)
    return TaskOut.of(task)
