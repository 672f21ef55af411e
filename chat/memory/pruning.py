"""Keep a session within its limit."""

from chat.infra import tracing
from chat.memory.items import surplus
from chat.memory.statements import Delete
from chat.memory.store import SessionStore


async def prune(store: SessionStore, session_id: str, *, limit: int) -> int:
    """Remove the oldest user turns until at most `limit` items stay; return how many items were removed.

    Must be called between turns. Raise MemoryUnavailable.
    """
    with tracing.recorded(tracing.begin("session.prune", {"threadkeeper.session.limit": limit})) as span:
        stored = await store.read(session_id)
        ids = [stored.ids[index] for index in surplus(stored.items, limit)]
        if not stored.is_intact:
            ids = []  # the next turn adopts what another program wrote meanwhile
        if ids:
            await store.write(Delete(session_id, ids))
        span.set({"threadkeeper.session.removed": len(ids)})
        return len(ids)
