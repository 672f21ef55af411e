"""Undo what was changed last."""

from collections.abc import Mapping

from chat.assistant.offline import replies
from chat.assistant.offline.context import Turn
from chat.assistant.offline.dialog_state import Call, DialogState, Work
from chat.assistant.offline.intents import Undo
from chat.assistant.offline.tasks import Task

_FEW = 3
_MOST_WORDS = 12
_ONE = {
    "removed": "{} is off your list again",
    "restored": "{} is back on your list",
    "changed back": "{} is as it was before",
}
_SEVERAL = {kind: said.replace(" is ", " are ", 1) for kind, said in _ONE.items()} | {
    "changed back": "{} are as they were before"
}


def undo(desk: DialogState, wish: Undo) -> Work[str]:
    """Undo the changes of the newest turn that made any; ask first where that is many tasks and some turns ago."""
    newest = _newest_change(desk)
    many = newest is not None and len(newest.changed) > _FEW
    if newest is not None and many and newest is not desk.before[-1] and not wish.sure:
        listed = replies.joined([replies.named(task) for task in newest.changed])
        return (
            f"The last change was {_quoted(newest.said)}: it changed {replies.count(len(newest.changed))}, {listed}. "
            "Shall I undo that?"
        )
    outcome = (yield from desk.ask([Call("undo")]))[0]
    if not outcome.ok:
        return replies.failure(outcome)
    # A task that was added and then changed is undone twice: what counts is what became of it.
    kinds: Mapping[int, tuple[str, Task]] = {task.number: (kind, task) for kind, task in outcome.undone}
    if len(kinds) > _FEW:
        said = [f"Undone: {_quoted(newest.said)}."] if newest else []
        for kind, form in _SEVERAL.items():
            tasks = [task for _, (each, task) in sorted(kinds.items()) if each == kind]
            names = [replies.named(task) for task in tasks]
            said += [f"{(form if len(tasks) > 1 else _ONE[kind]).format(replies.joined(names))}."] if tasks else []
    else:
        said = [f"Undone: {_said(kind, task, desk)}." for kind, task in kinds.values()]
    return "\n\n".join([*said, *(replies.safe(refusal) for refusal in outcome.refused)])


def _newest_change(desk: DialogState) -> Turn | None:
    """Return the newest turn of the conversation whose changes still stand, as far as it is remembered."""
    standing: list[Turn] = []
    for turn in desk.before:
        undone = any(call.name == "undo" and call.outcome.ok for call in turn.made)
        if undone and standing:
            standing.pop()
        if turn.changed and not (undone and all(call.name == "undo" for call in turn.made)):
            standing.append(turn)
    return standing[-1] if standing else None


def _quoted(said: str) -> str:
    words = said.split()
    return f"“{replies.safe(' '.join(words[:_MOST_WORDS]))}{' …' if len(words) > _MOST_WORDS else ''}”"


def _said(kind: str, task: Task, desk: DialogState) -> str:
    details = "" if kind == "removed" else replies.details(task, desk.today)
    return f"{_ONE[kind].format(replies.named(task))}{details}"
