"""Delete several tasks for a program, which must confirm that it means exactly these.

Nothing is kept of what was asked: a confirmation is a signature over the tasks as they were shown, each of which is one
person's, and the time.
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

VALID = timedelta(minutes=10)
_SALT = "chat.tasks.confirmations"


@dataclass(frozen=True, slots=True)
class Question:
    """What would be deleted, and what to send to confirm it."""

    tasks: list[Task]
    confirmation: str


def ask_to_delete(*, user_id: uuid.UUID, numbers: Collection[int]) -> Question:
    """Return what would be deleted, and change nothing. Raise NotFound where there is none of them."""
    found = tasks.find_tasks(user_id=user_id, numbers=numbers)
    return Question(found, signing.TimestampSigner(salt=_SALT).sign(_mark(found)))


def delete_confirmed(*, user_id: uuid.UUID, numbers: Collection[int], confirmation: str) -> list[Task]:
    """Delete what was shown, and return it as it was. Raise NotFound, NotConfirmed where it is not as it was shown."""
    with transaction.atomic():
        found = tasks.find_tasks(user_id=user_id, numbers=numbers, lock=True)
        _check(confirmation, _mark(found))
        return tasks.delete_tasks(user_id=user_id, numbers=[task.number for task in found])


def _check(confirmation: str, mark: str) -> None:
    try:
        shown = signing.TimestampSigner(salt=_SALT).unsign(confirmation, max_age=VALID)
    except signing.SignatureExpired:
        raise NotConfirmed("This confirmation is too old. Nothing was deleted: ask again without one.") from None
    except signing.BadSignature:
        raise NotConfirmed("This is not a confirmation. Nothing was deleted: ask again without one.") from None
    if shown != mark:
        raise NotConfirmed("This was confirmed for other tasks. Nothing was deleted: ask again without a confirmation.")


def _mark(found: Sequence[Task]) -> str:
    """Return what stands for exactly these tasks, as they are."""
    shown = [[str(task.pk), task.title] for task in found]
    return hashlib.sha256(json.dumps(shown).encode()).hexdigest()
