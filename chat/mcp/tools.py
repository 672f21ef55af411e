"""The assistant's tools for MCP clients: same names, arguments, sentences and effects.

Outside of a turn there is no journal: the result has the earlier state of the tasks that a tool deletes or changes.
"""

import json
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from mcp_types import Tool, ToolAnnotations
from pydantic import Field, TypeAdapter

from chat.assistant import tools as assistant
from chat.assistant.context import Effect
from chat.assistant.tools import TaskTool, shown
from chat.mcp.results import DeletedTasks, OneTask, TaskList
from chat.models.task import DESCRIPTION_LENGTH, LOOKS, TITLE_LENGTH, Task
from chat.tasks import confirmations

# Constraints that the assistant's schemas leave to the functions, since not every model's API supports them.
LIMITS: Mapping[str, dict[str, Any]] = {
    "number": {"minimum": 1},
    "title": {"minLength": 1, "maxLength": TITLE_LENGTH},
    "description": {"maxLength": DESCRIPTION_LENGTH},
    "due_date": {"pattern": r"^\d{4}-\d{2}-\d{2}$"},
    "due_time": {"pattern": r"^\d{2}:\d{2}$"},
    "limit": {"minimum": 1, "maximum": 100},
    "offset": {"minimum": 0},
}
CONFIRM_FIRST = "Nothing is deleted yet. Show the person these tasks; if they agree, call again with this confirmation."


class DeleteTasks(assistant.DeleteTasks):
    """Take several tasks off the list, which the person must agree to.

    The first call deletes nothing: it shows what would go, and a confirmation. Once the person has agreed, call again
    with the same numbers and the confirmation. Where the program can ask its person by itself, it is asked to do so.
    """

    needs_approval: ClassVar[bool] = False  # confirmed here, not by a turn
    confirmation: str | None = Field(
        default=None,
        description="What the first call answered. Give it only once the person has agreed to exactly these tasks.",
        max_length=500,
    )

    def act(self, user_id: uuid.UUID) -> Effect:
        if self.confirmation is None:
            question = self.ask(user_id)
            return self._answer(question.tasks, confirmation=question.confirmation, detail=CONFIRM_FIRST)
        gone = confirmations.delete_confirmed(user_id=user_id, numbers=self.numbers, confirmation=self.confirmation)
        return self._answer(gone, deleted=True, detail="Deleted.")

    def ask(self, user_id: uuid.UUID) -> confirmations.Question:
        """Return the tasks that would be deleted, and the confirmation that stands for the user's consent."""
        return confirmations.ask_to_delete(user_id=user_id, numbers=self.numbers)

    def _answer(
        self, about: list[Task], *, deleted: bool = False, confirmation: str | None = None, detail: str
    ) -> Effect:
        answer: DeletedTasks = {
            "deleted": deleted,
            "tasks": [shown(task) for task in about],
            "missing": sorted(set(self.numbers) - {task.number for task in about}),
            "confirmation": confirmation,
            "detail": detail,
        }
        return Effect(dict(answer), change_id=about[0].change_id)


def _input_schema(tool: type[TaskTool]) -> dict[str, Any]:
    schema = tool.model_json_schema()
    for name, field in schema.get("properties", {}).items():
        if name in LIMITS:
            # An optional field may be null too, without constraints.
            kinds = field.get("anyOf", [field])
            kinds[0].update(LIMITS[name])
    return {"properties": {}, **schema}


@dataclass(frozen=True, slots=True)
class Served:
    """A tool with its description for MCP clients."""

    tool: type[TaskTool]
    title: str
    result: type[Any]
    destroys: bool = False
    again_is_the_same: bool = False

    @property
    def changes(self) -> bool:
        """Whether it changes the list."""
        return self.tool.name not in LOOKS

    def described(self) -> Tool:
        """Return its description in the protocol's form."""
        hints = ToolAnnotations(
            read_only_hint=not self.changes,
            destructive_hint=self.destroys,
            idempotent_hint=self.again_is_the_same or not self.changes,
            open_world_hint=False,
        )
        return Tool(
            name=self.tool.name,
            title=self.title,
            description=" ".join((self.tool.__doc__ or "").split()),
            input_schema=_input_schema(self.tool),
            output_schema=TypeAdapter(self.result).json_schema(mode="serialization"),
            annotations=hints,
        )


SERVED: Mapping[str, Served] = {
    served.tool.name: served
    for served in (
        Served(assistant.CreateTask, "Add a task", OneTask),
        Served(assistant.ListTasks, "List tasks", TaskList),
        Served(assistant.GetTask, "Show a task", OneTask),
        Served(assistant.CompleteTask, "Complete a task", OneTask, again_is_the_same=True),
        Served(assistant.UpdateTask, "Change a task", OneTask, destroys=True, again_is_the_same=True),
        Served(assistant.DeleteTask, "Delete a task", OneTask, destroys=True, again_is_the_same=True),
        Served(DeleteTasks, "Delete several tasks", DeletedTasks, destroys=True, again_is_the_same=True),
    )
}
DESCRIBED: Mapping[str, Tool] = {name: served.described() for name, served in SERVED.items()}


def read(name: str, arguments: Mapping[str, Any]) -> TaskTool:
    """Parse a call's arguments. Raise BadTask, or KeyError if there is no such tool."""
    return SERVED[name].tool.read(json.dumps(arguments))
