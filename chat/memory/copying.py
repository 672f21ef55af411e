"""Copy sessions from one store to another, whichever databases they are in, and verify the copies."""

from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass

from chat.exceptions import InvalidSessionId, MemoryUnavailable
from chat.memory.identity import SessionId
from chat.memory.sync_store import StoredId, SyncStore

PAGE_SIZE = 100  # sessions


@dataclass(frozen=True, slots=True)
class Copied:
    """How many sessions were copied, were equal already, or cannot be copied since they are not UTF-8."""

    copied: int = 0
    equal: int = 0
    skipped: int = 0

    def __add__(self, other: "Copied") -> "Copied":
        return Copied(self.copied + other.copied, self.equal + other.equal, self.skipped + other.skipped)


def pages(store: SyncStore, size: int = PAGE_SIZE) -> Iterator[list[StoredId]]:
    """Yield the ids of all sessions."""
    after: StoredId = ""
    while ids := store.next_ids(after, size):
        after = ids[-1]
        yield ids


def own_ids(session_ids: Sequence[StoredId]) -> list[str]:
    """Return the ids that are of this application; other programs may use the same store."""
    own = []
    for name in session_ids:
        with suppress(InvalidSessionId):
            own.append(str(SessionId.parse(name)))
    return own


def copy_sessions(source: SyncStore, target: SyncStore, session_ids: Sequence[StoredId]) -> Copied:
    """Copy sessions row by row, where they differ. Raise MemoryUnavailable, also if a copy is not equal to its source.

    Nothing may write to them meanwhile.
    """
    ours = source.raw(session_ids)
    theirs = target.raw(list(ours))
    changed = {name: raw for name, raw in ours.items() if theirs.get(name) != raw}
    if changed:
        target.put(changed)
        if target.raw(list(changed)) != changed:
            raise MemoryUnavailable("A copied session differs from its source.")
    return Copied(len(changed), len(ours) - len(changed), len(session_ids) - len(ours))


def copy_all(source: SyncStore, target: SyncStore) -> Copied:
    """Copy all sessions; nothing may write to either store meanwhile, but to its copy in a snapshot."""
    total = Copied()
    for ids in pages(source):
        total += copy_sessions(source, target, ids)
    return total
