"""Metrics of sessions and their use.

Each function runs one query over an index, over one short row per session, or over a small table; the figures of past
days are cached.
"""

from dataclasses import astuple, dataclass
from datetime import UTC, date, datetime, timedelta

from django.core.cache import cache
from django.db.models import Count, Sum
from django.utils import timezone

from chat.models import AgentSession, Quarantined
from chat.models.session import State
from chat.models.sql import select

DAYS = 30
TOP_COUNT = 5
RECENT = timedelta(days=7)
# Replies to messages of yesterday may end after midnight; after that the figures of a day are final.
LATE_REPLIES = timedelta(hours=1)
# Cached as tuples: the cache pickles its values, and a later version may not have these classes.
CACHE_KEY = "threadkeeper:messages-by-day"


@dataclass(frozen=True, slots=True)
class StateCount:
    """The sessions in one state, by their metadata."""

    state: State
    sessions: int
    items: int
    bytes: int


@dataclass(frozen=True, slots=True)
class Day:
    """The messages of one day (UTC)."""

    date: date
    messages: int
    sessions: int  # with messages


@dataclass(frozen=True, slots=True)
class Weight:
    """The share of a session or a user in the store."""

    session_id: str  # empty for all sessions of a user
    title: str
    email: str
    sessions: int
    items: int
    bytes: int


def by_state() -> list[StateCount]:
    """Count the sessions in each state."""
    counted = AgentSession.objects.with_state().order_by().values_list("state")  # type: ignore[misc]  # annotated
    sums = counted.annotate(Count("pk"), Sum("item_count"), Sum("byte_count"))
    rows = {state: figures for state, *figures in sums}
    return [StateCount(state, *rows.get(state.value, (0, 0, 0))) for state in State]


def quarantined() -> int:
    """Count the recently quarantined rows."""
    return Quarantined.objects.filter(created_at__gt=timezone.now() - RECENT).count()


def biggest_sessions() -> list[Weight]:
    """Return the largest sessions."""
    there = AgentSession.objects.filter(gone_at=None, byte_count__gt=0).select_related("user", "conversation")
    return [
        Weight(one.session_id, str(one.conversation), one.user.email, 1, one.item_count, one.byte_count)
        for one in there.order_by("-byte_count")[:TOP_COUNT]
    ]


def biggest_owners() -> list[Weight]:
    """Return the users with the largest sessions."""
    there = AgentSession.objects.filter(gone_at=None, byte_count__gt=0).order_by().values("user__email")
    weighed = there.annotate(n=Count("pk"), items=Sum("item_count"), bytes=Sum("byte_count"))
    return [
        Weight("", "", row["user__email"], row["n"], row["items"], row["bytes"])
        for row in weighed.order_by("-bytes", "user__email")[:TOP_COUNT]
    ]


# Messages by day.

_ACTIVITY = """
SELECT (accepted_at AT TIME ZONE 'UTC')::date, sum(messages)::bigint, count(DISTINCT conversation_id) FROM (
    SELECT t.conversation_id, t.accepted_at, (SELECT count(*) FROM chat_message m WHERE m.turn_id = t.id) AS messages
    FROM chat_turn t WHERE t.accepted_at >= %(since)s OFFSET 0
) t GROUP BY 1
"""


def activity(days: int = DAYS) -> list[Day]:
    """Return the last days, the oldest first, including days without messages."""
    now = timezone.now().astimezone(UTC)
    first, last = now.date() - timedelta(days=days - 1), now.date()
    wanted = [first + timedelta(days=n) for n in range(days)]
    closed = [day for day in wanted if day < (now - LATE_REPLIES).date()]
    known: dict[date, Day] = {row[0]: Day(*row) for row in cache.get(CACHE_KEY) or ()}
    since = min((day for day in closed if day not in known), default=min(last, (now - LATE_REPLIES).date()))
    counted = {day: Day(day, messages, sessions) for day, messages, sessions in _count_messages(since)}
    figures = [known[day] if day in known else counted.get(day, Day(day, 0, 0)) for day in wanted]
    if since in closed:
        cache.set(CACHE_KEY, [astuple(day) for day in figures if day.date in closed], timeout=None)
    return figures


def _count_messages(since: date) -> list[tuple[date, int, int]]:
    """Count the messages since the start of a day; the result is cached for a minute."""
    key = f"{CACHE_KEY}:{since}"
    rows = cache.get(key)
    if rows is None:
        begun = datetime(since.year, since.month, since.day, tzinfo=UTC)
        rows = [(day, messages, sessions) for day, messages, sessions in select(_ACTIVITY, {"since": begun})]
        cache.set(key, rows, timeout=60)
    return list(rows)
