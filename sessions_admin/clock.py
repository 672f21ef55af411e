"""Whether the clock can be trusted with what is removed by its age.

A clock that is set forward makes everything old. There are two signs of that: a row is newer than now, or the wall
clock jumps, measured by the machine's monotonic clock. That one starts again with each boot of the machine, so
that a machine may be off for as long as it likes. While there is doubt nothing is removed, until staff confirm it.
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

AHEAD = timedelta(minutes=5)  # that a row may be newer than now
JUMP = timedelta(days=1)
NOTED = timedelta(minutes=1)  # a change of the jump that is worth writing
KEPT = 20  # starts of machines
CONFIRM = "Nothing is removed until staff confirm the clock, on the dashboard or with cleanup_sessions --confirm-clock."


class ClockDoubted(Conflict):
    """The clock may be wrong: what is removed by its age is kept."""


@dataclass(frozen=True, slots=True)
class Doubt:
    """Why the clock may be wrong."""

    jump: timedelta
    behind: timedelta

    def __str__(self) -> str:
        return f"{self.reason} {CONFIRM}"

    @property
    def reason(self) -> str:
        """What was found, in a sentence."""
        if abs(self.jump) > JUMP:
            way = "forward" if self.jump > timedelta(0) else "back"
            return f"The clock was set {way} by {_days(self.jump)} while the machine ran."
        return f"The clock is {_days(self.behind)} behind the newest row."


def doubt() -> Doubt | None:
    """Return why the clock may be wrong, if it may."""
    jump = measure()
    known = ClockReference.objects.filter(jump__gt=JUMP) | ClockReference.objects.filter(jump__lt=-JUMP)
    # Another machine's, or that of this machine before it was started again.
    jump = jump if abs(jump) > JUMP else known.values_list("jump", flat=True).first() or jump
    now = timezone.now()
    newest = _newest()
    behind = newest - now if newest and newest > now + AHEAD and newest > _confirmed_until() else timedelta(0)
    return Doubt(jump, behind) if abs(jump) > JUMP or behind else None


def check() -> None:
    """Raise ClockDoubted where the clock may be wrong."""
    if found := doubt():
        raise ClockDoubted(str(found))


def check_began(at: datetime | None) -> None:
    """Raise ClockDoubted where the clock may be wrong, or was when something began."""
    check()
    if at and at > timezone.now() + AHEAD:
        raise ClockDoubted(f"The clock was put back since this began. {CONFIRM}")


def measure() -> timedelta:
    """Return by how much the wall clock of this machine has jumped since it was started or confirmed, and note it."""
    clock = machine_clock()
    if clock is None:
        return timedelta(0)
    now, seconds = timezone.now(), elapsed_seconds()
    given = {"wall": now, "seconds": seconds, "jump": timedelta(0)}
    reference, is_new = ClockReference.objects.get_or_create(clock=clock, defaults=given)
    if is_new:
        _forget_old_starts()
    jump = now - reference.wall - timedelta(seconds=seconds - reference.seconds)
    if abs(jump - reference.jump) > NOTED:
        ClockReference.objects.filter(pk=reference.pk).update(jump=jump)
    return jump


def confirm(*, actor: str) -> None:
    """Trust the clock from now on, because staff confirm it."""
    found = doubt()
    newest = _newest()
    with transaction.atomic():
        until = newest.isoformat() if newest else None
        audit.record(Action.CONFIRM_CLOCK, actor=actor, newest=until, doubt=found.reason if found else None)
        # Each machine measures from its next reading on.
        ClockReference.objects.all().delete()


def _newest() -> datetime | None:
    """Return the time of the newest row: of messages, actions of staff, and samples."""
    found = [
        AgentSession.objects.aggregate(at=Max("last_activity_at"))["at"],
        AuditRecord.objects.aggregate(at=Max("at"))["at"],
        StoreSample.objects.aggregate(at=Max("at"))["at"],
    ]
    return max((at for at in found if at), default=None)


def _confirmed_until() -> datetime:
    """Return the newest row that was there when staff last confirmed the clock."""
    confirmed = AuditRecord.objects.filter(action=Action.CONFIRM_CLOCK).order_by("-id").first()
    newest = confirmed.result.get("newest") if confirmed else None
    return datetime.fromisoformat(newest) if newest else datetime.min.replace(tzinfo=timezone.get_default_timezone())


def _forget_old_starts() -> None:
    kept = ClockReference.objects.order_by("-pk").values("pk")[:KEPT]
    ClockReference.objects.filter(jump__range=(-JUMP, JUMP)).exclude(pk__in=kept).delete()


def _days(span: timedelta) -> str:
    span = abs(span)
    if span >= timedelta(days=1):
        return f"{span / timedelta(days=1):,.1f} days"
    return f"{span / timedelta(minutes=1):,.0f} minutes"
