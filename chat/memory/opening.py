"""Open a session for a turn: cut back to where the turn begins, mended or rebuilt where something is wrong with it."""

import uuid
from dataclasses import dataclass

from django.conf import settings

from chat.bridge import in_database
from chat.memory.items import Item, faults, repair
from chat.memory.quarantine import quarantine, suspects_in
from chat.memory.rebuild import LastTurn, rebuild
from chat.memory.statements import Begin, Fence, Replace, Stored
from chat.memory.store import SessionStore


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where a turn stands: its session, who may write for it, the turn it replaces, the remembered one before it."""

    session_id: str
    conversation_id: uuid.UUID
    fence: Fence
    replaces: int | None
    last: LastTurn | None


@dataclass(frozen=True, slots=True)
class Opened:
    """The items that a turn begins with; `pruned` is None unless they had to be rebuilt from the record.

    `was_lost` tells that something was wrong with the memory; it is rebuilt also where the record went another way.
    """

    items: list[Item]
    pruned: int | None = None
    was_lost: bool = False


async def open_session(store: SessionStore, place: Place) -> Opened:
    """Make a session ready for a turn and return its items. Raise MemoryUnavailable, OutdatedAttempt."""
    stored = await store.read(place.session_id)
    begun = stored.last is not None and stored.last.turn in (place.fence.turn, place.replaces)
    begun = begun and not _was_emptied(stored)
    rows = [row for row in stored.rows if not begun or row.id <= stored.base]
    items = [row.item for row in rows]
    wrong = faults(items)
    if stored.bad or wrong:
        await in_database(quarantine, place.session_id, suspects_in(stored, rows, wrong))
    if not (stored.bad or wrong) and (begun or _is_in_step(stored, place)):
        if begun:
            await store.write(Begin(place.session_id, place.fence, (), place.replaces))
        return Opened(items)
    if place.last is None and (begun or stored.last is None):
        mended = repair(items)
        await store.write(Replace(place.session_id, place.fence, mended))
        return Opened(mended)
    limit = settings.AGENT_SESSION_MAX_MESSAGES
    rebuilt = await in_database(rebuild, place.conversation_id, before=place.fence.turn, limit=limit)
    await store.write(Replace(place.session_id, place.fence, rebuilt.items))
    was_lost = bool(stored.bad or wrong or _is_behind(stored, place))
    return Opened(rebuilt.items, None if rebuilt.items == items else rebuilt.pruned, was_lost)


def _is_in_step(stored: Stored, place: Place) -> bool:
    """Tell whether the file ends with the attempt with which the record does."""
    if place.last is None:
        return stored.last is None
    return stored.last == place.last.fence and bool(stored.ids) and not place.last.is_missing


def _is_behind(stored: Stored, place: Place) -> bool:
    """Tell whether the file remembers less than the record: it was lost, cleaned up, or could not be written."""
    if place.last is None:
        return False
    if place.last.is_missing or stored.last is None or _was_emptied(stored):
        return True
    return stored.last.turn < place.last.fence.turn or (stored.last == place.last.fence and not stored.ids)


def _was_emptied(stored: Stored) -> bool:
    """Tell whether somebody else took the items of a session that held some when its last turn began."""
    return stored.base > 0 and not stored.ids
