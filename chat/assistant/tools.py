"""The tools of the assistant. Each is its arguments as a model, and what it does for a person.

No argument names a user: the run's context has the user that a tool acts for. An error of the task list
becomes an output that the model can talk about; any other ends the turn.
"""

import uuid
from abc import abstractmethod
from dataclasses import replace
from typing import Any, ClassVar, Literal, Self

from agents import FunctionTool, RunContextWrapper
from agents.strict_schema import ensure_strict_json_schema
from agents.tool_context import ToolContext
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from chat.assistant.context import Call, Effect, TurnContext
from chat.assistant.outputs import bounded
from chat.exceptions import BadTask
from chat.infra.invalid_values import invalid_values, listed
from chat.models.task import Task
from chat.read_models.task import ShownTask, TaskOut
from chat.search.conversation import search_conversation
from chat.tasks import services as tasks
from chat.tasks import undo
from chat.tasks.due_names import as_date_and_time

LIST_LIMIT = 50
MESSAGE_LIMIT = 10
MOST = 2**31 - 1  # what a column of numbers holds

Number = Field(description="The task's number, as shown in the list.")
DueDate = Field(default=None, description="The day it is due, YYYY-MM-DD.")
DueTime = Field(default=None, description="The time of day it is due, HH:MM on a 24-hour clock. Needs a date.")
PriorityField = Field(default=None, description="How much it matters. Normal unless the person says so.")


class AssistantTool(BaseModel):
    """Something the assistant can do in a turn."""

    model_config = ConfigDict(extra="forbid")

    name: ClassVar[str]
    needs_approval: ClassVar[bool] = False

    @abstractmethod
    def act_in(self, turn: TurnContext) -> Effect:
        """Do it for the person whose turn it is; raise a ThreadkeeperError where it cannot be done."""

    @classmethod
    def function_tool(cls) -> FunctionTool:
        """Present it to the agent."""
        schema = cls.model_json_schema()
        return FunctionTool(
            name=cls.name,
            description=(cls.__doc__ or "").strip(),
            params_json_schema=ensure_strict_json_schema(schema),
            on_invoke_tool=cls._invoke,
            needs_approval=cls._is_to_be_asked if cls.needs_approval else False,
        )

    @classmethod
    async def _is_to_be_asked(
        cls, context: RunContextWrapper[TurnContext], arguments: dict[str, Any], call_id: str
    ) -> bool:
        """Return whether a person must decide first: not where they have, nor where the call cannot be carried out."""
        if context.context.needs_no_approval(call_id):
            return False
        try:
            cls.model_validate(arguments)
        except ValidationError:
            return False
        return True

    @classmethod
    async def _invoke(cls, context: ToolContext[TurnContext], arguments: str) -> str:
        turn = context.context

        def effect() -> Effect:
            done = cls.read(arguments).act_in(turn)
            if not isinstance(done, Effect):
                raise TypeError(f"{cls.__name__} returned {type(done).__name__}, not an Effect.")
            return replace(done, output=bounded(done.output, turn.output_limit))

        return await turn.act(Call(context.tool_call_id, cls.name, arguments), effect)

    @classmethod
    def read(cls, arguments: str) -> Self:
        """Read arguments, which are JSON. Raise BadTask."""
        try:
            return cls.model_validate_json(arguments or "{}")
        except ValidationError as error:
            raise BadTask(f"{listed(invalid_values(error))}.") from None


class TaskTool(AssistantTool):
    """Something the assistant can do with the person's task list."""

    @abstractmethod
    def act(self, user_id: uuid.UUID) -> Effect:
        """Do it for a person; raise a ThreadkeeperError where it cannot be done."""

    def act_in(self, turn: TurnContext) -> Effect:
        return self.act(turn.user_id)


class DueTool(TaskTool):
    """Something that can set when a task is due; it takes `due`, the API's name, too."""

    @model_validator(mode="before")
    @classmethod
    def _with_date_and_time(cls, given: Any) -> Any:
        return as_date_and_time(given) if isinstance(given, dict) else given


class CreateTask(DueTool):
    """Add a task to the person's list."""

    name = "create_task"
    title: str = Field(description="What to do, in a few words, without the date: 1 to 100 characters.")
    description: str | None = Field(default=None, description="Anything more worth keeping, up to 1,000 characters.")
    due_date: str | None = DueDate
    due_time: str | None = DueTime
    priority: Literal["low", "normal", "high"] | None = PriorityField

    def act(self, user_id: uuid.UUID) -> Effect:
        task = tasks.create_task(
            user_id=user_id,
            title=self.title,
            description=self.description or "",
            due_date=tasks.parse_date(self.due_date),
            due_time=tasks.parse_time(self.due_time),
            priority=self.priority or "normal",
        )
        return Effect(_done(task), change_id=task.change_id)


class ListTasks(TaskTool):
    """Look at the person's tasks."""

    name = "list_tasks"
    status: Literal["all", "pending", "completed"] | None = Field(
        default=None, description="Which ones; all unless given."
    )
    sort: Literal["number", "due", "priority", "panel"] | None = Field(
        default=None,
        description="The order: by number unless given, what is due first, the highest priority first, or as in the "
        "panel that the person sees.",
    )
    limit: int | None = Field(default=None, description="How many at most, 1 to 100; 50 unless given.")
    offset: int | None = Field(default=None, description="How many to pass over, when there are more.")

    def act(self, user_id: uuid.UUID) -> Effect:
        status, sort = self.status or "all", self.sort or "number"
        offset = min(max(self.offset or 0, 0), MOST)
        limit = min(max(self.limit or LIST_LIMIT, 1), 100)
        page = tasks.list_tasks(user_id=user_id, status=status, sort=sort, limit=limit, offset=offset)
        found = [shown(task) for task in page.tasks]
        asked = {"status": status, "sort": sort, "offset": offset}
        return Effect({"ok": True, "tasks": found, "total": page.total} | asked)


class GetTask(TaskTool):
    """Look at one task by its number."""

    name = "get_task"
    number: int = Number

    def act(self, user_id: uuid.UUID) -> Effect:
        return Effect(_done(tasks.get_task(user_id=user_id, number=self.number)))


class CompleteTask(TaskTool):
    """Mark a task as done."""

    name = "complete_task"
    number: int = Number

    def act(self, user_id: uuid.UUID) -> Effect:
        before = dict(shown(tasks.get_task(user_id=user_id, number=self.number)))
        task = tasks.complete_task(user_id=user_id, number=self.number)
        return Effect(_done(task), before, task.change_id)


class UpdateTask(DueTool):
    """Change a task: only what is given changes."""

    name = "update_task"
    number: int = Number
    title: str | None = Field(default=None, description="The new title.")
    description: str | None = Field(default=None, description="The new description; an empty text removes it.")
    due_date: str | None = DueDate
    due_time: str | None = DueTime
    clear_due: bool | None = Field(default=None, description="True removes the date and time.")
    priority: Literal["low", "normal", "high"] | None = PriorityField
    completed: bool | None = Field(default=None, description="False opens a completed task again.")

    def act(self, user_id: uuid.UUID) -> Effect:
        before = dict(shown(tasks.get_task(user_id=user_id, number=self.number)))
        changes = tasks.Changes(
            title=self.title,
            description=self.description,
            due_date=tasks.parse_date(self.due_date),
            due_time=tasks.parse_time(self.due_time),
            clear_due=bool(self.clear_due),
            priority=self.priority,
            completed=self.completed,
        )
        task = tasks.update_task(user_id=user_id, number=self.number, changes=changes)
        return Effect(_done(task), before, task.change_id)


class DeleteTask(TaskTool):
    """Take one task off the list."""

    name = "delete_task"
    number: int = Number

    def act(self, user_id: uuid.UUID) -> Effect:
        task = tasks.delete_task(user_id=user_id, number=self.number)
        return Effect(_done(task), dict(shown(task)), task.change_id)


class DeleteTasks(TaskTool):
    """Take several tasks off the list. The person is asked before it is done."""

    name = "delete_tasks"
    needs_approval = True
    numbers: list[int] = Field(description="The tasks' numbers, as shown in the list.", min_length=1, max_length=1000)

    def act(self, user_id: uuid.UUID) -> Effect:
        deleted = tasks.delete_tasks(user_id=user_id, numbers=self.numbers)
        as_they_were = [shown(task) for task in deleted]
        missing = sorted(set(self.numbers) - {task.number for task in deleted})
        output = {"ok": True, "tasks": as_they_were, "missing": missing}
        return Effect(output, {"tasks": as_they_were}, deleted[0].change_id)


class Undo(AssistantTool):
    """Undo what you changed last in this conversation: the tasks become exactly what they were, with their numbers.

    Everything that your last answer changed is undone, or only the last change of one task. What the person changed
    themself, or in another conversation, is not; and nothing that was changed since.
    """

    name = "undo"
    number: int | None = Field(default=None, description="Undo only your last change of the task with this number.")

    def act_in(self, turn: TurnContext) -> Effect:
        whose = {"user_id": turn.user_id, "conversation_id": turn.conversation_id}
        undone = undo.undo_last(**whose, before=turn.seq, number=self.number)
        did = [{"kind": each.kind, "task": shown(each.task)} for each in undone.tasks]
        return Effect({"ok": True, "undone": did, "refused": undone.refused}, change_id=undone.change_id)


class SearchConversation(AssistantTool):
    """Find what was said before in this conversation, also what you no longer see of it."""

    name = "search_conversation"
    query: str | None = Field(
        default=None, description="One to three words that are in the message. Without any, all messages are listed."
    )
    order: Literal["oldest", "newest"] | None = Field(
        default=None, description="The oldest messages first, or the newest; the newest unless given."
    )
    role: Literal["user", "assistant"] | None = Field(default=None, description="Whose messages; of both unless given.")
    limit: int | None = Field(default=None, description="How many at most, 1 to 50; 10 unless given.")
    offset: int | None = Field(default=None, description="How many to pass over, when there are more.")

    def act_in(self, turn: TurnContext) -> Effect:
        offset = min(max(self.offset or 0, 0), MOST)
        found = search_conversation(
            user_id=turn.user_id,
            conversation_id=turn.conversation_id,
            before=turn.seq,
            words=self.query or "",
            role=self.role,
            order=self.order or "newest",
            limit=min(max(self.limit or MESSAGE_LIMIT, 1), 50),
            offset=offset,
        )
        messages = [
            {
                "position": message.position,
                "role": message.role,
                "created_at": message.created_at.astimezone(turn.now.tzinfo).isoformat(timespec="minutes"),
                "text": message.text,
            }
            for message in found.messages
        ]
        return Effect({"ok": True, "messages": messages, "total": found.total, "offset": offset})


TOOLS: tuple[type[AssistantTool], ...] = (
    *(CreateTask, ListTasks, GetTask, CompleteTask, UpdateTask, DeleteTask, DeleteTasks, Undo),
    SearchConversation,
)


def _done(task: Task) -> dict[str, Any]:
    return {"ok": True, "task": shown(task)}


def shown(task: Task) -> ShownTask:
    """Return a task as tools show it."""
    return TaskOut.of(task).as_tool_json()
