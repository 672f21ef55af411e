"""Example of custom tools: `AGENT_EXTRA_TOOLS=docs.examples.timesheet` (see docs/how-to/add-a-tool.md)."""

import asyncio
import os
import uuid
from datetime import timedelta
from pathlib import Path
from typing import ClassVar

from agents import RunContextWrapper, function_tool
from pydantic import Field

from chat import tasks
from chat.assistant.context import Effect, TurnContext
from chat.assistant.tools import TaskTool

FOLDER = Path(os.environ.get("TIMESHEETS", "timesheets"))


class PostponeTasks(TaskTool):
    """Move tasks that are due to a later day."""

    # It writes to the project's own database, so it runs exactly once, and returns the tasks as they were before.
    name = "postpone_tasks"
    needs_approval: ClassVar[bool] = True
    numbers: list[int] = Field(description="The tasks' numbers.", min_length=1, max_length=100)
    days: int = Field(description="By how many days.", ge=1, le=365)

    def act(self, user_id: uuid.UUID) -> Effect:
        before, after = [], []
        for number in self.numbers:
            task = tasks.get_task(user_id=user_id, number=number)
            before.append(tasks.view(task))
            if task.due_date is not None:
                due = task.due_date + timedelta(days=self.days)
                changes = tasks.Changes(due_date=due, due_time=task.due_time)
                task = tasks.update_task(user_id=user_id, number=number, changes=changes)
            after.append(tasks.view(task))
        return Effect({"ok": True, "tasks": after}, {"tasks": before})


@function_tool
async def note_time(run: RunContextWrapper[TurnContext], what: str, minutes: int) -> str:
    """Note in the person's timesheet how long something took.

    Args:
        what: What they did, in a few words.
        minutes: How many minutes it took.
    """
    # It uses something else (a file, another service), may take long, and is never started twice.
    sheet = FOLDER / f"{run.context.user_id}.csv"
    line = f"{run.context.now:%Y-%m-%d},{minutes},{what}\n"
    await asyncio.to_thread(_append, sheet, line)
    return f"Noted: {minutes} minutes for {what}."


def _append(sheet: Path, line: str) -> None:
    sheet.parent.mkdir(parents=True, exist_ok=True)
    with sheet.open("a") as file:
        file.write(line)


tools = [PostponeTasks, note_time]
instructions = "When somebody says how long something took, you note it with note_time."
