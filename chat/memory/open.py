"""Open a session for a turn: cut it back to where the turn begins, and repair or rebuild it if needed."""

import uuid
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass

from django.conf import settings

from chat.exceptions import MemoryUnavailable
from chat.infra.db_threads import in_database
from chat.memory.adoption import CHANGED, Recorded, adopt, comparison, unknown
from chat.memory.items import Item, faults
from chat.memory.quarantine import MEANWHILE, Suspect, quarantine, suspects_in
from chat.memory.rebuild import LastTurn, rebuild
from chat.memory.statements import Begin, Fence, Replace, RowsChanged, Seal, Stored
from chat.memory.store import SessionStore

# How often a session is compared again if another program writes to it meanwhile.
TRIES = 10
KEEPS_WRITING = "Another program keeps writing to this session."


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionContext:
    """The context of a turn: its session, its fence, the turn it replaces, the last remembered turn before it.

    `has_adopted` means, if no turn is remembered, that the record has items of another program.
    """

    session_id: str
    conversation_id: uuid.UUID
    fence: Fence
    replaces: int | None
    last: LastTurn | None
    has_adopted: bool = False


@dataclass(frozen=True, slots=True)
class OpenedSession:
    """The items with which a turn begins; `pruned` is None unless they were rebuilt from the record.

    `was_lost` means that the memory was invalid; it is also rebuilt if another version of a turn has become current.
    """

    items: list[Item]
    pruned: int | None = None
    was_lost: bool = False


async def open_session(store: SessionStore, place: SessionContext) -> OpenedSession:
    """Prepare a session for a turn and return its items. Raise MemoryUnavailable, OutdatedAttempt."""
    kept: set[int] = set()
    for _ in range(TRIES):
        found = await _store_state(await store.read(place.session_id), place)
        # Rows that an earlier attempt has quarantined are there already.
        if suspects := [suspect for suspect in found.suspects if suspect.row_id not in kept]:
            await in_database(quarantine, place.session_id, suspects)
            kept.update(suspect.row_id for suspect in suspects)
        if found.added:
            await in_database(adopt, place.conversation_id, found.added)
        with suppress(RowsChanged):
            return await _prepare(store, found, place)
    raise MemoryUnavailable(KEEPS_WRITING)


async def _prepare(store: SessionStore, found: "_StoreState", place: SessionContext) -> OpenedSession:
    """Write the prepared session. Raise RowsChanged if it has changed since it was compared."""
    seen = found.stored.digest
    if found.is_usable(place):
        if not found.stored.is_intact:
            await store.write(Seal(place.session_id, seen))
        if found.begun:
            await store.write(Begin(place.session_id, place.fence, (), place.replaces, seen))
        return OpenedSession(found.items)
    rebuilt = await in_database(_rebuilt, found, place)
    await store.write(Replace(place.session_id, place.fence, rebuilt.items, seen=seen))
    return rebuilt


def preview_opening(stored: Stored, place: SessionContext) -> OpenedSession:
    """Return the result that `open_session` would have for a stored session, and change nothing."""
    found = _compare(stored, place)
    return OpenedSession(found.items) if found.is_usable(place) else _rebuilt(found, place, found.added)


@dataclass(frozen=True, slots=True)
class _StoreState:
    """The state of the store for a turn: the items before it, what is invalid, and what the record does not have.

    A session that no other program has written to is not compared with the record.
    """

    stored: Stored
    begun: bool
    items: list[Item]
    suspects: list[Suspect]
    added: list[Recorded]
    is_faithful: bool

    def is_usable(self, place: SessionContext) -> bool:
        """Return whether the items can be used as they are."""
        return self.is_faithful and not self.suspects and (self.begun or _has_last_attempt(self.stored, place))


async def _store_state(stored: Stored, place: SessionContext) -> _StoreState:
    if stored.is_intact and not stored.bad:
        return _compare(stored, place)
    return await in_database(_compare, stored, place)


def _compare(stored: Stored, place: SessionContext) -> _StoreState:
    begun = stored.last is not None and stored.last.turn in (place.fence.turn, place.replaces)
    begun = begun and not _was_emptied(stored)
    rows = [row for row in stored.rows if not begun or row.id <= stored.base]
    wrong = faults([row.item for row in rows])
    suspects = suspects_in(stored, rows, wrong)
    if stored.is_intact:
        return _StoreState(stored, begun, [row.item for row in rows], suspects, [], is_faithful=True)
    sound = [row for index, row in enumerate(rows) if index not in wrong]
    found = comparison(place.conversation_id, stored, sound, before=place.fence.turn)
    suspects += [Suspect(sound[index].id, sound[index].item, CHANGED) for index in found.changed]
    added = found.added
    if begun and stored.last is not None:
        # A turn that is replaced or retried removes the rows after its beginning.
        foreign = unknown(place.conversation_id, [row for row in stored.rows if row.id > stored.base])
        if stored.last.turn != place.fence.turn:
            added = [*added, *(Recorded(stored.last.turn, row.item) for row in foreign)]
        elif stored.is_sealed:
            suspects += [Suspect(row.id, row.item, MEANWHILE) for row in foreign]
    return _StoreState(stored, begun, [row.item for row in rows], suspects, added, found.is_faithful)


def _rebuilt(found: _StoreState, place: SessionContext, also: Sequence[Recorded] = ()) -> OpenedSession:
    limit = settings.AGENT_SESSION_MAX_MESSAGES
    rebuilt = rebuild(place.conversation_id, before=place.fence.turn, limit=limit, also=also)
    was_lost = bool(found.suspects) or not found.is_faithful or _is_behind(found.stored, place)
    return OpenedSession(rebuilt.items, None if rebuilt.items == found.items else rebuilt.pruned, was_lost)


def _has_last_attempt(stored: Stored, place: SessionContext) -> bool:
    """Return whether the last attempt in the store is the last attempt of the record."""
    if place.last is None:
        return stored.last is None and (bool(stored.ids) or not place.has_adopted)
    return stored.last == place.last.fence and bool(stored.ids) and not place.last.is_missing


def _is_behind(stored: Stored, place: SessionContext) -> bool:
    """Return whether the store has less than the record: it was lost, cleaned up, or not writable."""
    if place.last is None:
        return False
    if place.last.is_missing or stored.last is None or _was_emptied(stored):
        return True
    return stored.last.turn < place.last.fence.turn or (stored.last == place.last.fence and not stored.ids)


def _was_emptied(stored: Stored) -> bool:
    """Return whether another program removed the items of a session that had some when its last turn began."""
    return stored.base > 0 and not stored.ids
