"""Open a session for a turn: cut back to where the turn begins, mended or rebuilt where something is wrong with it."""

import uuid
from dataclasses import dataclass

from django.conf import settings

from chat.bridge import in_database
from chat.memory.items import Item, faults, repair
from chat.memory.quarantine import quarantine, suspects_in
from chat.memory.rebuild import LastTurn, rebuild
from chat.memory.statements import Begin, Fence, Replace, Row, Stored
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
    found = _found(await store.read(place.session_id), place)
    if not found.is_sound:
        suspects = suspects_in(found.stored, found.rows, found.wrong)
        await in_database(quarantine, place.session_id, suspects)
    if found.is_usable(place):
        if found.begun:
            await store.write(Begin(place.session_id, place.fence, (), place.replaces))
        return Opened(found.items)
    if found.is_all_there_is(place):
        mended = repair(found.items)
        await store.write(Replace(place.session_id, place.fence, mended))
        return Opened(mended)
    rebuilt = await in_database(_rebuilt, found, place)
    await store.write(Replace(place.session_id, place.fence, rebuilt.items))
    return rebuilt


def foresee(stored: Stored, place: Place) -> Opened:
    """Return what `open_session` would make of a session that is stored like this, and change nothing."""
    found = _found(stored, place)
    if found.is_usable(place):
        return Opened(found.items)
    return Opened(repair(found.items)) if found.is_all_there_is(place) else _rebuilt(found, place)


@dataclass(frozen=True, slots=True)
class _Found:
    """What the file has for a turn: the rows up to where it begins, and which of them are at fault."""

    stored: Stored
    begun: bool
    rows: list[Row]
    items: list[Item]
    wrong: dict[int, str]

    @property
    def is_sound(self) -> bool:
        """Whether every row is an item in its place."""
        return not (self.stored.bad or self.wrong)

    def is_usable(self, place: Place) -> bool:
        """Tell whether the items can be given as they are."""
        return self.is_sound and (self.begun or _is_in_step(self.stored, place))

    def is_all_there_is(self, place: Place) -> bool:
        """Tell whether the record knows nothing of what they tell, so that they are to be mended."""
        return place.last is None and (self.begun or self.stored.last is None)


def _found(stored: Stored, place: Place) -> _Found:
    begun = stored.last is not None and stored.last.turn in (place.fence.turn, place.replaces)
    begun = begun and not _was_emptied(stored)
    rows = [row for row in stored.rows if not begun or row.id <= stored.base]
    items = [row.item for row in rows]
    return _Found(stored, begun, rows, items, faults(items))


def _rebuilt(found: _Found, place: Place) -> Opened:
    limit = settings.AGENT_SESSION_MAX_MESSAGES
    rebuilt = rebuild(place.conversation_id, before=place.fence.turn, limit=limit)
    was_lost = not found.is_sound or _is_behind(found.stored, place)
    return Opened(rebuilt.items, None if rebuilt.items == found.items else rebuilt.pruned, was_lost)


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
