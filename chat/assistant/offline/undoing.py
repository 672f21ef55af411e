"""Undo what was changed last."""

from chat.assistant.offline import replies
from chat.assistant.offline.dialog_state import Call, DialogState, Work
from chat.assistant.offline.tasks import Task


def undo(desk: DialogState) -> Work[str]:
    """Undo the changes of the newest turn that made any."""
    outcome = (yield from desk.ask([Call("undo")]))[0]
    if not outcome.ok:
        return replies.failure(outcome)
    said = [_said(kind, task, desk) for kind, task in outcome.undone]
    return "\n\n".join([*said, *(replies.safe(refusal) for refusal in outcome.refused)])


def _said(kind: str, task: Task, desk: DialogState) -> str:
    if kind == "removed":
        return f"Undone: {replies.named(task)} is off your list again."
    details = replies.details(task, desk.today)
    if kind == "restored":
        return f"Undone: {replies.named(task)} is back on your list{details}."
    return f"Undone: {replies.named(task)} is as it was before{details}."
