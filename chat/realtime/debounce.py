"""Collect the notifications of a socket, so that several of them cost one query."""

import asyncio
import uuid
from dataclasses import dataclass, field


@dataclass(slots=True)
class Changes:
    """The conversations that changed, and whether there are new turns, changed tasks and changed tool calls."""

    conversations: set[uuid.UUID] = field(default_factory=set)
    turns: bool = False
    tasks: bool = False
    calls: bool = False


class PendingNotifications:
    """The notifications that a socket has received and not handled yet."""

    def __init__(self) -> None:
        self._changes = Changes()
        self._received = asyncio.Event()

    def add(self, conversation_id: str = "", *, turns: bool = False, tasks: bool = False, calls: bool = False) -> None:
        """Note what changed."""
        changes = self._changes
        if conversation_id:
            changes.conversations.add(uuid.UUID(conversation_id))
        changes.turns |= turns
        changes.tasks |= tasks
        changes.calls |= calls
        self._received.set()

    async def take(self) -> Changes:
        """Wait for notifications; return and clear what they report."""
        await self._received.wait()
        self._received.clear()
        changes, self._changes = self._changes, Changes()
        return changes
