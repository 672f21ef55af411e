from django.conf import settings
from django.db import models


class Habit(models.Model):
    """Something that a user wants to do often."""

    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE)
    name = models.CharField(max_length=100)
    created_at = models.DateTimeField(auto_now_add=True)

    objects: "models.Manager[Habit]" = models.Manager()

    def __str__(self) -> str:
        return self.name
