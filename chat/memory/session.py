"""The SDK's session protocol over the shared store."""

from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import cast

from agents import TResponseInputItem
from agents.memory.session import SessionABC
from agents.memory.session_settings import resolve_session_limit

from chat.exceptions import MemoryUnavailable
from chat.infra import tracing
from chat.infra.db_threads import in_database
from chat.memory.digest import Digest
from chat.memory.items import Item
from chat.memory.open import KEEPS_WRITING, TRIES, OpenedSession, SessionContext, open_session
from chat.memory.quarantine import MEANWHILE, Suspect, quarantine
from chat.memory.statements import Append, Begin, Clear, Delete, Fence, RowsChanged
from chat.memory.store import SessionStore


class AgentSessionMemory(SessionABC):
    """A lightweight handle on one session: its id, its fence (who may write) and the store.

    With `on_unavailable` a turn continues without context while the store is unavailable: reads return `given`, writes
    are kept in `given` only, and `unavailable` is true. Without it, the methods raise MemoryUnavailable.
    """

    def __init__(
        self,
        session_id: str,
        store: SessionStore,
        *,
        fence: Fence | None = None,
        on_unavailable: Callable[[], None] | None = None,
    ) -> None:
        self.session_id = session_id
        self.given: list[TResponseInputItem] = []
        self.unavailable = False
        self._known: list[Item] | None = None
        self._store = store
        self._fence = fence
        self._opened_in: int | None = None  # the store's generation
        self._on_unavailable = on_unavailable

    async def get_items(self, limit: int | None = None) -> list[TResponseInputItem]:
        """Return the newest `limit` items, or all, in the order they were added.

        Without a limit, the one of `session_settings` applies.
        """
        limit = resolve_session_limit(limit, self.session_settings)
        if limit is not None and limit <= 0:
            return []
        items = await self._items()
        return items if limit is None else items[-limit:]

    async def _items(self) -> list[TResponseInputItem]:
        known, self._known = self._known, None
        if known is not None:
            return [cast(TResponseInputItem, item) for item in known]
        if self.unavailable:
            return list(self.given)
        try:
            stored = await self._store.read(self.session_id)
        except MemoryUnavailable as error:
            self._degrade(error)
            return list(self.given)
        return [*cast(list[TResponseInputItem], stored.items)]  # concurrent readers share the items

    async def add_items(self, items: list[TResponseInputItem]) -> None:
        """Add items at the end, durably."""
        if not items:
            return
        self._known = None
        self.given += items
        await self._write(Append(self.session_id, self._fence, cast(Sequence[Item], items)))

    async def pop_item(self) -> TResponseInputItem | None:
        """Remove the newest item and return it, or None if there is none."""
        return cast(TResponseInputItem | None, await self._write(Delete(self.session_id, None)))

    async def clear_session(self) -> None:
        """Remove the session with all its items."""
        await self._write(Clear(self.session_id))

    async def open(self, place: SessionContext) -> OpenedSession | None:
        """Prepare the session for a turn; return None while the store is unavailable."""
        with tracing.recorded(tracing.begin("session.open")) as span:
            try:
                opened = await open_session(self._store, place)
            except MemoryUnavailable as error:
                span.fail(error.code)
                self._degrade(error)
                return None
            span.set({"threadkeeper.session.items": len(opened.items)})
            span.set({"threadkeeper.session.rebuilt": opened.pruned is not None})
        self._known = opened.items
        self._opened_in = self._store.generation
        return opened

    async def rewrite(self, items: Sequence[Item]) -> None:
        """Replace the items that this turn has added; needs a fence."""
        assert self._fence is not None
        kept: set[int] = set()
        for _ in range(TRIES):
            seen = await self._quarantine_others(kept)
            with suppress(RowsChanged):
                await self._write(Begin(self.session_id, self._fence, items, seen=seen))
                break
        else:
            self._degrade(MemoryUnavailable(KEEPS_WRITING))
        self.given = [cast(TResponseInputItem, item) for item in items]

    async def _quarantine_others(self, kept: set[int]) -> Digest | None:
        """Quarantine what another program has written during this turn, which is removed with the turn's own items.

        `kept` are the ids of the rows that are quarantined already. Return the digest of all rows.
        """
        if self.unavailable:
            return None
        try:
            stored = await self._store.read(self.session_id)
        except MemoryUnavailable as error:
            self._degrade(error)
            return None
        if stored.is_intact:
            return stored.digest
        ours = [*self.given]
        suspects = [
            Suspect(row.id, row.item, MEANWHILE)
            for row in stored.rows
            if row.id > stored.base and row.item not in ours and row.id not in kept
        ]
        if suspects:
            await in_database(quarantine, self.session_id, suspects)
            kept.update(suspect.row_id for suspect in suspects)
        return stored.digest

    async def _write(self, what: Append | Begin | Clear | Delete) -> Item | None:
        if self.unavailable:
            return None
        try:
            result = await self._store.write(what)
            if self._opened_in not in (None, self._store.generation):
                # A part of the memory would look like all of it.
                await self._store.write(Clear(self.session_id))
                raise MemoryUnavailable("The file in which the turn began is lost.")
        except MemoryUnavailable as error:
            self._degrade(error)
            return None
        return result

    def _degrade(self, error: MemoryUnavailable) -> None:
        if self._on_unavailable is None:
            raise error
        if not self.unavailable:
            self.unavailable = True
            self._on_unavailable()
