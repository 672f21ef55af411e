"""Delete tasks: one immediately, several only with the user's consent."""

from collections.abc import Sequence

from chat.assistant.offline import replies
from chat.assistant.offline.choosing import ask_which, choose
from chat.assistant.offline.dialog_state import Call, DialogState, Plan
from chat.assistant.offline.followups import offered_numbers
from chat.assistant.offline.intents import Delete
from chat.assistant.offline.tasks import Task

_MAX_NAMED = 12
_MAX_AT_ONCE = 1_000


def delete(state: DialogState, intent: Delete) -> Plan[str]:
    """Delete the referenced tasks, or ask which; return the reply."""
    if intent.ref.every:
        return (yield from _delete_all(state, intent))
    choice = yield from choose(state, intent.ref, status="all", within=offered_numbers(state), listed_only=True)
    if not choice.numbers:
        if choice.no_match and intent.otherwise:
            title = replies.escape(intent.otherwise.title)
            return f"I couldn't find a task like that. Shall I add “{title}” as a new task?"
        return choice.problem
    if len(choice.numbers) == 1 and not intent.unsure:
        return (yield from _delete_one(state, choice.numbers[0]))
    known = yield from state.find(choice.numbers)
    missing = sorted(set(choice.numbers) - {task.number for task in known})
    parts = [_report_missing(state, number) for number in missing]
    if intent.unsure and known:
        return "\n\n".join([*parts, _ask_consent(state, known)])
    if known:
        ends = _delete_one(state, known[0].number) if len(known) == 1 else _delete_several(state, known)
        parts.insert(0, (yield from ends))
    return "\n\n".join(parts)


def _delete_all(state: DialogState, intent: Delete) -> Plan[str]:
    if intent.ref.narrowed or intent.ref.status != "all":
        kind = yield from choose(state, intent.ref, status="all")
        tasks = [task for task in (yield from state.all_tasks()) if task.number in kind.numbers]
    else:
        tasks = yield from state.first_tasks()
    if len(tasks) > 1:
        return (yield from _delete_several(state, tasks))
    if tasks:
        return _ask_consent(state, tasks)
    if state.instructions.removed:
        return f"Deleted before: {_format_names(list(state.instructions.removed.values()))}."
    return (yield from ask_which(state, "There is no such task. Which one should go?"))


def _report_missing(state: DialogState, number: int) -> str:
    removed = state.instructions.removed.get(number)
    return (
        f"{replies.task_name(removed)} is deleted already."
        if removed
        else f"There is no task **{number}** on your list."
    )


def _ask_consent(state: DialogState, tasks: Sequence[Task]) -> str:
    """Ask for consent, and show the tasks: only listed tasks may be deleted."""
    return f"Shall I delete {'this' if len(tasks) == 1 else 'these'}?\n\n{replies.task_list(tasks, state.today)}"


def _delete_one(state: DialogState, number: int) -> Plan[str]:
    outcome = (yield from state.call_tools([Call("delete_task", {"number": number})]))[0]
    if outcome.ok and outcome.task:
        return f"Deleted {replies.task_name(outcome.task)}. Say *undo* if that was a mistake."
    return replies.missing_task(number, outcome)


def _delete_several(state: DialogState, tasks: Sequence[Task]) -> Plan[str]:
    """Delete tasks together: the user sees them and decides first."""
    numbers = [task.number for task in tasks[:_MAX_AT_ONCE]]
    outcome = (yield from state.call_tools([Call("delete_tasks", {"numbers": numbers})]))[0]
    if outcome.ok and outcome.tasks:
        return f"Deleted {_format_names(outcome.tasks)}. Say *undo* if that was a mistake."
    return "All right, they stay on your list." if outcome.error == "declined" else replies.failed(outcome)


def _format_names(tasks: Sequence[Task]) -> str:
    if len(tasks) > _MAX_NAMED:
        return f"{len(tasks)} tasks"
    return replies.task_names(tasks)
