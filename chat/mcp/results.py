"""The output schemas of the tools, as MCP clients see them."""

from typing import Annotated, Literal

from pydantic import Field
from typing_extensions import TypedDict  # required by pydantic before Python 3.12

from chat.read_models.task import ShownTask


class OneTask(TypedDict):
    """A task: as it is now, or as it was before it was deleted."""

    ok: bool
    task: ShownTask


class TaskList(TypedDict):
    """Some of the tasks."""

    ok: bool
    tasks: list[ShownTask]
    total: Annotated[int, Field(description="How many there are in all.")]
    status: Literal["all", "pending", "completed"]
    sort: Literal["number", "due", "priority", "panel"]
    offset: int


class DeletedTasks(TypedDict):
    """The tasks that were deleted, as they were; or those that would be, and what is still to be sent."""

    deleted: Annotated[bool, Field(description="Whether they are deleted. If not, nothing was changed.")]
    tasks: list[ShownTask]
    missing: Annotated[list[int], Field(description="Numbers that no task has.")]
    confirmation: Annotated[str | None, Field(description="To be sent with the same numbers once the person agrees.")]
    detail: str
