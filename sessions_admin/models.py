"""Clean-up runs, the audit, samples of the store's size, and worker heartbeats."""

import uuid
from datetime import timedelta

from django.conf import settings
from django.db import models
from django.db.models import ExpressionWrapper, Q, Value


class Trigger(models.TextChoices):
    SCHEDULE = "schedule"
    ADMIN = "admin"
    COMMAND = "command"


class RunStatus(models.TextChoices):
    QUEUED = "queued"
    RUNNING = "running"
    STOPPING = "stopping"  # a stop was requested; it takes effect after the current batch
    DONE = "done"
    FAILED = "failed"
    STOPPED = "stopped"


UNDER_WAY = (RunStatus.RUNNING, RunStatus.STOPPING)


class CleanupRun(models.Model):
    """One clean-up of all sessions, or a preview. Only one runs at a time."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    trigger = models.CharField(max_length=8, choices=Trigger.choices)
    actor = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.SET_NULL, null=True, blank=True, related_name="+"
    )
    dry_run = models.BooleanField("preview", default=False)
    status = models.CharField(max_length=8, choices=RunStatus.choices, default=RunStatus.QUEUED)
    cutoff = models.DateTimeField(null=True, blank=True, help_text="Sessions inactive since then are removed.")
    total = models.PositiveIntegerField(null=True, blank=True, help_text="Sessions chosen when it began.")
    examined = models.PositiveIntegerField(default=0)
    removed_sessions = models.PositiveIntegerField(default=0)
    removed_items = models.PositiveIntegerField(default=0)
    removed_bytes = models.PositiveBigIntegerField(default=0)
    freed_bytes = models.PositiveBigIntegerField(default=0, db_default=0, help_text="Given back to the disk.")
    trashed_conversations = models.PositiveIntegerField(default=0, db_default=0)
    purged_conversations = models.PositiveIntegerField(default=0, db_default=0)
    log = models.JSONField(
        default=list, db_default=Value([], models.JSONField()), help_text="Pairs of a time and a sentence."
    )
    stopped_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.SET_NULL, null=True, blank=True, related_name="+"
    )
    error = models.TextField(blank=True)
    created_at = models.DateTimeField(auto_now_add=True)
    started_at = models.DateTimeField(null=True, blank=True)
    heartbeat_at = models.DateTimeField(null=True, blank=True)
    ended_at = models.DateTimeField(null=True, blank=True)
    details_removed_at = models.DateTimeField(
        null=True, blank=True, help_text="Since when it is no longer known which sessions and conversations it took."
    )

    class Meta:
        ordering = ["-created_at"]
        verbose_name = "clean-up run"
        permissions = [("run_cleanup", "Can run and preview clean-ups")]
        constraints = [
            models.UniqueConstraint(
                ExpressionWrapper(Q(status__in=UNDER_WAY), models.BooleanField()),
                name="cleanup_one_under_way",
                condition=Q(status__in=UNDER_WAY),
            ),
            models.CheckConstraint(condition=Q(status__in=RunStatus.values), name="cleanup_status_known"),
        ]

    def __str__(self) -> str:
        return f"{'preview' if self.dry_run else 'clean-up'} of {self.created_at:%Y-%m-%d %H:%M}"

    @property
    def duration(self) -> timedelta | None:
        """The duration, once it has ended."""
        return self.ended_at - self.started_at if self.ended_at and self.started_at else None

    @property
    def is_under_way(self) -> bool:
        """Whether it has not ended."""
        return self.ended_at is None


class Action(models.TextChoices):
    PRUNE = "prune"
    CLEAR = "clear"
    EXPIRE = "expire"
    HOLD = "hold"
    RELEASE = "release"
    REBUILD = "rebuild"
    INSPECT = "inspect"
    EXPORT = "export"
    ERASE = "erase"
    DEACTIVATE = "deactivate"
    REACTIVATE = "reactivate"
    REVOKE_TOKEN = "revoke_token"  # noqa: S105 - a word
    CLEANUP = "cleanup", "Clean-up"
    PREVIEW = "preview"
    STOP = "stop"
    RECONCILE = "reconcile", "Compare"
    BACKUP = "backup"
    RESTORE = "restore"
    CONFIRM_CLOCK = "confirm_clock"
    EXPIRE_AUDIT = "expire_audit"
    MIGRATE = "migrate_sessions"


class AuditRecord(models.Model):
    """An action on a session or a user. A database trigger forbids changes, and removal before AUDIT_DAYS have passed.

    It stores ids only: no addresses, no titles, no text of conversations.
    """

    at = models.DateTimeField(auto_now_add=True, db_index=True)
    action = models.CharField(max_length=16, choices=Action.choices)
    actor = models.CharField(max_length=64, help_text="A user's id, or “os:” and who ran the command.")
    session_id = models.CharField(max_length=100, blank=True, db_index=True)
    person = models.CharField(
        max_length=36, blank=True, default="", db_default="", db_index=True, help_text="The id of whom it was about."
    )
    reason = models.TextField(blank=True)
    result = models.JSONField(default=dict)

    class Meta:
        ordering = ["-id"]
        constraints = [models.CheckConstraint(condition=Q(action__in=Action.values), name="audit_action_known")]

    def __str__(self) -> str:
        return f"{self.action} {self.session_id or self.person}".strip()


class CleanedSession(models.Model):
    """One session that a run removed, or one of the first that a preview would remove."""

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


class CleanedConversation(models.Model):
    """One conversation that a run moved to the trash or purged, or one of the first that a preview would."""

    run = models.ForeignKey(CleanupRun, on_delete=models.CASCADE, related_name="conversations")
    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="+")
    conversation_id = models.UUIDField()
    is_purged = models.BooleanField(help_text="Else it went to the trash.")
    messages = models.PositiveIntegerField()
    updated_at = models.DateTimeField(help_text="When somebody last said something in it.")

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["run", "conversation_id"], name="cleaned_conversation_once_a_run")
        ]

    def __str__(self) -> str:
        return str(self.conversation_id)


class StoreSample(models.Model):
    """The size of the session store at one moment, for the charts of its growth."""

    at = models.DateTimeField(db_index=True)
    sessions = models.PositiveIntegerField()
    items = models.PositiveBigIntegerField()
    bytes = models.PositiveBigIntegerField(help_text="Of the items.")
    file_bytes = models.PositiveBigIntegerField(help_text="Of the file and its log.")

    class Meta:
        ordering = ["-at"]

    def __str__(self) -> str:
        return f"{self.at:%Y-%m-%d %H:%M}: {self.sessions:,} sessions"


class WorkerHeartbeat(models.Model):
    """A worker's last heartbeat, by the monotonic clock of its machine and by the database's clock."""

    cluster = models.UUIDField(primary_key=True, help_text="Of django-q2.")
    pid = models.PositiveIntegerField()
    pid_space = models.CharField(max_length=150, help_text="Among whose processes; empty where that is not known.")
    clock = models.CharField(max_length=100, help_text="Whose seconds are counted; empty where that is not known.")
    beat_seconds = models.FloatField()
    beat_at = models.DateTimeField()
    pass_seconds = models.FloatField(help_text="When it last queued everything in the schedule that was due.")
    pass_at = models.DateTimeField()

    def __str__(self) -> str:
        return f"worker {self.pid}"


class ClockReference(models.Model):
    """The wall clock of a machine at one moment, as the reference for jumps."""

    clock = models.CharField(max_length=100, unique=True, help_text="One start of one machine.")
    wall = models.DateTimeField()
    seconds = models.FloatField(help_text="What the clock that nobody sets said at that moment.")
    jump = models.DurationField(help_text="By how much the wall clock has jumped since, as last measured.")

    def __str__(self) -> str:
        return f"{self.clock}: {self.jump}"
