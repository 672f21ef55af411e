"""Texts of the replies: short, friendly, in Markdown."""

import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import date, datetime, time

from chat.assistant.offline.context import Outcome
from chat.assistant.offline.intents import Span
from chat.assistant.offline.tasks import Task

_MARKDOWN = re.compile(r"([\\`*_\[\]<>|~#])")
HELP = (
    "I keep your to-do list. You can tell me things like:\n\n- *I need to pay the bills by Friday*\n"
    "- *Show my tasks*, or *what is due this week*\n- *I finished buying groceries*, or *mark task 2 as done*\n"
    "- *Move task 3 to tomorrow at 5*, *rename task 1 to ...*, *make it high priority*\n"
    "- *Delete task 4*, and *undo* if that was a mistake\n\nI send no reminders, and I don't repeat tasks."
)


def escape(text: str) -> str:
    """Escape Markdown in a user's text."""
    return _MARKDOWN.sub(r"\\\1", re.sub(r"\s+", " ", text))


def failed(outcome: Outcome) -> str:
    """Return why a call failed."""
    return escape(outcome.detail) if outcome.detail else "I couldn't do that just now."


def missing_task(number: int, outcome: Outcome) -> str:
    """Return why the call for the task with this number failed."""
    if outcome.error == "not_found":
        return f"There is no task **{number}** on your list. Which one do you mean?"
    return failed(outcome)


def missing_tasks(numbers: Iterable[int], outcomes: Iterable[Outcome]) -> list[str]:
    """Return why the calls for these tasks failed."""
    return [missing_task(n, outcome) for n, outcome in zip(numbers, outcomes, strict=True) if not outcome.ok]


def does_not_exist(words: str) -> str:
    """Return that a day or a time does not exist."""
    return f"There is no {escape(words)}."


def task_count(number: int, kind: str = "") -> str:
    """Return "3 open tasks", "1 task", "no tasks"."""
    noun = "task" if number == 1 else "tasks"
    return f"{number or 'no'} {kind} {noun}".replace("  ", " ")


def all_of(number: int) -> str:
    """Return "both", "all 3"."""
    return "both" if number == 2 else f"all {number}"


def task_name(task: Task) -> str:
    """Return a task's number and title."""
    return f"**{task.number}** {escape(task.title)}"


def task_names(tasks: Iterable[Task]) -> str:
    """Return the numbers and titles of tasks, as in a sentence."""
    return join_names([task_name(task) for task in tasks])


def day_name(day: date, today: date) -> str:
    """Return a day as people write it."""
    full = f"{day:%A} {day.day} {day:%B}" + (f" {day.year}" if day.year != today.year else "")
    return {0: "today", 1: f"tomorrow ({full})"}.get((day - today).days, full)


def due_text(day: date | None, at: time | None, today: date) -> str:
    """Return the due date as people write it."""
    text = day_name(day, today) if day else ""
    return f"{text} at {at:%H:%M}" if at else text


def task_details(task: Task, today: date) -> str:
    """Return the due date and the priority of a task."""
    parts = []
    if task.due_date:
        late = " (overdue)" if task.due_date < today and not task.is_completed else ""
        parts.append(f"due {due_text(task.due_date, task.due_time, today)}{late}")
    if task.priority != "normal":
        parts.append(f"{task.priority} priority")
    return "".join(f" · {part}" for part in parts)


def note_change(values: Mapping[str, object], before: str | None) -> str:
    """Return the change of a note, with the note that it replaced."""
    if "description" not in values:
        return ""
    new, lost = str(values["description"] or ""), before or ""
    text = f" · note: “{escape(new)}”" if new else " · without its note"
    return text if not lost or new.startswith(lost) else f"{text} (it was “{escape(lost)}”)"


def task_line(task: Task, today: date) -> str:
    """Return one line of a list."""
    return f"- [{'x' if task.is_completed else ' '}] {task_name(task)}{task_details(task, today)}"


def task_list(tasks: Iterable[Task], today: date) -> str:
    """Return a list of tasks."""
    return "\n".join(task_line(task, today) for task in tasks)


def span_text(span: Span | None, today: date) -> str:
    """Return the days of a list."""
    if span is None:
        return ""
    if span.words:
        return span.words
    return f"due {day_name(span.first, today)}" if span.first else ""


def kind_text(status: str, priority: str | None) -> str:
    """Return the kind of the tasks in a list."""
    words = {"pending": "open", "completed": "completed"}.get(status, "")
    return f"{words} {priority}-priority".strip() if priority else words


def which_one(tasks: Sequence[Task], today: date, verb: str) -> str:
    """Ask which of several tasks is meant."""
    return f"Which one {verb}?\n\n{task_list(tasks, today)}"


def join_names(parts: Sequence[str]) -> str:
    """Join names as in a sentence."""
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}"


def now_text(now: datetime) -> str:
    """Return the current day and time."""
    return f"It is {now:%A} {now.day} {now:%B %Y}, {now:%H:%M}."
