"""Keep a session within its limit."""

from chat.memory.items import surplus
from chat.memory.statements import Delete
from chat.memory.store import SessionStore


async def prune(store: SessionStore, session_id: str, *, limit: int) -> int:
    """Remove whole user turns from the old end until at most `limit` items stay; return how many items went.

    To be called between turns. Raise MemoryUnavailable.
    """
    stored = await store.read(session_id)
    ids = [stored.ids[index] for index in surplus(stored.items, limit)]
    if ids and stored.is_intact:  # what another program wrote this moment is first taken over by the next turn
        await store.write(Delete(session_id, ids))
        return len(ids)
    return 0
