"""The stored changes of a to-do list, and how the page, the API and the assistant undo them.

Each change is stored with its tasks before and after it, in the same transaction. Undoing it restores the same rows
with the same numbers; it is refused if one of the tasks has changed since.
"""

import json
import uuid
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal

from django.conf import settings
from django.db import transaction
from django.db.models import BooleanField, ExpressionWrapper, Q, QuerySet
from django.utils import timezone

from chat.exceptions import NotFound, NotUndoable, TooManyTasks
from chat.infra import notifications
from chat.models.task import Priority, Task, TaskChange, TaskCounter
from chat.read_models import Shape, plain

# How long a change can be undone, and so how long a deleted task is kept.
UNDO_DAYS = 30
CHANGES_READ = 500  # for a report of changes made outside a conversation
REPORTED = 20  # tasks in it
_STORED = [each.attname for each in Task._meta.concrete_fields if each.name not in ("user", "revision", "updated_at")]
_FIELDS = {"title": "title", "description": "note", "due_date": "date", "due_time": "time", "priority": "priority"}

State = dict[str, Any]
Pair = tuple[State | None, State | None]
Kind = Literal["restored", "removed", "changed back"]


@dataclass(frozen=True, slots=True)
class UndoneTask:
    """The effect of an undo on a task: it is on the list again, removed again, or in its earlier state."""

    kind: Kind
    task: Task


@dataclass(frozen=True, slots=True)
class Undone:
    """The undone changes, as a change with its own id (`change_id`), and the reasons for those that were refused."""

    change_id: uuid.UUID
    tasks: list[UndoneTask]
    refused: list[str]


def state_of(task: Task) -> State:
    """Return a task in the form that changes store."""
    return {name: plain(getattr(task, name)) for name in _STORED}


def record(
    user_id: uuid.UUID,
    pairs: Iterable[Pair],
    undoes: Sequence[TaskChange] = (),
    conversation_ids: Collection[uuid.UUID] = (),
) -> uuid.UUID | None:
    """Store a change within its transaction; return its id, or None if nothing differs.

    The user's sockets are notified, with the conversations whose calls it undoes.
    """
    states = [{"before": before, "after": after} for before, after in pairs if before != after]
    if not states:
        return None
    ids = [str(change.pk) for change in undoes]
    made = TaskChange(user_id=user_id, states=states, undoes=ids, made_at=timezone.now())
    made.save(force_insert=True)
    notifications.on_commit(notifications.tasks_changed, user_id, conversation_ids)
    return made.pk


def creation_of(task: Task) -> uuid.UUID | None:
    """Return the id of the change that created a task, or None if it is too old to be undone."""
    state = {"before": None, "after": {"id": str(task.pk)}}
    made = TaskChange.objects.filter(user_id=task.user_id, made_at__gte=task.created_at, states__contains=[state])
    return made.order_by("made_at").values_list("pk", flat=True).first()


def undo(*, user_id: uuid.UUID, change_id: uuid.UUID) -> Undone:
    """Undo a change. Raise NotFound, NotUndoable, TooManyTasks."""
    return _undo(user_id, TaskChange.objects.filter(user_id=user_id, pk=change_id))


def undo_last(*, user_id: uuid.UUID, conversation_id: uuid.UUID, before: int, number: int | None = None) -> Undone:
    """Undo the task changes of the newest turn before a position in a conversation, or the last change of one task.

    Raise NotFound, NotUndoable, TooManyTasks.
    """
    standing = TaskChange.objects.filter(user_id=user_id, undone_at=None, undoes=[])
    made = standing.filter(turn__conversation=conversation_id, turn__seq__lt=before).order_by("-made_at")
    if number is not None:
        of_task = {"number": number}
        made = made.filter(Q(states__contains=[{"before": of_task}]) | Q(states__contains=[{"after": of_task}]))
    newest = made.first()
    if newest is None:
        raise NotFound("There is nothing in this conversation that could be undone.")
    return _undo(user_id, made.filter(pk=newest.pk) if number is not None else made.filter(turn=newest.turn_id))


def _undo(user_id: uuid.UUID, changes: QuerySet[TaskChange]) -> Undone:
    """Undo changes, the newest first, as one change; refused ones are collected, and raised if there are only those."""
    with transaction.atomic():
        found = list(changes.order_by("-made_at").select_for_update(no_key=True, of=("self",)))
        if not found:
            raise NotFound("There is no such change.")
        pairs: list[Pair] = []
        tasks: list[UndoneTask] = []
        done: list[TaskChange] = []
        refused: list[str] = []
        for change in found:
            try:
                with transaction.atomic():
                    reverted = [_revert(user_id, state) for state in reversed(_undoable(change))]
            except (NotUndoable, TooManyTasks) as error:
                if len(found) == 1:
                    raise
                refused.append(error.detail)
                continue
            done.append(change)
            pairs += [pair for pair, _ in reverted]
            tasks += [task for _, task in reverted]
        if not done:
            raise NotUndoable(refused[0])
        now = timezone.now()
        for change in done:
            change.undone_at = now
            change.save(update_fields=["undone_at", "updated_at"])
            TaskChange.objects.filter(user_id=user_id, pk__in=change.undoes).update(undone_at=None, updated_at=now)
        changed = TaskChange.objects.filter(pk__in=[pk for change in done for pk in (change.pk, *change.undoes)])
        conversation_ids = set(changed.exclude(turn=None).values_list("turn__conversation", flat=True))
        change_id = record(user_id, pairs, undoes=done, conversation_ids=conversation_ids)
        assert change_id is not None  # a change without a difference is not stored
        return Undone(change_id, tasks, refused)


def _undoable(change: TaskChange) -> list[Mapping[str, State | None]]:
    if change.undone_at is not None:
        raise NotUndoable("This has been undone already.")
    if not change.states:
        raise NotUndoable(f"This was more than {UNDO_DAYS} days ago and cannot be undone any more.")
    states: list[Mapping[str, State | None]] = change.states
    return states


def _revert(user_id: uuid.UUID, state: Mapping[str, State | None]) -> tuple[Pair, UndoneTask]:
    """Restore the state before a change if the task is in the state after it. Raise NotUndoable, TooManyTasks."""
    before, after = state["before"], state["after"]
    known = before or after
    assert known is not None
    task = Task.objects.owned_by(user_id).select_for_update(no_key=True).filter(pk=known["id"]).first()
    current = state_of(task) if task else None
    # Fields that are newer than the change are not compared.
    if current != (current | after if current and after else after):
        raise NotUndoable(
            f"Task {known['number']} (“{known['title']}”) has changed since, so that this cannot be undone."
        )
    revision = TaskCounter.take_revision(user_id)
    if before is None:
        assert task is not None
        key = task.pk
        task.delete()
        task.pk = key
        return (after, None), UndoneTask("removed", task)
    if task is None and Task.objects.owned_by(user_id).count() >= settings.TASKS_PER_USER:
        raise TooManyTasks(settings.TASKS_PER_USER)
    # Parsed by the fields, since the state is JSON.
    restored = task or Task(user_id=user_id)
    for name, value in {**before, "revision": revision}.items():
        setattr(restored, name, value)
    restored.clean_fields()
    restored.save(force_insert=task is None, force_update=task is not None)
    # The insert has set this to now.
    Task.objects.filter(pk=restored.pk).update(created_at=restored_at(before))
    restored.created_at = restored_at(before)
    return (after, before), UndoneTask("restored" if task is None else "changed back", restored)


def restored_at(state: State) -> datetime:
    """Return the creation time of a stored task."""
    return datetime.fromisoformat(state["created_at"])


@dataclass(frozen=True, slots=True)
class CallChange(Shape):
    """The change of an assistant's call: whether it is undone, and whether it can be."""

    JSON = ("change_id", "call_id", "undone", "undoable")

    change_id: uuid.UUID
    call_id: str
    undone: bool
    undoable: bool


def changes_of(
    conversation_id: uuid.UUID, *, turns: Collection[uuid.UUID] | None = None, newest: int | None = None
) -> list[CallChange]:
    """Return the changes by calls of a conversation: of all or some turns, all or only those made or undone last."""
    of_turns = Q() if turns is None else Q(turn__in=turns)
    rows = (
        TaskChange.objects.filter(of_turns, turn__conversation=conversation_id)
        .order_by("-updated_at")
        .annotate(is_empty=ExpressionWrapper(Q(states=[]), BooleanField()))
        .values_list("pk", "call_id", "undone_at", "is_empty")
    )
    return [
        CallChange(pk, call_id, undone_at is not None, undone_at is None and not is_empty)
        for pk, call_id, undone_at, is_empty in (rows if newest is None else rows[:newest])
    ]


def changed_outside(*, user_id: uuid.UUID, conversation_id: uuid.UUID, since: datetime) -> list[str]:
    """Describe what other changes did to tasks since a conversation last knew them, one line per task."""
    made = TaskChange.objects.filter(Q(turn=None) | ~Q(turn__conversation=conversation_id), user_id=user_id)
    net: dict[str, Pair] = {}
    undone: set[str] = set()
    newest = made.filter(made_at__gt=since).order_by("-made_at")[:CHANGES_READ]
    for change in reversed(newest):
        made_here = TaskChange.objects.filter(turn__conversation=conversation_id)
        is_undo = bool(change.undoes) and made_here.filter(pk__in=change.undoes).exists()
        for state in change.states:
            key = (state["before"] or state["after"])["id"]
            first = net[key][0] if key in net else state["before"]
            net[key] = (first, state["after"])
            if is_undo:
                undone.add(key)
    lines = [
        _describe(before, after) + (", which undid what you had done" if key in undone else "")
        for key, (before, after) in net.items()
        if before != after or key in undone
    ]
    more = len(lines) - REPORTED
    return [*lines[:REPORTED], *([f"and {more} more tasks"] if more > 0 else [])]


def _describe(before: State | None, after: State | None) -> str:
    known = after or before
    assert known is not None
    named = f"task {known['number']} {json.dumps(known['title'], ensure_ascii=False)}"
    if before is None or after is None:
        return f"{named} was {'added' if after else 'deleted'}"
    did = []
    if bool(before["completed_at"]) != bool(after["completed_at"]):
        did.append("completed" if after["completed_at"] else "opened again")
    fields = [
        f"{word} to {json.dumps(_display(field, after[field]), ensure_ascii=False)}"
        for field, word in _FIELDS.items()
        if field in before and field in after and before[field] != after[field]
    ]
    did += [f"changed ({', '.join(fields)})"] if fields else []
    return f"{named} was {' and '.join(did) or 'changed and changed back'}"


def _display(field: str, value: Any) -> Any:
    return Priority(value).label if field == "priority" else value


def forget_old() -> int:
    """Remove changes that are too old to be undone, including deleted tasks; return the number of changes.

    A change by a call of the assistant keeps its row, without the tasks, so that the chat still shows that it is
    undone.
    """
    old = TaskChange.objects.filter(made_at__lt=timezone.now() - timedelta(days=UNDO_DAYS))
    removed, _ = old.filter(turn=None).delete()
    return removed + old.exclude(states=[]).update(states=[])
