"""What each write does to the tables of a session store, in whichever database they are."""

import json
from abc import ABC, abstractmethod
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import NamedTuple

from chat.exceptions import OutdatedAttempt
from chat.memory import digest
from chat.memory.digest import Digest
from chat.memory.items import Item
from chat.memory.statements import (
    Append,
    Begin,
    Clear,
    Delete,
    Fence,
    Replace,
    RowsChanged,
    Seal,
    Write,
    decode,
)


class RawRow(NamedTuple):
    """A stored row, not decoded."""

    id: int
    data: bytes


class Digests(NamedTuple):
    """The stored digest of a session, if it has one, and that of its rows, both of the same moment."""

    session_id: str
    stored: Digest | None
    computed: Digest

    @property
    def differ(self) -> bool:
        """Whether the rows do not match the stored digest; a session without rows and digest matches."""
        return (self.stored or digest.EMPTY) != self.computed


class Tables(ABC):
    """The statements of one open transaction, with which a write is made."""

    @abstractmethod
    def lock(self, writes: Sequence[Write]) -> None:
        """Lock the sessions until the transaction ends: other processes cannot write to them."""

    @abstractmethod
    def fences(self, session_ids: Collection[str]) -> dict[str, Fence]:
        """Return the last fences of the sessions that have one."""

    @abstractmethod
    def seals(self, session_ids: Collection[str]) -> dict[str, Digest]:
        """Return the stored digests of the sessions that have one."""

    @abstractmethod
    def digests(self, session_ids: Sequence[str]) -> list[Digests]:
        """Return the digests of each session, by one query."""

    @abstractmethod
    def rows(self, session_id: str) -> list[RawRow]:
        """Return the rows of a session in order."""

    @abstractmethod
    def has_rows(self, session_id: str) -> bool:
        """Return whether a session has rows."""

    @abstractmethod
    def base(self, session_id: str) -> tuple[int, int] | None:
        """Return the last turn that wrote to a session, and the last row before it."""

    @abstractmethod
    def write_fences(self, fences: Sequence[tuple[str, Fence]]) -> None:
        """Store later fences.

        A new turn begins after the newest row; a new attempt at the same turn keeps its beginning.
        """

    @abstractmethod
    def write_seals(self, seals: Mapping[str, Digest]) -> None:
        """Store digests."""

    @abstractmethod
    def remove_seal(self, session_id: str) -> None:
        """Remove the digest of a session."""

    @abstractmethod
    def add(self, rows: Sequence[tuple[str, str]]) -> None:
        """Add rows at the end of sessions, which are created if they are missing."""

    @abstractmethod
    def delete(self, session_id: str, row_ids: Sequence[int]) -> None:
        """Delete rows of a session."""

    @abstractmethod
    def remove(self, session_id: str, *, keep_listed: bool = False) -> None:
        """Remove everything of a session, but its row in the table of sessions if `keep_listed`."""

    def computed(self, session_id: str) -> Digest:
        """Compute the digest of the rows that are there."""
        return _of(self.rows(session_id))


def apply(tables: Tables, writes: Sequence[Write]) -> list[Item | Exception | None]:
    """Apply writes in order within the open transaction; consecutive appends share their statements."""
    tables.lock(writes)
    fences = tables.fences({write.session_id for write in writes})
    results: list[Item | Exception | None] = []
    appends: list[Append] = []
    later: dict[str, Fence] = {}
    for write in writes:
        fence = getattr(write, "fence", None)
        last = fences.get(write.session_id)
        is_restart = isinstance(write, Replace) and write.restart
        if fence is not None and last is not None and fence < last and not is_restart:
            results.append(OutdatedAttempt("A later attempt has written to this session."))
            continue
        if fence is not None:
            fences[write.session_id] = fence
        if isinstance(write, Clear):
            fences.pop(write.session_id, None)  # a write to a cleared session begins again
        if isinstance(write, Append):
            if fence is not None and (last is None or fence > last):
                if write.session_id in {append.session_id for append in appends}:
                    _append(tables, appends, later)
                    appends, later = [], {}
                later[write.session_id] = fence
            appends.append(write)
            results.append(None)
            continue
        _append(tables, appends, later)
        appends, later = [], {}
        results.append(_apply_one(tables, write))
    _append(tables, appends, later)
    return results


def _apply_one(tables: Tables, write: Begin | Replace | Delete | Clear | Seal) -> Item | None:
    if isinstance(write, Clear | Replace | Seal):
        if write.seen is not None and tables.computed(write.session_id) != write.seen:
            raise RowsChanged
        if isinstance(write, Clear):
            tables.remove(write.session_id)
        elif isinstance(write, Seal):
            _write_seal(tables, write.session_id, write.seen)
        else:
            tables.remove(write.session_id, keep_listed=True)
            _append(tables, [Append(write.session_id, None, write.items)], {})
            if write.fence is not None:
                tables.write_fences([(write.session_id, write.fence)])
        return None
    rows = tables.rows(write.session_id)
    of_rows = _of(rows)
    if isinstance(write, Begin) and write.seen is not None and of_rows != write.seen:
        raise RowsChanged
    # If some rows are of unknown origin, the remaining ones are too.
    was_intact = tables.seals([write.session_id]).get(write.session_id, digest.EMPTY) == of_rows
    gone, result = _cut(tables, write, rows) if isinstance(write, Begin) else _chosen(write, rows)
    if gone:
        tables.delete(write.session_id, sorted(gone))
    if gone or not was_intact:
        kept = _of(row for row in rows if row.id not in gone) if was_intact else digest.EMPTY
        _write_seal(tables, write.session_id, kept)
    if isinstance(write, Begin):
        _append(tables, [Append(write.session_id, None, write.items)], {write.session_id: write.fence})
    return result


def _cut(tables: Tables, write: Begin, rows: Sequence[RawRow]) -> tuple[set[int], None]:
    turn, base = tables.base(write.session_id) or (None, 0)
    if turn is None or turn not in (write.fence.turn, write.replaces):
        return set(), None
    return {row.id for row in rows if row.id > base}, None


def _chosen(write: Delete, rows: Sequence[RawRow]) -> tuple[set[int], Item | None]:
    """Return the rows to delete: those named or, without names, the newest ones back to an item, which is returned."""
    if write.ids is not None:
        return {row.id for row in rows}.intersection(write.ids), None
    gone: set[int] = set()
    for row in reversed(rows):
        gone.add(row.id)
        if (item := decode(row.data)) is not None:
            return gone, item
    return gone, None


def _append(tables: Tables, appends: Sequence[Append], later: Mapping[str, Fence]) -> None:
    """Add items; `later` are the fences that are later than the stored ones."""
    if later:
        tables.write_fences(list(later.items()))
    rows = [(append.session_id, json.dumps(item)) for append in appends for item in append.items]
    if rows:
        _extend_seals(tables, rows)
        tables.add(rows)


def _extend_seals(tables: Tables, rows: Sequence[tuple[str, str]]) -> None:
    """Extend digests by rows that are about to be added, without reading the existing rows."""
    added: dict[str, list[bytes]] = {}
    for session_id, text in rows:
        added.setdefault(session_id, []).append(text.encode())
    known = tables.seals(added)
    extended = {
        session_id: digest.extended(known.get(session_id, digest.EMPTY), texts)
        for session_id, texts in added.items()
        # Without a digest, rows are of another program.
        if session_id in known or not tables.has_rows(session_id)
    }
    if extended:
        tables.write_seals(extended)


def _write_seal(tables: Tables, session_id: str, seal: Digest) -> None:
    """Store a digest; none if there are no rows, or the rows are of unknown origin."""
    if seal == digest.EMPTY:
        tables.remove_seal(session_id)
    else:
        tables.write_seals({session_id: seal})


def _of(rows: Iterable[RawRow]) -> Digest:
    return digest.extended(digest.EMPTY, (row.data for row in rows))
