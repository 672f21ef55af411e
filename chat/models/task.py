"""The to-do list."""

import uuid
from typing import ClassVar

from django.conf import settings
from django.db import connection, models
from django.db.models import Q
from django.db.models.functions import Length

models.CharField.register_lookup(Length)

TITLE_LENGTH = 100
DESCRIPTION_LENGTH = 1_000


# Tools that do not change the list.
LOOKS = frozenset({"list_tasks", "get_task", "search_conversation"})


class Priority(models.IntegerChoices):
    LOW = 1, "low"
    NORMAL = 2, "normal"
    HIGH = 3, "high"


class TaskQuerySet(models.QuerySet["Task"]):
    def owned_by(self, user_id: uuid.UUID) -> "TaskQuerySet":
        """Filter by owner: every entry point starts here."""
        return self.filter(user_id=user_id)


class Task(models.Model):
    """A task. Its number ("task 3") is never used again."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="tasks")
    number = models.PositiveIntegerField()
    title = models.CharField(max_length=TITLE_LENGTH)
    description = models.CharField(max_length=DESCRIPTION_LENGTH, blank=True)
    due_date = models.DateField(null=True, blank=True)
    due_time = models.TimeField(null=True, blank=True)
    priority = models.PositiveSmallIntegerField(choices=Priority.choices, default=Priority.NORMAL)
    completed_at = models.DateTimeField(null=True, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)
    revision = models.PositiveBigIntegerField(
        default=0, db_default=0, editable=False, help_text="The revision of the person's list that changed it last."
    )

    objects: ClassVar[TaskQuerySet] = TaskQuerySet.as_manager()  # type: ignore[assignment]

    change_id: uuid.UUID | None = None  # the TaskChange that was just made with it; not stored

    class Meta:
        ordering = ["number"]
        indexes = [models.Index(fields=["user", "revision"], name="task_by_revision")]
        constraints = [
            models.UniqueConstraint(fields=["user", "number"], name="task_number_unique"),
            models.CheckConstraint(condition=Q(title__length__gte=1), name="task_title_not_empty"),
            models.CheckConstraint(condition=Q(priority__in=Priority.values), name="task_priority_known"),
            models.CheckConstraint(
                condition=Q(due_time__isnull=True) | Q(due_date__isnull=False), name="task_time_needs_a_date"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.number}. {self.title}"

    @property
    def is_completed(self) -> bool:
        """Whether it is completed."""
        return self.completed_at is not None


class TaskChange(models.Model):
    """One change of a user's list, with the tasks before and after it, so that it can be undone.

    `turn` and `call_id` name the assistant's call that made it; without them it was made by the user or an API client.
    `states` is emptied when the change is too old to be undone (chat.tasks.undo).
    """

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="+")
    turn = models.ForeignKey("chat.Turn", on_delete=models.CASCADE, null=True, blank=True, related_name="+")
    call_id = models.CharField(max_length=128, blank=True, default="")
    states = models.JSONField(help_text="Pairs of a task before and after; null where there was none.")
    undoes = models.JSONField(default=list, help_text="The ids of the changes that this one undid.")
    made_at = models.DateTimeField()
    updated_at = models.DateTimeField(auto_now=True)
    undone_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        indexes = [models.Index(fields=["user", "made_at"], name="task_change_by_user_and_time")]
        constraints = [
            models.UniqueConstraint(
                fields=["turn", "call_id"], name="task_change_once_a_call", condition=Q(turn__isnull=False)
            ),
            models.CheckConstraint(
                condition=Q(turn__isnull=True, call_id="") | (Q(turn__isnull=False) & ~Q(call_id="")),
                name="task_change_call_in_a_turn",
            ),
        ]

    def __str__(self) -> str:
        return f"change of {self.made_at:%Y-%m-%d %H:%M:%S}"


_ADVANCE = """
INSERT INTO chat_taskcounter AS counter (user_id, last_number, revision) VALUES (%s, %s, %s)
ON CONFLICT (user_id) DO UPDATE SET {column} = counter.{column} + 1 RETURNING {column}
"""


class TaskCounter(models.Model):
    """A user's last task number, and the revision of their list, which each change increments.

    The row stays locked until the transaction ends, so that revisions appear in order.
    """

    user = models.OneToOneField(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, primary_key=True, related_name="+")
    last_number = models.PositiveIntegerField()
    revision = models.PositiveBigIntegerField(default=0, db_default=0)

    def __str__(self) -> str:
        return str(self.last_number)

    @classmethod
    def take(cls, user_id: uuid.UUID) -> int:
        """Return a user's next number, within a transaction."""
        return cls._advance(user_id, "last_number")

    @classmethod
    def take_revision(cls, user_id: uuid.UUID) -> int:
        """Return the next revision of a user's list, within a transaction that changes it."""
        return cls._advance(user_id, "revision")

    @classmethod
    def _advance(cls, user_id: uuid.UUID, column: str) -> int:
        first = {"last_number": 0, "revision": 0} | {column: 1}
        with connection.cursor() as cursor:
            cursor.execute(_ADVANCE.format(column=column), [user_id, first["last_number"], first["revision"]])
            return int(cursor.fetchone()[0])
