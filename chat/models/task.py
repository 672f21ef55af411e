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


# The tools after which the list is as it was.
LOOKS = frozenset({"list_tasks", "get_task"})


class Priority(models.IntegerChoices):
    LOW = 1, "low"
    NORMAL = 2, "normal"
    HIGH = 3, "high"


class TaskQuerySet(models.QuerySet["Task"]):
    def owned_by(self, user_id: uuid.UUID) -> "TaskQuerySet":
        """Narrow to one person's tasks: the way in for every entrance."""
        return self.filter(user_id=user_id)


class Task(models.Model):
    """Something a person wants to do. Its number is said aloud ("task 3") and never used again."""

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

    objects: ClassVar[TaskQuerySet] = TaskQuerySet.as_manager()  # type: ignore[assignment]

    class Meta:
        ordering = ["number"]
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
        """Whether it is done."""
        return self.completed_at is not None


class TaskCounter(models.Model):
    """The last task number a person was given."""

    user = models.OneToOneField(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, primary_key=True, related_name="+")
    last_number = models.PositiveIntegerField()

    def __str__(self) -> str:
        return str(self.last_number)

    @classmethod
    def take(cls, user_id: uuid.UUID) -> int:
        """Give a person's next number; who asks at the same moment waits for the transaction to end."""
        with connection.cursor() as cursor:
            cursor.execute(
                "INSERT INTO chat_taskcounter AS counter (user_id, last_number) VALUES (%s, 1)"
                " ON CONFLICT (user_id) DO UPDATE SET last_number = counter.last_number + 1 RETURNING last_number",
                [user_id],
            )
            return int(cursor.fetchone()[0])
