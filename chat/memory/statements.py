"""What the session stores read and write, whichever database has their tables."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from chat.memory import digest
from chat.memory.digest import Digest
from chat.memory.items import Item, is_item


class RowsChanged(ValueError):
    """Another program has written to the session since it was read: the rows are not those that were compared."""


@dataclass(frozen=True, slots=True, order=True)
class Fence:
    """A turn's position in its conversation, and its attempt: writes of earlier attempts are refused."""

    turn: int
    attempt: int


class Row(NamedTuple):
    """One stored item, and the id that orders it."""

    id: int
    item: Item


@dataclass(frozen=True, slots=True)
class BadRow:
    """A stored row that is not an item."""

    id: int
    data: str


@dataclass(frozen=True, slots=True)
class Stored:
    """A session as stored: items by row id, invalid rows, the last fence, and the last row before it.

    `digest` is that of the rows; `is_intact` means that it matches the stored digest; `is_sealed` that there is a
    stored digest.
    """

    ids: list[int] = field(default_factory=list)
    items: list[Item] = field(default_factory=list)
    bad: list[BadRow] = field(default_factory=list)
    last: Fence | None = None
    base: int = 0
    digest: Digest = digest.EMPTY
    is_intact: bool = True
    is_sealed: bool = False

    @property
    def rows(self) -> list[Row]:
        """Return each item with its row id."""
        return list(map(Row, self.ids, self.items))


@dataclass(frozen=True, slots=True)
class Size:
    """The size of a session."""

    items: int
    bytes: int


@dataclass(slots=True)
class Append:
    """Add items at the end."""

    session_id: str
    fence: Fence | None
    items: Sequence[Item]


@dataclass(slots=True)
class Begin:
    """Cut the session back to where a turn began and add items there.

    `replaces` names an earlier turn: if that was the last to write, the cut goes back to where it began. With `seen`,
    the digest of the rows that were read, RowsChanged is raised if they have changed.
    """

    session_id: str
    fence: Fence
    items: Sequence[Item] = ()
    replaces: int | None = None
    seen: Digest | None = None


@dataclass(slots=True)
class Replace:
    """Replace all items; the turn of the fence, if any, begins after them.

    With `restart` an earlier turn may write again. `seen` is as for `Begin`.
    """

    session_id: str
    fence: Fence | None
    items: Sequence[Item]
    restart: bool = False
    seen: Digest | None = None


@dataclass(slots=True)
class Delete:
    """Delete rows by id; without ids, delete the newest one and return it."""

    session_id: str
    ids: Sequence[int] | None


@dataclass(slots=True)
class Clear:
    """Remove the session. `seen` is as for `Begin`."""

    session_id: str
    seen: Digest | None = None


@dataclass(slots=True)
class Seal:
    """Store the digest of the rows: they were compared with the record. `seen` is as for `Begin`."""

    session_id: str
    seen: Digest


Write = Append | Begin | Replace | Delete | Clear | Seal

# Every table that has data of a session.
TABLES = ("agent_messages", "agent_sessions", "threadkeeper_turns", "threadkeeper_digests")

Data = str | bytes


def decode_joined(ids: list[int], texts: Data, last: tuple[Fence | None, int], seal: Digest | None) -> Stored | None:
    """Decode the rows of a session, joined by commas; return None if a row may be invalid.

    Whether each text is one item is decided only by their number: two halves of an item in two rows are one too few.
    """
    if isinstance(texts, bytes):
        return None
    try:
        items: list[Item] = json.loads(f"[{texts}]")
    except (ValueError, RecursionError):
        return None
    if len(items) != len(ids) or not all(map(is_item, items)):
        return None
    of_rows = digest.of_joined(texts.encode())
    return Stored(ids, items, [], *last, of_rows, is_intact=of_rows == seal, is_sealed=seal is not None)


def decode_rows(
    rows: Iterable[tuple[int, Data]], last: tuple[Fence | None, int], seal: Digest | None, of_rows: Digest
) -> Stored:
    """Decode the rows of a session one by one."""
    ids: list[int] = []
    items: list[Item] = []
    bad: list[BadRow] = []
    for row_id, data in rows:
        item = decode(data)
        if item is None:
            bad.append(BadRow(row_id, data if isinstance(data, str) else repr(data)))
        else:
            ids.append(row_id)
            items.append(item)
    is_intact = of_rows == (seal or digest.EMPTY)
    return Stored(ids, items, bad, *last, of_rows, is_intact=is_intact, is_sealed=seal is not None)


def last_fence(turn: int | None, attempt: int, base: int) -> tuple[Fence | None, int]:
    """Return the fence of a row of `threadkeeper_turns`, and the last row before it; (None, 0) without such a row."""
    return (None, 0) if turn is None else (Fence(turn, attempt), base)


def decode(data: Data) -> Item | None:
    """Return the item of a row, or None if it holds none."""
    try:
        item = json.loads(data if isinstance(data, str) else data.decode())
    except (ValueError, RecursionError):
        return None
    return item if is_item(item) else None
