"""Samples of the store's size: every hour and after each clean-up."""

from collections.abc import Sequence
from datetime import timedelta

from django.db.models import Count, Sum
from django.db.models.functions import Coalesce
from django.utils import timezone

from chat.memory.configured import size_on_disk
from chat.models import AgentSession
from chat.models.sql import change
from sessions_admin import clock
from sessions_admin.models import StoreSample

DAYS = 30
HOURLY_FOR = timedelta(days=7)
KEPT_FOR = timedelta(days=365)
# The last sample of each hour stays, and later the last of each day.
_THIN_OUT = """
DELETE FROM sessions_admin_storesample s WHERE s.at < %(year)s OR EXISTS (
    SELECT FROM sessions_admin_storesample l
    WHERE l.at > s.at AND l.at < date_trunc(CASE WHEN s.at < %(week)s THEN 'day' ELSE 'hour' END, s.at, 'UTC')
        + CASE WHEN s.at < %(week)s THEN interval '1 day' ELSE interval '1 hour' END)
"""


def sample() -> StoreSample:
    """Store the current size, and thin out old samples."""
    now = timezone.now()
    there = AgentSession.objects.filter(gone_at=None)
    items, bytes = Coalesce(Sum("item_count"), 0), Coalesce(Sum("byte_count"), 0)
    totals = there.aggregate(sessions=Count("pk"), items=items, bytes=bytes)
    taken = StoreSample.objects.create(at=now, file_bytes=size_on_disk(), **totals)
    if not clock.find_doubt():
        change(_THIN_OUT, {"year": now - KEPT_FOR, "week": now - HOURLY_FOR})
    return taken


def growth(days: int = DAYS) -> Sequence[StoreSample]:
    """Return the samples of the last days, the oldest first."""
    since = timezone.now() - timedelta(days=days)
    return list(StoreSample.objects.filter(at__gte=since).order_by("at"))
