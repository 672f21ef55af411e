"""Tokens and cost of model requests."""

from django.conf import settings
from django.db import models

from chat.models.conversation import MODEL_NAME_LENGTH


class ModelUsage(models.Model):
    """The tokens of a user, a day (UTC) and a model; they outlive the conversations. The built-in model has none."""

    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="+")
    day = models.DateField()
    model = models.CharField(max_length=MODEL_NAME_LENGTH)
    responses = models.PositiveIntegerField()
    input_tokens = models.PositiveBigIntegerField()
    output_tokens = models.PositiveBigIntegerField()
    cost = models.DecimalField(
        max_digits=24, decimal_places=10, null=True, blank=True, help_text="Of the responses that had a price."
    )

    class Meta:
        verbose_name_plural = "model usage"
        constraints = [models.UniqueConstraint(fields=["user", "day", "model"], name="model_usage_unique")]
        indexes = [models.Index(fields=["day"], name="model_usage_by_day")]

    def __str__(self) -> str:
        return f"{self.model} on {self.day}"
