"""Metadata of the session store: what staff see without opening it."""

from datetime import datetime, timedelta
from typing import ClassVar

from django.conf import settings
from django.db import models
from django.db.models import Case, Exists, OuterRef, Q, Value, When
from django.utils import timezone

from chat.models.conversation import Conversation
from chat.models.turn import ACTIVE, Turn

# The `last_error` of a session with quarantined rows, until a turn or staff repair it.
QUARANTINED = "quarantined"


class State(models.TextChoices):
    ACTIVE = "active"  # active within a day
    IDLE = "idle"
    DUE = "due"  # the next clean-up removes it
    HELD = "held"  # nothing removes it
    QUARANTINED = "quarantined"  # has invalid rows that were quarantined, and was not repaired since
    GONE = "gone"


class AgentSessionQuerySet(models.QuerySet["AgentSession"]):
    def with_state(self, now: datetime | None = None) -> "AgentSessionQuerySet":
        """Add `state`, which depends on the current time."""
        cases = [When(condition, then=Value(state)) for state, condition in _states(now or timezone.now()).items()]
        return self.annotate(state=Case(*cases, output_field=models.CharField()))

    def in_state(self, state: State, now: datetime | None = None) -> "AgentSessionQuerySet":
        """Filter by state, with conditions on columns, for which there are indexes, unlike the annotation."""
        found: AgentSessionQuerySet = self
        for other, condition in _states(now or timezone.now()).items():
            if other == state:
                return found.filter(condition)
            found = found.exclude(condition)
        raise AssertionError(f"{state} is not a state")

    def expired(self, cutoff: datetime) -> "AgentSessionQuerySet":
        """Filter those inactive since the cutoff without a running turn, or a queued one that needs the session soon.

        Excludes held ones.
        """
        busy = Turn.objects.filter(conversation=OuterRef("conversation"), status__in=ACTIVE)
        inactive = self.filter(~Exists(busy), gone_at__isnull=True, last_activity_at__lte=cutoff)
        return inactive.exclude(is_held(timezone.now()))


def _states(now: datetime) -> dict[State, Q]:
    """Return the condition of each state; the first that matches counts."""
    return {
        State.GONE: Q(gone_at__isnull=False),
        State.QUARANTINED: Q(last_error=QUARANTINED),
        State.HELD: is_held(now),
        State.ACTIVE: Q(last_activity_at__gt=now - timedelta(days=1)),
        State.IDLE: Q(last_activity_at__gt=now - retention()),
        State.DUE: Q(last_activity_at__lte=now - retention()),
    }


def is_held(now: datetime) -> Q:
    """Match sessions that are held at a given time: a hold may have an end."""
    return Q(held_at__isnull=False) & (Q(held_until__isnull=True) | Q(held_until__gt=now))


def retention() -> timedelta:
    """Return how long an inactive session is kept."""
    return timedelta(days=settings.AGENT_SESSION_RETENTION_DAYS)


class AgentSession(models.Model):
    """The metadata of one conversation's session."""

    conversation = models.OneToOneField(Conversation, on_delete=models.CASCADE, related_name="session")
    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="agent_sessions")
    session_id = models.CharField(max_length=100, unique=True)
    item_count = models.PositiveIntegerField(default=0)
    byte_count = models.PositiveBigIntegerField(default=0)
    pruned_count = models.PositiveIntegerField(default=0, help_text="Items pruned so far.")
    first_activity_at = models.DateTimeField()
    last_activity_at = models.DateTimeField()
    gone_at = models.DateTimeField(null=True, blank=True)
    last_error = models.TextField(blank=True)
    held_at = models.DateTimeField(null=True, blank=True)
    held_until = models.DateTimeField(null=True, blank=True, help_text="Empty for a hold without an end.")
    hold_reason = models.TextField(blank=True, default="", db_default="")

    objects: ClassVar[AgentSessionQuerySet] = AgentSessionQuerySet.as_manager()  # type: ignore[assignment]

    class Meta:
        indexes = [
            models.Index(fields=["last_activity_at"], name="session_by_activity", condition=Q(gone_at__isnull=True)),
            # For the staff's list, which includes removed ones.
            models.Index(fields=["-last_activity_at", "-id"], name="session_listed"),
            # Few among very many.
            models.Index(fields=["held_until"], name="session_held", condition=Q(held_at__isnull=False)),
            models.Index(fields=["-last_activity_at"], name="session_in_trouble", condition=~Q(last_error="")),
        ]
        permissions = [
            ("manage_agentsession", "Can prune, clear, expire, hold, release, rebuild and reconcile sessions"),
            ("view_session_items", "Can read what the assistant remembers"),
        ]

    def __str__(self) -> str:
        return self.session_id

    @property
    def is_held(self) -> bool:
        """Whether it is held now."""
        return self.held_at is not None and (self.held_until is None or self.held_until > timezone.now())


class AdoptedItems(models.Model):
    """Items that another program wrote into the session file, stored so that a rebuilt session has them again.

    PostgreSQL deletes them with the conversation.
    """

    conversation = models.ForeignKey(Conversation, models.DO_NOTHING, related_name="adopted", db_constraint=False)
    after_turn = models.PositiveIntegerField(help_text="The `seq` of the turn that they follow; 0 before the first.")
    items = models.TextField(help_text="A JSON array in ASCII: jsonb cannot hold all that a session can.")
    is_forgotten = models.BooleanField(default=False, help_text="No rebuild includes them: staff cleared the session.")
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["after_turn", "pk"]
        verbose_name_plural = "adopted items"

    def __str__(self) -> str:
        return f"items after turn {self.after_turn}"


class Quarantined(models.Model):
    """Invalid data of the session file: a row of a session, or (without one) a whole file."""

    session_id = models.CharField(max_length=100, blank=True, db_index=True)
    row_id = models.BigIntegerField(null=True, blank=True)
    content = models.TextField()
    reason = models.TextField()
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["-created_at"]
        verbose_name = verbose_name_plural = "quarantine"

    def __str__(self) -> str:
        return f"{self.session_id or 'file'}: {self.reason}"
