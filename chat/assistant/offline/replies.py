"""What the assistant says: short, friendly, in Markdown."""

import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import date, datetime, time

from chat.assistant.offline.context import Outcome
from chat.assistant.offline.intents import Span
from chat.assistant.offline.tasks import Task

_MARKDOWN = re.compile(r"([\\`*_\[\]<>|~#])")
HELP = (
    "I keep your to-do list. You can tell me things like:\n\n"
    "- *I need to pay the bills by Friday*\n"
    "- *Show my tasks*, or *what is due this week*\n"
    "- *I finished buying groceries*, or *mark task 2 as done*\n"
    "- *Move task 3 to tomorrow at 5*, *rename task 1 to ...*, *make it high priority*\n"
    "- *Delete task 4*, and *undo* if that was a mistake\n\n"
    "I send no reminders, and I don't repeat tasks."
)


def safe(text: str) -> str:
    """Return text of a person so that Markdown shows it as it was typed."""
    return _MARKDOWN.sub(r"\\\1", re.sub(r"\s+", " ", text))


def failure(outcome: Outcome) -> str:
    """Say why something could not be done."""
    return safe(outcome.detail) if outcome.detail else "I couldn't do that just now."


def missing(number: int, outcome: Outcome) -> str:
    """Say why nothing could be done with the task of a number."""
    if outcome.error == "not_found":
        return f"There is no task **{number}** on your list. Which one do you mean?"
    return failure(outcome)


def no_such(words: str) -> str:
    """Say that a day or an hour does not exist."""
    return f"There is no {safe(words)}."


def count(number: int, kind: str = "") -> str:
    """Return "3 open tasks", "1 task", "no tasks"."""
    noun = "task" if number == 1 else "tasks"
    return f"{number or 'no'} {kind} {noun}".replace("  ", " ")


def every(number: int) -> str:
    """Return "both", "all 3"."""
    return "both" if number == 2 else f"all {number}"


def named(task: Task) -> str:
    """Name a task in a sentence: its number and its title."""
    return f"**{task.number}** {safe(task.title)}"


def day_name(day: date, today: date) -> str:
    """Name a day the way people do."""
    full = f"{day:%A} {day.day} {day:%B}" + (f" {day.year}" if day.year != today.year else "")
    return {0: "today", 1: f"tomorrow ({full})"}.get((day - today).days, full)


def when(day: date | None, at: time | None, today: date) -> str:
    """Say when something is due."""
    said = day_name(day, today) if day else ""
    return f"{said} at {at:%H:%M}" if at else said


def details(task: Task, today: date) -> str:
    """Return what there is to know of a task beside its title, shortly."""
    parts = []
    if task.due_date:
        late = " (overdue)" if task.due_date < today and not task.is_completed else ""
        parts.append(f"due {when(task.due_date, task.due_time, today)}{late}")
    if task.priority != "normal":
        parts.append(f"{task.priority} priority")
    return "".join(f" · {part}" for part in parts)


def note(values: Mapping[str, object], before: str | None) -> str:
    """Return what a change says of the note, and of the one that was there before."""
    if "description" not in values:
        return ""
    new, lost = str(values["description"] or ""), before or ""
    said = f" · note: “{safe(new)}”" if new else " · without its note"
    return said if not lost or new.startswith(lost) else f"{said} (it was “{safe(lost)}”)"


def line(task: Task, today: date) -> str:
    """Return one line of a list."""
    return f"- [{'x' if task.is_completed else ' '}] {named(task)}{details(task, today)}"


def lines(tasks: Iterable[Task], today: date) -> str:
    """Return a list of tasks."""
    return "\n".join(line(task, today) for task in tasks)


def span_words(span: Span | None, today: date) -> str:
    """Say which days a list is about."""
    if span is None:
        return ""
    if span.words:
        return span.words
    return f"due {day_name(span.first, today)}" if span.first else ""


def kind_words(status: str, priority: str | None) -> str:
    """Say what kind of tasks a list is about."""
    words = {"pending": "open", "completed": "completed"}.get(status, "")
    return f"{words} {priority}-priority".strip() if priority else words


def which_one(tasks: Sequence[Task], today: date, verb: str) -> str:
    """Ask which of several tasks is meant."""
    return f"Which one {verb}?\n\n{lines(tasks, today)}"


def joined(parts: Sequence[str]) -> str:
    """Join names the way a sentence does."""
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}"


def today_words(now: datetime) -> str:
    """Say what day and time it is."""
    return f"It is {now:%A} {now.day} {now:%B %Y}, {now:%H:%M}."
