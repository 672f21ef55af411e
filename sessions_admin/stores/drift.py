"""The kinds of drift between the two stores, and how each is detected.

The rules are pure; `records` reads what they need from PostgreSQL, for many conversations in one query.
"""

import uuid
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime

from django.db.models import TextChoices

from chat.memory.identity import SessionId
from chat.memory.items import Item, faults, is_user_message
from chat.memory.rebuild import LastTurn
from chat.memory.statements import Fence, Size
from chat.memory.sync_store import StoredSession
from chat.models.sql import select


class Drift(TextChoices):
    ORPHAN = "orphan", "In the store, without a conversation"
    STRANGER = "stranger", "In the store, with another user’s id"
    OWNER = "owner", "The metadata has another user or session id"
    UNMIRRORED = "unmirrored", "Used, but without metadata"
    MISSING = "missing", "Missing from the store"
    NOT_GONE = "not_gone", "In the store, but marked as gone"
    COUNTS = "counts", "The metadata has other counts of items or bytes"
    STALE = "stale", "Active later than its metadata"
    BEHIND = "behind", "Behind the record"
    AHEAD = "ahead", "Ahead of the record"
    NO_ITEM = "no_item", "Has invalid rows"
    UNSOUND = "unsound", "Has items that models refuse"
    ALTERED = "altered", "Changed by another program"
    UNLISTED = "unlisted", "Has items, but no row in agent_sessions"
    LEFTOVER = "leftover", "Gone, but other rows are left"
    FOREIGN = "foreign", "Id of another program; never changed"


# Drift of the items, which requires a rebuild from the record.
CONTENT_DRIFTS = frozenset({Drift.BEHIND, Drift.AHEAD, Drift.NO_ITEM, Drift.UNSOUND})


@dataclass(frozen=True, slots=True)
class Mirror:
    """The metadata of a session."""

    user_id: uuid.UUID
    session_id: str
    size: Size
    is_gone: bool
    is_held: bool
    last_activity_at: datetime


@dataclass(frozen=True, slots=True)
class Record:
    """The record of a conversation: its metadata, the last items of its session, when a turn last ended."""

    conversation_id: uuid.UUID
    user_id: uuid.UUID
    mirror: Mirror | None
    last: LastTurn | None
    ended_at: datetime | None
    is_busy: bool  # a turn is running or waits for a decision

    @property
    def session_id(self) -> str:
        """The id that its session must have."""
        return str(SessionId(self.user_id, self.conversation_id))


_RECORDS = """
SELECT c.id, c.user_id, s.user_id, s.session_id, s.item_count, s.byte_count, s.gone_at IS NOT NULL,
    s.held_at IS NOT NULL AND (s.held_until IS NULL OR s.held_until > %(now)s), s.last_activity_at,
    last.seq, last.attempt, last.warning, ended.at, EXISTS (
        SELECT FROM chat_turn t WHERE t.conversation_id = c.id AND t.status IN ('running', 'waiting'))
FROM chat_conversation c LEFT JOIN chat_agentsession s ON s.conversation_id = c.id
LEFT JOIN LATERAL (
    SELECT t.seq, t.attempt, t.warning FROM chat_turn t
    WHERE t.conversation_id = c.id AND t.seq > c.memory_from AND t.superseded_by_id IS NULL
        AND t.status IN ('done', 'failed', 'stopped') AND t.items <> '[]'
    ORDER BY t.seq DESC LIMIT 1
) last ON true
LEFT JOIN LATERAL (SELECT max(t.ended_at) AS at FROM chat_turn t WHERE t.conversation_id = c.id) ended ON true
"""
_BY_IDS = _RECORDS + "WHERE c.id = ANY(%(ids)s)"
_NEXT = _RECORDS + "WHERE c.id > %(after)s ORDER BY c.id LIMIT %(limit)s"


def records(conversation_ids: Collection[uuid.UUID], *, now: datetime) -> dict[uuid.UUID, Record]:
    """Read the records of some conversations."""
    found = select(_BY_IDS, {"ids": list(conversation_ids), "now": now}) if conversation_ids else []
    return {row[0]: _record(row) for row in found}


def next_records(after: uuid.UUID, limit: int, *, now: datetime) -> list[Record]:
    """Read the next conversations in the order of their ids."""
    return [_record(row) for row in select(_NEXT, {"after": after, "limit": limit, "now": now})]


def _record(row: Sequence[object]) -> Record:
    conversation_id, user_id, mirrored, session_id, items, size, gone, held, active, *rest = row
    seq, attempt, warning, ended_at, is_busy = rest
    mirror = None
    if mirrored is not None:
        mirror = Mirror(mirrored, session_id, Size(items, size), gone, held, active)  # type: ignore[arg-type]
    last = LastTurn(Fence(seq, attempt), warning == "context_unavailable") if seq else None  # type: ignore[arg-type]
    return Record(conversation_id, user_id, mirror, last, ended_at, bool(is_busy))  # type: ignore[arg-type]


def drifts(record: Record, kept: StoredSession, *, due: Sequence[Item] | None = None) -> list[Drift]:
    """Return all drift of a conversation's session.

    `due` are the items that a rebuild would write, if these have to be compared (`is_doubtful`).
    """
    found = _metadata_drifts(record, kept) if record.mirror else ([Drift.UNMIRRORED] if record.ended_at else [])
    if kept.size.items:
        found += _item_drifts(kept)
        step = _order_drift(record.last, kept)
        if step is None and due is not None and not is_faithful(kept.stored.items, due):
            step = Drift.BEHIND
        found += [step] if step else []
    return found


def is_doubtful(record: Record, kept: StoredSession) -> bool:
    """Return whether the items have to be compared with the record one by one."""
    if record.last is None or not kept.size.items:
        return False
    differs = record.mirror is None or record.mirror.size != kept.size
    return differs or record.last.is_missing or not kept.stored.is_intact


def is_faithful(items: Sequence[Item], due: Sequence[Item]) -> bool:
    """Return whether items end like those of the record.

    There may be older items from elsewhere, or fewer after pruning; then they begin with a user message.
    """
    common = min(len(items), len(due))
    if not common or items[-common:] != due[-common:]:
        return not due
    return common == len(due) or is_user_message(items[0])


def _metadata_drifts(record: Record, kept: StoredSession) -> list[Drift]:
    mirror = record.mirror
    assert mirror is not None
    found = []
    if (mirror.user_id, mirror.session_id) != (record.user_id, record.session_id):
        found.append(Drift.OWNER)
    if record.ended_at is not None and mirror.last_activity_at < record.ended_at:
        found.append(Drift.STALE)
    if mirror.is_gone and kept.size.items:
        found.append(Drift.NOT_GONE)
    elif mirror.is_gone and kept.has_rows:
        found.append(Drift.LEFTOVER)
    elif not (mirror.is_gone or kept.size.items) and (mirror.size.items or record.last):
        found.append(Drift.MISSING)
    elif mirror.size != kept.size:
        found.append(Drift.COUNTS)
    return found


def _item_drifts(kept: StoredSession) -> list[Drift]:
    found = [Drift.NO_ITEM] if kept.stored.bad else []
    found += [Drift.UNSOUND] if faults(kept.stored.items) else []
    found += [Drift.ALTERED] if kept.stored.is_sealed and not kept.stored.is_intact else []
    return found if kept.is_listed else [*found, Drift.UNLISTED]


def _order_drift(last: LastTurn | None, kept: StoredSession) -> Drift | None:
    """Compare the last writer of a session with the last turn of the record, as a turn does before it begins."""
    wrote = kept.stored.last
    if last is None:
        # The first turn adopts what the SDK's own classes have written.
        return Drift.AHEAD if wrote is not None else None
    if wrote is None or wrote < last.fence:
        return Drift.BEHIND
    return Drift.AHEAD if wrote > last.fence else None
