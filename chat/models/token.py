"""API tokens."""

import hashlib
import uuid
from datetime import datetime
from typing import ClassVar

from django.conf import settings
from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import Q
from django.utils.crypto import constant_time_compare

NAME_LENGTH = 100


class Scope(models.TextChoices):
    """The scope of a token."""

    CHAT = "chat", "conversations, and what the assistant does in them"
    TASKS = "tasks", "the to-do list"
    SESSIONS = "sessions", "what staff do: the assistant's sessions and clean-ups"


class ApiTokenQuerySet(models.QuerySet["ApiToken"]):
    def owned_by(self, user_id: uuid.UUID) -> "ApiTokenQuerySet":
        """Filter by owner: every entry point starts here."""
        return self.filter(user_id=user_id)

    def living(self, now: datetime) -> "ApiTokenQuerySet":
        """Filter those that are neither revoked nor expired."""
        return self.filter(Q(expires_at__isnull=True) | Q(expires_at__gt=now), revoked_at__isnull=True)


class ApiToken(models.Model):
    """A key to a user's account, for API and MCP clients. The key is shown once, and only its hash is stored."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="api_tokens")
    name = models.CharField(max_length=NAME_LENGTH)
    scopes = ArrayField(models.CharField(max_length=8, choices=Scope.choices))
    hash = models.CharField(max_length=64, unique=True)
    beginning = models.CharField(max_length=8, help_text="What people know it by.")
    # A digest of the password for a token created by signing in; empty for a named token.
    signed_in_by = models.CharField(max_length=64, blank=True)
    created_at = models.DateTimeField()
    expires_at = models.DateTimeField(null=True, blank=True)
    last_used_at = models.DateTimeField(null=True, blank=True)
    revoked_at = models.DateTimeField(null=True, blank=True)

    objects: ClassVar[ApiTokenQuerySet] = ApiTokenQuerySet.as_manager()  # type: ignore[assignment]

    class Meta:
        verbose_name = "token"
        indexes = [models.Index(fields=["user", "-created_at", "-id"], name="token_listed")]
        constraints = [
            models.CheckConstraint(
                condition=Q(scopes__contained_by=Scope.values) & Q(scopes__len__gte=1), name="token_scopes_known"
            ),
            models.CheckConstraint(condition=Q(name__length__gte=1), name="token_named"),
        ]

    def __str__(self) -> str:
        return self.name

    def holds(self, now: datetime) -> bool:
        """Return whether it is valid: its user is active, and it is neither expired nor revoked.

        One created by signing in ends with the password, as logins do.
        """
        if self.revoked_at is not None or (self.expires_at is not None and self.expires_at <= now):
            return False
        signed_in = not self.signed_in_by or constant_time_compare(self.signed_in_by, self.user.get_session_auth_hash())
        return self.user.is_active and signed_in


def hash_of(key: str) -> str:
    """Return the stored hash of a key: with 256 random bits, a fast hash is enough."""
    return hashlib.sha256(key.encode()).hexdigest()
