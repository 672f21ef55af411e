import uuid
from collections.abc import Mapping
from typing import Any

from django.apps import AppConfig
from django.db.models import QuerySet


class HabitsConfig(AppConfig):
    name = "docs.examples.habits"
    label = "habits"
    default_auto_field = "django.db.models.BigAutoField"

    def personal_data(self, user_id: uuid.UUID) -> Mapping[str, QuerySet[Any]]:
        """Return the stored data of a user by display name: it is exported, counted and erased."""
        from docs.examples.habits.models import Habit

        return {"habits": Habit.objects.filter(user=user_id)}
