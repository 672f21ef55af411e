"""Delete several tasks for a program, which must confirm exactly these tasks.

Nothing is stored: a confirmation is a signature over the user, the current state of the tasks, and the time.
"""

import hashlib
import json
import uuid
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import timedelta

from django.core import signing
from django.db import transaction

from chat.exceptions import NotConfirmed
from chat.models.task import Task
from chat.tasks import services as tasks

LIFETIME = timedelta(minutes=10)
_SALT = "chat.tasks.confirmations"


@dataclass(frozen=True, slots=True)
class Question:
    """The tasks that would be deleted, and the confirmation to send."""

    tasks: list[Task]
    confirmation: str


def ask_to_delete(*, user_id: uuid.UUID, numbers: Collection[int]) -> Question:
    """Return the tasks that would be deleted, and change nothing. Raise NotFound if there are none."""
    found = tasks.find_tasks(user_id=user_id, numbers=numbers)
    return Question(found, signing.TimestampSigner(salt=_SALT).sign(_digest(found)))


def delete_confirmed(*, user_id: uuid.UUID, numbers: Collection[int], confirmation: str) -> list[Task]:
    """Delete the confirmed tasks and return them. Raise NotFound, or NotConfirmed if they have changed."""
    with transaction.atomic():
        found = tasks.find_tasks(user_id=user_id, numbers=numbers, lock=True)
        _check(confirmation, _digest(found))
        return tasks.delete_tasks(user_id=user_id, numbers=[task.number for task in found])


def _check(confirmation: str, mark: str) -> None:
    try:
        shown = signing.TimestampSigner(salt=_SALT).unsign(confirmation, max_age=LIFETIME)
    except signing.SignatureExpired:
        raise NotConfirmed("This confirmation is too old. Nothing was deleted: ask again without one.") from None
    except signing.BadSignature:
        raise NotConfirmed("This is not a confirmation. Nothing was deleted: ask again without one.") from None
    if shown != mark:
        raise NotConfirmed("This was confirmed for other tasks. Nothing was deleted: ask again without a confirmation.")


def _digest(found: Sequence[Task]) -> str:
    """Return a digest of exactly these tasks in their current state."""
    shown = [[str(task.pk), task.title] for task in found]
    return hashlib.sha256(json.dumps(shown).encode()).hexdigest()
