import uuid

from pydantic import Field

from chat.assistant.context import Effect
from chat.assistant.tools import TaskTool
from docs.examples.habits.models import Habit


class NoteHabit(TaskTool):
    """Note something that the person wants to do often."""

    name = "note_habit"
    habit: str = Field(description="What it is, in a few words.", min_length=1, max_length=100)

    def act(self, user_id: uuid.UUID) -> Effect:
        habit = Habit.objects.create(user_id=user_id, name=self.habit)
        return Effect({"ok": True, "habit": habit.name})


tools = [NoteHabit]
