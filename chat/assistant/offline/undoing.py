"""Undo the last change."""

from collections.abc import Mapping

from chat.assistant.offline import replies
from chat.assistant.offline.context import Turn
from chat.assistant.offline.dialog_state import Call, DialogState, Plan
from chat.assistant.offline.intents import Undo
from chat.assistant.offline.tasks import Task

_MAX_SHOWN = 3
_MAX_WORDS = 12
_ONE = {
    "removed": "{} is off your list again",
    "restored": "{} is back on your list",
    "changed back": "{} is as it was before",
}
_SEVERAL = {kind: said.replace(" is ", " are ", 1) for kind, said in _ONE.items()} | {
    "changed back": "{} are as they were before"
}


def undo(state: DialogState, intent: Undo) -> Plan[str]:
    """Undo the newest turn with changes; ask first if it changed many tasks and is not the last turn."""
    newest = _newest_change(state)
    many = newest is not None and len(newest.changed) > _MAX_SHOWN
    if newest is not None and many and newest is not state.last_turn and not intent.sure:
        listed = replies.task_names(newest.changed)
        return (
            f"The last change was {_quote(newest.message)}: it changed {replies.task_count(len(newest.changed))}, {listed}. "
            "Shall I undo that?"
        )
    outcome = (yield from state.call_tools([Call("undo")]))[0]
    if not outcome.ok:
        return replies.failed(outcome)
    # A task that was added and then changed is undone twice: report its final state.
    kinds: Mapping[int, tuple[str, Task]] = {task.number: (kind, task) for kind, task in outcome.undone}
    if len(kinds) > _MAX_SHOWN:
        parts = [f"Undone: {_quote(newest.message)}."] if newest else []
        for kind, form in _SEVERAL.items():
            tasks = [task for _, (each, task) in sorted(kinds.items()) if each == kind]
            parts += [f"{(form if len(tasks) > 1 else _ONE[kind]).format(replies.task_names(tasks))}."] if tasks else []
    else:
        parts = [f"Undone: {_format_undone(kind, task, state)}." for kind, task in kinds.values()]
    return "\n\n".join([*parts, *(replies.escape(refusal) for refusal in outcome.refused)])


def _newest_change(state: DialogState) -> Turn | None:
    """Return the newest turn in the history whose changes are not undone."""
    standing: list[Turn] = []
    for turn in state.earlier_turns:
        undone = any(call.name == "undo" and call.outcome.ok for call in turn.tool_calls)
        if undone and standing:
            standing.pop()
        if turn.changed and not (undone and all(call.name == "undo" for call in turn.tool_calls)):
            standing.append(turn)
    return standing[-1] if standing else None


def _quote(message: str) -> str:
    words = message.split()
    return f"“{replies.escape(' '.join(words[:_MAX_WORDS]))}{' …' if len(words) > _MAX_WORDS else ''}”"


def _format_undone(kind: str, task: Task, state: DialogState) -> str:
    details = "" if kind == "removed" else replies.task_details(task, state.today)
    return f"{_ONE[kind].format(replies.task_name(task))}{details}"
