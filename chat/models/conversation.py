"""Conversations and their messages."""

import uuid
from typing import ClassVar

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.db.models.functions import Length

# Lets a constraint limit the length of a text.
models.TextField.register_lookup(Length)

TITLE_LENGTH = 100
USER_TEXT_LENGTH = 10_000
MODEL_NAME_LENGTH = 255


class ConversationQuerySet(models.QuerySet["Conversation"]):
    def owned_by(self, user_id: uuid.UUID) -> "ConversationQuerySet":
        """Filter by owner: every entry point starts here."""
        return self.filter(user_id=user_id)

    def locked(self, *, skip_locked: bool = False) -> "ConversationQuerySet":
        """Lock the rows before any row that belongs to them (FOR NO KEY UPDATE lets messages refer to them)."""
        return self.select_for_update(no_key=True, of=("self",), skip_locked=skip_locked)


class Conversation(models.Model):
    """A conversation of one user and the assistant."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="conversations")
    title = models.CharField(max_length=TITLE_LENGTH, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(help_text="When somebody last said something in it.")
    # Counters, changed under the row's lock: the last turn's `seq`, the last message's position.
    last_seq = models.PositiveIntegerField(default=0)
    last_position = models.PositiveIntegerField(default=0)
    memory_from = models.PositiveIntegerField(
        default=0, db_default=0, help_text="Set by clearing: no turn up to this one is remembered again."
    )
    model = models.CharField(
        max_length=MODEL_NAME_LENGTH,
        blank=True,
        default="",
        db_default="",
        help_text="The model that was chosen; the default where it is empty or not configured any more.",
    )

    # The sidebar, pinned or not, the archive, or the trash.
    pinned_at = models.DateTimeField(null=True, blank=True)
    archived_at = models.DateTimeField(null=True, blank=True)
    trashed_at = models.DateTimeField(null=True, blank=True)
    kept_at = models.DateTimeField(null=True, blank=True, help_text="When the person last chose to keep it.")

    objects: ClassVar[ConversationQuerySet] = ConversationQuerySet.as_manager()  # type: ignore[assignment]

    class Meta:
        indexes = [
            models.Index(fields=["user", "-updated_at"], name="conversation_by_activity"),
            # For retention, which reads the conversations of all users.
            models.Index(fields=["updated_at"], name="conversation_silent", condition=Q(trashed_at__isnull=True)),
            models.Index(fields=["trashed_at"], name="conversation_trashed", condition=Q(trashed_at__isnull=False)),
        ]

    def __str__(self) -> str:
        return self.title or "New chat"


class Role(models.TextChoices):
    USER = "user"
    ASSISTANT = "assistant"


class Message(models.Model):
    """A message for the user. Current ones have positions from 1 without gaps, earlier versions have none."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    conversation = models.ForeignKey(Conversation, on_delete=models.CASCADE, related_name="messages")
    turn = models.ForeignKey("chat.Turn", on_delete=models.CASCADE, related_name="messages")
    role = models.CharField(max_length=9, choices=Role.choices)
    text = models.TextField()
    position = models.PositiveIntegerField(null=True, blank=True)
    client_id = models.UUIDField(null=True, blank=True)
    created_at = models.DateTimeField()

    class Meta:
        constraints = [
            # Deferred to the end of a statement, which may move several messages.
            models.UniqueConstraint(
                fields=["conversation", "position"],
                name="message_position_unique",
                deferrable=models.Deferrable.IMMEDIATE,
            ),
            models.UniqueConstraint(fields=["conversation", "client_id"], name="message_client_id_unique"),
            models.CheckConstraint(condition=Q(role__in=Role.values), name="message_role_known"),
            models.CheckConstraint(condition=Q(position__gte=1), name="message_position_from_1"),
            models.CheckConstraint(
                condition=~Q(role=Role.USER) | Q(text__length__range=(1, USER_TEXT_LENGTH)),
                name="message_user_text_length",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.role} {self.position or 'of an earlier version'}"
