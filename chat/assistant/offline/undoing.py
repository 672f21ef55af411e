"""Take back what was changed last, from what the items tell of how it was before."""

from chat.assistant.offline import replies
from chat.assistant.offline.context import Done
from chat.assistant.offline.desk import Call, Desk, Work
from chat.assistant.offline.tasks import Task

_NOTHING = "There is nothing I could undo: nothing was changed in this conversation as far as I remember."


def undo(desk: Desk) -> Work[str]:
    """Take back the changes of the newest turn that made any."""
    calls, unknown = _inverses(desk)
    if not calls:
        return "I no longer know how it was before. What should I change it to?" if unknown else _NOTHING
    outcomes = yield from desk.ask(calls)
    said = []
    for call, outcome in zip(calls, outcomes, strict=True):
        if not (outcome.ok and outcome.task):
            said.append(replies.safe(outcome.detail) or "That could not be undone.")
        elif call.name == "delete_task":
            said.append(f"Undone: {replies.named(outcome.task)} is off your list again.")
        elif call.name == "create_task":
            said.append(
                f"Undone: {replies.named(outcome.task)} is back on your "
                f"list{replies.details(outcome.task, desk.today)}."
            )
        else:
            said.append(
                f"Undone: {replies.named(outcome.task)} is as it was before{replies.details(outcome.task, desk.today)}."
            )
    return "\n\n".join(said)


def _inverses(desk: Desk) -> tuple[list[Call], bool]:
    """Return the calls that take the last change back, and whether there was one at all."""
    earlier: dict[int, Task] = {}
    newest: list[tuple[Done, Task | None]] = []
    for turn in desk.before:
        changes: list[tuple[Done, Task | None]] = []
        for call in turn.calls:
            task = call.outcome.task
            if call.changed is not None:
                changes.append((call, earlier.get(call.changed.number)))
            for met in (*call.outcome.tasks, *((task,) if task else ())):
                earlier[met.number] = met
        newest = changes or newest
    calls = [_inverse(done, before) for done, before in reversed(newest)]
    return [call for call in calls if call is not None], bool(newest)


def _inverse(done: Done, before: Task | None) -> Call | None:
    task = done.changed
    if task is None:
        return None
    if done.name == "create_task":
        return Call("delete_task", {"number": task.number})
    if done.name == "complete_task":
        return Call("update_task", {"number": task.number, "completed": False})
    if done.name == "delete_task":
        return Call("create_task", _fields(task))
    return _put_back(task, before) if before else None


def _fields(task: Task) -> dict[str, object]:
    return {
        "title": task.title,
        "description": task.description,
        "due_date": task.due_date.isoformat() if task.due_date else None,
        "due_time": f"{task.due_time:%H:%M}" if task.due_time else None,
        "priority": task.priority,
    }


def _put_back(now: Task, before: Task) -> Call | None:
    was, is_now = _fields(before), _fields(now)
    values: dict[str, object] = {
        name: value for name, value in was.items() if value != is_now[name] and value is not None
    }
    if "due_date" in values and before.due_time is not None:
        # A date alone would drop the hour that there was.
        values["due_time"] = was["due_time"]
    if before.description is None and now.description is not None:
        values["description"] = ""
    if before.due_date is None and now.due_date is not None:
        values["clear_due"] = True
    if before.is_completed != now.is_completed:
        values["completed"] = before.is_completed
    return Call("update_task", {"number": now.number} | values) if values else None
