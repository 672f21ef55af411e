"""Turns, and the journal from which they are replayed."""

import json
import uuid
from typing import ClassVar

from django.conf import settings
from django.db import models
from django.db.models import Q

from chat.models.conversation import MODEL_NAME_LENGTH, Conversation, Message
from chat.models.task import LOOKS


class Status(models.TextChoices):
    QUEUED = "queued"
    RUNNING = "running"
    WAITING = "waiting"  # for an approval
    DONE = "done"
    FAILED = "failed"
    STOPPED = "stopped"


ACTIVE = (Status.QUEUED, Status.RUNNING, Status.WAITING)
BUSY_STATUSES = (Status.RUNNING, Status.WAITING)


class TurnQuerySet(models.QuerySet["Turn"]):
    def heads(self) -> "TurnQuerySet":
        """Filter the turns that may begin: queued, without an active or an earlier queued turn in the conversation."""
        first = Q(status__in=BUSY_STATUSES) | Q(seq__lt=models.OuterRef("seq"))
        before = Turn.objects.filter(first, conversation=models.OuterRef("conversation"), status__in=ACTIVE)
        return self.filter(~models.Exists(before), status=Status.QUEUED)

    def with_all_to_begin(self) -> "TurnQuerySet":
        """Prefetch what a turn needs to begin."""
        return self.select_related("prompt", "replaces")


class Turn(models.Model):
    """From a user's message to its end. A running turn belongs to one server process until its lease expires."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    conversation = models.ForeignKey(Conversation, on_delete=models.CASCADE, related_name="turns")
    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="+")
    prompt = models.ForeignKey(Message, on_delete=models.CASCADE, related_name="+")
    replaces = models.ForeignKey(
        "self",
        on_delete=models.CASCADE,
        null=True,
        blank=True,
        related_name="+",
        help_text="The turn whose place it took: tried again, answered anew, or its message edited.",
    )
    superseded_by = models.ForeignKey(
        "self",
        on_delete=models.CASCADE,
        null=True,
        blank=True,
        related_name="supersedes",
        help_text="The turn that took its place, or that of one before it: it belongs to an earlier version.",
    )
    client_id = models.UUIDField()
    seq = models.PositiveIntegerField(help_text="Its place in the conversation's queue.")
    status = models.CharField(max_length=7, choices=Status.choices)
    model = models.CharField(
        max_length=MODEL_NAME_LENGTH,
        blank=True,
        default="",
        db_default="",
        help_text="The model that was chosen when it began.",
    )

    owner = models.UUIDField(null=True, blank=True, help_text="The server process that runs it.")
    lease_until = models.DateTimeField(null=True, blank=True)
    attempt = models.PositiveIntegerField(default=1)
    cut_off = models.SmallIntegerField(
        default=0, db_default=0, help_text="How many processes have died with it since its last step."
    )

    stop_asked = models.BooleanField(default=False, db_default=False, help_text="Its process is to stop it.")

    text = models.TextField(blank=True, help_text="The reply so far, saved twice a second.")
    reasoning = models.TextField(
        blank=True, default="", db_default="", help_text="What the model thought, as the page shows it."
    )
    items = models.JSONField(default=list, help_text="What the session was given during the turn.")
    usage = models.JSONField(null=True, blank=True)
    warning = models.CharField(max_length=32, blank=True)
    error_code = models.CharField(max_length=32, blank=True)
    error_detail = models.TextField(blank=True)

    accepted_at = models.DateTimeField()
    started_at = models.DateTimeField(null=True, blank=True)
    ended_at = models.DateTimeField(null=True, blank=True)

    objects: ClassVar[TurnQuerySet] = TurnQuerySet.as_manager()  # type: ignore[assignment]

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["conversation", "seq"], name="turn_seq_unique"),
            models.UniqueConstraint(fields=["conversation", "client_id"], name="turn_client_id_unique"),
            models.UniqueConstraint(
                fields=["conversation"], name="turn_one_running_or_waiting", condition=Q(status__in=BUSY_STATUSES)
            ),
            models.CheckConstraint(condition=Q(status__in=Status.values), name="turn_status_known"),
            models.CheckConstraint(
                condition=~Q(status=Status.RUNNING) | Q(owner__isnull=False, lease_until__isnull=False, attempt__gte=1),
                name="turn_running_has_an_owner",
            ),
            models.CheckConstraint(
                condition=Q(status__in=ACTIVE, ended_at__isnull=True)
                | Q(~Q(status__in=ACTIVE), ended_at__isnull=False),
                name="turn_ended_has_a_time",
            ),
        ]
        indexes = [
            models.Index(fields=["user", "accepted_at"], name="turn_by_user_and_time"),
            models.Index(fields=["status", "lease_until"], name="turn_active", condition=Q(status__in=ACTIVE)),
        ]

    def __str__(self) -> str:
        return f"{self.status} turn {self.seq}"


class TurnStep(models.Model):
    """One complete model response of a turn, written before any of its calls runs."""

    turn = models.ForeignKey(Turn, on_delete=models.CASCADE, related_name="steps")
    n = models.PositiveIntegerField()
    output = models.JSONField(help_text="The raw output items.")
    usage = models.JSONField()
    sent_estimate = models.PositiveIntegerField(
        null=True, blank=True, help_text="Our estimate of the request's tokens, to compare with those reported."
    )
    sent_turns = models.PositiveIntegerField(
        null=True, blank=True, help_text="User turns in the request, where older ones were left out for their size."
    )
    duration_ms = models.PositiveIntegerField()
    model = models.CharField(
        max_length=MODEL_NAME_LENGTH, blank=True, default="", db_default="", help_text="The model that gave it."
    )
    # Without a check, which would be validated on a long table.
    input_tokens = models.BigIntegerField(default=0, db_default=0)
    output_tokens = models.BigIntegerField(default=0, db_default=0)
    cost = models.DecimalField(
        max_digits=20, decimal_places=10, null=True, blank=True, help_text="At the price of that moment, if any."
    )
    is_void = models.BooleanField(
        default=False, db_default=False, help_text="The SDK could not use it, nor will it when it is played again."
    )
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["n"]
        constraints = [models.UniqueConstraint(fields=["turn", "n"], name="turn_step_unique")]

    def __str__(self) -> str:
        return f"step {self.n}"


class Decision(models.TextChoices):
    AWAITING = "awaiting"
    APPROVED = "approved"
    DECLINED = "declined"


# `decided_by` of a call that was declined by another message.
SUPERSEDED = "superseded"


class ToolCall(models.Model):
    """One tool's effect, written in the same transaction; a call that needs an approval has its row before."""

    turn = models.ForeignKey(Turn, on_delete=models.CASCADE, related_name="tool_calls")
    call_id = models.CharField(max_length=128)
    name = models.CharField(max_length=64)
    arguments = models.JSONField()
    decision = models.CharField(max_length=8, choices=Decision.choices, blank=True, default="", db_default="")
    decided_by = models.CharField(max_length=36, blank=True, default="", db_default="")  # a user's id, or "superseded"
    # None differs from an empty text here: an executed call has exactly one of the two.
    output = models.TextField(null=True, blank=True)  # noqa: DJ001
    error = models.TextField(null=True, blank=True)  # noqa: DJ001
    before = models.JSONField(null=True, blank=True, help_text="What the tool changed, as it was.")
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["id"]
        constraints = [
            models.UniqueConstraint(fields=["turn", "call_id"], name="tool_call_unique"),
            models.CheckConstraint(
                condition=Q(output__isnull=False, error__isnull=True)
                | Q(output__isnull=True, error__isnull=False)
                | Q(output__isnull=True, error__isnull=True, decision__in=(Decision.AWAITING, Decision.APPROVED)),
                name="tool_call_output_or_error",
            ),
            models.CheckConstraint(condition=Q(decision__in=["", *Decision.values]), name="tool_call_decision_known"),
        ]

    def __str__(self) -> str:
        return self.name

    @property
    def changed_something(self) -> bool:
        """Whether it changed the list."""
        if self.name in LOOKS:
            return False
        if self.output is None:
            return self.error is not None  # interrupted: it may have
        try:
            output = json.loads(self.output)
        except ValueError:
            return True
        return not (isinstance(output, dict) and output.get("ok") is False)
