"""Keep a session within its limit."""

from chat.memory.items import surplus
from chat.memory.statements import Delete
from chat.memory.store import SessionStore


async def prune(store: SessionStore, session_id: str, *, limit: int) -> int:
    """Remove whole user turns from the old end until at most `limit` items stay; return how many items went.

    To be called between turns. Raise MemoryUnavailable.
    """
    rows = await store.rows(session_id)
    ids = [rows[index].id for index in surplus([row.item for row in rows], limit)]
    if ids:
        await store.write(Delete(session_id, ids))
    return len(ids)
