"""Detect a wrong clock before anything is removed by age.

If the clock is set forward, everything looks expired. There are two signs: a row is newer than now, or the wall clock
jumps relative to the machine's monotonic clock. The monotonic clock restarts with the machine, so a machine may be off
for any time. While the clock is in doubt nothing is removed, until staff confirm it.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db import transaction
from django.db.models import Max
from django.utils import timezone

from chat.exceptions import Conflict
from chat.models import AgentSession
from config.runtime.clocks import elapsed_seconds, machine_clock
from sessions_admin import audit
from sessions_admin.models import Action, AuditRecord, ClockReference, StoreSample

TOLERANCE = timedelta(minutes=5)  # by which a row may be newer than now
MAX_JUMP = timedelta(days=1)
MIN_CHANGE = timedelta(minutes=1)  # a smaller change of the jump is not stored
KEPT_REFERENCES = 20  # boots of machines
HOW_TO_CONFIRM = (
    "Nothing is removed until staff confirm the clock, on the dashboard or with cleanup_sessions --confirm-clock."
)


class ClockDoubted(Conflict):
    """The clock may be wrong, so nothing is removed by age."""


@dataclass(frozen=True, slots=True)
class ClockDoubt:
    """Why the clock may be wrong."""

    jump: timedelta
    behind: timedelta

    def __str__(self) -> str:
        return f"{self.reason} {HOW_TO_CONFIRM}"

    @property
    def reason(self) -> str:
        """The reason, as a sentence."""
        if abs(self.jump) > MAX_JUMP:
            way = "forward" if self.jump > timedelta(0) else "back"
            return f"The clock was set {way} by {_format_span(self.jump)} while the machine ran."
        return f"The clock is {_format_span(self.behind)} behind the newest row."


def find_doubt() -> ClockDoubt | None:
    """Return why the clock may be wrong, or None."""
    jump = measure()
    known = ClockReference.objects.filter(jump__gt=MAX_JUMP) | ClockReference.objects.filter(jump__lt=-MAX_JUMP)
    # The jump of another machine, or of this one before its last boot.
    jump = jump if abs(jump) > MAX_JUMP else known.values_list("jump", flat=True).first() or jump
    now = timezone.now()
    newest = _newest_row()
    behind = newest - now if newest and newest > now + TOLERANCE and newest > _confirmed_until() else timedelta(0)
    return ClockDoubt(jump, behind) if abs(jump) > MAX_JUMP or behind else None


def check() -> None:
    """Raise ClockDoubted if the clock may be wrong."""
    if found := find_doubt():
        raise ClockDoubted(str(found))


def check_since(at: datetime | None) -> None:
    """Raise ClockDoubted if the clock may be wrong, or was set back since this time."""
    check()
    if at and at > timezone.now() + TOLERANCE:
        raise ClockDoubted(f"The clock was set back since this began. {HOW_TO_CONFIRM}")


def measure() -> timedelta:
    """Measure and store by how much this machine's wall clock has jumped since it was booted or confirmed."""
    clock = machine_clock()
    if clock is None:
        return timedelta(0)
    now, seconds = timezone.now(), elapsed_seconds()
    given = {"wall": now, "seconds": seconds, "jump": timedelta(0)}
    reference, is_new = ClockReference.objects.get_or_create(clock=clock, defaults=given)
    if is_new:
        kept = ClockReference.objects.order_by("-pk").values("pk")[:KEPT_REFERENCES]
        ClockReference.objects.filter(jump__range=(-MAX_JUMP, MAX_JUMP)).exclude(pk__in=kept).delete()
    jump = now - reference.wall - timedelta(seconds=seconds - reference.seconds)
    if abs(jump - reference.jump) > MIN_CHANGE:
        ClockReference.objects.filter(pk=reference.pk).update(jump=jump)
    return jump


def confirm(*, actor: str) -> None:
    """Trust the clock from now on, because staff confirmed it."""
    found = find_doubt()
    newest = _newest_row()
    with transaction.atomic():
        until = newest.isoformat() if newest else None
        audit.record(Action.CONFIRM_CLOCK, actor=actor, newest=until, doubt=found.reason if found else None)
        # Each machine starts measuring again.
        ClockReference.objects.all().delete()


def _newest_row() -> datetime | None:
    """Return the time of the newest message, audit record or sample."""
    found = [
        AgentSession.objects.aggregate(at=Max("last_activity_at"))["at"],
        AuditRecord.objects.aggregate(at=Max("at"))["at"],
        StoreSample.objects.aggregate(at=Max("at"))["at"],
    ]
    return max((at for at in found if at), default=None)


def _confirmed_until() -> datetime:
    """Return the newest row at the time of the last confirmation."""
    confirmed = AuditRecord.objects.filter(action=Action.CONFIRM_CLOCK).order_by("-id").first()
    newest = confirmed.result.get("newest") if confirmed else None
    return datetime.fromisoformat(newest) if newest else datetime.min.replace(tzinfo=timezone.get_default_timezone())


def _format_span(span: timedelta) -> str:
    span = abs(span)
    if span >= timedelta(days=1):
        return f"{span / timedelta(days=1):,.1f} days"
    return f"{span / timedelta(minutes=1):,.0f} minutes"
