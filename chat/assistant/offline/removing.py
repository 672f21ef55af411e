"""Carry out wishes to delete: one task at once, several only when the person agrees."""

from collections.abc import Sequence

from chat.assistant.offline import replies
from chat.assistant.offline.choosing import choose, offer
from chat.assistant.offline.dialog_state import Call, DialogState, Work
from chat.assistant.offline.followups import waiting_for
from chat.assistant.offline.intents import Delete
from chat.assistant.offline.tasks import Task

_MOST_NAMED = 12
_MOST_AT_ONCE = 1_000


def delete(desk: DialogState, wish: Delete) -> Work[str]:
    """Delete what was meant, or ask which; say what came of it."""
    if wish.ref.every:
        return (yield from _delete_all(desk, wish))
    choice = yield from choose(desk, wish.ref, among="all", within=waiting_for(desk), careful=True)
    if not choice.numbers:
        if choice.nothing_like_it and wish.otherwise:
            title = replies.safe(wish.otherwise.title)
            return f"I couldn't find a task like that. Shall I add “{title}” as a new task?"
        return choice.problem
    if len(choice.numbers) == 1 and not wish.unsure:
        return (yield from _delete_one(desk, choice.numbers[0]))
    known = [task for task in (yield from desk.everything()) if task.number in choice.numbers]
    missing = sorted(set(choice.numbers) - {task.number for task in known})
    said = [_not_there(desk, number) for number in missing]
    if wish.unsure and known:
        return "\n\n".join([*said, _sure(desk, known)])
    if known:
        ends = _delete_one(desk, known[0].number) if len(known) == 1 else _delete_several(desk, known)
        said.insert(0, (yield from ends))
    return "\n\n".join(said)


def _delete_all(desk: DialogState, wish: Delete) -> Work[str]:
    if wish.ref.narrowed or wish.ref.status != "all":
        kind = yield from choose(desk, wish.ref, among="all")
        tasks = [task for task in (yield from desk.everything()) if task.number in kind.numbers]
    else:
        tasks = yield from desk.as_many_as_may_be()
    if len(tasks) > 1:
        return (yield from _delete_several(desk, tasks))
    if tasks:
        return _sure(desk, tasks)
    if desk.instructions.removed:
        return f"Deleted before: {_named(list(desk.instructions.removed.values()))}."
    return (yield from offer(desk, "There is no such task. Which one should go?"))


def _not_there(desk: DialogState, number: int) -> str:
    removed = desk.instructions.removed.get(number)
    return (
        f"{replies.named(removed)} is deleted already." if removed else f"There is no task **{number}** on your list."
    )


def _sure(desk: DialogState, tasks: Sequence[Task]) -> str:
    """Ask before something is deleted, showing it: only what was shown may go."""
    return f"Shall I delete {'this' if len(tasks) == 1 else 'these'}?\n\n{replies.lines(tasks, desk.today)}"


def _delete_one(desk: DialogState, number: int) -> Work[str]:
    outcome = (yield from desk.ask([Call("delete_task", {"number": number})]))[0]
    if outcome.ok and outcome.task:
        return f"Deleted {replies.named(outcome.task)}. Say *undo* if that was a mistake."
    return replies.missing(number, outcome)


def _delete_several(desk: DialogState, tasks: Sequence[Task]) -> Work[str]:
    """Delete tasks together: the person is shown them, and decides, before anything is done."""
    numbers = [task.number for task in tasks[:_MOST_AT_ONCE]]
    outcome = (yield from desk.ask([Call("delete_tasks", {"numbers": numbers})]))[0]
    if outcome.ok and outcome.tasks:
        return f"Deleted {_named(outcome.tasks)}. Say *undo* if that was a mistake."
    return "All right, they stay on your list." if outcome.error == "declined" else replies.failure(outcome)


def _named(tasks: Sequence[Task]) -> str:
    if len(tasks) > _MOST_NAMED:
        return f"{len(tasks)} tasks"
    return replies.joined([replies.named(task) for task in tasks])
