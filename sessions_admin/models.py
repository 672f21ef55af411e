"""What clean-ups did."""

import uuid
from datetime import timedelta

from django.conf import settings
from django.db import models
from django.db.models import Q


class Trigger(models.TextChoices):
    SCHEDULE = "schedule"
    ADMIN = "admin"
    COMMAND = "command"


class RunStatus(models.TextChoices):
    QUEUED = "queued"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"


class CleanupRun(models.Model):
    """One clean-up over all sessions, or a preview of one. Two never run at once."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    trigger = models.CharField(max_length=8, choices=Trigger.choices)
    actor = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.SET_NULL, null=True, blank=True, related_name="+"
    )
    dry_run = models.BooleanField("preview", default=False)
    status = models.CharField(max_length=7, choices=RunStatus.choices, default=RunStatus.QUEUED)
    cutoff = models.DateTimeField(null=True, blank=True, help_text="Sessions inactive since then are removed.")
    examined = models.PositiveIntegerField(default=0)
    removed_sessions = models.PositiveIntegerField(default=0)
    removed_items = models.PositiveIntegerField(default=0)
    removed_bytes = models.PositiveBigIntegerField(default=0)
    error = models.TextField(blank=True)
    created_at = models.DateTimeField(auto_now_add=True)
    started_at = models.DateTimeField(null=True, blank=True)
    heartbeat_at = models.DateTimeField(null=True, blank=True)
    ended_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["-created_at"]
        verbose_name = "clean-up run"
        permissions = [("run_cleanup", "Can run and preview clean-ups")]
        constraints = [
            models.UniqueConstraint(
                fields=["status"], name="cleanup_one_running", condition=Q(status=RunStatus.RUNNING)
            ),
        ]

    def __str__(self) -> str:
        return f"{'preview' if self.dry_run else 'clean-up'} of {self.created_at:%Y-%m-%d %H:%M}"

    @property
    def duration(self) -> timedelta | None:
        """How long it took, once it has ended."""
        return self.ended_at - self.started_at if self.ended_at and self.started_at else None

    @property
    def is_under_way(self) -> bool:
        """Whether it has yet to begin or to end."""
        return self.ended_at is None


class Action(models.TextChoices):
    PRUNE = "prune"
    CLEAR = "clear"
    EXPIRE = "expire"
    HOLD = "hold"
    RELEASE = "release"
    REBUILD = "rebuild"


class AuditRecord(models.Model):
    """What somebody did to a session. Never changed, never removed: a trigger of the database sees to it.

    Ids only: no address, no title, no word of a conversation.
    """

    at = models.DateTimeField(auto_now_add=True, db_index=True)
    action = models.CharField(max_length=16, choices=Action.choices)
    actor = models.CharField(max_length=64, help_text="A user's id, or “os:” and who ran the command.")
    session_id = models.CharField(max_length=100, db_index=True)
    reason = models.TextField(blank=True)
    result = models.JSONField(default=dict)

    class Meta:
        ordering = ["-id"]
        constraints = [models.CheckConstraint(condition=Q(action__in=Action.values), name="audit_action_known")]

    def __str__(self) -> str:
        return f"{self.action} {self.session_id}"


class CleanedSession(models.Model):
    """One session that a run removed, or that a preview would remove."""

    run = models.ForeignKey(CleanupRun, on_delete=models.CASCADE, related_name="sessions")
    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="+")
    session_id = models.CharField(max_length=100)
    items = models.PositiveIntegerField()
    bytes = models.PositiveBigIntegerField()
    last_activity_at = models.DateTimeField()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["run", "session_id"], name="cleaned_session_once_a_run")]

    def __str__(self) -> str:
        return self.session_id
