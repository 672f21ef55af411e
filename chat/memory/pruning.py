"""Keep a session within its limit."""

from chat.memory.items import surplus
from chat.memory.statements import Delete
from chat.memory.store import SessionStore


async def prune(store: SessionStore, session_id: str, *, limit: int) -> int:
    """Remove the oldest user turns until at most `limit` items stay; return how many items were removed.

    Must be called between turns. Raise MemoryUnavailable.
    """
    stored = await store.read(session_id)
    ids = [stored.ids[index] for index in surplus(stored.items, limit)]
    if ids and stored.is_intact:  # the next turn adopts what another program wrote meanwhile
        await store.write(Delete(session_id, ids))
        return len(ids)
    return 0
